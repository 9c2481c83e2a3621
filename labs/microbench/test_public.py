"""Public tests: what every student has. Their names say what must hold."""

from __future__ import annotations

import errno

import numpy as np
import pytest

from grader.testing import assert_same, category, check, must, points, smoke, variant
from grader.testing.simulation import Cache
from labs.microbench import oracle, profile
from labs.microbench.clock import timed
from labs.microbench.oracle import COPY, PERIODIC, RANDOM, READ, SORTED, TRIAD, WRITE

pytestmark = category("correctness")

LINE = 64


# --- Preparing and judging ----------------------------------------------------------------------------------------


@smoke
@must
@points(1)
def test_small_cycles(ask):
    """From 0, n steps visit every number once and come back: one cycle, not several."""
    for n in range(1, 9):
        for seed in range(5):
            following = np.full(n, 0xFFFFFFFF, np.uint32)
            ask("mb_make_cycle", following, n, seed, case=f"n={n} seed={seed}")
            oracle.verify_cycle(following, f"n={n} seed={seed}")


@points(1)
def test_patterns_have_the_right_number_of_ones(ask):
    """n * permille / 1000 of the bytes are 1, in every pattern."""
    for kind, name in ((RANDOM, "random"), (PERIODIC, "periodic"), (SORTED, "sorted")):
        for n, permille in ((10, 500), (1000, 1), (999, 250), (64, 1000), (64, 0)):
            taken, case = np.full(n, 9, np.uint8), f"n={n} permille={permille} {name}"
            ask("mb_make_pattern", taken, n, permille, kind, 1, case=case)
            check(bool((taken <= 1).all()), "a byte is neither 0 nor 1", case=case)
            check(
                int(taken.sum()) == n * permille // 1000,
                "the number of ones is wrong",
                case=case,
                expected=n * permille // 1000,
                got=int(taken.sum()),
            )


@points(1)
@pytest.mark.parametrize(
    "values",
    [[3.0], [2.0, 1.0], [5.0, 1.0, 2.0], [4.0, 1.0, 3.0, 2.0], [1.0, 1.0, 1.0, 1.0, 100.0], [0.0, 0.0]],
    ids=str,
)
def test_summary_of_a_few_values(ask, library, values):
    """The median is the middle one, or the mean of the two in the middle; mad is the median distance from it."""
    stat = library.struct("mb_stat")
    ask("mb_summary", np.array(values), len(values), stat, case=f"{values}")
    oracle.verify_summary(oracle.said(stat), oracle.summary(values), f"{values}")


@points(1)
def test_levels_of_a_clean_staircase(ask, library):
    """1 ns up to 32 KiB, 4 ns up to 1 MiB, 90 ns beyond: three levels, and each ends with its last size."""
    sizes = [1 << k for k in range(12, 25)]
    ns = [1.0 if size <= 32 << 10 else 4.0 if size <= 1 << 20 else 90.0 for size in sizes]
    levels, count = np.zeros(oracle.MAX_LEVELS, oracle.LEVEL), np.zeros(1, np.int32)
    ask("mb_find_levels", np.array(sizes, np.uint64), np.array(ns), len(ns), levels, count)
    got = [(int(level["bytes"]), float(level["ns"])) for level in levels[: count[0]]]
    check(got == oracle.levels(sizes, ns), "the levels are wrong", expected=oracle.levels(sizes, ns), got=got)


# --- Timing -------------------------------------------------------------------------------------------------------


@points(1)
@variant("faults")
def test_overhead_of_a_scripted_clock(library):
    """Two readings in a row are 40 ns apart, sometimes more: the overhead is 40 ns."""
    for steps in ([40], [55, 40, 90], [1000] * 20 + [40]):
        got = library.call("clock_scripted_overhead", 5 * 10**9, np.array(steps), len(steps))
        check(
            got == min(steps),
            "the overhead is wrong",
            case=f"distances {steps}",
            expected=min(steps),
            got=got,
        )


@must
@points(2)
@variant("faults")
@pytest.mark.parametrize("ns_per_op", [1000.0, 3.0, 0.5])
def test_a_steady_clock(scripted, ns_per_op):
    """Every operation takes the same time, every reading 40 ns: the answer has no error at all."""
    case = f"{ns_per_op:g} ns per operation"
    stat, events = scripted(ns_per_op, case=case)
    calls = timed(events, case)
    check(len(calls) > stat.reps == 11, "reps is wrong", case=case, expected=11, got=stat.reps)
    expected = oracle.summary([ns_per_op] * 11, iters=calls[-1].iters)
    why = "The two readings of a repetition take 40 ns themselves: measure that, and take it off."
    oracle.verify_summary(stat, expected, case, why, exact=1e-6)


