"""Performance: duels against a textbook pool at the same work, and counts that do not depend on the machine."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from grader.cores import usable as usable_cores
from grader.runner.channel import Value
from grader.runner.invoke import Invocation
from grader.scoring import linear_credit
from grader.testing import category, check, points, variant
from grader.timing.duel import Case, Task
from labs.thread_pool.oracle import answer, places, slots, verify

pytestmark = category("performance")

MANY = 100_000
HELD = 10_000
STEPS = 350_000
"""Steps of a task of the speed-up: about 400 µs."""


@points(8)
def test_little_overhead_per_task(duel):
    """Empty tasks: what is left is the price of the queue, with one worker and with several that meet there."""
    duel("overhead", [tasks(workers, producers) for workers, producers in ((1, 1), (2, 1), (4, 1), (2, 2))])


@points(6)
def test_loops_begin_and_end_quickly(duel):
    """Loops of 64 tiny steps, one after the other: what counts is how fast workers come and the caller goes."""
    duel("launch", [loops(2, 64, 400), loops(4, 64, 200)])


@points(6)
def test_large_tasks_use_every_core(duel):
    """Tasks of 400 µs on as many workers as cores, against the same tasks one after the other."""
    cores = usable_cores()
    duel("speedup", [against_serial(cores, 60 * cores)], scale=1 / cores)


@pytest.fixture
def held(library, play, rng):
    """10000 tasks are submitted while the only worker is busy, then it runs them; what was counted, per task."""
    library.call("disturb", 0, 0, 0)
    library.call("guest_fail_allocation", -1)
    after = slots(rng, HELD)
    before = after.copy()
    play("drive_held", HELD, after, case="10000 tasks, 1 worker")
    verify(after, before, 1, "10000 tasks, 1 worker")
    names = {
        "allocations": ("guest_allocations",),
        "locks": ("disturb_calls", 0),
        "wake-ups": ("disturb_calls", 1),
    }
    return {what: library.call(*call) / HELD for what, call in names.items()}


@points(5)
@variant("faults")
def test_no_allocation_per_task(held, award):
    """A queue that grows by doubling allocates a dozen times for ten thousand tasks; a list, once for each."""
    each = held["allocations"]
    award(linear_credit(each, full_at=0.02, zero_at=1.0), f"{each:.3f} allocations per task")


@points(5)
@variant("faults")
def test_nobody_is_woken_who_is_awake(held, award):
    """While every worker is busy, a signal per task tells nobody anything."""
    each = held["wake-ups"]
    award(linear_credit(each, full_at=0.05, zero_at=1.5), f"{each:.2f} signals and broadcasts per task")


@points(5)
@variant("faults")
def test_few_visits_to_a_lock(held, award):
    """One visit to submit a task; one to put the last task away and take the next."""
    each = held["locks"]
    award(linear_credit(each, full_at=2.2, zero_at=4.0), f"{each:.2f} locks per task")


@points(5)
def test_uneven_work_is_shared(play, award):
    """Long steps hold up to three of four workers: whoever is left does all others meanwhile. A count, not a time."""
    steps, worst, worst_case = 64, 0.0, "nothing was left"
    for kind, at in itertools.product(("a loop", "tasks"), ([0], [20, 0, 40], [63, 1, 62])):
        case = f"4 workers, {kind} of {steps} steps, of which number {', '.join(map(str, at))} wait for the others"
        seen, others = places(1), steps - len(at)
        play(
            "drive_uneven", 4, int(kind == "a loop"), steps, len(at), np.array(at, np.uint32), seen, case=case
        )
        left = 1 - int(seen[0]) / others
        if left > worst:
            worst, worst_case = left, f"{others - seen[0]} of {others} other steps were left: {case}"
        if worst >= 0.25:
            break
    award(linear_credit(worst, full_at=0.0, zero_at=0.25), worst_case)


def task(
    rng: np.random.Generator, name: str, arguments: tuple[int, ...], count: int, workers: int, spin: int = 0
) -> Task:
    """One scene with fresh slots; afterwards every task has run once, on a worker, with the right result."""
    after = slots(rng, count)
    before = after.copy()

    def check_slots(values: Sequence[Value]) -> None:
        check(values[0] == 0, "a call failed", expected=0, got=answer(values[0]))
        verify(after, before, workers, name, spin)

    return Task((Invocation(name, (*arguments, count, after)),), check_slots)


def tasks(workers: int, producers: int) -> Case:
    """Empty tasks from some producers to some workers."""

    def both(rng: np.random.Generator) -> tuple[Task, Task]:
        one, two = (task(rng, "drive_tasks", (workers, 0, producers, 0), MANY, workers) for _ in range(2))
        return one, replace(two, verify=lambda values: None)

    return Case(f"{workers} workers, {producers} producers", both, work=MANY, warm_up=False)


def loops(workers: int, each: int, rounds: int) -> Case:
    """Loops of `each` indices with grain 1, one after the other."""

    def both(rng: np.random.Generator) -> tuple[Task, Task]:
        one, two = (task(rng, "drive_loops", (workers, each, 1), each * rounds, workers) for _ in range(2))
        return one, replace(two, verify=lambda values: None)

    return Case(f"{workers} workers, {rounds} loops of {each}", both, work=each * rounds, warm_up=False)


def against_serial(workers: int, count: int) -> Case:
    """Tasks that take a while, against the same work on one thread."""

    def both(rng: np.random.Generator) -> tuple[Task, Task]:
        pool = task(rng, "drive_tasks", (workers, 0, 1, STEPS), count, workers, STEPS)
        return pool, task(rng, "drive_serial", (STEPS,), count, 0, STEPS)

    return Case(f"{workers} workers, {count} tasks", both, work=float(count * STEPS), warm_up=False)
