"""Thousands of scripts from the grammar, run with the submission and with real shells; the smallest that differs."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import hypothesis.configuration
from hypothesis import HealthCheck, Phase, given, seed, settings

from grader import cache
from grader.runner.programs import Ended
from grader.testing import CheckFailed, Program
from labs.mini_shell.conftest import FILES
from labs.mini_shell.oracle import MODELS, Difference, answer, compare, run
from labs.mini_shell.scripts import scripts

hypothesis.configuration.set_hypothesis_home_dir(
    cache.root() / "hypothesis"
)  # else in whatever folder this is

HOW: Mapping[str, object] = {"files": FILES, "environment": {"V1": "v", "V2": "p q"}, "timeout_s": 5.0}
_SHRINK_S = 20.0
_AT_A_TIME = 500
_PATIENCE = 3
"""So many scripts that differ are enough: the rest is not run."""


def draw(number: int, count: int) -> list[str]:
    """`count` scripts, a few less where some are drawn twice; the same number draws the same ones."""
    found: dict[str, None] = {}

    @seed(number)
    @_settings(count, (Phase.generate,))
    @given(scripts(number))
    def keep(script: str) -> None:
        found[script] = None

    keep()
    return list(found)


def first_difference(
    program: Program, model: Callable[[str], Program], number: int, count: int
) -> tuple[int, Difference | None]:
    """Draw and run `count` different scripts, some hundred at a time: how many made no difference, and the smallest
    that does."""
    seen: set[str] = set()
    while len(seen) < count:
        drawn = [script for script in draw(number, _AT_A_TIME) if script not in seen][: count - len(seen)]
        found = differences(program, model, drawn)
        if found:
            return len(seen), shrunk(program, model, number, min(found, key=lambda item: len(item.script)))
        seen.update(drawn)
        number += 1
    return len(seen), None


def differences(program: Program, model: Callable[[str], Program], drawn: Sequence[str]) -> list[Difference]:
    """The first few scripts that all real shells understand in one way and the submission in another, every time.

    Submission and dash run side by side; the others are asked only where these two differ. What differs once and not
    again depends on who is faster, and does not count.
    """
    ours: dict[str, Ended] = {}
    suspects: list[Difference] = []

    def run_ours() -> None:
        for script in drawn:
            if len(suspects) < _PATIENCE:
                ours[script] = run(program, script, HOW)

    def look_at(script: str, theirs: Ended) -> None:
        if answer(ours[script]) != answer(theirs):
            difference = compare(script, ours[script], model, HOW, theirs)
            suspects.extend([difference] if difference else [])

    first = model(MODELS[0])
    program.start()  # here: a sandbox ends with the thread that started it
    waiting: dict[str, Ended] = {}
    with ThreadPoolExecutor(1) as pool:
        job = pool.submit(run_ours)
        for script in drawn:
            if len(suspects) >= _PATIENCE or (job.done() and job.exception()):
                break
            waiting[script] = run(first, script, HOW)
            for ready in [key for key in waiting if key in ours]:
                look_at(ready, waiting.pop(ready))
        job.result()
    for script, theirs in waiting.items():
        if script in ours:
            look_at(script, theirs)
    found = [item for item in suspects if all(_look(program, model, item.script) for _ in range(2))]
    rest = drawn[len(ours) :] if suspects and not found else ()
    return differences(program, model, rest) if rest else found


def shrunk(program: Program, model: Callable[[str], Program], number: int, first: Difference) -> Difference:
    """The smallest script like `first` that hypothesis finds in a moment, drawn as `draw(number, …)` draws."""
    best, deadline = first, time.monotonic() + _SHRINK_S
    known: dict[str, bool] = {}

    class Differs(Exception):
        pass

    @seed(number)
    @_settings(20000, (Phase.generate, Phase.shrink))
    @given(scripts(number))
    def smaller(script: str) -> None:
        nonlocal best
        if script not in known:
            known[script] = script == first.script
            if best is not first or known[script]:
                difference = _look(program, model, script) if time.monotonic() < deadline else None
                known[script] = difference is not None
                if difference and (best is first or len(script) <= len(best.script)):
                    best = difference
        if known[script]:
            raise Differs

    with contextlib.suppress(Differs):
        smaller()
    return best


def _look(program: Program, model: Callable[[str], Program], script: str) -> Difference | None:
    try:
        return compare(script, run(program, script, HOW), model, HOW)
    except CheckFailed:  # another mistake than the one that is shown
        return None


def _settings(count: int, phases: tuple[Phase, ...]) -> settings:
    return settings(
        max_examples=count,
        database=None,
        phases=phases,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        print_blob=False,
        report_multiple_bugs=False,
    )