# --- Kernels ------------------------------------------------------------------------------------------------------


@category("kernels")
@points(2)
def test_the_chase_follows_the_ring(library):
    """0 leads to 2, 2 to 1, 1 to 0: after k loads one stands where k steps lead."""
    following = np.array([2, 0, 1], np.uint32)
    for loads, place in ((0, 0), (1, 2), (2, 1), (3, 0), (7, 2)):
        nodes = np.zeros(3 * 64, np.uint8)
        got = library.call(
            "drive_chase", nodes, 64, following, 3, 0, loads, case=f"ring 0 2 1, {loads} loads"
        )
        check(
            got == place,
            "it ends at the wrong node",
            case=f"ring 0 2 1, {loads} loads",
            expected=place,
            got=got,
        )


@category("kernels")
@points(2)
def test_small_streams(library):
    """read sums a; write a = i; copy a = b; triad a = b + 3 c."""
    b, c = np.array([1.0, 2.0, 3.0, 4.0, 5.0]), np.array([10.0, 20.0, 30.0, 40.0, 50.0])
    total = library.call("mb_stream_run", READ, b.copy(), None, None, 5, case="read 1 2 3 4 5")
    check(total == 15.0, "the sum is wrong", case="read 1 2 3 4 5", expected=15.0, got=total)
    for op, expected, name in (
        (WRITE, np.arange(5.0), "write"),
        (COPY, b, "copy"),
        (TRIAD, b + 3 * c, "triad"),
    ):
        a = np.full(5, np.nan)
        library.call("mb_stream_run", op, a, b, c, 5, case=name)
        assert_same(a, expected, what="a[]", case=name)


@category("kernels")
@points(1)
def test_branches_are_counted(library):
    """How many of the bytes are not 0."""
    for taken in ([], [0], [1], [1, 0, 1, 1, 0]):
        data = np.array(taken, np.uint8)
        got = library.call("mb_branch_run", data, len(taken), case=f"{taken}")
        check(got == sum(taken), "the count is wrong", case=f"{taken}", expected=sum(taken), got=got)


# --- Counts, on a simulated CPU -------------------------------------------------------------------------------------


@category("counts")
@points(2)
def test_the_chase_loads_once_for_each_load(simulate, rng):
    """One access to memory for each load that is asked for: not four, and not one that was kept in a register."""
    n, loads = 512, 20_000
    following, nodes = rng.permutation(n).astype(np.uint32), np.zeros(n * LINE, np.uint8)
    counted = simulate.call("drive_chase", nodes, LINE, following, n, 0, loads, inside="mb_chase_run")
    check(
        0.99 <= counted.accesses / loads <= 1.1,
        "the chase does not load what it says",
        case=f"{loads} loads",
        expected="1 access for each",
        got=f"{counted.accesses / loads:.2f}",
    )


@category("counts")
@points(2)
def test_independent_loads_are_made(simulate, rng):
    """Two accesses for each load: the offset, and the word. Every line of the data is touched."""
    n = 20_000
    words = rng.integers(0, 2**63, 8 * n, np.uint64)
    offsets = rng.permutation(n).astype(np.uint64) * LINE
    counted = simulate.call("mb_access_run", words.view(np.uint8), offsets, n)
    each, misses = counted.accesses / n, counted.d1_misses / n
    check(
        1.0 <= each <= 2.2 and misses > 0.95,
        "not every load was made",
        case=f"{n} random lines",
        expected="about 2 accesses and 1 miss for each load",
        got=f"{each:.2f} accesses, {misses:.2f} misses",
    )


@category("counts")
@points(2)
@pytest.mark.parametrize("op", [READ, WRITE, COPY, TRIAD], ids=["read", "write", "copy", "triad"])
def test_streams_touch_every_line(simulate, op):
    """Arrays of 1 MiB through a first cache of 32 KiB: one miss for every line of every array, and no more."""
    n = 1 << 17
    b, c = np.ones(n), np.ones(n)
    counted = simulate.call("mb_stream_run", op, np.ones(n), b, c, n, cache=Cache(ll=(1 << 22, 16, 64)))
    lines = n * 8 / LINE * {READ: 1, WRITE: 1, COPY: 2, TRIAD: 3}[op]
    check(
        0.98 <= counted.d1_misses / lines <= 1.1,
        "not every line was touched once",
        case=f"arrays of {n * 8} bytes",
        expected=f"{lines:.0f} misses",
        got=counted.d1_misses,
    )


