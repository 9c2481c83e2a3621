from __future__ import annotations

import pytest

from grader import result as document
from grader.batch import feedback
from grader.batch.names import folder_of
from tests import sample_results


@pytest.mark.parametrize("name", ["ada", "ada@x.org", "Ada-L.2"])
def test_plain_names_are_folders(name):
    assert folder_of(name) == name


def test_other_names_become_safe_and_stay_different():
    names = [
        "../../etc",
        "/etc/passwd",
        "a/b",
        "a_b",
        "..",
        "",
        ".",
        "con.",
        "日本語",
        "a" * 300,
        "x\ny",
        "-rf",
        "a\0b",
    ]
    folders = [folder_of(name) for name in names]
    assert len(set(folders)) == len(names)
    for folder in folders:
        assert "/" not in folder and "\0" not in folder and not folder.startswith(("-", "."))
        assert 0 < len(folder.encode()) < 120


def test_each_student_gets_three_files_without_hidden_data(tmp_path):
    result = sample_results.mixed()
    feedback.write(tmp_path, "ada", result, ["gemm.c: the byte order mark at its start was removed."])
    place = tmp_path / "feedback" / "ada"
    assert {path.name for path in place.iterdir()} == {"gemm_cpu.html", "gemm_cpu.md", "gemm_cpu.json"}
    kept = document.read(place / "gemm_cpu.json")
    assert kept.submission == "ada" and kept.score == result.score
    assert kept.notes[0].startswith("gemm.c: the byte order mark")
    secrets = [test.failure.summary for test in result.tests if test.hidden and test.failure]
    assert secrets
    for path in place.iterdir():
        assert not any(secret in path.read_text() for secret in secrets)


def test_who_shares_a_result_is_not_named_on_the_others_page(tmp_path):
    shared = sample_results.mixed().model_copy(update={"submission": "5e5e5e"})
    for name in ("ada", "bob"):
        feedback.write(tmp_path, name, shared)
    assert "bob" not in (tmp_path / "feedback" / "ada" / "gemm_cpu.html").read_text()


def test_what_is_as_it_should_be_stays_untouched(tmp_path):
    feedback.write(tmp_path, "ada", sample_results.mixed())
    file = tmp_path / "feedback" / "ada" / "gemm_cpu.html"
    before = file.stat().st_ino
    feedback.write(tmp_path, "ada", sample_results.mixed())
    assert file.stat().st_ino == before
    feedback.write(tmp_path, "ada", sample_results.perfect())
    assert file.stat().st_ino != before
