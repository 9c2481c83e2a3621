"""Where the time of a warm grade goes: `python benchmarks/where_the_time_goes.py [--practice] [--duels] [SUBMISSION]`.

Grades once to warm the caches, then several times more, and prints medians in seconds of wall time. The grader's own
share is everything but compiling, student code (calls, until the runner is frozen again) and duels.
"""

from __future__ import annotations

import argparse
import functools
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
_started = time.perf_counter()

import numpy  # noqa: E402, F401
import pytest  # noqa: E402, F401

from grader import grading  # noqa: E402
from grader.grading import Options  # noqa: E402
from grader.lab import load_lab  # noqa: E402
from grader.runner.host import Guest  # noqa: E402
from grader.testing.dueling import DuelRunner  # noqa: E402
from grader.testing.simulation import Simulator  # noqa: E402
from grader.toolchain import build  # noqa: E402

IMPORTS_S = time.perf_counter() - _started
OTHERS = ("student code", "duels", "simulation", "compiling")


class Silent:
    """A listener that says nothing."""

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *arguments: None


@contextmanager
def timed(spent: dict[str, float]) -> Iterator[None]:
    """Add up the time inside the named methods; what runs inside a duel or a simulation counts there only."""
    inside: list[str] = []

    def wrap(owner: Any, name: str, label: str) -> tuple[Any, str, Any]:
        original = getattr(owner, name)

        @functools.wraps(original)
        def measured(*arguments: Any, **options: Any) -> Any:
            if inside:
                return original(*arguments, **options)
            inside.append(label)
            begin = time.perf_counter()
            try:
                return original(*arguments, **options)
            finally:
                spent[label] += time.perf_counter() - begin
                inside.pop()

        setattr(owner, name, measured)
        return owner, name, original

    undo = [
        wrap(DuelRunner, "__call__", "duels"),
        wrap(Simulator, "call", "simulation"),
        wrap(build, "_compile", "compiling"),
        wrap(Guest, "call", "student code"),
        wrap(Guest, "wait_until_ready", "waiting for runners to start"),
        wrap(Guest, "__init__", "starting runners"),
        wrap(Guest, "close", "ending runners"),
    ]
    try:
        yield
    finally:
        for owner, name, original in undo:
            setattr(owner, name, original)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("submission", nargs="?", default="solutions_hidden/gemm_cpu")
    parser.add_argument("--lab", default="gemm_cpu")
    parser.add_argument("--practice", action="store_true")
    parser.add_argument("--duels", action="store_true")
    parser.add_argument("--runs", type=int, default=5)
    arguments = parser.parse_args()
    lab = load_lab(arguments.lab, ROOT)
    options = Options("practice" if arguments.practice else "official", performance=arguments.duels)
    rows: dict[str, list[float]] = defaultdict(list)
    for run in range(arguments.runs + 1):
        spent: dict[str, float] = defaultdict(float)
        begin = time.perf_counter()
        with timed(spent):
            graded = grading.grade(lab, ROOT / arguments.submission, options, Silent())  # type: ignore[arg-type]
        total = time.perf_counter() - begin
        if run == 0:
            continue  # warms the caches
        own = total - sum(spent[name] for name in OTHERS) + IMPORTS_S
        rest = total - sum(spent.values())
        for name, seconds in {**spent, "pytest, oracle and the rest": rest, "imports": IMPORTS_S}.items():
            rows[name].append(seconds)
        rows["TOTAL"].append(total + IMPORTS_S)
        rows["GRADER'S OWN SHARE"].append(own)
    print(f"{arguments.submission}: {len(graded.result.tests)} tests, score {graded.result.score:g}")
    for name, seconds in sorted(rows.items(), key=lambda row: -statistics.median(row[1])):
        print(f"  {statistics.median(seconds):7.3f} s  {name}")


if __name__ == "__main__":
    main()
