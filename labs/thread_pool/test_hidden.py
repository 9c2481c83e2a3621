"""Hidden tests: facts about a correct, patient and well-behaved pool. Each catches at least one known mistake."""

from __future__ import annotations

import errno
import itertools

import numpy as np
import pytest

from grader.testing import assert_same, category, check, must, points, variant
from labs.thread_pool.oracle import answer, expect, places, slots, verify

pytestmark = category("correctness")

SIZE_MAX = 2**64 - 1


# --- Tasks --------------------------------------------------------------------------------------------------------


@must
@points(2)
@pytest.mark.parametrize("cap", [0, 1, 7])
def test_many_producers(play, rng, cap):
    """Up to eight threads submit at the same time, into an unbounded queue and into tiny ones."""
    for workers, producers in ((1, 2), (2, 8), (4, 3)):
        case = f"{workers} workers, {producers} producers, queue_cap {cap}"
        after = slots(rng, 4000)
        before = after.copy()
        play("drive_tasks", workers, cap, producers, 0, 4000, after, case=case)
        verify(after, before, workers, case)


@points(1)
def test_tasks_begin_without_anybody_waiting(play):
    """Batches of 1 to 70 tasks are submitted and then only watched: all of them run."""
    seen = places(1)
    play("drive_unwatched", 2, 70, seen)
    expect(seen, {"batches of tasks that did not run": 0}, "tasks are submitted, nobody calls tpool_wait")


@points(2)
@pytest.mark.parametrize("workers", [2, 5, 16])
def test_all_workers_work_at_the_same_time(play, workers):
    """As many tasks as workers can wait for each other; and never do more run at one time."""
    seen = places(2)
    play("drive_meeting", workers, 30, seen, case=f"{workers} workers")
    case = f"{workers} workers, {workers} tasks that wait for each other"
    expect(seen, {"rounds in which all tasks met": 30, "most tasks at one time": None}, case)
    check(
        seen[1] <= workers,
        "more tasks ran at one time than there are workers",
        case=f"{workers} workers, {4 * workers} tasks of 2 ms",
        expected=f"at most {workers}",
        got=int(seen[1]),
    )


