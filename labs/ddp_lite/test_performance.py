"""Performance: duels against a ring over sockets, and counts on the wire that no machine can disturb."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from grader.runner.group import Together
from grader.scoring import linear_credit
from grader.testing import Wire, assert_same, category, check, points
from grader.timing.duel import Case, Task
from labs.ddp_lite.oracle import inputs, verify_reduced, whole
from labs.ddp_lite.world import MEAN, SUM, answer, orders, shape_of

pytestmark = category("performance")


@points(12)
def test_large_messages_over_your_own_transport(duel):
    """4 MiB, two processes: the wire is memory, and the best transport copies least."""
    duel("bandwidth", [rounds(1 << 20, 24)], ranks=2)


@points(8)
def test_small_messages_over_your_own_transport(duel):
    """4 KiB, two processes: what counts is how soon the other side hears of it."""
    duel("latency", [rounds(1 << 10, 5000)], ranks=2)


@points(8)
@pytest.mark.parametrize("count", [2, 4])
def test_few_bytes_on_the_wire(open_world, award, rng, count):
    """A ring sends 2 (w-1)/w of the buffer from each rank, and nobody sends more than that."""
    n = 200_003
    world, case = open_world(count), f"{count} ranks, n = {n}"
    given = whole(rng, count, n)
    after = world.allreduce(given, SUM, case)
    assert_same(after[0], np.sum(given, axis=0, dtype=np.float32), what="the sum", case=case)
    sent = world.ranks.sent().sum(axis=1)
    ideal = 2 * (count - 1) / count * 4 * n
    check(sent.sum() > 0.99 * ideal, "fewer bytes were seen than an all-reduce needs", case=case)
    worst = float(sent.max() / ideal)
    # By way of rank 0, that rank sends w/2 times as much.
    award(
        linear_credit(worst, full_at=1.01, zero_at=1.5),
        f"{worst:.3f} of the ring's bytes from the busiest rank",
    )


@points(8)
def test_gradients_travel_while_others_are_computed(open_world, award, rng):
    """48 layers, 4 ms each, on a slow wire: buckets that start early arrive during the rest of the backward pass."""
    layers, floats = 48, 4096
    case = "2 ranks, 48 layers of 16 KiB, buckets of 64 KiB, 4 ms each to compute, a wire of 6 MB/s"
    order = orders(*[list(range(layers - 1, -1, -1))] * 2)
    world = open_world(2, wire=Wire(bytes_per_s=6e6), timeout_ms=5000)
    world.register(shape_of(*[floats] * layers), inputs(rng, 2, layers * floats), 65536, case)

    def step(nap_us: int) -> float:
        grads = inputs(rng, 2, layers * floats)
        world.fill_grads(0.0)
        took = world.step(grads, order, case, nap_us)
        verify_reduced(world.grads(), grads, MEAN, case)
        return took

    on_the_wire, both = step(0), step(4000)
    # A nap is at least as long as asked for: the computation alone takes this long or longer.
    share = both / (on_the_wire + layers * 0.004)
    award(
        linear_credit(share, full_at=0.75, zero_at=0.98),
        f"{share:.2f} of computing and sending one after the other",
    )


@points(4)
def test_waiting_is_no_work(open_world, award, rng):
    """One rank comes half a second late: the others sleep, and use no CPU time meanwhile."""
    world, case = open_world(3), "3 ranks, rank 2 comes 500 ms late"
    world.run("drive_late_barrier", lambda rank: (0, 500 * (rank == 2)), case)
    used = max(world.ranks.timings[rank].cpu_s for rank in (0, 1))
    award(linear_credit(used, full_at=0.05, zero_at=0.3), f"{1000 * used:.0f} ms of CPU time in 500 ms")


def rounds(n: int, count: int) -> Case:
    """All-reduces of n floats in a row, from connecting to closing; every rank must see the same sums."""

    def one_side(rng: np.random.Generator) -> Task:
        seed = int(rng.integers(0, 2**31))
        bufs, hashes = (
            [np.full(n, np.nan, np.float32) for _ in range(2)],
            [np.zeros(1, np.uint64) for _ in range(2)],
        )
        arguments = tuple((".", rank, 2, seed, count, n, bufs[rank], hashes[rank]) for rank in range(2))

        def verify(values: Sequence[Any]) -> None:
            for each in values:
                check(each[-1] == 0, "a call failed", expected=0, got=answer(each[-1]))
            index = np.arange(n, dtype=np.uint32)
            keys = [np.uint32((rank * 13 + (count - 1) * 5 + seed) % 2**32) for rank in range(2)]
            expected = sum(((index ^ key) & np.uint32(63)).astype(np.float32) for key in keys)
            for rank in range(2):
                assert_same(bufs[rank], expected, what=f"the last sum on rank {rank}")
            check(hashes[0][0] == hashes[1][0], "the ranks saw different sums in between")

        return Task((Together("drive_own_rounds", arguments),), verify)

    def both(rng: np.random.Generator) -> tuple[Task, Task]:
        return one_side(rng), one_side(rng)

    return Case(
        f"{count} times {4 * n >> 10} KiB",
        both,
        work=float(count * (4 * n if n > 1 << 15 else 1)),
        warm_up=False,
    )
