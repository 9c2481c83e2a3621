"""What a file of tests is worth, and the lab's maximum that follows from it."""

from pathlib import Path

import pytest

from grader.contract.worth import points_of_tests
from grader.lab import list_labs, load_lab

ROOT = Path(__file__).parents[2]


def test_marks_are_added_up_once_for_each_function(tmp_path):
    file = tmp_path / "test_hidden.py"
    file.write_text(
        "import pytest\nfrom grader.testing import points\n"
        "@points(2.5)\n@pytest.mark.parametrize('n', [1, 2])\ndef test_a(n): ...\n"
        "class TestB:\n    @pytest.mark.points(4)\n    def test_c(self): ...\n"
        "def test_free(): ...\n"
    )
    assert points_of_tests(file) == 6.5


@pytest.mark.parametrize("text", ["def (", "\0", "@points()\n@points('x')\ndef test_a(): ...\n"])
def test_what_says_nothing_is_worth_nothing(tmp_path, text):
    file = tmp_path / "test_hidden.py"
    assert points_of_tests(file) == 0
    file.write_text(text)
    assert points_of_tests(file) == 0


@pytest.mark.parametrize("name", list_labs(ROOT))
def test_the_tests_of_every_lab_are_worth_what_its_contract_says(name):
    lab = load_lab(name, ROOT)
    worth = [points_of_tests(file) for file in lab.test_files(practice=False)]
    assert sum(worth) == pytest.approx(lab.maximum(practice=False))
    practice = [points_of_tests(file) for file in lab.test_files(practice=True)]
    assert sum(practice) == pytest.approx(lab.maximum(practice=True))