@category("counts")
@points(3)
@pytest.mark.parametrize("kind", ["random", "sorted"])
def test_branches_are_branches(simulate, rng, kind):
    """A predictor gets half of a coin's throws wrong, and nearly none of a sorted row: if there is a jump."""
    n = 20_000
    taken = (rng.random(n) < 0.5).astype(np.uint8)
    if kind == "sorted":
        taken.sort()
    counted = simulate.call("mb_branch_run", taken, n, branches=True)
    wrong = counted.mispredicted / n
    check(
        counted.branches / n >= 1.0,
        "there are fewer conditional jumps than bytes",
        case=f"{n} bytes, {kind}",
        expected="at least 1 for each byte",
        got=f"{counted.branches / n:.2f}",
    )
    check(
        wrong > 0.3 if kind == "random" else wrong < 0.02,
        "the jumps are not those of the pattern",
        case=f"{n} bytes, {kind}",
        expected="about .5 wrong guesses for each byte" if kind == "random" else "nearly no wrong guess",
        got=f"{wrong:.3f} for each byte",
        why="The compiler may count without jumping (setne, adc, cmov): see what it made, `make listing`.",
    )


@category("counts")
@points(2)
def test_increments_go_through_memory(simulate):
    """Each increment reads and writes the counter: the compiler must not add them up first."""
    iters = 20_000
    counted = simulate.call("mb_count_run", np.zeros(1, np.uint64), iters)
    check(
        0.99 <= counted.accesses / iters <= 3,
        "increments were made in a register",
        case=f"{iters} increments",
        expected="1 or 2 accesses to memory for each",
        got=f"{counted.accesses / iters:.4f}",
    )


# --- Benchmarks ---------------------------------------------------------------------------------------------------


@points(1)
def test_a_chase_in_the_first_cache(benchmark_of):
    """8 KiB fit every first cache: a load takes a few cycles, and not less than a fifth of a nanosecond."""
    stat = benchmark_of("mb_chase", 8192, 64, 1, 200_000, case="8 KiB, random")
    check(
        0.2 < stat.min <= stat.median,
        "no load is that fast",
        case="8 KiB, random",
        got=f"min {stat.min:.3g} ns, median {stat.median:.3g} ns",
        why="Did the compiler remove the loop? What comes out of the chase must be needed by somebody.",
    )
    check(
        stat.reps == oracle.REPS, "reps is wrong", case="8 KiB, random", expected=oracle.REPS, got=stat.reps
    )


# --- Safety ------------------------------------------------------------------------------------------------------


@category("safety")
@points(1)
@variant("asan")
def test_small_benchmarks_keep_to_their_memory(benchmark_of):
    """AddressSanitizer and UndefinedBehaviorSanitizer watch rings, rows, arrays and patterns that end anywhere."""
    for function in ("mb_chase", "mb_access"):
        for size, stride, order in ((8, 8, 0), (1000, 64, 1), (4096, 8, 1)):
            benchmark_of(function, size, stride, order, 2000)
    for op in (READ, WRITE, COPY, TRIAD):
        benchmark_of("mb_bandwidth", 24 * 100, op, 3, 2000)
    benchmark_of("mb_branch", 999, 400, RANDOM, 2000)


@category("safety")
@points(1)
@variant("tsan")
def test_threads_share_nothing_without_order(library, ask, benchmark_of):
    """ThreadSanitizer watches two threads that write their parts of an array, and two that count side by side."""
    benchmark_of("mb_bandwidth", 8 * 8 * 1024, WRITE, 2, 20_000)
    ask("mb_false_sharing", np.zeros(64, np.uint64), 2, 8, 500, library.struct("mb_stat"))


# --- The report --------------------------------------------------------------------------------------------------


@category("report")
@points(3)
def test_the_report_keeps_to_its_schema(library, ask, report, keep_series):
    """JSON as the handout shows it; rising sizes; the levels are those of the latencies; numbers that are numbers."""
    status, text = report()
    check(status != -errno.ENOSYS, "mb_report is not written yet: it returned -ENOSYS")
    check(status == 0, "mb_report failed", expected=0, got=status)
    found = profile.read(text)
    sizes, ns = found.sizes, found.ns
    levels, count = np.zeros(oracle.MAX_LEVELS, oracle.LEVEL), np.zeros(1, np.int32)
    ask("mb_find_levels", np.array(sizes, np.uint64), np.array(ns), len(ns), levels, count)
    mine = [(int(level["bytes"]), float(level["ns"])) for level in levels[: count[0]]]
    agree = len(mine) == len(found.levels) and all(
        a == c and abs(b - d) <= 0.01 * b for (a, b), (c, d) in zip(mine, found.levels, strict=True)
    )
    check(
        agree,
        "the levels are not those that mb_find_levels finds in the latencies",
        expected=mine,
        got=found.levels,
    )
    keep_series(
        "Latency over size",
        x=("bytes in the ring", "bytes"),
        y=("a random load", "ns"),
        lines={"latency": list(zip(sizes, ns, strict=True)), "levels": found.stairs()},
    )