@points(1)
def test_a_slow_task_holds_up_nobody(play):
    """With two workers a task may wait for all the others, wherever it stands in the queue."""
    for workers, count in ((2, 2), (2, 40), (3, 500)):
        for which in {0, 1, count // 2, count - 1}:
            seen = places(1)
            case = f"{workers} workers, {count} tasks, number {which} waits for the others"
            play("drive_slow_one", workers, count, which, seen, case=case)
            expect(seen, {"did the others run meanwhile (1)": 1}, case)


@points(1)
def test_tasks_may_submit_tasks(play):
    """tpool_wait sees the children, too, also when the queue was empty for a moment."""
    for workers, depth, fan in ((1, 10, 1), (2, 8, 2), (4, 3, 8), (4, 12, 1)):
        family = sum(fan**generation for generation in range(depth + 1))
        seen = places(1)
        case = f"{workers} workers, {depth} generations of {fan} children each"
        play("drive_family", workers, depth, fan, seen, case=case)
        expect(seen, {"tasks that have run when tpool_wait returns": family}, case)


@points(0.5)
def test_two_pools_do_not_know_each_other(play):
    """Waiting for one pool does not wait for the other, and its end is not the other's: there is no global state."""
    for workers in (1, 2, 4):
        seen = places(5)
        case = f"{workers} workers each; the second is busy, is destroyed; a third is made; the first is destroyed"
        seen[3:] = 0
        play("drive_two_pools", workers, seen, case=case)
        facts = {"tpool_wait_ms of the first pool, the second busy": 0}
        facts |= {"tasks of the second pool that did not run": 0}
        facts |= {"tasks of the first pool that did not run once the second was destroyed": 0}
        facts |= {"tasks that did not run once there was a third pool": 0}
        facts |= {"tasks of the third pool that did not run once the first was destroyed": 0}
        expect(seen, facts, case)


@points(0.5)
def test_tasks_have_room_on_the_stack(play):
    """A task may have a megabyte of local variables: leave the threads' stacks at their usual size."""
    seen = places(1)
    play("drive_large_stack", seen)
    expect(seen, {"tasks that ran": 4}, "tasks with a megabyte of local variables")


# --- Waiting ------------------------------------------------------------------------------------------------------


@points(0.5)
def test_waiting_for_nothing(play):
    """Without tasks every wait returns at once."""
    for workers in (1, 4):
        seen = places(3)
        play("drive_wait_for_nothing", workers, seen, case=f"{workers} workers, no tasks")
        expect(seen, {"tpool_wait": 0, "tpool_wait_ms(0)": 0, "tpool_wait_ms(UINT64_MAX)": 0}, "no tasks")


@points(2)
def test_waiting_at_once_ten_thousand_times(play, rng):
    """One task, one wait: between "taken from the queue" and "running" there must be no gap for the waiter."""
    for workers, each, pause, rounds in (
        (1, 1, 0, 10000),
        (2, 1, 0, 10000),
        (4, 2, 0, 10000),
        (3, 2, 200, 100),
    ):
        case = f"{workers} workers, {rounds} rounds of {each} tasks of {pause} µs"
        for _ in range(rounds // (part := min(rounds, 1000))):  # parts, since one call has a limit of time
            after, seen = slots(rng, part * each), places(1)
            before = after.copy()
            play("drive_rounds", workers, pause, each, part * each, after, seen, case=case)
            expect(seen, {"rounds in which tpool_wait returned too early": 0}, case)
            verify(after, before, workers, case)


@points(1)
def test_waiting_with_a_time_limit(play):
    """-ETIMEDOUT after the time, not before, not much later; and UINT64_MAX is no time at all but for ever."""
    seen = places(6)
    play("drive_wait_ms", 8000, 100, seen)
    late = "a task of 8 s, and tpool_wait_ms(100)"
    facts = {"tpool_wait_ms(0)": -errno.ETIMEDOUT, "tpool_wait_ms(100)": -errno.ETIMEDOUT, "its time": None}
    facts |= {"had the task ended (1) then": 0, "tpool_wait_ms(UINT64_MAX)": 0, "had the task ended (1)": 1}
    expect(seen, facts, late)
    # From below exact, but for the millisecond that is cut off when CLOCK_REALTIME is slewed by up to 500 ppm.
    check(seen[2] >= 99, "tpool_wait_ms(100) did not wait for its time", case=late, got=f"{seen[2]} ms")
    check(seen[2] < 3000, "tpool_wait_ms(100) took too long", case=late, got=f"{seen[2]} ms")
    # 999 ms more than whole seconds: unless the clock has just begun a second, the nanoseconds make another one.
    for limit in (10_999, 10_999, 10_999, 10_000):
        case = f"tpool_wait_ms({limit}), a task of 20 ms"
        play("drive_wait_ms", 20, limit, seen, case=case)
        check(seen[1] == 0, case, expected=0, got=answer(int(seen[1])))
        check(
            seen[2] < limit - 1000,
            "tpool_wait_ms slept to the end, though the task was done",
            case=case,
            got=f"{seen[2]} ms",
        )


@points(1)
def test_waiting_inside_a_task(play):
    """A task that waits for its own pool would wait for itself: -EDEADLK. For another pool it may."""
    seen = places(5)
    play("drive_from_inside", seen)
    expect(
        seen,
        {
            "tpool_wait in a task": -errno.EDEADLK,
            "tpool_wait_ms in a task": -errno.EDEADLK,
            "tpool_shutdown in a task": -errno.EDEADLK,
            "tpool_wait in a task, for another pool": 0,
            "tpool_pending in a task": 3,
        },
        "called from a task",
    )


# --- Full queues --------------------------------------------------------------------------------------------------


@points(1)
@pytest.mark.parametrize("cap", [1, 2, 5, 64])
def test_full_queues_of_every_size(play, cap):
    """Exactly queue_cap tasks wait, then try_submit is refused and submit blocks, until a worker takes one."""
    seen = places(7)
    play("drive_full", cap, seen, case=f"queue_cap {cap}")
    expect(
        seen,
        {
            "how many tasks the queue took": cap,
            "tpool_try_submit when the queue is full": -errno.EAGAIN,
            "tpool_pending of the full queue": cap,
            "tpool_submit blocks (1)": 1,
            "what the blocked tpool_submit answers in the end": 0,
            "the most tasks that ever waited": cap,
            "tasks that ran": cap + 2,
        },
        f"queue_cap {cap}, and a worker that is busy",
    )


@points(0.5)
def test_a_queue_without_a_limit_takes_any_number(play):
    """queue_cap 0: more than a million tasks wait while the only worker is busy, and all of them run."""
    count = 2**20 + 1
    seen = places(4)
    play("drive_any_number", count, seen, case=f"{count} tasks, queue_cap 0, a busy worker")
    facts = {"tasks that the queue took": count, "the last tpool_try_submit": 0, "tpool_pending": count}
    expect(seen, facts | {"tasks that ran": count}, "queue_cap 0, and a worker that is busy")


@points(0.5)
@pytest.mark.parametrize("drain", [1, 0])
def test_shutdown_releases_blocked_producers(play, drain):
    """Whoever waits for room in the queue must hear that there will be none."""
    for cap, producers in ((1, 1), (3, 5)):
        case = f"{producers} producers blocked on a queue of {cap}, then tpool_shutdown(p, {drain})"
        seen = places(4)
        play("drive_full_shutdown", cap, producers, drain, seen, case=case)
        facts = {"producers that got -ESHUTDOWN": producers, "producers that did not": 0}
        facts |= {"tpool_shutdown": 0 if drain else cap, "tasks that ran": 1 + (cap if drain else 0)}
        expect(seen, facts, case)


# --- Shutdown -----------------------------------------------------------------------------------------------------


@points(1)
@pytest.mark.parametrize("drain", [1, 0])
def test_shutdown_runs_or_drops_the_queue(play, drain):
    """drain: everything runs. Without: exactly what had not begun is dropped, and counted. Never half of it."""
    for workers, count in ((1, 0), (1, 1), (2, 100), (4, 1000)):
        case = f"{workers} busy workers, {count} tasks in the queue, tpool_shutdown(p, {drain})"
        seen = places(4)
        play("drive_shutdown", workers, count, drain, seen, case=case)
        facts = {
            "tpool_shutdown": 0 if drain else count,
            "tasks of the queue that ran": count if drain else 0,
        }
        facts |= {"tasks still running when it returned": 0, "a second tpool_shutdown": 0}
        expect(seen, facts, case)


@points(1)
@pytest.mark.parametrize("drain", [1, 0])
def test_nothing_is_accepted_after_shutdown(play, drain):
    """-ESHUTDOWN for tasks and loops; waiting still works."""
    seen = places(8)
    play("drive_after_shutdown", drain, seen)
    down = -errno.ESHUTDOWN
    facts = {"tpool_submit": down, "tpool_try_submit": down, "tpool_parallel_for": down, "tpool_wait": 0}
    facts |= {"tpool_wait_ms": 0, "tpool_shutdown again": 0, "tpool_pending": 0, "tasks that ran": 0}
    expect(seen, facts, f"after tpool_shutdown(p, {drain})")


@points(0.5)
def test_destroy_runs_the_queue_from_any_thread(play, rng):
    """The thread that destroys the pool need not be the one that made it."""
    for workers, count in ((1, 1), (3, 500)):
        case = f"{workers} busy workers, {count} tasks in the queue, tpool_destroy from another thread"
        after = slots(rng, count)
        before = after.copy()
        play("drive_destroy", workers, count, after, case=case)
        verify(after, before, workers, case)


@points(0.5)
def test_nothing_is_accepted_while_destroy_waits(play):
    """tpool_destroy shuts the pool down first: a task that still runs and asks for more gets -ESHUTDOWN."""
    down = -errno.ESHUTDOWN
    for workers in (1, 3):
        seen = places(4)
        case = f"{workers} workers, a task that goes on after tpool_destroy was called"
        play("drive_destroy_closes", workers, seen, case=case)
        facts = {"tpool_submit": down, "tpool_try_submit": down, "tpool_parallel_for": down}
        expect(seen, facts | {"tasks that ran after that": 0}, case)


@points(0.5)
def test_pools_that_never_see_a_task(library, play):
    """A thousand pools are made and destroyed at once: threads that have just begun must hear of the end, too."""
    cpu_s = 0.0
    for _ in range(50):  # 20 pools take milliseconds; a pool that never ends ends its call
        play("drive_lifecycles", 20, 8, case="pools of 1 to 8 threads, no tasks")
        cpu_s += library.timing.cpu_s
    # Starting 4500 threads was seen to take .3 to 3.2 s of CPU time.
    check(
        cpu_s < 32,
        f"1000 pools without tasks used {cpu_s:.0f} s of CPU time",
        case="pools of 1 to 8 threads",
        expected="less than 32 s",
    )
    seen = places(1)
    play("drive_create", 8, 0, seen, case="a pool of 8 threads, no tasks")
    expect(seen, {"threads that are still there after tpool_destroy": 0}, "a pool of 8 threads, no tasks")


# --- Loops --------------------------------------------------------------------------------------------------------


@points(1)
def test_loops_of_every_size_and_grain(play):
    """Empty loops, one index, ranges that do not divide evenly: every index once, no range longer than the grain."""
    for workers, count, grain in itertools.product((1, 3), (0, 1, 2, 7, 64, 1001), (0, 1, 2, 3, 64, 5000)):
        loop(play, workers, 0, count, grain)
        loop(play, workers, 1000, 1000 + count, grain)


@points(0.5)
def test_loops_that_go_backwards_are_empty(play):
    """lo > hi: hi - lo would be a very large number."""
    seen = places(4)
    play("drive_for", 2, 10, 5, 1, 1, np.zeros(1, np.uint32), seen, case="lo 10, hi 5")
    check(seen[0] == 0, "the body was called", case="lo 10, hi 5", expected="0 times", got=f"{seen[0]} times")


@points(0.5)
def test_loops_at_the_end_of_size_t(play):
    """lo + grain may be more than size_t can hold."""
    for workers, grain in itertools.product((1, 2), (0, 1, 30, 64, 1000, SIZE_MAX)):
        loop(play, workers, SIZE_MAX - 100, SIZE_MAX, grain)


@points(2)
def test_loops_inside_loops(play):
    """A worker that starts a loop takes part in it: with one worker nobody else can."""
    for workers, from_task in itertools.product((1, 2, 4), (0, 1)):
        who = "by a task" if from_task else "from outside"
        case = f"{workers} workers, a loop of 9 with loops of 17 inside, started {who}"
        hits = np.zeros(9 * 17, np.uint32)
        play("drive_nested", workers, from_task, 9, 17, hits, case=case)
        assert_same(hits, np.ones(9 * 17, np.uint32), what="how often each index was visited", case=case)


@points(1)
def test_a_loop_waits_for_its_own_ranges_only(play):
    """Beside a task that goes on for ever, a loop ends when its ranges are done."""
    for workers in (2, 4):
        case = f"{workers} workers, one of them busy, a loop of 100"
        hits, seen = np.zeros(100, np.uint32), places(2)
        play("drive_beside", workers, 100, hits, seen, case=case)
        expect(seen, {"tpool_parallel_for": 0, "did it return (1) while the task was running": 1}, case)
        assert_same(hits, np.ones(100, np.uint32), what="how often each index was visited", case=case)


@points(1)
def test_two_loops_at_the_same_time(play):
    """Two threads run loops over the same pool: neither takes the other's ranges, none returns too early."""
    for workers in (1, 3):
        hits, seen = np.zeros(200, np.uint32), places(1)
        case = f"{workers} workers, two threads with 200 loops each"
        play("drive_two_loops", workers, 200, 100, hits, seen, case=case)
        expect(seen, {"loops that returned before their last range was done": 0}, case)
        assert_same(hits, np.full(200, 200, np.uint32), what="how often each index was visited", case=case)


def loop(play, workers: int, lo: int, hi: int, grain: int) -> None:
    """One loop from outside: every index once, ranges inside lo .. hi and at most `grain` long, on workers."""
    count = hi - lo
    case = f"{workers} workers, lo {lo}, hi {hi}, grain {grain}"
    hits, seen = np.zeros(max(count, 1), np.uint32), places(4)
    play("drive_for", workers, lo, hi, grain, count, hits, seen, case=case)
    ranges, longest, wrong, elsewhere = seen.tolist()
    assert_same(hits[:count], np.ones(count, np.uint32), what="how often each index was visited", case=case)
    check(wrong == 0, f"{wrong} of {ranges} ranges were empty or outside", case=case)
    check(
        not grain or longest <= grain,
        "a range is longer than the grain",
        case=case,
        expected=grain,
        got=longest,
    )
    check(elsewhere == 0, f"{elsewhere} of {ranges} ranges did not run on a worker", case=case)


# --- Safety -------------------------------------------------------------------------------------------------------


@category("safety")
@must
@points(2)
@variant("tsan")
def test_no_data_races(play, rng):
    """ThreadSanitizer sees two threads that touch the same memory without order, also when nothing goes wrong."""
    short_of_everything(play, rng, rounds=300)


@category("safety")
@must
@points(1)
@variant("asan")
def test_no_memory_errors(play, rng):
    """AddressSanitizer watches the queue while it grows, wraps around and is dropped."""
    short_of_everything(play, rng, rounds=1000)
    for cap in (1, 3, 5):
        play("drive_tasks", 3, cap, 2, 0, 1000, slots(rng, 1000))


@category("safety")
@points(3)
@variant("faults")
def test_waking_up_without_a_reason(library, play, rng):
    """POSIX lets pthread_cond_wait return for no reason: look at the condition again, in a loop."""
    for spurious in (300, 900):
        library.call("disturb", int(rng.integers(2**32)), spurious, 0)
        short_of_everything(play, rng, rounds=200)


@category("safety")
@points(3)
@variant("faults")
def test_any_order_of_threads(library, play, rng):
    """Threads are late at random places, with another seed each time: between any two of your lines others may run."""
    for _ in range(12):
        seed = int(rng.integers(2**32))
        library.call("disturb", seed, 100, 300)
        short_of_everything(play, rng, rounds=30, note=f"; late threads, seed {seed}")


@category("safety")
@must
@points(3)
@pytest.mark.parametrize("workers", [1, 4])
def test_an_idle_pool_uses_no_cpu(library, play, workers):
    """Waiting is sleeping: 500 ms without work cost less than 30 ms of CPU time. And the pool wakes up again."""
    seen = places(1)
    case = f"{workers} workers without work for 500 ms"
    play("drive_idle", workers, 500, seen, case=case)
    used = library.timing.cpu_s * 1000
    check(used < 30, f"they used {used:.0f} ms of CPU time", case=case, expected="less than 30 ms")
    expect(seen, {"did the task after it run (1)": 1}, case)


@category("safety")
@points(2)
def test_waiting_uses_no_cpu(library, play):
    """Whoever waits for a task of 400 ms, or for room in the queue, sleeps as well."""
    seen = places(6)
    play("drive_wait_ms", 400, 300, seen)
    used = library.timing.cpu_s * 1000
    check(
        used < 30,
        f"waiting used {used:.0f} ms of CPU time",
        case="a task that sleeps for 400 ms",
        expected="< 30 ms",
    )


def short_of_everything(play, rng, rounds: int, note: str = "") -> None:
    """Many ways to use a pool, each briefly, with their results checked."""
    for workers, cap, producers, count in ((2, 0, 2, 400), (3, 2, 2, 200), (1, 1, 3, 100)):
        case = f"{workers} workers, {producers} producers, queue_cap {cap}{note}"
        after = slots(rng, count)
        before = after.copy()
        play("drive_tasks", workers, cap, producers, 0, count, after, case=case)
        verify(after, before, workers, case)
    after, seen = slots(rng, 2 * rounds), places(1)
    before, case = after.copy(), f"3 workers, rounds of 2 tasks{note}"
    play("drive_rounds", 3, 0, 2, 2 * rounds, after, seen, case=case)
    expect(seen, {"rounds in which tpool_wait returned too early": 0}, case)
    verify(after, before, 3, case)
    hits = np.zeros(40, np.uint32)
    play("drive_nested", 2, 1, 5, 8, hits, case=f"2 workers, a loop in a loop{note}")
    assert_same(hits, np.ones(40, np.uint32), what="how often each index was visited", case=note)
    hits, seen = np.zeros(40, np.uint32), places(1)
    play("drive_two_loops", 2, 10, 20, hits, seen, case=f"2 workers, two threads with loops{note}")
    expect(seen, {"loops that returned before their last range was done": 0}, note)
    assert_same(hits, np.full(40, 10, np.uint32), what="how often each index was visited", case=note)
    seen = places(2)
    play("drive_meeting", 3, 5, seen, case=f"3 workers{note}")
    expect(seen, {"rounds in which all tasks met": 5, "most tasks at one time": None}, f"3 workers{note}")
    seen = places(1)
    play("drive_family", 2, 4, 2, seen, case=f"2 workers, tasks that submit tasks{note}")
    expect(seen, {"tasks that have run when tpool_wait returns": 31}, note)
    for drain in (0, 1):
        seen = places(4)
        case = f"a full queue, 2 producers, tpool_shutdown(p, {drain}){note}"
        play("drive_full_shutdown", 2, 2, drain, seen, case=case)
        facts = {"producers that got -ESHUTDOWN": 2, "producers that did not": 0}
        facts |= {"tpool_shutdown": 0 if drain else 2, "tasks that ran": 1 + (2 if drain else 0)}
        expect(seen, facts, case)
    seen = places(7)
    play("drive_full", 2, seen, case=f"queue_cap 2, a busy worker{note}")
    check(
        seen[6] == 4, "tasks that ran", case=f"queue_cap 2, a busy worker{note}", expected=4, got=int(seen[6])
    )
    play("drive_lifecycles", 20, 4, case=f"pools without tasks{note}")


# --- Hygiene ------------------------------------------------------------------------------------------------------


@category("hygiene")
@points(2)
def test_wrong_arguments_are_refused(play):
    """-EINVAL for what makes no sense, *out as it was; a NULL argument of a task makes sense."""
    seen = places(16)
    play("drive_nonsense", seen)
    wrong = -errno.EINVAL
    facts = {"tpool_create(NULL, &p)": wrong, "tpool_create(&cfg, NULL)": wrong, "nthreads = 0": wrong}
    facts |= {
        "flags = 1": wrong,
        "*out written (1) by a create that failed": 0,
        "tpool_submit(NULL, ..)": wrong,
    }
    facts |= {
        "tpool_submit(p, NULL, ..)": wrong,
        "tpool_try_submit(p, NULL, ..)": wrong,
        "tpool_wait(NULL)": wrong,
    }
    facts |= {"tpool_wait_ms(NULL, 1)": wrong, "tpool_parallel_for(NULL, ..)": wrong}
    facts |= {"tpool_parallel_for(.., body NULL, ..)": wrong, "tpool_shutdown(NULL, 1)": wrong}
    facts |= {"tpool_pending(NULL)": 0, "tpool_worker_index() outside": -1, "did a task get its NULL (1)": 1}
    expect(seen, facts, "arguments that make no sense")


@category("hygiene")
@points(2)
@variant("faults")
def test_threads_that_cannot_be_started(library, play):
    """When the system refuses the k-th thread: -EAGAIN, the threads before it are joined, all memory is freed."""
    library.call("disturb", 0, 0, 0)
    for allowed in (0, 1, 3):
        library.call("guest_fail_allocation", -1)
        library.call("guest_fail_thread", allowed)
        case = f"4 workers, but only {allowed} threads can be started"
        seen = places(1)
        status = library.call("drive_create", 4, 0, seen, case=case)
        library.call("guest_fail_thread", -1)
        check(
            status == -errno.EAGAIN, "tpool_create", case=case, expected="-11 (-EAGAIN)", got=answer(status)
        )
        check(
            seen[0] == 0,
            f"{seen[0]} threads are still there afterwards",
            case=case,
            why="Join those that you started.",
        )
        lost = library.call("guest_live_bytes")
        check(lost == 0, f"{lost} bytes were not freed", case=case)


@category("hygiene")
@points(2)
@variant("faults")
def test_out_of_memory(library, play, rng):
    """Every allocation may fail: -ENOMEM, nothing lost, and a pool that goes on when there is memory again."""
    library.call("disturb", 0, 0, 0)
    count = 3000
    play_again = slots(rng, count)
    library.call("guest_fail_allocation", -1)
    play("drive_held", count, play_again.copy())
    wanted = library.call("guest_allocations")
    for nth in sorted({*range(min(wanted, 6)), wanted - 1, wanted // 2}):
        library.call("guest_fail_allocation", nth)
        after = play_again.copy()
        case = f"allocation number {nth + 1} fails"
        status = library.call("drive_held", count, after, case=case)
        check(
            status in (0, -errno.ENOMEM),
            "a failed allocation",
            case=case,
            expected="0 or -ENOMEM",
            got=answer(status),
        )
        if status == 0:
            verify(
                after,
                play_again,
                1,
                case,
                why="After -ENOMEM the task is not queued, and the others still are.",
            )
        lost = library.call("guest_live_bytes")
        check(lost == 0, f"{lost} bytes were not freed", case=case)


@category("hygiene")
@points(1)
@variant("faults")
def test_memory_is_given_back(library, play, rng):
    """After tpool_destroy as much memory is free as before tpool_create, also when tasks were dropped."""
    library.call("disturb", 0, 0, 0)
    library.call("guest_fail_allocation", -1)
    play("drive_tasks", 3, 0, 1, 0, 5000, slots(rng, 5000))
    check_no_bytes_lost(library, "5000 tasks")
    for drain in (1, 0):
        play("drive_shutdown", 2, 700, drain, places(4))
        check_no_bytes_lost(library, f"tpool_shutdown(p, {drain}) with 700 tasks in the queue")
    play("drive_nested", 2, 1, 20, 20, np.zeros(400, np.uint32))
    check_no_bytes_lost(library, "loops in loops")


@category("hygiene")
@points(0.5)
@variant("faults")
def test_memory_follows_the_queue_and_not_the_work(library, play, rng):
    """100000 tasks, at most 50 at one time in the queue: the pool needs no more than for 50."""
    library.call("disturb", 0, 0, 0)
    library.call("guest_fail_allocation", -1)
    play("drive_rounds", 2, 0, 50, 100000, slots(rng, 100000), places(1), timeout_s=100)
    peak = library.call("guest_peak_bytes") / 1024
    check(
        peak < 256,
        f"the pool took {peak:.0f} KiB",
        case="2000 rounds of 50 tasks",
        expected="less than 256 KiB",
    )


@category("hygiene")
@points(0.5)
def test_nothing_is_printed(library, play, rng):
    """A library speaks through its return values: no debugging output is left."""
    play("drive_tasks", 2, 3, 2, 0, 50, slots(rng, 50))
    play("drive_shutdown", 2, 20, 0, places(4))
    printed = library.printed()
    check(not printed, f"it printed {len(printed)} characters", got=printed[:80])


def check_no_bytes_lost(library, case: str) -> None:
    lost = library.call("guest_live_bytes")
    check(
        lost == 0,
        f"{lost} bytes were not freed",
        case=case,
        why="Every malloc needs its free, on every path.",
    )
