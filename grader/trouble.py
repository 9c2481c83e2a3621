"""What the machine got wrong, in one line that ends with the cure: never the submission's fault, and no bug of ours."""

from __future__ import annotations

import shlex
import sys


class CannotWork(RuntimeError):
    """The grader cannot work on this machine as it is. The message says what happened, where, and what to do."""


def pip_install(packages: str) -> str:
    """The command that brings packages to this very interpreter; the pip on $PATH is seldom its own."""
    return f"{shlex.quote(sys.executable)} -m pip install {packages}"
