"""Coverage-guided fuzzing of one target: `make fuzz TARGET=channel SECONDS=600`.

Begins with what is in tests/fuzz/corpus/TARGET, keeps what reaches new code in build/fuzz/TARGET, and stops at the
first input that breaks the target's promise or takes too long; its file is named then. It belongs in the corpus, under
a name that says what it is, before the grader is mended. `python -m tests.fuzz TARGET --keep` adds to the corpus
the fewest files that reach what build/fuzz/TARGET does.
"""

from __future__ import annotations

import argparse
import importlib
import sys
import time
from collections.abc import Callable
from pathlib import Path

HERE = Path(__file__).parent
TARGETS = sorted(path.name for path in (HERE / "corpus").iterdir())
TOO_LONG_S, MOST_MIB = 2.0, 1500


def main() -> None:
    """Fuzz, or keep what was found."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__.splitlines()[0])
    parser.add_argument("target", choices=TARGETS)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--keep", action="store_true", help="add to the corpus what was found")
    arguments, inner = parser.parse_known_args()
    try:
        import atheris
    except ImportError:
        parser.exit(
            2, "make: fuzzing needs atheris, for Python 3.11 to 3.13: .venv/bin/pip install atheris\n"
        )
    kept, found = HERE / "corpus" / arguments.target, HERE.parents[1] / "build" / "fuzz" / arguments.target
    found.mkdir(parents=True, exist_ok=True)
    atheris.enabled_hooks.add("str")
    with atheris.instrument_imports(include=["grader"]):
        one_input = importlib.import_module(f"tests.fuzz.{arguments.target}").one_input
    options = [f"-rss_limit_mb={MOST_MIB}", f"-timeout={int(10 * TOO_LONG_S)}"]
    if arguments.keep:  # libFuzzer runs this again with options of its own, as a line of shell
        command = f"{sys.executable} -m tests.fuzz {arguments.target} --keep"
        atheris.Setup(
            [command, *options, *(inner or ["-set_cover_merge=1", str(kept), str(found)])], one_input
        )
    else:
        options += [
            f"-artifact_prefix={found.parent}/{arguments.target}-",
            f"-max_total_time={arguments.seconds}",
        ]
        options += ["-max_len=8192", "-len_control=20", str(found), str(kept)]
        atheris.Setup([sys.argv[0], *options], _timed(one_input))
    atheris.Fuzz()


def _timed(one_input: Callable[[bytes], None]) -> Callable[[bytes], None]:
    """The target, with a limit on its CPU time."""

    def timed(data: bytes) -> None:
        before = time.process_time()
        one_input(data)
        spent = time.process_time() - before
        assert spent < TOO_LONG_S, f"took {spent:.1f} s of CPU for {len(data)} bytes"

    return timed


if __name__ == "__main__":
    main()
