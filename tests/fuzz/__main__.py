"""Coverage-guided fuzzing of one target: `make fuzz TARGET=channel SECONDS=600`.

Begins with what is in tests/fuzz/corpus/TARGET, keeps what reaches new code in build/fuzz/TARGET, and stops at the
first input that breaks the target's promise or takes too long; its file is named then. It belongs in the corpus, under
a name that says what it is, before the grader is mended. `python -m tests.fuzz TARGET --keep` adds to the corpus what
of build/fuzz/TARGET reaches lines of the grader that the corpus does not.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import grader

HERE = Path(__file__).parent
TARGETS = sorted(path.name for path in (HERE / "corpus").iterdir())
TOO_LONG_S, MOST_MIB, MOST_BYTES = 2.0, 1500, 8192
PACKAGE = str(Path(grader.__file__).parent)

Target = Callable[[bytes], None]


def main() -> None:
    """Fuzz, or keep what was found."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__.splitlines()[0])
    parser.add_argument("target", choices=TARGETS)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--keep", action="store_true", help="add to the corpus what was found")
    arguments = parser.parse_args()
    corpus, found = HERE / "corpus" / arguments.target, HERE.parents[1] / "build" / "fuzz" / arguments.target
    found.mkdir(parents=True, exist_ok=True)
    if arguments.keep:
        keep(importlib.import_module(f"tests.fuzz.{arguments.target}").one_input, found, corpus)
        return
    try:
        import atheris
    except ImportError:
        parser.exit(2, "fuzzing needs atheris, for Python 3.11 to 3.13: .venv/bin/pip install atheris\n")
    atheris.enabled_hooks.add("str")
    with atheris.instrument_imports(include=["grader"]):
        one_input = importlib.import_module(f"tests.fuzz.{arguments.target}").one_input
    options = [f"-rss_limit_mb={MOST_MIB}", f"-timeout={int(10 * TOO_LONG_S)}", f"-max_len={MOST_BYTES}"]
    options += [
        f"-artifact_prefix={found.parent}/{arguments.target}-",
        f"-max_total_time={arguments.seconds}",
    ]
    atheris.Setup([sys.argv[0], *options, "-len_control=20", str(found), str(corpus)], _timed(one_input))
    atheris.Fuzz()


def keep(one_input: Target, found: Path, corpus: Path) -> None:
    """Copy to `corpus` the files of `found` that reach lines which none before reaches, the shortest first."""
    reached: set[tuple[str, int]] = set()
    for path in sorted(corpus.iterdir()):
        reached |= _lines(one_input, path.read_bytes())
    for path in sorted(found.iterdir(), key=lambda path: path.stat().st_size):
        lines = _lines(one_input, path.read_bytes())
        if not lines <= reached:
            reached |= lines
            shutil.copy(path, corpus / hashlib.sha256(path.read_bytes()).hexdigest()[:12])


def _lines(one_input: Target, data: bytes) -> set[tuple[str, int]]:
    """The lines of the grader's code that this input reaches."""
    lines: set[tuple[str, int]] = set()

    def trace(frame: FrameType, event: str, argument: Any) -> Any:
        if not frame.f_code.co_filename.startswith(PACKAGE):
            return None
        lines.add((frame.f_code.co_filename, frame.f_lineno))
        return trace

    sys.settrace(trace)
    try:
        one_input(data)
    finally:
        sys.settrace(None)
    return lines


def _timed(one_input: Target) -> Target:
    """The target, with a limit on its CPU time."""

    def timed(data: bytes) -> None:
        before = time.process_time()
        one_input(data)
        spent = time.process_time() - before
        assert spent < TOO_LONG_S, f"took {spent:.1f} s of CPU for {len(data)} bytes"

    return timed


if __name__ == "__main__":
    main()
