"""A .venv for a copy of the project that a test makes: the Python and the packages of this run."""

from __future__ import annotations

import hashlib
import stat
import sys
from pathlib import Path


def borrow_packages(folder: Path) -> None:
    """Make `folder`/.venv, whose Python is this one, with the stamp that tells scripts/setup that it is complete."""
    python = folder / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    python.chmod(python.stat().st_mode | stat.S_IXUSR)
    inputs = [folder / name for name in ("requirements.txt", "packages.apt", "scripts/setup")]
    sums = [
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.relative_to(folder)}"
        for path in inputs
        if path.exists()
    ]
    (folder / ".venv" / "setup-stamp").write_text("\n".join(sums) + "\n")
