"""Performance, which here is truth: counts on a simulated CPU, and agreement with the grader's own measurement."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from grader.runner.channel import Value
from grader.runner.invoke import Invocation
from grader.testing import category, check, points
from grader.testing.simulation import Cache
from grader.timing.duel import Case, Task
from labs.microbench.oracle import COPY, RANDOM, READ, REPS, SORTED, TRIAD, WRITE, said

pytestmark = category("performance")

SIZES = [8 << 10, 24 << 10, 128 << 10, 256 << 10, 4 << 20, 16 << 20]
LINE = 64


# --- Agreement ----------------------------------------------------------------------------------------------------


@points(14)
def test_latencies_agree_with_the_graders_own(duel, library):
    """The same random rings, measured by you and by the grader in turn: from the first cache to memory."""
    duel("latency", [latency(library, size) for size in SIZES])


def latency(library, size: int) -> Case:
    """ns per load in a random ring of `size` bytes, by both sides."""

    def task() -> Task:
        stat = library.struct("mb_stat")

        def verify(values: Sequence[Value]) -> None:
            check(values[0] == 0, "mb_chase failed", expected=0, got=values[0])
            check(stat.reps == REPS and stat.iters > 0, "reps or iters is wrong", expected=REPS, got=stat.reps)

        call = Invocation("mb_chase", (size, LINE, 1, 1_000_000, stat))
        return Task((call,), verify, value=lambda values: float(stat.median))

    name = f"{size >> 10} KiB" if size < 1 << 20 else f"{size >> 20} MiB"
    return Case(name, lambda rng: (task(), task()), work=1.0, warm_up=False)


# --- Counts -------------------------------------------------------------------------------------------------------


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


@pytest.fixture(scope="session")
def chased(simulate):
    """`chased(size)`: mb_chase with a random ring on a simulated CPU: what it says, and what mb_chase_run did."""
    made = {}

    def chase(size: int):
        if size not in made:
            stat = simulate.struct("mb_stat")
            counts = simulate.call("mb_chase", size, LINE, 1, 20_000, stat, inside="mb_chase_run")
            made[size] = said(stat), counts
        return made[size]

    return chase


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


@points(4)
@pytest.mark.parametrize(
    ("size", "level", "low", "high"),
    [
        (8 << 10, "d1", 0.0, 0.05),
        (64 << 10, "d1", 0.4, 1.01),
        (64 << 10, "ll", 0.0, 0.05),
        (16 << 20, "ll", 0.85, 1.01),
    ],
    ids=["8 KiB fit L1", "64 KiB do not", "64 KiB fit the last cache", "16 MiB do not"],
)
def test_a_chase_misses_where_it_should(chased, size, level, low, high):
    """A simulated first cache of 32 KiB and a last one of 1 MiB: a ring that fits hits, a larger one misses."""
    stat, counted = chased(size)
    misses = counted.d1_misses if level == "d1" else counted.ll_misses
    check(stat.iters > 0 and counted.accesses > 0, "mb_chase did not call mb_chase_run")
    share = misses / counted.accesses
    check(
        low <= share <= high,
        "the ring is not as large as it should be",
        case=f"{size >> 10} KiB, {'first cache of 32 KiB' if level == 'd1' else 'last cache of 1 MiB'}",
        expected=f"{low:g} to {high:g} misses for each load",
        got=f"{share:.3f}",
        why="All nodes in one cycle; and each repetition goes on where the one before has stopped.",
    )


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


@points(3)
@pytest.mark.parametrize("kind", ["random", "sorted"])
def test_branches_are_branches(simulate, rng, kind):
    """A predictor gets half of a coin's throws wrong, and nearly none of a sorted row: if there is a jump to predict."""
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
