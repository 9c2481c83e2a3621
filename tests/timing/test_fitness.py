"""Facts about the machine's fitness: what others took, and what the CPU is."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grader import cores
from grader.timing import fitness
from grader.timing.fitness import Snapshot, taken_elsewhere

seconds = st.floats(0, 1e6)
START = Snapshot(busy_s=100.0, stolen_s=5.0, wall_s=1000.0, cores=2)


def later(busy: float, stolen: float, wall: float, cores: int = 2) -> Snapshot:
    return Snapshot(100.0 + busy, 5.0 + stolen, 1000.0 + wall, cores)


@pytest.mark.parametrize(
    ("busy", "stolen", "wall", "own", "share"),
    [
        (0, 0, 10, 0, 0.0),  # nobody did anything
        (10, 0, 10, 10, 0.0),  # only we did
        (10, 0, 10, 0, 0.5),  # somebody kept one of two cores busy
        (20, 0, 10, 10, 0.5),  # somebody the one, we the other
        (20, 0, 10, 0, 1.0),
        (10, 4, 10, 10, 0.2),  # what the hypervisor took is not there either
        (9, 0, 10, 10, 0.0),  # ticks are coarse: never below nothing
        (99, 0, 10, 0, 1.0),  # and never above everything
    ],
)
def test_what_others_took_is_a_share_of_the_cores(busy, stolen, wall, own, share):
    assert taken_elsewhere(START, later(busy, stolen, wall), own) == pytest.approx(share)


def test_no_time_between_two_snapshots_is_no_division_by_zero():
    assert taken_elsewhere(START, START, 0.0) == 0.0


@given(seconds, seconds, seconds, seconds, st.integers(1, 256))
def test_the_share_lies_between_nothing_and_everything(busy, stolen, wall, own, cores):
    before = Snapshot(0.0, 0.0, 0.0, cores)
    assert 0 <= taken_elsewhere(before, Snapshot(busy, stolen, wall, cores), own) <= 1


def test_a_snapshot_never_runs_backwards():
    before = fitness.snapshot()
    after = fitness.snapshot()
    assert after.busy_s >= before.busy_s >= 0
    assert after.stolen_s >= before.stolen_s >= 0
    assert after.wall_s >= before.wall_s


def test_a_snapshot_is_of_the_cores_that_we_may_use():
    allowed = os.sched_getaffinity(0)
    assert fitness.snapshot().cores == len(allowed)
    os.sched_setaffinity(0, {min(allowed)})
    try:
        assert fitness.snapshot().cores == 1
    finally:
        os.sched_setaffinity(0, allowed)


def test_our_own_work_is_not_somebody_elses():
    before, own = fitness.snapshot(), fitness.own_cpu_s()
    deadline = time.process_time() + 0.3
    worker = threading.Thread(
        target=lambda: [None for _ in iter(lambda: time.process_time() < deadline, False)]
    )
    worker.start()
    worker.join()
    spent = fitness.own_cpu_s() - own
    assert spent >= 0.3
    after = fitness.snapshot()
    assert taken_elsewhere(before, after, spent) < taken_elsewhere(before, after, 0.0)


def test_the_cpu_is_named_with_what_it_can_do():
    info = fitness.cpu_info()
    assert info.name in Path("/proc/cpuinfo").read_text()
    assert info.cores == cores.usable()
    assert set(info.isa) <= set(Path("/proc/cpuinfo").read_text().split())
    assert info.memory_gib > 0
    assert (info.kernel, info.hostname) == (os.uname().release, os.uname().nodename)
