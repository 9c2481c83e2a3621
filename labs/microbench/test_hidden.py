"""Hidden tests: facts about benchmarks that tell the truth. Each catches at least one known mistake.

Nothing here depends on how fast or how quiet the machine is, but for the four relations that say so; and those are
wide, and have several tries.
"""

from __future__ import annotations

import errno
import itertools

import numpy as np
import pytest

from grader.testing import CheckFailed, assert_same, category, check, must, points, variant
from grader.testing.simulation import Cache
from labs.microbench import clock, oracle, profile
from labs.microbench.clock import Event, check_said, check_scripted, overhead, repetitions, timed
from labs.microbench.oracle import COPY, PERIODIC, RANDOM, READ, REPS, SORTED, TRIAD, WRITE, said

pytestmark = category("correctness")

SECOND, LINE = 10**9, 64
MOVED = {READ: 1, WRITE: 1, COPY: 2, TRIAD: 3}
NAMES = {READ: "read", WRITE: "write", COPY: "copy", TRIAD: "triad"}
READS = {READ: (), WRITE: (), COPY: ("b",), TRIAD: ("b", "c")}


# --- Cycles -------------------------------------------------------------------------------------------------------


@must
@points(1)
def test_one_cycle_whatever_the_size(ask, rng):
    """Every n up to 130, and some large ones: a walk from anywhere sees every number once."""
    for n in (*range(1, 131), 1000, 4096, 65_537, 300_000):
        seed = int(rng.integers(0, 2**63))
        following = np.full(n, 0xFFFFFFFF, np.uint32)
        ask("mb_make_cycle", following, n, seed, case=f"n={n} seed={seed}")
        oracle.verify_cycle(following, f"n={n} seed={seed}")


@points(1)
def test_a_cycle_is_its_seeds(ask):
    """The same seed gives the same order, also later; another seed another one."""
    made = []
    for seed in (1, 2, 0, 2**64 - 1, 1):
        following = np.zeros(500, np.uint32)
        ask("mb_make_cycle", following, 500, seed, case=f"n=500 seed={seed}")
        made.append(following)
    assert_same(made[4], made[0], what="the cycle of the same seed", case="n=500 seed=1, twice")
    for one, other in itertools.combinations(made[:4], 2):
        check(bool((one != other).any()), "two seeds give the same cycle", case="n=500")


