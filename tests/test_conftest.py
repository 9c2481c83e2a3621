"""The two conftest.py files: `pytest labs/LAB --submission …` for authors, and `needs` for our own tests."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.conftest import needs

ROOT = Path(__file__).parents[1]


def pytest_says(*arguments: str | Path, folder: Path = ROOT, **environment: str) -> tuple[int, str]:
    """Exit status and output of plain `pytest`: not `python -m`, which puts the folder on sys.path."""
    plain = "import sys; sys.path.remove(''); import pytest; sys.exit(pytest.main())"
    answer = subprocess.run(
        [sys.executable, "-c", plain, "--quiet", *map(str, arguments)],
        cwd=folder,
        env={**os.environ, "CI": "", "PYTHONPATH": "", **environment},
        capture_output=True,
        text=True,
        timeout=120,
    )
    return answer.returncode, answer.stdout + answer.stderr


# --- For authors --------------------------------------------------------------------------------------------


def test_an_author_runs_a_labs_test_on_a_submission():
    test = "labs/gemm_cpu/test_public.py::test_alpha_and_beta"
    status, text = pytest_says(test, "--submission", "solutions_hidden/gemm_cpu", "--seed", "7")
    assert (status, "3 passed" in text) == (0, True), text


def test_a_wrong_submission_fails_as_any_test_does():
    test = "gemm_cpu/test_public.py::test_alpha_and_beta"
    status, text = pytest_says(test, "--submission", "../starter/gemm_cpu", folder=ROOT / "labs")
    assert (status, "3 failed" in text) == (1, True), text
    assert "not written yet" in text


def test_without_a_submission_the_command_is_explained():
    status, text = pytest_says("labs/gemm_cpu")
    assert status == 4
    assert "pytest labs/LAB --submission solutions_hidden/LAB" in text
    assert "Traceback" not in text


def test_a_folder_that_cannot_be_taken_is_refused_in_words(tmp_path):
    status, text = pytest_says("labs/gemm_cpu", "--submission", tmp_path)
    assert status == 4
    assert "gemm.c is missing" in text
    assert "Traceback" not in text


# --- For our own tests --------------------------------------------------------------------------------------


def suite(folder: Path, needed: str) -> Path:
    """A project of one test that needs something, with this project's conftest of tests."""
    (folder / "tests").mkdir()
    (folder / "tests" / "conftest.py").write_text((ROOT / "tests" / "conftest.py").read_text())
    (folder / "tests" / "test_it.py").write_text(
        f"from tests.conftest import needs\n\n@needs({needed!r})\ndef test_it():\n    pass\n"
    )
    return folder


def test_a_missing_tool_is_a_skip_with_its_reason(tmp_path):
    status, text = pytest_says("-rs", folder=suite(tmp_path, "no-such-tool"), PYTHONPATH=f"{ROOT}")
    assert (status, "1 skipped" in text) == (0, True), text
    assert "needs no-such-tool" in text


def test_a_missing_tool_is_a_failure_in_ci(tmp_path):
    status, text = pytest_says(folder=suite(tmp_path, "no-such-tool"), PYTHONPATH=f"{ROOT}", CI="true")
    assert (status, "1 failed" in text or "1 error" in text) == (1, True), text
    assert "needs no-such-tool" in text


def test_a_tool_that_is_there_lets_the_test_run_in_ci(tmp_path):
    status, text = pytest_says(folder=suite(tmp_path, "sh"), PYTHONPATH=f"{ROOT}", CI="true")
    assert (status, "1 passed" in text) == (0, True), text


@needs("sh")
def test_needs_works_as_a_decorator():
    assert needs("sh", "tier A").args == ("sh", "tier A")
