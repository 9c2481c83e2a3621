"""Public tests: what every student has. Their names say what must hold."""

from __future__ import annotations

import numpy as np
import pytest

from grader.testing import assert_same, category, check, must, points, smoke, variant
from labs.ddp_lite.oracle import inputs, same_everywhere, verify_reduced, whole
from labs.ddp_lite.world import MAX, MEAN, SUM, orders, shape_of

pytestmark = category("correctness")


@smoke
@must
@points(2)
@pytest.mark.parametrize("count", [1, 2, 3])
def test_an_all_reduce_adds(open_world, rng, count):
    """Every rank ends with the sum of all."""
    world = open_world(count)
    for n in (1, 5, 1000):
        given, case = whole(rng, count, n), f"{count} ranks, n = {n}, sum"
        after = world.allreduce(given, SUM, case)
        assert_same(after[0], np.sum(given, axis=0), what="the sum on rank 0", case=case)
        same_everywhere(after, case)


@points(2)
def test_an_all_reduce_takes_the_mean_or_the_largest(open_world, rng):
    """DDP_MEAN and DDP_MAX, element by element."""
    world = open_world(3)
    for op, name in ((MEAN, "mean"), (MAX, "max")):
        given, case = inputs(rng, 3, 300), f"3 ranks, n = 300, {name}"
        verify_reduced(world.allreduce(given, op, case), given, op, case)


@points(1)
def test_a_broadcast_copies(open_world, rng):
    """All ranks end with the bytes of the root."""
    world = open_world(3)
    given = [rng.integers(0, 256, 1000, np.uint8) for _ in range(3)]
    for rank, after in enumerate(world.broadcast(given, 1, "3 ranks, root 1, 1000 bytes")):
        assert_same(after, given[1], what=f"rank {rank}'s buffer", case="3 ranks, root 1, 1000 bytes")


@points(1)
def test_a_barrier_waits(open_world):
    """Nobody leaves before the last one has come."""
    world, case = open_world(2), "2 ranks, rank 1 comes 200 ms late"
    world.run("drive_late_barrier", lambda rank: (0, 200 * rank), case)
    waited = world.ranks.timings[0].wall_s
    check(waited > 0.19, "rank 0 left too early", case=case, expected="200 ms", got=f"{1000 * waited:.0f} ms")


@points(2)
def test_gradients_become_their_mean(open_world, rng):
    """Two layers, one bucket each: afterwards every rank has the mean of all gradients."""
    world, case = open_world(2), "2 ranks, parameters of 100 and 50 floats, a bucket each"
    world.register(shape_of(100, 50), inputs(rng, 2, 150), 4, case)
    grads = inputs(rng, 2, 150)
    world.step(grads, orders([1, 0], [1, 0]), case)
    verify_reduced(world.grads(), grads, MEAN, case)


@points(1)
def test_your_own_transport_carries_an_all_reduce(open_world, rng):
    """Two processes meet in a folder and add their numbers, without the grader's wires."""
    world, case = open_world(2, own=True), "2 ranks, your own transport, n = 100000"
    given = whole(rng, 2, 100000)
    after = world.allreduce(given, SUM, case)
    assert_same(after[0], given[0] + given[1], what="the sum on rank 0", case=case)
    same_everywhere(after, case)


@category("safety")
@points(0.5)
@variant("asan")
def test_no_memory_error_in_a_small_run(open_world, rng):
    """AddressSanitizer watches two ranks that add, copy and wait."""
    world = open_world(2, timeout_ms=6000)
    for n in (0, 1, 5, 1000):
        case = f"2 ranks, n = {n}"
        world.allreduce(whole(rng, 2, n), SUM, case)
        world.broadcast(whole(rng, 2, n), 1, case)
    world.ddp("barrier", lambda rank: (), "2 ranks")


@category("hygiene")
@points(0.5)
def test_compiles_without_warnings(build, open_world, rng):
    """The compiler's warnings (-Wall -Wextra) are often the first sign of a mistake."""
    world = open_world(1)
    world.allreduce(whole(rng, 1, 1), SUM, "1 rank")  # an empty file has no warnings either
    remarks = [item for item in build.remarks if item.severity == "warning"]
    if remarks:
        first = remarks[0]
        check(
            False,
            f"{len(remarks)} warnings, the first: {first.message}",
            where=f"{first.file}:{first.line}",
            why=first.hint,
        )
