"""Facts about calls with a limit of CPU time, as duels make them."""

from __future__ import annotations

import os

import numpy as np
import pytest

from grader.runner import invoke
from grader.runner.host import Guest, GuestFailed
from grader.runner.invoke import Invocation
from tests.testing import steps


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    return steps.course(tmp_path_factory.mktemp("course"))


@pytest.fixture
def one_core():
    """Where grader and guest take turns, a guest can be gone before the grader looks."""
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(allowed)})
    yield
    os.sched_setaffinity(0, allowed)


def failure(lab, code: str, cpu_limit_s: float) -> GuestFailed:
    subject = steps.subject(lab, code)
    given, out = np.zeros(8, np.uint32), np.zeros(8, np.uint32)
    try:
        with Guest(subject.tier, subject.spec()) as guest:
            guest.wait_until_ready()
            staged = invoke.stage(
                guest, subject.module.interface, [Invocation("steps_apply", (8, given, out))]
            )
            with pytest.raises(GuestFailed) as caught:
                guest.call(staged.calls, staged.windows, timeout_s=60.0, cpu_limit_s=cpu_limit_s)
            return caught.value
    finally:
        subject.close()


def test_a_crash_is_told_as_one_however_soon_it_comes(lab, one_core):
    crash = steps.source(0.0, body="    __builtin_trap();\n" + steps.LOOP)
    assert {failure(lab, crash, 1.0).kind for _ in range(25)} == {"crashed"}


def test_a_call_that_uses_up_its_cpu_time_is_stopped_long_before_the_clock(lab):
    endless = failure(
        lab, steps.source(0.0, body="    for (;;)\n        burn(1000000L);\n" + steps.LOOP), 0.2
    )
    assert endless.kind == "hung"
    assert 0.2 <= endless.cpu_s < 5
