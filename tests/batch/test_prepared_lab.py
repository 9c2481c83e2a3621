"""A worker does once what each of its gradings would do again."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from grader.batch import worker
from grader.runner import runtime
from grader.toolchain import module
from tests.fixtures import tiny


def test_a_prepared_lab_needs_no_further_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its contract and declarations have been read, and what runners need has been found, before the first fork."""
    root = str(tiny.COURSE)
    worker._prepare("tiny", root)
    monkeypatch.setattr(
        subprocess, "Popen", lambda *arguments, **options: pytest.fail(f"started {arguments}")
    )
    prepared = module.for_submissions(worker._lab("tiny", root))
    assert "tiny_add" in prepared.interface.names
    assert runtime.prepare().python.exists()


def test_a_lab_that_cannot_be_prepared_is_the_gradings_own_trouble(tmp_path: Path) -> None:
    """It is tried again for the next order: nothing of a failure is kept."""
    for _ in range(2):
        with pytest.raises(Exception, match="tiny"):
            worker._prepare("tiny", str(tmp_path))