@points(1)
def test_a_cycle_has_no_order_that_hardware_could_guess(ask, rng):
    """Few steps lead to a neighbour, and few have the same length as the step before."""
    n = 20_000
    following = np.zeros(n, np.uint32)
    ask("mb_make_cycle", following, n, int(rng.integers(0, 2**63)), case=f"n={n}")
    oracle.verify_cycle(following, f"n={n}")
    steps = following.astype(np.int64) - np.arange(n)
    walk = np.zeros(n + 1, np.int64)
    for i in range(n):
        walk[i + 1] = following[walk[i]]
    lengths = np.diff(walk)
    near, same = int((np.abs(steps) <= 8).sum()), int((np.diff(lengths) == 0).sum())
    why = (
        "A prefetcher loads ahead what lies next, or at the same distance again: then nobody measures a miss."
    )
    check(near < n // 100, "it leads to neighbours", case=f"n={n}", got=f"{near} steps of at most 8", why=why)
    check(
        same < n // 100,
        "its steps have one length",
        case=f"n={n}",
        got=f"{same} steps as the one before",
        why=why,
    )


# --- Patterns -----------------------------------------------------------------------------------------------------


@points(1)
def test_patterns_without_chance(ask):
    """Sorted and evenly spread, exactly as defined, for every permille."""
    for n, kind in itertools.product((1, 2, 7, 100, 4099), (PERIODIC, SORTED)):
        for permille in (0, 1, 10, 333, 500, 501, 999, 1000):
            taken, case = np.full(n, 9, np.uint8), f"n={n} permille={permille} pattern={kind}"
            ask("mb_make_pattern", taken, n, permille, kind, 5, case=case)
            assert_same(taken, oracle.pattern(n, permille, kind), what="taken[]", case=case)


@points(1)
def test_a_random_pattern_does_not_repeat(ask, rng):
    """A predictor learns what comes back: no distance up to n / 2 at which the pattern agrees with itself."""
    n, made = 8192, []
    for seed in (int(rng.integers(0, 2**63)), 1):
        taken = np.full(n, 9, np.uint8)
        ask("mb_make_pattern", taken, n, 500, RANDOM, seed, case=f"n={n} permille=500 seed={seed}")
        check(
            bool((taken <= 1).all()) and int(taken.sum()) == n // 2,
            "half of the bytes must be 1, the others 0",
        )
        signs = taken.astype(float) * 2 - 1
        spectrum = np.abs(np.fft.fft(signs, 2 * n)) ** 2
        agreements = np.fft.ifft(spectrum).real[1 : n // 2]  # sums of products at each distance
        worst = int(np.argmax(np.abs(agreements))) + 1
        level = abs(agreements[worst - 1]) / np.sqrt(n - worst)  # standard deviations of a fair coin
        check(
            level < 7,
            "the pattern repeats",
            case=f"n={n} seed={seed}",
            where=f"at a distance of {worst}",
            got=f"{level:.0f} standard deviations from chance",
            why="Shuffle all n bytes, with random numbers whose period is longer than the pattern.",
        )
        made.append(taken)
    check(bool((made[0] != made[1]).any()), "two seeds give the same pattern", case=f"n={n}")


# --- Judging ------------------------------------------------------------------------------------------------------


@must
@points(1)
def test_summaries_of_random_values(ask, library, rng):
    """Unsorted, with outliers, even and odd, tiny and huge; v is const and lies in memory that cannot be written."""
    for n in (*range(1, 40), 1000, 1001):
        for values in (
            rng.normal(100, 3, n),
            rng.lognormal(0, 4, n),
            np.where(rng.random(n) < 0.2, 1e6, 5.0),
            rng.choice([1.0, 2.0], n),
            rng.uniform(0.5, 1.0, n) * 1.7e308,
        ):
            stat, case = library.struct("mb_stat"), f"n={n}, values such as {values[0]:.3g}"
            ask("mb_summary", values, n, stat, case=case)
            oracle.verify_summary(said(stat), oracle.summary(values.tolist()), case)


@points(1)
def test_values_that_are_no_numbers_are_refused(library, rng):
    """One NaN among a hundred values has no place in any order: -EINVAL, and *out as before."""
    for bad in (np.nan, np.inf, -np.inf):
        for place in (0, 50, 99):
            values = rng.normal(100, 3, 100)
            values[place] = bad
            stat, case = library.struct("mb_stat"), f"v[{place}] = {bad}"
            stat.median = 77.0
            status = library.call("mb_summary", values, 100, stat, case=case)
            check(status == -errno.EINVAL, "it was not refused", case=case, expected="-EINVAL", got=status)
            check(stat.median == 77.0, "*out was written", case=case)


@points(1)
def test_levels_of_random_staircases(ask, library, rng):
    """Steps of a factor, noise of ten percent, sizes on the way up, a slope without steps; up to eight levels."""
    staircases = [[1.0], [2.0, 1.0], [1.0, 5.0], [1.0, 2.0, 4.0, 8.0, 16.0], [1.0, 1.3, 1.6, 2.0, 2.5]]
    staircases.append([2.0**k for k in range(12) for _ in range(3)])
    for _ in range(60):
        heights = np.cumprod(rng.uniform(1.9, 9, int(rng.integers(1, 5))))
        ns = np.concatenate([np.full(int(rng.integers(1, 6)), height) for height in heights])
        staircases.append((ns * rng.uniform(0.95, 1.05, len(ns))).tolist())
    for ns in staircases:
        sizes = [4096 * (i + 1) for i in range(len(ns))]
        case = "latencies " + " ".join(f"{value:.4g}" for value in ns)
        levels, count = np.zeros(oracle.MAX_LEVELS, oracle.LEVEL), np.zeros(1, np.int32)
        ask("mb_find_levels", np.array(sizes, np.uint64), np.array(ns), len(ns), levels, count, case=case)
        expected = oracle.levels(sizes, ns)
        got = [(int(level["bytes"]), float(level["ns"])) for level in levels[: max(0, min(count[0], 8))]]
        right = len(got) == len(expected) and all(
            a == c and abs(b - d) <= 1e-12 * d for (a, b), (c, d) in zip(got, expected, strict=True)
        )
        check(right, "the levels are wrong", case=case, expected=shown(expected), got=shown(got))


def shown(levels: list[tuple[int, float]]) -> str:
    return ", ".join(f"{ns:.4g} ns up to {size // 4096} x 4096" for size, ns in levels) or "none"


# --- The harness, on a scripted clock -----------------------------------------------------------------------------


@points(2)
@variant("faults")
def test_any_steady_clock(scripted, rng):
    """Whatever the speed, the length, the overhead, and however long the clock has been running: no error at all."""
    starts = (0, 123, 3 * SECOND - 500, 10**15 + 7, 2**61 + 1)
    for start_ns, ns_per_op in itertools.product(starts, (0.37, 1.0, 12.5, 999_983.0, 3e7, 2.5e9)):
        read, reps = int(rng.integers(1, 90)), int(rng.integers(1, 24))
        min_ns = int(rng.choice([10_000, 123_456, 5 * 10**6]))
        case = f"clock from {start_ns} ns, {ns_per_op:g} ns per operation, overhead {read} ns, reps={reps}"
        case += f", min_ns={min_ns}"
        stat, events = scripted(
            ns_per_op, start_ns=start_ns, steps=(read,), min_ns=min_ns, reps=reps, case=case
        )
        verify_steady(stat, events, ns_per_op, min_ns, reps, case)


def verify_steady(stat, events: list[Event], ns_per_op: float, min_ns: int, reps: int, case: str) -> None:
    """Calibrated from one operation on to the right length, then `reps` times the same; and the right answer."""
    calls = timed(events, case)
    check(len(calls) > reps, "work was not called for calibration and `reps` times after it", case=case)
    counted, trials = calls[-reps:], calls[:-reps]
    lengths = [call.iters for call in trials]
    check(
        lengths[0] == 1,
        "calibration does not begin with one operation",
        case=case,
        got=f"{lengths[0]} of them",
    )
    check(
        all(a <= b for a, b in itertools.pairwise(lengths)), "calibration goes back", case=case, got=lengths
    )
    check(
        all(call.iters == counted[0].iters for call in counted),
        "repetitions are of different lengths",
        case=case,
        got=sorted({call.iters for call in counted}),
    )
    elapsed = counted[0].elapsed
    check(
        elapsed >= min_ns,
        "repetitions are too short",
        case=case,
        expected=f"{min_ns} ns",
        got=f"{elapsed} ns",
    )
    check(
        elapsed < 4 * min_ns or counted[0].iters == 1,
        "repetitions are too long",
        case=case,
        expected=f"below {4 * min_ns} ns",
        got=f"{elapsed} ns",
    )
    check(
        max(call.elapsed for call in trials) >= min_ns,
        "calibration ended before a call took min_ns",
        case=case,
    )
    why = "Subtract in whole nanoseconds first; then take the overhead off; then divide, as a double."
    iters = counted[0].iters
    # The script itself cuts each call to whole nanoseconds.
    exact = 1e-9 + 1.0 / (iters * ns_per_op)
    oracle.verify_summary(stat, oracle.summary([ns_per_op] * reps, iters), case, why, exact=exact)


@points(2)
@variant("faults")
def test_what_is_said_follows_from_the_readings(scripted, rng):
    """Slow calls, huge outliers, readings that take longer now and then: each value comes from its own repetition."""
    for number in range(12):
        slow = rng.uniform(1.0, 1.2, 37)
        if number % 2:
            slow[rng.random(37) < 0.2] *= 50
        steps = rng.integers(30, 45, 53).tolist() if number % 3 == 2 else [33]
        if number == 0:
            slow, steps = np.array([1.0, 1.0, 1.0, 1.0, 90.0]), [33]
        reps, ns_per_op = int(rng.choice([5, 8, 11])), float(rng.uniform(0.5, 300))
        case = f"{ns_per_op:.4g} ns per operation, {'outliers' if number % 2 or not number else 'noise'}, reps={reps}"
        stat, events = scripted(ns_per_op, steps=steps, slow=slow, reps=reps, case=case)
        calls, less = timed(events, case), overhead(events)
        check(len(calls) > reps, "work was not called for every repetition", case=case, got=len(calls))
        counted = calls[-reps:]
        values = [max(0.0, call.elapsed - less) / call.iters for call in counted]
        expected = oracle.summary(values, counted[0].iters)
        why = "median, min and mad of (elapsed - overhead) / iters, one value for each repetition"
        oracle.verify_summary(stat, expected, case, why, exact=1e-9)


@points(1)
@variant("faults")
def test_a_clock_that_goes_back_is_asked_again(scripted):
    """A repetition that ends before it begins, or in no time, is no measurement: it is made again, and not counted."""
    for name, slow in (
        ("one in three goes back", [1.0] + [-5.0, 1.0, 1.0] * 20),
        ("one stands still and one goes back, of three", [1.0] + [0.0, -1.0, 1.0] * 20),
        ("fifty in a row go back", [1.0, 1.0] + [-2.0] * 50 + [1.0] * 40),
    ):
        # One operation is long enough, so that only the first call is for calibration; readings take no time.
        case = f"1 ms per operation, but {name}"
        stat, _ = scripted(1e6, steps=(0,), slow=slow, min_ns=10**5, case=case)
        oracle.verify_summary(stat, oracle.summary([1e6] * REPS, 1), case, exact=1e-9)


@points(1)
@variant("faults")
def test_a_repetition_of_one_nanosecond_counts(scripted):
    """Only a clock that did not go on makes a repetition useless: one nanosecond is a measurement like any other."""
    case = "1 ms per operation, but one repetition in three takes 1 ns"
    slow = [1.0] + [1.5e-6, 1.0, 1.0] * 20
    stat, events = scripted(1e6, steps=(0,), slow=slow, min_ns=10**5, case=case)
    values = [call.elapsed for call in timed(events, case)[-REPS:]]
    check(
        min(values) == 1, "the repetition of 1 ns was made again", case=case, got=f"{min(values)} ns at least"
    )
    oracle.verify_summary(stat, oracle.summary(values, 1), case, exact=1e-9)


@points(1)
@variant("faults")
def test_a_clock_that_stands_still_is_given_up(library):
    """-EIO, and not a loop without end or a division by zero: at once, later, and also when it only goes back."""
    for name, ns_per_op, slow in (
        ("never goes on", 100.0, [0.0]),
        ("stops after calibration", 2e6, [1.0] + [0.0] * 4000),
        ("stops in the middle", 2e6, [1.0] * 6 + [0.0] * 4000),
        ("runs backwards", 100.0, [-1.0]),
        ("goes on too slowly", 100.0, [1e-12]),
    ):
        stat, steps = library.struct("mb_stat"), np.zeros(1, np.int64)
        script = (SECOND, steps, 1, ns_per_op, np.array(slow), len(slow))
        case = f"a clock that {name}"
        status = library.call("clock_scripted", *script, 10**6, REPS, stat, case=case, timeout_s=8)
        check(status == -errno.EIO, "the clock was not given up", case=case, expected="-EIO", got=status)


@points(1)
@variant("faults")
def test_nothing_takes_less_than_no_time(library, scripted):
    """When readings take longer than the work between them, the answer is 0 and never negative."""
    slow = [10**6] + [-0.02] * 100  # after calibration the work gives back some of the 50 ns of a reading
    stat, _ = scripted(
        1000.0, steps=(50,), slow=slow, min_ns=10**6, case="work of -20 ns between readings of 50 ns"
    )
    check(
        stat.median == stat.min == 0.0, "the answer is negative", expected=0.0, got=min(stat.median, stat.min)
    )
    for steps in ([0], [-5, 30, 35], [25, -70, 60]):
        got = library.call("clock_scripted_overhead", SECOND, np.array(steps), len(steps))
        smallest = min(step for step in steps if step >= 0)
        check(got == smallest, "the overhead is wrong", case=f"distances {steps}", expected=smallest, got=got)


@points(1)
@variant("faults")
def test_the_overhead_is_of_this_call(scripted):
    """A number kept from an earlier call is of another moment, and perhaps of another clock."""
    for read in (80, 20, 50):
        case = f"readings of {read} ns, 200 ns per operation, min_ns = 1 µs"
        stat, _ = scripted(200.0, steps=(read,), min_ns=1000, case=case)
        oracle.verify_summary(stat, oracle.summary([200.0] * REPS, stat.iters), case, exact=1e-9)


# --- Benchmarks: what they say is what their clock said -----------------------------------------------------------


BENCHMARKS = {
    "chase": ("mb_chase", (1 << 17, 64, 1, 100_000)),
    "chase in order": ("mb_chase", (4096, 8, 0, 50_000)),
    "access": ("mb_access", (1 << 16, 64, 1, 100_000)),
    "bandwidth": ("mb_bandwidth", (1 << 18, TRIAD, 1, 100_000)),
    "branch": ("mb_branch", (5000, 300, RANDOM, 100_000)),
}


STEPPED = {
    "chase": ("mb_chase", (1 << 14, 64, 1, 1), 1),
    "access": ("mb_access", (1 << 14, 64, 1, 1), 256),
    "access in order": ("mb_access", (4096, 8, 0, 1), 512),
    "bandwidth": ("mb_bandwidth", (1 << 14, COPY, 1, 1), 1),
    "bandwidth of two threads": ("mb_bandwidth", (1 << 14, READ, 2, 1), 1),
    "branch": ("mb_branch", (5000, 300, RANDOM, 1), 5000),
}
"""Benchmarks for a clock by script, and how many operations a pass has: iters is a multiple of that."""


@points(3)
@variant("faults")
@pytest.mark.parametrize("name", [*STEPPED, "false sharing"])
def test_a_benchmark_has_no_error_on_a_scripted_clock(library, ask, benchmark_of, rng, name):
    """Every reading is known, and so is every digit of median, min and mad of (elapsed - overhead) / iters."""
    for least in (40, 1000):
        # An odd number of steps: readings in pairs meet each of them, and so the overhead is the smallest step.
        steps = rng.integers(2 * least, 10**6, 53)
        steps[int(rng.integers(0, 53))] = least
        library.call("clock_stepped", 7 * SECOND, steps, len(steps))
        case = f"{name}, overhead {least} ns"
        if name == "false sharing":
            stat, counters = library.struct("mb_stat"), np.zeros(64, np.uint64)
            ask("mb_false_sharing", counters, 2, 256, 300, stat, case=case)
            answer, of_pass = said(stat), 300
            check(answer.iters == 300, "iters is wrong", case=case, expected=300, got=answer.iters)
        else:
            function, arguments, of_pass = STEPPED[name]
            answer = benchmark_of(function, *arguments, case=case)
        events = clock.log(library)
        library.call("clock_real", 1.0)
        check(
            answer.iters % of_pass == 0,
            "iters is no whole number of passes",
            case=case,
            expected=f"a multiple of {of_pass}",
            got=answer.iters,
            why="iters counts operations: loads or branches, of all passes of one repetition.",
        )
        check_scripted(answer, events, least, case)


@points(1)
@variant("faults")
@pytest.mark.parametrize("name", [*BENCHMARKS, "false sharing"])
def test_a_benchmark_says_what_its_clock_said(library, ask, benchmark_of, name):
    """Every number is a distance between two readings, over the operations; on a clock ten times as fast, too."""
    for speed in (1.0, 10.0):
        library.call("clock_real", speed)
        if name == "false sharing":
            stat, counters = library.struct("mb_stat"), np.zeros(64, np.uint64)
            ask("mb_false_sharing", counters, 2, 256, 20_000, stat, case=name)
            answer = said(stat)
        else:
            function, arguments = BENCHMARKS[name]
            answer = benchmark_of(function, *arguments)
        check_said(answer, clock.log(library), f"{name}, clock at {speed:g} times its speed", speed)


@points(1)
@variant("faults")
def test_the_time_that_is_claimed_was_spent(library, benchmark_of):
    """Eleven repetitions of 20 ms: neither shorter than that, nor longer than the whole call by the grader's clock.

    The clock is one of CPU time: on a busy machine a wait for a core ends no calibration early.
    """
    min_ns, tries = 20_000_000, []
    library.call("clock_cpu")
    for _ in range(3):
        stat = benchmark_of("mb_chase", 1 << 16, 64, 1, min_ns, case="64 KiB, min_ns = 20 ms")
        claimed, spent = stat.min * stat.iters * REPS * 1e-9, library.timing.wall_s
        check(
            claimed <= spent,
            "the repetitions would have taken longer than the whole call",
            case="64 KiB, min_ns = 20 ms",
            expected=f"at most {spent:.3f} s",
            got=f"{claimed:.3f} s = {REPS} repetitions of {stat.iters} loads of {stat.min:.3g} ns",
        )
        tries.append(stat.median * stat.iters)
        if tries[-1] >= 0.5 * min_ns:  # a machine may change its speed once, but not three times
            return
    raise CheckFailed(
        "repetitions are much shorter than min_ns",
        case="64 KiB, min_ns = 20 ms",
        expected=f"{min_ns} ns or more",
        got=f"{max(tries):.0f} ns at best of three calls",
    )


@points(1)
@variant("faults")
@pytest.mark.parametrize("name", ["chase", "access", *NAMES.values()])
def test_memory_is_there_before_the_clock_is_read(library, benchmark_of, name):
    """A page that is touched for the first time costs a thousand loads: no page is missing between the readings."""
    library.call("clock_real", 1.0)
    if name in NAMES.values():
        op = next(op for op, called in NAMES.items() if called == name)
        benchmark_of("mb_bandwidth", 8 << 20, op, 1, 1_000_000, case=f"{name}, 8 MiB")
    else:
        benchmark_of(f"mb_{name}", 8 << 20, 64, 1, 1_000_000, case=f"{name}, 8 MiB")
    events = repetitions(clock.log(library))
    faults = events[-1].number - events[0].number
    check(
        faults < 100,
        "pages are missing while the clock runs",
        case=f"{name}, 8 MiB",
        expected="none, or a few",
        got=f"{faults} page faults in {REPS} repetitions",
    )


@points(1)
def test_the_memory_is_really_there(library, benchmark_of):
    """Memory that was never written is one page of zeros, mapped thousands of times: all of it fits the first cache."""
    for function, arguments, mib in (
        ("mb_bandwidth", (64 << 20, READ, 1, 1000), 64),
        ("mb_access", (64 << 20, 4096, 0, 1000), 64),
        ("mb_bandwidth", (32 << 20, TRIAD, 1, 1000), 96),
    ):
        library.close()
        before = library.call("drive_peak_kib")
        benchmark_of(function, *arguments)
        grown = (library.call("drive_peak_kib") - before) / 1024
        check(
            grown > 0.9 * mib,
            "the memory that it measures is not there",
            case=f"{function}{arguments}",
            expected=f"{mib} MiB",
            got=f"{grown:.0f} MiB",
            why="Write numbers into every array before you read it.",
        )


@points(1)
@variant("faults")
def test_threads_run_before_the_clock_is_read(library, ask, benchmark_of):
    """Starting a thread takes as long as reading a hundred kilobytes: no thread is started between the readings."""
    for name in ("bandwidth", "false sharing"):
        library.call("clock_real", 1.0)
        if name == "bandwidth":
            benchmark_of("mb_bandwidth", 3 << 18, READ, 3, 100_000, case="bandwidth, 3 threads")
        else:
            counters = np.zeros(64, np.uint64)
            ask("mb_false_sharing", counters, 3, 128, 10_000, library.struct("mb_stat"), case="false sharing")
        events = clock.log(library)
        started = sum(event.kind == clock.THREAD for event in events)
        late = sum(event.kind == clock.THREAD for event in repetitions(events))
        check(
            late == 0,
            "threads are started while the clock runs",
            case=f"{name}, 3 threads",
            got=f"{late} of them",
        )
        check(
            started == 2,
            "the caller is one of the threads",
            case=f"{name}, 3 threads",
            expected=2,
            got=started,
        )


@points(1)
def test_the_rate_is_in_gigabytes_of_ten_to_the_ninth(library, ask):
    """gb_s is the moved bytes over the median: read and write move the array once, copy twice, triad three times."""
    for op, nthreads, size in itertools.product(NAMES, (1, 2), (1 << 16, 48_000)):
        stat, rate = library.struct("mb_stat"), np.full(1, np.nan)
        case = f"{NAMES[op]}, {size} bytes, {nthreads} threads"
        ask("mb_bandwidth", size, op, nthreads, 20_000, stat, rate, case=case)
        expected = size * MOVED[op] / stat.median
        check(
            abs(rate[0] - expected) <= 1e-6 * expected,
            "gb_s is not the bytes over the median",
            case=case,
            expected=f"{expected:.6g} GB/s = {MOVED[op]} * {size} bytes / {stat.median:.6g} ns",
            got=f"{rate[0]:.6g}",
        )


@must
@points(1)
def test_counters_of_false_sharing(library, ask):
    """Thread t counts at t * pad_bytes, to `iters`, and touches nothing else."""
    for nthreads, pad, iters in (
        (1, 8, 1),
        (2, 8, 1000),
        (2, 64, 1000),
        (3, 24, 500),
        (4, 128, 2000),
        (9, 8, 77),
    ):
        case = f"{nthreads} threads, pad_bytes={pad}, iters={iters}"
        memory = np.full((nthreads - 1) * pad // 8 + 1, 0xABABABABABABABAB, np.uint64)
        expected = memory.copy()
        expected[:: pad // 8] = iters
        stat = library.struct("mb_stat")
        ask("mb_false_sharing", memory, nthreads, pad, iters, stat, case=case)
        assert_same(memory, expected, what="the counters and what lies between them", case=case)
        check(stat.iters == iters and stat.reps == REPS, "iters or reps is wrong", case=case)


# --- Relations: wide, so that a busy machine does not matter ------------------------------------------------------


RELATIONS = {
    "memory is slower than the first cache": (
        ("mb_chase", (64 << 20, 64, 1, 200_000)),
        ("mb_chase", (8 << 10, 64, 1, 200_000)),
        3.0,
    ),
    "random order is slower than in order": (
        ("mb_chase", (32 << 20, 64, 1, 200_000)),
        ("mb_chase", (32 << 20, 64, 0, 200_000)),
        1.2,
    ),
    "loads that wait are slower than loads that overlap": (
        ("mb_chase", (32 << 20, 64, 1, 200_000)),
        ("mb_access", (32 << 20, 64, 1, 200_000)),
        1.2,
    ),
    "what cannot be predicted is slower": (
        ("mb_branch", (1 << 16, 500, RANDOM, 200_000)),
        ("mb_branch", (1 << 16, 500, SORTED, 200_000)),
        1.3,
    ),
}


@points(1)
@variant("faults")
@pytest.mark.parametrize("relation", RELATIONS)
def test_relations_hold(library, benchmark_of, relation):
    """One of two numbers must be larger, by much less than it is on any machine; by CPU time, and with six tries."""
    slower, faster, factor = RELATIONS[relation]
    library.call("clock_cpu")
    for _ in range(6):
        ratio = benchmark_of(slower[0], *slower[1]).median / benchmark_of(faster[0], *faster[1]).median
        if ratio >= factor:
            return
    raise CheckFailed(
        f"it does not show that {relation}",
        case=f"{slower[0]}{slower[1]} against {faster[0]}{faster[1]}",
        expected=f"at least {factor:g} times as many ns",
        got=f"{ratio:.3g} times, six times in a row less",
    )


# --- Kernels ------------------------------------------------------------------------------------------------------


@category("kernels")
@points(2)
def test_a_chase_ends_where_the_ring_leads(library, rng):
    """Any ring, any stride, any number of loads, from any node; a ring need not hold all nodes."""
    for n, stride in ((1, 8), (2, 8), (7, 64), (100, 128), (1000, 8)):
        following = rng.permutation(n).astype(np.uint32)
        for loads in (0, 1, 2, 3, 15, 16, 17, 1000, 1003):
            start = place = int(rng.integers(0, n))
            for _ in range(loads):
                place = int(following[place])
            case = f"n={n} stride={stride} start={start} loads={loads}"
            nodes = np.zeros(n * stride, np.uint8)
            got = library.call("drive_chase", nodes, stride, following, n, start, loads, case=case)
            check(got == place, "it ends at the wrong node", case=case, expected=place, got=got)


@category("kernels")
@points(2)
def test_access_adds_up_what_it_loads(library, rng):
    """The words at the offsets, each as often as it is named, sums modulo 2^64; nothing else is read."""
    for n in (0, 1, 2, 3, 4, 5, 7, 8, 9, 31, 64, 1001):
        words = rng.integers(0, 2**64, max(1, n), np.uint64)
        places = rng.integers(0, len(words), n)
        with np.errstate(over="ignore"):
            expected = int(words[places].sum(dtype=np.uint64))
        data, offsets = words.view(np.uint8), (places * 8).astype(np.uint64)
        got = library.call("mb_access_run", data, offsets, n, case=f"n={n}")
        check(got == expected, "the sum is wrong", case=f"n={n}", expected=expected, got=got)


@category("kernels")
@points(2)
def test_streams_of_every_length(library, rng):
    """Every n from 0 to 40 and some more; arrays begin or end at a page that nobody may touch."""
    for n, edge in itertools.product((*range(41), 127, 1000, 4099), ("end", "start")):
        numbers = {name: rng.integers(-1000, 1000, n).astype(np.float64) for name in "abc"}
        b, c = numbers["b"], numbers["c"]
        right = {WRITE: np.arange(n, dtype=float), COPY: b.copy(), TRIAD: b + 3 * c}
        for op, name in NAMES.items():
            case, a = f"{name}, n={n}", numbers["a"].copy()
            others = [numbers[other] if other in READS[op] else None for other in "bc"]
            got = library.call("mb_stream_run", op, a, *others, n, case=case, edge=edge)
            total = float(numbers["a"].sum()) if op == READ else 0.0
            check(got == total, "it returns the wrong number", case=case, expected=total, got=got)
            assert_same(a, right.get(op, numbers["a"]), what="a[]", case=case)


@category("kernels")
@points(2)
def test_branches_on_any_bytes(library, rng):
    """Every byte that is not 0 counts once: 1, 2, 128 and 255 alike."""
    for n in (1, 2, 7, 8, 9, 100, 5000):
        taken = rng.choice(np.array([0, 0, 1, 2, 128, 255], np.uint8), n)
        expected = int(np.count_nonzero(taken))
        got = library.call("mb_branch_run", taken, n, case=f"n={n}")
        check(got == expected, "the count is wrong", case=f"n={n}", expected=expected, got=got)


@category("kernels")
@points(1)
def test_increments_add_up(library):
    """From any number, also across 2^32 and 2^64."""
    for start, iters in ((0, 0), (0, 1), (5, 1000), (2**32 - 3, 7), (2**64 - 2, 5)):
        counter = np.array([start], np.uint64)
        library.call("mb_count_run", counter, iters, case=f"from {start}, {iters} times")
        expected = (start + iters) % 2**64
        check(int(counter[0]) == expected, "the counter is wrong", expected=expected, got=int(counter[0]))


# --- Counts, on a simulated CPU -------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def chased(simulate):
    """`chased(size)`: mb_chase with a random ring on a simulated CPU: what it says, and what mb_chase_run did."""
    made, cache = {}, Cache(d1=(32 << 10, 8, LINE), ll=(4 << 20, 16, LINE))

    def chase(size: int):
        if size in made:
            return made[size]
        # A wait for a core may end a calibration early. Each try is longer than the one before, and even where three
        # in ten are interrupted so early, twelve in a row are that less than once in a million times (.3^12).
        for attempt in range(12):
            stat, min_ns = simulate.struct("mb_stat"), 300_000 << min(attempt, 5)
            counts = simulate.call(
                "mb_chase", size, LINE, 1, min_ns, stat, cache=cache, inside="mb_chase_run"
            )
            check(stat.iters > 0, "mb_chase does not say how many loads it made", case=f"{size >> 10} KiB")
            # Short repetitions are the machine's doing only where the few loads that are claimed were made.
            if stat.iters >= 1000 or counts.accesses < stat.iters * stat.reps:
                made[size] = said(stat), counts
                return made[size]
        raise CheckFailed(
            "its repetitions are much shorter than min_ns",
            case=f"{size >> 10} KiB, twelve calls, the last with min_ns = {300_000 << 5}",
            expected="1000 loads or more in a repetition",
            got=f"{stat.iters} loads",
            why="Calibrate until a call takes min_ns; that many loads are then in every repetition.",
        )

    return chase


@category("counts")
@points(3)
@pytest.mark.parametrize("size", [8 << 10, 64 << 10, 16 << 20], ids=["8 KiB", "64 KiB", "16 MiB"])
def test_a_load_that_is_claimed_was_made(chased, size):
    """iters * reps loads are behind the numbers, and calibration needs about as many again at most, not ten times."""
    stat, counted = chased(size)
    claimed = stat.iters * stat.reps
    share = counted.accesses / max(1, claimed)
    check(
        0.99 <= share <= 3,
        "mb_chase did not make the loads that it claims",
        case=f"{size >> 10} KiB",
        expected=f"{claimed} loads in mb_chase_run ({stat.iters} iters, {stat.reps} reps), and some to calibrate",
        got=f"{counted.accesses} accesses to memory",
        why="mb_chase measures mb_chase_run, by calling it; iters counts loads.",
    )


@category("counts")
@points(4)
@pytest.mark.parametrize(
    ("size", "level", "low", "high"),
    [
        (8 << 10, "d1", 0.0, 0.05),
        (64 << 10, "d1", 0.8, 1.01),
        (64 << 10, "ll", 0.0, 0.05),
        (16 << 20, "ll", 0.6, 1.01),
    ],
    ids=["8 KiB fit L1", "64 KiB do not", "64 KiB fit the last cache", "16 MiB do not"],
)
def test_a_chase_misses_where_it_should(chased, size, level, low, high):
    """A simulated first cache of 32 KiB and a last one of 4 MiB: a ring that fits hits, a larger one misses."""
    _, counted = chased(size)
    misses = counted.d1_misses if level == "d1" else counted.ll_misses
    check(counted.accesses > 0, "mb_chase did not call mb_chase_run")
    share = misses / counted.accesses
    check(
        low <= share <= high,
        "the ring is not as large as it should be",
        case=f"{size >> 10} KiB, {'first cache of 32 KiB' if level == 'd1' else 'last cache of 4 MiB'}",
        expected=f"{low:g} to {high:g} misses for each load",
        got=f"{share:.3f}",
        why="All nodes in one cycle; and each repetition goes on where the one before has stopped.",
    )


# --- The report ---------------------------------------------------------------------------------------------------


@category("report")
@points(1)
@variant("faults")
def test_the_report_is_measured_when_it_is_asked_for(library, report):
    """On a clock a hundred times as fast every latency is a hundred times as long: nothing in it is made up."""
    medians = []
    for speed in (1.0, 100.0):
        library.call("clock_real", speed)
        status, text = report(budget_ms=500 * int(speed), case=f"clock at {speed:g} times its speed")
        check(
            status == 0,
            "mb_report failed",
            case=f"clock at {speed:g} times its speed",
            expected=0,
            got=status,
        )
        medians.append(profile.read(text))
    slow, fast = medians
    ratios = {
        "latency": np.median(fast.ns) / np.median(slow.ns),
        "bandwidth": np.median(slow.rates) / np.median(fast.rates),
        "random branch": fast.branch[0] / slow.branch[0],
    }
    for name, ratio in ratios.items():
        check(
            20 < ratio < 500,
            f"the {name} does not follow the clock",
            expected="about 100 times as much on a clock that is 100 times as fast",
            got=f"{ratio:.3g} times",
        )


@category("report")
@points(1)
def test_a_report_that_does_not_fit_is_refused(report):
    """-ENOSPC and an empty text, whatever the capacity; not one byte behind the buffer."""
    for capacity in (1, 2, 17, 100, 400):
        case = f"capacity {capacity}"
        status, text = report(capacity, 100, case)
        check(status == -errno.ENOSPC, "it was not refused", case=case, expected="-ENOSPC", got=status)
        check(text == b"", "the text is not empty", case=case, got=text[:60])


@category("report")
@points(1)
@variant("faults")
def test_the_report_keeps_to_its_budget(library, report):
    """Two budgets, and the CPU time that they cost by a clock of CPU time, so that no busy machine changes it."""
    library.call("clock_cpu")
    for budget in (500, 1500):
        status, text = report(budget_ms=budget)
        check(status == 0, "mb_report failed", case=f"budget {budget} ms", expected=0, got=status)
        profile.read(text)
        spent = library.timing.cpu_s * 1000
        check(
            spent < 2 * budget + 250,
            "it takes much longer than its budget",
            case=f"budget {budget} ms",
            got=f"{spent:.0f} ms of CPU time",
        )


# --- Safety -------------------------------------------------------------------------------------------------------


@category("safety")
@must
@points(2)
@variant("asan")
def test_no_memory_errors_and_no_undefined_behaviour(library, ask, benchmark_of, report, rng):
    """AddressSanitizer and UndefinedBehaviorSanitizer watch every function once."""
    for n in (1, 2, 5, 64):
        ask("mb_make_cycle", np.zeros(n, np.uint32), n, n)
        for kind in (RANDOM, PERIODIC, SORTED):
            ask("mb_make_pattern", np.zeros(n, np.uint8), n, 400, kind, n)
        ask("mb_summary", rng.normal(5, 1, n), n, library.struct("mb_stat"))
        sizes, levels = np.arange(1, n + 1, dtype=np.uint64), np.zeros(oracle.MAX_LEVELS, oracle.LEVEL)
        ask("mb_find_levels", sizes, 2.0 ** np.arange(n), n, levels, np.zeros(1, np.int32))
    for function in ("mb_chase", "mb_access"):
        for size, stride, order in ((8, 8, 0), (1000, 64, 1), (4104, 8, 1), (8192, 4096, 0)):
            benchmark_of(function, size, stride, order, 2000)
    for op, nthreads in itertools.product(NAMES, (1, 3)):
        benchmark_of("mb_bandwidth", 24 * 100, op, nthreads, 2000)
    benchmark_of("mb_branch", 999, 400, RANDOM, 2000)
    ask("mb_false_sharing", np.zeros(64, np.uint64), 3, 128, 100, library.struct("mb_stat"))
    check(report(budget_ms=20)[0] == 0, "mb_report failed")


@category("safety")
@points(2)
@variant("tsan")
def test_no_data_races(library, ask, benchmark_of):
    """ThreadSanitizer sees two threads that touch the same memory without order, also when nothing goes wrong."""
    for op, nthreads in itertools.product(NAMES, (2, 4)):
        benchmark_of("mb_bandwidth", 8 * 8 * 1024, op, nthreads, 20_000)
    for nthreads, pad in ((2, 8), (4, 64)):
        ask("mb_false_sharing", np.zeros(64, np.uint64), nthreads, pad, 500, library.struct("mb_stat"))


# --- Hygiene ------------------------------------------------------------------------------------------------------


@category("hygiene")
@points(2)
def test_wrong_arguments_are_refused(library, rng):
    """-EINVAL for what makes no sense: before anything is allocated, and without a crash."""
    numbers, bytes_, floats = np.zeros(9, np.uint32), np.zeros(9, np.uint8), rng.normal(5, 1, 9)
    stat, counters, text, rate = (
        library.struct("mb_stat"),
        np.zeros(64, np.uint64),
        np.zeros(99, np.uint8),
        np.zeros(1),
    )
    levels, count, sizes = np.zeros(8, oracle.LEVEL), np.zeros(1, np.int32), np.arange(1, 10, dtype=np.uint64)
    falling = np.array([1, 2, 2, 4, 5, 6, 7, 8, 9], np.uint64)
    wrong = [
        ("mb_make_cycle", numbers, 0, 1),
        ("mb_make_cycle", None, 9, 1),
        ("mb_make_cycle", numbers, 2**32, 1),
        ("mb_make_pattern", bytes_, 0, 500, RANDOM, 1),
        ("mb_make_pattern", bytes_, 9, 1001, RANDOM, 1),
        ("mb_make_pattern", bytes_, 9, 500, 3, 1),
        ("mb_make_pattern", bytes_, 9, 500, -1, 1),
        ("mb_make_pattern", None, 9, 500, SORTED, 1),
        ("mb_summary", floats, 0, stat),
        ("mb_summary", None, 9, stat),
        ("mb_summary", floats, 9, None),
        ("mb_find_levels", sizes, np.abs(floats), 0, levels, count),
        ("mb_find_levels", falling, np.abs(floats), 9, levels, count),
        ("mb_find_levels", sizes, np.where(sizes == 4, np.nan, 5.0), 9, levels, count),
        ("mb_find_levels", sizes, np.where(sizes == 9, 0.0, 5.0), 9, levels, count),
        ("mb_find_levels", sizes, np.abs(floats), 9, None, count),
        ("drive_measure", 0, 11, stat),
        ("drive_measure", 1000, 0, stat),
        ("drive_measure", 1000, 11, None),
        ("drive_measure_nothing", 1000, 11, stat),
        *((name, *rest) for name in ("mb_chase", "mb_access") for rest in _WRONG_SHAPES),
        ("mb_chase", 4096, 64, 1, 1000, None),
        ("mb_bandwidth", 0, READ, 1, 1000, stat, rate),
        ("mb_bandwidth", 4097, READ, 1, 1000, stat, rate),
        ("mb_bandwidth", 4096, 4, 1, 1000, stat, rate),
        ("mb_bandwidth", 4096, -1, 1, 1000, stat, rate),
        ("mb_bandwidth", 4096, READ, 0, 1000, stat, rate),
        ("mb_bandwidth", 4096, READ, 3, 1000, stat, rate),
        ("mb_bandwidth", 65 * 64, READ, 65, 1000, stat, rate),
        ("mb_bandwidth", 4096, READ, 1, 0, stat, rate),
        ("mb_bandwidth", 4096, READ, 1, 1000, stat, None),
        ("mb_branch", 0, 500, RANDOM, 1000, stat),
        ("mb_branch", 100, 1001, RANDOM, 1000, stat),
        ("mb_branch", 100, 500, 7, 1000, stat),
        ("mb_branch", 100, 500, RANDOM, 0, stat),
        ("mb_false_sharing", None, 2, 64, 10, stat),
        ("mb_false_sharing", counters, 0, 64, 10, stat),
        ("mb_false_sharing", counters, 65, 8, 10, stat),
        ("mb_false_sharing", counters, 2, 4, 10, stat),
        ("mb_false_sharing", counters, 2, 60, 10, stat),
        ("mb_false_sharing", counters, 2, 64, 0, stat),
        ("mb_report", text, 0, 100),
        ("mb_report", text, 99, 0),
        ("mb_report", None, 99, 100),
    ]
    for function, *arguments in wrong:
        filled = [stat if argument is _STAT else argument for argument in arguments]
        scalars = [item if item is None or isinstance(item, int) else "…" for item in filled]
        case = f"{function}({', '.join('NULL' if item is None else str(item) for item in scalars)})"
        status = library.call(function, *filled, case=case)
        check(
            status == -errno.EINVAL, "a wrong call was not refused", case=case, expected="-EINVAL", got=status
        )


_STAT = object()
_WRONG_SHAPES = [
    (4096, 4, 1, 1000, _STAT),
    (4096, 0, 1, 1000, _STAT),
    (4096, 12, 1, 1000, _STAT),
    (63, 64, 1, 1000, _STAT),
    (0, 64, 1, 1000, _STAT),
    (4096, 64, 1, 0, _STAT),
    (2**45, 64, 1, 1000, _STAT),
]


@category("hygiene")
@points(1)
def test_more_memory_than_there_is(library):
    """-ENOMEM for a terabyte, and the next benchmark works."""
    stat = library.struct("mb_stat")
    for call in (
        ("mb_chase", 1 << 40, 1 << 20, 1, 1000, stat),
        ("mb_access", 1 << 40, 1 << 20, 0, 1000, stat),
        ("mb_bandwidth", 1 << 40, COPY, 1, 1000, stat, np.zeros(1)),
    ):
        case = f"{call[0]}, 2^40 bytes"
        status = library.call(*call, case=case)
        check(status == -errno.ENOMEM, "the wrong answer", case=case, expected="-ENOMEM", got=status)
    status = library.call("mb_chase", 4096, 64, 1, 1000, stat, case="mb_chase, 4096 bytes")
    check(status == 0, "the call after it failed", expected=0, got=status)


@category("hygiene")
@points(1)
@variant("faults")
def test_out_of_memory_or_threads_leaves_nothing_behind(library):
    """Every allocation and every thread may fail: -ENOMEM, and what was there before is given back."""
    library.call("clock_real", 1.0)
    stat, counters = library.struct("mb_stat"), np.zeros(64, np.uint64)
    calls = [
        ("mb_summary", np.ones(100), 100, stat),
        ("mb_chase", 4096, 64, 1, 2000, stat),
        ("mb_access", 4096, 64, 1, 2000, stat),
        ("mb_bandwidth", 4096, TRIAD, 2, 2000, stat, np.zeros(1)),
        ("mb_branch", 500, 300, RANDOM, 2000, stat),
        ("mb_false_sharing", counters, 2, 64, 100, stat),
    ]
    for call in calls:
        library.call("guest_fail_allocation", -1)
        check(library.call(*call) == 0, f"{call[0]} failed", expected=0)
        lost = library.call("guest_live_bytes")
        check(lost == 0, f"{call[0]} lost {lost} bytes")
        for nth in range(min(library.call("guest_allocations"), 6)):
            library.call("guest_fail_allocation", nth)
            verify_refused(library, call, f"{call[0]}, allocation number {nth + 1} fails")
        library.call("guest_fail_allocation", -1)
    on_threads = [
        ("mb_bandwidth", 8 << 10, READ, 4, 2000, stat, np.zeros(1)),
        ("mb_false_sharing", counters, 4, 64, 9, stat),
    ]
    for call in on_threads:
        for nth in range(3):
            library.call("guest_fail_allocation", -1)
            library.call("clock_fail_thread", nth)
            verify_refused(library, call, f"{call[0]} on 4 threads, thread number {nth + 1} fails")
            threads = library.call("clock_threads")
            check(threads == 0, "threads are left behind", case=call[0], expected=0, got=threads)
        library.call("clock_fail_thread", -1)


def verify_refused(library, call: tuple[object, ...], case: str) -> None:
    status = library.call(*call, case=case)
    check(status == -errno.ENOMEM, "the wrong answer", case=case, expected="-ENOMEM", got=status)
    lost = library.call("guest_live_bytes")
    check(lost == 0, f"{lost} bytes were not freed on the way out", case=case)


@category("hygiene")
@points(1)
def test_nothing_is_printed(library, benchmark_of, report):
    """A library speaks through its return values: no debugging output is left."""
    benchmark_of("mb_chase", 4096, 64, 1, 2000)
    benchmark_of("mb_bandwidth", 4096, COPY, 2, 2000)
    check(report(budget_ms=100)[0] == 0, "mb_report failed")
    printed = library.printed()
    check(not printed, f"it printed {len(printed)} characters", got=printed[:80])


@category("hygiene")
@points(1)
def test_the_compiler_has_nothing_to_say(build, library):
    """No warnings with -Wall -Wextra, in code that does something."""
    got = library.call("mb_branch_run", np.array([1, 0, 1], np.uint8), 3)
    check(got == 2, "mb_branch_run is not written yet", expected=2, got=got)
    first = build.remarks[0] if build.remarks else None
    check(
        first is None,
        f"{len(build.remarks)} warnings",
        where=f"{first.file}:{first.line}" if first else "",
        got=first.message if first else "",
    )
