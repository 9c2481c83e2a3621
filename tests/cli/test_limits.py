"""A shell's limits are lifted where that is allowed, and told in one line where not."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LIFTED = """
import resource
from grader.cli import limits
limits.lift()
print(resource.getrlimit(resource.RLIMIT_NOFILE)[0] >= limits.FILES, resource.getrlimit(resource.RLIMIT_AS)[0] == -1)
"""
UNPRIVILEGED = ("setpriv", "--bounding-set=-sys_resource", "--inh-caps=-sys_resource")


def run(limit: str, *command: str) -> tuple[int, str]:
    """The command behind a shell with this limit, without the right to raise it."""
    answer = subprocess.run(
        [*UNPRIVILEGED, "bash", "-c", f'ulimit {limit}; exec "$@"', "bash", *command],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    return answer.returncode, answer.stdout + answer.stderr


@pytest.mark.parametrize("limit", ["-Sn 64", "-Sv 8000000", "-Sn 64 -Sv 8000000"])
def test_what_may_be_lifted_is(limit: str) -> None:
    assert run(limit, sys.executable, "-c", LIFTED) == (0, "True True\n")


def test_too_few_files_are_told_in_one_line() -> None:
    status, text = run("-n 64", sys.executable, "-m", "grader", "doctor")
    assert (status, text.count("\n")) == (3, 1)
    assert text.startswith("grader: this shell allows 64 open files, and grading needs 256: ulimit -n 1024")
