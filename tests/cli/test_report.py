"""Facts about `grader report`: a stored result, shown again without running anything."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import pytest
from typer.testing import CliRunner, Result

from grader.cli import app
from grader.cli.say import BAD_COMMAND, CANNOT_WORK
from tests.sample_results import SITUATIONS, mixed


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    path = tmp_path / "result.json"
    path.write_text(mixed().to_json())
    return path


def report(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["report", *map(str, arguments)], catch_exceptions=False)


@pytest.mark.parametrize("situation", SITUATIONS)
def test_every_kind_of_result_is_shown(situation, tmp_path):
    path = tmp_path / "result.json"
    path.write_text(SITUATIONS[situation]().to_json())
    answer = report(path)
    assert (answer.exit_code, answer.stderr) == (0, "")
    assert "What next" in answer.stdout


def test_hidden_tests_keep_their_data_unless_staff_asks(stored):
    secrets = [
        test.failure.case for test in mixed().tests if test.hidden and test.failure and test.failure.case
    ]
    assert secrets
    assert not any(secret in report(stored).stdout for secret in secrets)


def test_junit_is_written_instead(stored, tmp_path):
    answer = report(stored, "--junit", tmp_path / "new" / "r.xml")
    assert (answer.exit_code, answer.stdout) == (0, "")
    names = [
        case.get("name") for case in ElementTree.parse(tmp_path / "new" / "r.xml").getroot().iter("testcase")
    ]
    assert len(names) == len(mixed().tests)


def test_junit_that_cannot_be_written_is_told(stored):
    answer = report(stored, "--junit", stored / "r.xml")
    assert answer.exit_code == CANNOT_WORK
    assert "the junit report could not be written: " in answer.stderr


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "not a grader/result/v1 document"),
        ("{}", "it has no key 'schema'"),
        ('{"schema": "grader/result/v9"}', "it says 'grader/result/v9'"),
        (None, "cannot read the result"),
    ],
)
def test_what_is_no_result_is_told_in_one_line_with_its_name(tmp_path, text, words):
    path = tmp_path / "r.json"
    if text is not None:
        path.write_text(text)
    answer = report(path)
    assert answer.exit_code == BAD_COMMAND
    assert answer.stdout == ""
    assert answer.stderr.startswith(f"grader: {path}: ")
    assert words in answer.stderr
    assert "Traceback" not in answer.stderr
