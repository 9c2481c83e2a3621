"""Public tests: what every student has. Their names say what must hold."""

from __future__ import annotations

import numpy as np
import pytest

from grader.testing import assert_same, category, check, must, points, smoke, variant
from labs.thread_pool.oracle import expect, places, slots, verify

pytestmark = category("correctness")


@smoke
@must
@points(2)
@pytest.mark.parametrize("workers", [1, 2, 4])
def test_every_task_runs_once(play, rng, workers):
    """Each task leaves a mark; a lost task leaves none, one that ran twice leaves two."""
    for count in (1, 2, 3, 10, 1000):
        case = f"{workers} workers, {count} tasks"
        after = slots(rng, count)
        before = after.copy()
        play("drive_tasks", workers, 0, 1, 0, count, after, case=case)
        verify(after, before, workers, case)


@points(2)
def test_wait_returns_when_all_tasks_are_done(play, rng):
    """Submit some, wait, look; then the same again with the same pool."""
    for workers, each, pause in ((1, 1, 0), (2, 3, 0), (2, 2, 500), (4, 50, 0)):
        case = f"{workers} workers, rounds of {each} tasks of {pause} µs"
        after, seen = slots(rng, 20 * each), places(1)
        before = after.copy()
        play("drive_rounds", workers, pause, each, 20 * each, after, seen, case=case)
        expect(seen, {"rounds in which tpool_wait returned too early": 0}, case)
        verify(after, before, workers, case)


@points(1)
def test_one_worker_runs_tasks_in_order(play):
    """First in, first out."""
    order = np.zeros(200, np.uint32)
    play("drive_order", 200, order, case="1 worker, 200 tasks")
    assert_same(
        order, np.arange(200, dtype=np.uint32), what="the order of the tasks", case="1 worker, 200 tasks"
    )


@points(2)
def test_a_full_queue_blocks_the_producer(play):
    """With queue_cap 4: four tasks wait, the fifth submit blocks until a worker takes one."""
    seen = places(7)
    play("drive_full", 4, seen, case="queue_cap 4")
    expect(
        seen,
        {
            "how many tasks the queue took": 4,
            "what tpool_try_submit answers when the queue is full": -11,
            "tpool_pending of the full queue": 4,
            "tpool_submit blocks (1) when the queue is full": 1,
            "what the blocked tpool_submit answers in the end": 0,
            "the most tasks that ever waited": 4,
            "tasks that ran": 6,
        },
        "queue_cap 4, and a worker that is busy",
    )


@points(2)
def test_a_loop_covers_every_index_once(play):
    """tpool_parallel_for calls the body for ranges that do not overlap and leave nothing out."""
    for workers, count, grain in ((1, 10, 1), (2, 100, 7), (4, 1000, 0)):
        case = f"{workers} workers, lo 0, hi {count}, grain {grain}"
        hits, seen = np.zeros(count, np.uint32), places(4)
        play("drive_for", workers, 0, count, grain, count, hits, seen, case=case)
        assert_same(hits, np.ones(count, np.uint32), what="how often each index was visited", case=case)


@points(1)
def test_destroy_finishes_what_was_submitted(play, rng):
    """tpool_destroy lets the queue run empty before it ends the threads."""
    after = slots(rng, 100)
    before = after.copy()
    play("drive_destroy", 2, 100, after, case="2 busy workers, 100 tasks in the queue")
    verify(after, before, 2, "2 busy workers, 100 tasks in the queue")


@category("safety")
@must
@points(1)
@variant("tsan")
def test_everyday_use_without_data_races(play, rng):
    """ThreadSanitizer sees two threads that touch the same memory without order, also when nothing goes wrong."""
    everyday(play, rng)


@category("safety")
@must
@points(1)
@variant("asan")
def test_everyday_use_without_memory_errors(play, rng):
    """AddressSanitizer sees what is read or written outside of its memory, or after it was freed."""
    everyday(play, rng)


def everyday(play, rng) -> None:
    """Tasks from two producers, rounds with waits, a loop, and an end with tasks in the queue."""
    for cap in (0, 2):
        case = f"2 workers, 2 producers, queue_cap {cap}"
        after = slots(rng, 300)
        before = after.copy()
        play("drive_tasks", 2, cap, 2, 0, 300, after, case=case)
        verify(after, before, 2, case)
    play("drive_rounds", 2, 0, 3, 150, slots(rng, 150), places(1), case="2 workers, rounds of 3 tasks")
    hits = np.zeros(50, np.uint32)
    play("drive_for", 2, 0, 50, 3, 50, hits, places(4), case="2 workers, a loop of 50")
    play("drive_destroy", 2, 100, slots(rng, 100), case="2 busy workers, 100 tasks in the queue")


@category("hygiene")
@points(2)
def test_compiles_without_warnings(build, play, rng):
    """The compiler's warnings (-Wall -Wextra) are often the first sign of a mistake."""
    play("drive_tasks", 1, 0, 1, 0, 1, slots(rng, 1))  # an empty file has no warnings either
    remarks = [item for item in build.remarks if item.severity == "warning"]
    if remarks:
        first = remarks[0]
        check(
            False,
            f"{len(remarks)} warnings, the first: {first.message}",
            where=f"{first.file}:{first.line}",
            why=first.hint,
        )
