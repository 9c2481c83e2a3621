"""Fixtures of this lab: `ask` calls a function that must succeed, `steady` is the harness on a scripted clock."""

from __future__ import annotations

import errno
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from grader.testing import CheckFailed, Library, check
from labs.microbench import clock, oracle
from labs.microbench.oracle import Stat

Ask = Callable[..., None]
SECOND = 10**9


@pytest.fixture
def ask(library: Library) -> Ask:
    """`ask("mb_make_cycle", next, n, seed)`: the call must return 0."""

    def call(function: str, *arguments: Any, case: str = "") -> None:
        status = library.call(function, *arguments, case=case)
        if status == -errno.ENOSYS:
            raise CheckFailed(f"{function} is not written yet: it returned -ENOSYS", case=case)
        check(status == 0, f"{function} refused a correct call", case=case, expected=0, got=status)

    return call


@pytest.fixture
def benchmark_of(library: Library, ask: Ask) -> Callable[..., Stat]:
    """`benchmark_of("mb_chase", 16384, 64, 1, 10**6)`: what the benchmark says; the mb_stat is passed last."""

    def run(function: str, *arguments: Any, case: str = "") -> Stat:
        stat = library.struct("mb_stat")
        more = (np.zeros(1),) if function == "mb_bandwidth" else ()
        ask(function, *arguments, stat, *more, case=case or f"{function}{arguments}")
        return oracle.said(stat)

    return run


@pytest.fixture
def scripted(library: Library, ask: Ask) -> Callable[..., tuple[Stat, list[clock.Event]]]:
    """mb_measure with a clock by script: (what it says, what the clock said). For tests of the faults build."""

    def measure(
        ns_per_op: float,
        *,
        start_ns: int = 7 * SECOND,
        steps: Sequence[int] = (40,),
        slow: Sequence[float] = (1.0,),
        min_ns: int = 10**6,
        reps: int = 11,
        case: str = "",
    ) -> tuple[Stat, list[clock.Event]]:
        stat = library.struct("mb_stat")
        script = (start_ns, np.array(steps), len(steps), ns_per_op, np.array(slow, float), len(slow))
        ask("clock_scripted", *script, min_ns, reps, stat, case=case)
        return oracle.said(stat), clock.log(library)

    return measure


@pytest.fixture
def report(library: Library) -> Callable[..., tuple[int, bytes]]:
    """`report(capacity, budget)`: (status, the text before the first 0 byte)."""

    def make(capacity: int = 1 << 16, budget_ms: int = 500, case: str = "") -> tuple[int, bytes]:
        text = np.full(capacity, ord("?"), np.uint8)
        status = library.call("mb_report", text, capacity, budget_ms, case=case or f"budget {budget_ms} ms")
        check(bool((text == 0).any()), "there is no 0 behind the text", case=case)
        return status, bytes(text).split(b"\0", 1)[0]

    return make
