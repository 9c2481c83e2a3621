"""Hidden tests: facts about collectives that are right in any weather. Each catches at least one known mistake."""

from __future__ import annotations

import numpy as np
import pytest

from grader.runner.group import Answer
from grader.testing import Wire, assert_close, assert_same, category, check, must, points, smoke, variant
from labs.ddp_lite import torch_track
from labs.ddp_lite.oracle import gradients, inputs, net, reduced, same_everywhere, verify_reduced, whole
from labs.ddp_lite.world import (
    AGAIN,
    INTERRUPTED,
    MAX,
    MEAN,
    SHORT,
    SUM,
    WAKES,
    all_zero,
    answer,
    must_fail,
    orders,
    shape_of,
)

pytestmark = category("correctness")

BUSY = 0.4
"""Share of the time. Who looks again and again is busy for all of it; who sleeps is not, even if it is woken late."""

LOST = ("-EPIPE", "-ETIMEDOUT", "-ECONNRESET")


# --- Collectives --------------------------------------------------------------------------------------------------


@must
@points(3)
@pytest.mark.parametrize("count", [2, 3, 4, 7])
def test_every_length(open_world, rng, count):
    """Chunks of a row that does not divide evenly, rows shorter than the number of ranks, and no row at all."""
    world = open_world(count)
    for n in (0, 1, count - 1, count, count + 1, 61, 1009, 4096):
        given, case = whole(rng, count, n), f"{count} ranks, n = {n}, sum"
        after = world.allreduce(given, SUM, case)
        assert_same(after[0], np.sum(given, axis=0, dtype=np.float32), what="the sum on rank 0", case=case)
        same_everywhere(after, case)


@points(2)
@pytest.mark.parametrize("op", [SUM, MEAN, MAX], ids=["sum", "mean", "max"])
def test_within_the_error_of_the_arithmetic(open_world, rng, op):
    """Floats that round: the same bits on every rank, and within the bound of a sum in any order."""
    world = open_world(4)
    for n in (1, 10, 5003):
        given = [(rng.normal(size=n) * 10.0 ** rng.integers(-3, 4, n)).astype(np.float32) for _ in range(4)]
        case = f"4 ranks, n = {n}, numbers of all sizes"
        verify_reduced(world.allreduce(given, op, case), given, op, case)


@points(1)
def test_the_same_bits_in_every_run(open_world, rng):
    """The order of the additions does not depend on who comes first."""
    world = open_world(3)
    given = [rng.normal(size=3001).astype(np.float32) for _ in range(3)]
    first = world.allreduce(given, SUM, "3 ranks, n = 3001")
    for late in range(3):
        world.run("drive_late_barrier", lambda rank, late=late: (0, 20 * (rank == late)), "a late rank")
        again = world.allreduce(given, SUM, "3 ranks, n = 3001, again")
        assert_same(again[1], first[0], what="the second result, compared with the first", case="n = 3001")


@must
@points(1)
def test_a_million_floats(open_world, rng):
    """More than fits on the way: whoever only sends, and receives later, waits for ever."""
    world = open_world(2)
    given, case = whole(rng, 2, 1_000_003), "2 ranks, n = 1000003"
    after = world.allreduce(given, SUM, case)
    assert_same(after[0], given[0] + given[1], what="the sum on rank 0", case=case)
    same_everywhere(after, case)


@points(1)
def test_not_a_number_goes_through(open_world):
    """NaN and infinity are values like others; and a NaN wins a maximum, wherever it comes from."""
    world = open_world(3)
    given = [
        np.array(row, np.float32)
        for row in ([1, 2, 3, 4, 5], [1, np.nan, 3, np.inf, 5], [1, 2, 3, 4, -np.inf])
    ]
    given[0][2] = np.nan
    for op, expected in ((SUM, [3, np.nan, np.nan, np.inf, -np.inf]), (MAX, [1, np.nan, np.nan, np.inf, 5])):
        case = f"3 ranks, {'sum' if op == SUM else 'max'} of {given[1].tolist()} and others"
        for after in world.allreduce(given, op, case):
            assert_close(after, np.array(expected, np.float64), 0.0, case=case)


@points(1)
@pytest.mark.parametrize("count", [2, 4])
def test_broadcast_from_every_root(open_world, rng, count):
    """Any number of bytes, none too, from any root."""
    world = open_world(count)
    for root in range(count):
        for n in (0, 1, 1001, 300_000):
            given = [rng.integers(0, 256, n, np.uint8) for _ in range(count)]
            case = f"{count} ranks, root {root}, {n} bytes"
            for rank, after in enumerate(world.broadcast(given, root, case)):
                assert_same(after, given[root], what=f"rank {rank}'s buffer", case=case)


@points(1)
@pytest.mark.parametrize("count", [3, 5])
def test_a_barrier_waits_for_everybody(open_world, count):
    """Whoever is late, nobody leaves before."""
    world = open_world(count)
    for late in range(count):
        case = f"{count} ranks, rank {late} comes 80 ms late"
        world.run("drive_late_barrier", lambda rank, late=late: (0, 80 * (rank == late)), case)
        first = min(timing.wall_s for timing in world.ranks.timings.values())
        check(
            first > 0.079, "a rank left too early", case=case, expected="80 ms", got=f"{1000 * first:.0f} ms"
        )


@points(4)
@pytest.mark.parametrize("count", [2, 3])
def test_halves_of_an_all_reduce(open_world, rng, count):
    """reduce_scatter, then allgather of the parts: the sum of all; and the inputs are still there."""
    world = open_world(count)
    for n in (0, 1, 100, 40_001):
        given, case = whole(rng, count, n * count), f"{count} ranks, parts of {n}"
        total = np.sum(given, axis=0, dtype=np.float32)
        parts = world.reduce_scatter(given, case)
        for rank, part in enumerate(parts):
            assert_same(
                part, total[rank * n : (rank + 1) * n], what=f"rank {rank}'s part of the sum", case=case
            )
        for rank, row in enumerate(world.allgather(parts, case)):
            assert_same(row, total, what=f"the row on rank {rank}", case=case)


@points(1)
def test_sixteen_ranks_on_few_cores(open_world, rng):
    """Ranks that wait must leave the cores to those that work."""
    world, case = open_world(16), "16 ranks, ten all-reduces of 1000 floats"
    for _ in range(10):
        given = whole(rng, 16, 1000)
        after = world.allreduce(given, SUM, case, timeout_s=60)
        assert_same(after[0], np.sum(given, axis=0, dtype=np.float32), what="the sum on rank 0", case=case)


@points(1)
def test_one_after_the_other(open_world, rng):
    """Different collectives in a row without a stop: what one leaves on the wire, the next one would read."""
    world = open_world(3)
    for _ in range(10):
        given = whole(rng, 3, 77)
        after = world.allreduce(given, MAX, "3 ranks, a row of collectives")
        assert_same(
            after[2], np.max(given, axis=0), what="the maximum on rank 2", case="a row of collectives"
        )
        world.ddp("barrier", lambda rank: (), "3 ranks, a row of collectives")
        world.broadcast([array.copy() for array in given], 2, "3 ranks, a row of collectives")


# --- PyTorch, where it is installed: no points, but a second opinion ------------------------------------------------


@smoke
@points(0)
@pytest.mark.parametrize("backend", ["gloo", "nccl"])
def test_pytorch_agrees(open_world, rng, files, backend):
    """torch.distributed.all_reduce of the same numbers: the same sum within rounding, the same maximum exactly."""
    torch_track.need_torch(gpus=2 if backend == "nccl" else 0)
    world = open_world(2)
    for op, name in ((SUM, "sum"), (MAX, "max")):
        given, case = inputs(rng, 2, 10_007), f"2 ranks, n = 10007, {name}, compared with PyTorch's {backend}"
        theirs = torch_track.all_reduced(given, name, backend, files)
        _, bound = reduced(given, op)
        ours = world.allreduce(given, op, case)
        assert_close(ours[0], theirs[0].astype(np.float64), 2 * bound, case=case)


# --- Weather ------------------------------------------------------------------------------------------------------


@category("safety")
@points(3)
@pytest.mark.parametrize(
    "weather",
    [SHORT, AGAIN, INTERRUPTED, WAKES, SHORT | AGAIN | INTERRUPTED | WAKES],
    ids=["1 to 7 bytes at a time", "EAGAIN", "EINTR", "wakes for nothing", "all of it"],
)
def test_any_weather(open_world, rng, weather):
    """A transfer may be short, and a call may have to be repeated; that is no error."""
    world = open_world(3, weather=weather)
    for n in (5, 999):
        given, case = whole(rng, 3, n), f"3 ranks, n = {n}"
        after = world.allreduce(given, SUM, case)
        assert_same(after[0], np.sum(given, axis=0, dtype=np.float32), what="the sum on rank 0", case=case)
        same_everywhere(after, case)
        copied = world.broadcast(given, 1, f"{case}, root 1")
        same_everywhere([given[1], *copied], f"{case}, root 1")


@category("safety")
@points(1)
def test_small_buffers_on_the_way(open_world, rng):
    """With 4 KiB of room on the wire, nobody can send before somebody receives."""
    world = open_world(4, wire=Wire(buffer_bytes=4096, kept=4096))
    given, case = whole(rng, 4, 60_000), "4 ranks, n = 60000, 4 KiB of room on each wire"
    after = world.allreduce(given, SUM, case)
    assert_same(after[0], np.sum(given, axis=0, dtype=np.float32), what="the sum on rank 0", case=case)
    copied = world.broadcast(given, 3, case)
    same_everywhere([given[3], *copied], case)


@category("safety")
@must
@points(3)
@pytest.mark.parametrize("count", [2, 4])
def test_a_peer_dies_in_the_middle(open_world, rng, count):
    """A rank is killed after 100 kB: the others notice, each of them, and come back with an error."""
    world = open_world(count, timeout_ms=1000, cut={1: 100_000})
    given, case = whole(rng, count, 500_000), f"{count} ranks, rank 1 is killed after 100 kB, timeout 1000 ms"
    answers = world.answers(
        "allreduce_f32", lambda rank: (given[rank], given[rank].size, SUM), case, timeout_s=20
    )
    check(len(answers) == count - 1, "the rank was not killed: it sent less than that", case=case)
    must_fail(answers, LOST, case, "recv answers 0 and send answers -EPIPE when a peer is gone.")
    slowest = max(timing.wall_s for timing in world.ranks.timings.values())
    check(slowest < 10.0, "the others noticed too late", case=case, got=f"{slowest:.1f} s")


@category("safety")
@points(1)
def test_a_peer_that_never_comes(open_world):
    """Without a peer a call ends after timeout_ms, not earlier and not ten times later; and then at once."""
    world, case = open_world(2, timeout_ms=400), "2 ranks, rank 1 does not call, timeout 400 ms"
    before = world.ranks.busy_s(0)
    waiting = world.answers("barrier", lambda rank: (), case, only=[0])
    busy = world.ranks.busy_s(0) - before
    must_fail(waiting, ("-ETIMEDOUT",), case)
    took = world.ranks.timings[0].wall_s
    check(0.39 < took < 4.0, "the wait was not as long as asked", case=case, got=f"{took:.2f} s")
    check(
        busy < BUSY * took,
        "waiting kept a core busy: it must sleep",
        case=case,
        got=f"{1000 * busy:.0f} ms",
    )
    tries = []
    for _ in range(5):  # a busy machine makes one call slow, but hardly five
        again = world.answers("barrier", lambda rank: (), f"{case}, second call", only=[0])
        must_fail(again, ("-ETIMEDOUT",), f"{case}, second call")
        tries.append(world.ranks.timings[0].wall_s)
        if tries[-1] < 0.2:
            break
    took = min(tries)
    check(took < 0.2, "a broken context must answer at once", case=case, got=f"{took:.2f} s")
    world.ranks.close()


@category("safety")
@points(1)
def test_slow_is_not_dead(open_world, rng):
    """timeout_ms is about standing still: on a slow wire a call may take longer than that."""
    # 4 s in all. Something arrives every few milliseconds, so 2.5 s without a byte are no busy machine's doing.
    world = open_world(2, timeout_ms=2500, wire=Wire(bytes_per_s=30_000, buffer_bytes=4096))
    given, case = whole(rng, 2, 30_000), "2 ranks, n = 30000 at 30 kB/s, timeout 2500 ms"
    after = world.allreduce(given, SUM, case, timeout_s=60)
    assert_same(after[0], given[0] + given[1], what="the sum on rank 0", case=case)


@category("safety")
@points(1.5)
@pytest.mark.parametrize("what", ["n", "op", "root", "collective"])
def test_ranks_that_disagree(open_world, rng, what):
    """A header before each collective tells: two ranks that mean different things answer -EPROTO."""
    world = open_world(2, timeout_ms=5000)
    given = whole(rng, 2, 1000)
    case = f"2 ranks, another {what} on rank 1"
    if what == "root":
        answers = world.answers("broadcast", lambda rank: (given[rank], 4000, rank), case)
    elif what == "collective":
        answers = world.one_broadcasts(given, case)
    else:
        answers = world.answers(
            "allreduce_f32",
            lambda rank: (given[rank], 1000 - rank * (what == "n"), rank * (what == "op")),
            case,
        )
    must_fail(answers, ("-EPROTO",), case)
    world.ranks.close()


@category("safety")
@points(0.5)
@variant("asan")
def test_no_memory_error(open_world, rng):
    """AddressSanitizer and UndefinedBehaviorSanitizer watch collectives, gradients and your own transport."""
    for own in (False, True):
        world = open_world(2, own=own, timeout_ms=6000)
        for n in (0, 1, 3, 70_001):
            given = whole(rng, 2, n)
            world.allreduce(given, SUM, f"2 ranks, n = {n}")
            world.reduce_scatter([np.tile(array, 2) for array in given], f"2 ranks, parts of {n}")
        world.register(shape_of(10, (7, 0), 5, (10, 1, 0)), inputs(rng, 2, 32), 24, "2 ranks, a small model")
        world.step(inputs(rng, 2, 32), orders([3, 2, 0], [0, 3, 2]), "2 ranks, a small model")
        world.close()


# --- Gradients ----------------------------------------------------------------------------------------------------


def model(world, rng, shape, bucket_bytes, case):
    """Register a model with other values on every rank; afterwards all have rank 0's."""
    floats = int(shape["n"].sum())
    data = inputs(rng, world.count, floats)
    world.register(shape, data, bucket_bytes, case)
    return data


def train_once(world, rng, shape, case, order=None):
    """One step with fresh gradients in this order (last to first when None); returns what was given."""
    floats = int(shape["n"].sum())
    grads = inputs(rng, world.count, floats)
    usual = [list(range(len(shape) - 1, -1, -1))] * world.count
    world.fill_grads(0.0)
    world.step(grads, orders(*(order or usual)), case)
    return grads


@points(1)
def test_all_begin_with_the_model_of_rank_0(open_world, rng):
    """ddp_register copies rank 0's values, those of frozen parameters too."""
    world, case = open_world(3), "3 ranks, parameters of 100, 1, 0 and 5000 (frozen) floats"
    data = model(world, rng, shape_of(100, 1, 0, (5000, 0)), 1 << 20, case)
    for rank, after in enumerate(world.data()):
        assert_same(after, data[0], what=f"rank {rank}'s parameters", case=case)


@must
@points(2)
@pytest.mark.parametrize("bucket_bytes", [1, 1000, 1 << 30])
def test_buckets_of_any_size(open_world, rng, bucket_bytes):
    """One parameter in a bucket, some, or all of them: the same means."""
    world = open_world(3)
    case = f"3 ranks, 12 parameters, bucket_bytes {bucket_bytes}"
    shape = shape_of(300, 7, 1, 90, 2500, 16, 16, 5, 400, 0, 33, 1)
    model(world, rng, shape, bucket_bytes, case)
    for _ in range(3):
        grads = train_once(world, rng, shape, case)
        verify_reduced(world.grads(), grads, MEAN, case)


@points(2)
def test_every_rank_in_its_own_order(open_world, rng):
    """Buckets travel in the order in which they were made, not in the order in which they fill up."""
    world, case = open_world(3), "3 ranks, 8 parameters in 8 buckets, ready in a different order on each rank"
    shape = shape_of(*[64] * 8)
    model(world, rng, shape, 1, case)
    for _ in range(4):
        order = [rng.permutation(8).tolist() for _ in range(3)]
        grads = train_once(world, rng, shape, f"{case}: {order}", order)
        verify_reduced(world.grads(), grads, MEAN, f"{case}: {order}")


@points(1)
def test_frozen_parameters_stay_at_home(open_world, rng):
    """requires_grad 0: its gradient is not sent, and not written."""
    world, case = open_world(2), "2 ranks, 10 floats, 50000 frozen ones, 10 floats"
    shape = shape_of(10, (50_000, 0), 10)
    model(world, rng, shape, 8, case)
    world.fill_grads(7.0)
    world.ranks.sent()
    world.backward(inputs(rng, 2, 50_020), orders([2, 1, 0], [2, 0]), case)
    before = world.grads()
    world.sync(case)
    for rank, after in enumerate(world.grads()):
        assert_same(after[10:-10], before[rank][10:-10], what=f"rank {rank}'s frozen gradient", case=case)
    sent = int(world.ranks.sent().sum())
    check(
        sent < 4000, "a frozen gradient was sent", case=case, expected="about 200 bytes", got=f"{sent} bytes"
    )


@points(1)
def test_tied_weights_count_once(open_world, rng):
    """Two parameters with the same gradient: it travels once, when both are ready."""
    world, case = open_world(2), "2 ranks, parameters 0 and 3 share their 4000 floats"
    n, shape = 4000, shape_of(4000, 10, 20, (4000, 1, 0))
    model(world, rng, shape, 4, case)
    for order in ([3, 2, 1, 0], [0, 3, 1, 2], [1, 2, 0, 3]):
        world.ranks.sent()
        grads = train_once(world, rng, shape, case, [order, order])
        sums = [g[:n] + g[n + 30 :] for g in grads]
        counted = [
            np.concatenate([total, g[n : n + 30], total]) for total, g in zip(sums, grads, strict=True)
        ]
        verify_reduced(world.grads(), counted, MEAN, f"{case}, ready in the order {order}")
        sent = int(world.ranks.sent().sum(axis=1).max())
        check(
            sent < 6 * n, "it was sent twice", case=case, expected=f"about {4 * n} bytes", got=f"{sent} bytes"
        )


@points(1)
def test_what_is_not_ready_counts_as_zero(open_world, rng):
    """A layer that one rank skipped: its array may hold anything, and the mean takes zero for it."""
    world, case = open_world(2), "2 ranks, 3 parameters of 20; rank 1 skips number 1, both skip number 2"
    shape = shape_of(20, 20, 20)
    model(world, rng, shape, 100, case)
    for _ in range(2):
        grads = inputs(rng, 2, 60)
        world.fill_grads(0.0)
        world.backward([g * 0 + 9 for g in grads], orders([], []), case)
        world.fill_grads(5.0)
        world.step(grads, orders([1, 0], [0]), case)
        counted = [g + np.float32(5) for g in grads]
        counted[1][20:40] = 0
        for row in counted:
            row[40:] = 0
        verify_reduced(world.grads(), counted, MEAN, case)


@points(1)
def test_gradients_add_up_without_sync(open_world, rng):
    """ddp_no_sync for two batches, then a third with sync: the mean of all three, and nothing sent before."""
    world, case = open_world(2), "2 ranks, 3 batches, sync after the third"
    shape = shape_of(30, 50)
    model(world, rng, shape, 64, case)
    for _ in range(2):
        total = [np.zeros(80, np.float32) for _ in range(2)]
        world.fill_grads(0.0)
        world.ranks.sent()
        for batch in range(3):
            world.ddp("no_sync", lambda rank, batch=batch: (int(batch < 2),), case)
            grads = whole(rng, 2, 80)
            total = [before + new for before, new in zip(total, grads, strict=True)]
            world.step(grads, orders([1, 0], [1, 0]), case)
            if batch < 2:
                check(world.ranks.sent().sum() == 0, "something was sent although sync is off", case=case)
        verify_reduced(world.grads(), total, MEAN, case)


@points(1)
def test_only_one_thing_at_a_time(open_world, rng):
    """Between ddp_grad_ready and ddp_sync other collectives answer -EBUSY; a second ddp_grad_ready -EALREADY."""
    world, case = open_world(1), "1 rank; see the list of calls in ddp.h"
    seen = np.full(17, 99, np.int64)
    world.ranks.call("drive_register_nonsense", lambda rank: (0, seen), case=case)
    expected = {
        "register(NULL parameters)": "-EINVAL",
        "register with bucket_bytes 0": "-EINVAL",
        "register with NULL data": "-EINVAL",
        "register with NULL grad": "-EINVAL",
        "register: the same grad with another n": "-EINVAL",
        "grad_ready before register": "-EINVAL",
        "register": "0",
        "register again": "-EINVAL",
        "grad_ready(2) of two parameters": "-EINVAL",
        "grad_ready of a frozen parameter": "0",
        "grad_ready": "0",
        "grad_ready again": "-EALREADY",
        "barrier before sync": "-EBUSY",
        "no_sync before sync": "-EBUSY",
        "allreduce before sync": "-EBUSY",
        "sync": "0",
        "barrier after sync": "0",
    }
    for (what, wanted), value in zip(expected.items(), seen, strict=True):
        check(
            answer(int(value)) == wanted, f"{what} answers wrongly", expected=wanted, got=answer(int(value))
        )


@category("safety")
@points(1)
def test_models_that_differ(open_world, rng):
    """Another size or order of parameters, other frozen ones, other buckets: -EPROTO everywhere."""
    usual = shape_of(10, 20, 30)
    for what, pair in {
        "a size": (usual, shape_of(10, 21, 30)),
        "requires_grad": (usual, shape_of(10, 20, (30, 0))),
        "the order of the sizes": (usual, shape_of(20, 10, 30)),
        "which one is frozen": (shape_of(10, (10, 0), 10), shape_of((10, 0), 10, 10)),
        "bucket_bytes": (usual, usual),
    }.items():
        world, case = open_world(2, timeout_ms=5000), f"2 ranks, {what} differs on rank 1"
        shapes = list(pair)
        data = [np.ones(int(shape["n"].sum()), np.float32) for shape in shapes]
        values = world.ranks.call(
            "drive_register",
            lambda rank, shapes=shapes, data=data, what=what: (
                *(0, shapes[rank], 3, 64 + 64 * rank * (what == "bucket_bytes"), data[rank]),
            ),
            case=case,
        )
        must_fail({rank: answer(value) for rank, value in enumerate(values)}, ("-EPROTO",), case)
        world.close()
        world.ranks.close()


@must
@points(3)
def test_training_on_four_ranks_is_training_on_one(open_world, rng):
    """Twenty steps of a small network on a quarter of the batch each: the weights of one process on all of it."""
    world, case = open_world(4), "4 ranks, a network 12-16-3, 20 steps, 10 samples each"
    weights, x, y = net(rng, 40)
    sizes = [w.size for w in weights]
    flat = np.concatenate([w.ravel() for w in weights]).astype(np.float32)
    start = [flat if rank == 0 else flat * 0 for rank in range(4)]
    world.register(shape_of(*sizes), start, 256, case)
    replicas = [list(split(row, weights)) for row in world.data()]
    alone = [w.astype(np.float32).astype(np.float64) for w in weights]
    for step in range(20):
        local = [
            gradients(replicas[r], x[r * 10 : r * 10 + 10], y[r * 10 : r * 10 + 10])[1] for r in range(4)
        ]
        given = [np.concatenate([g.ravel() for g in each]).astype(np.float32) for each in local]
        world.fill_grads(0.0)
        world.step(given, orders(*[[3, 2, 1, 0]] * 4), f"{case}, step {step}")
        for rank, row in enumerate(world.grads()):
            replicas[rank] = [w - 0.2 * g for w, g in zip(replicas[rank], split(row, weights), strict=True)]
        alone = [w - 0.2 * g for w, g in zip(alone, gradients(alone, x, y)[1], strict=True)]
    for rank in range(4):
        for got, expected in zip(replicas[rank], alone, strict=True):
            assert_close(got, expected, 1e-5 * (1 + np.abs(expected)), case=f"{case}, weights of rank {rank}")


def split(row, like):
    """A row of floats in the shapes of the network's weights, in double precision."""
    ends = np.cumsum([w.size for w in like])
    return [
        part.reshape(w.shape).astype(np.float64)
        for part, w in zip(np.split(row, ends[:-1]), like, strict=True)
    ]


# --- Your own transport -------------------------------------------------------------------------------------------


@points(2)
@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_your_own_transport_connects_any_number(open_world, rng, count):
    """Every pair of ranks, in both directions at the same time, with more bytes than any buffer has."""
    world = open_world(count, own=True)
    for n in (777, 3_000_001):  # the second begins at an odd place of whatever buffers there are
        case = f"{count} ranks, your own transport, {n} bytes to everybody"
        given = [rng.integers(0, 256, (count, n), np.uint8) for _ in range(count)]
        got = [np.zeros((count, n), np.uint8) for _ in range(count)]
        exchange(world, given, got, n, case)
        for rank in range(count):
            for peer in set(range(count)) - {rank}:
                what = f"what rank {rank} got from rank {peer}"
                assert_same(got[rank][peer], given[peer][rank], what=what, case=case)


def exchange(world, given, got, n, case):
    """Every rank sends given[rank][peer] to each peer, and fetches what comes into got[rank][peer]."""
    world.run("drive_exchange", lambda rank: (0, given[rank].reshape(-1), got[rank].reshape(-1), n), case)


@category("hygiene")
@points(1)
def test_the_folder_is_empty_when_all_are_connected(open_world):
    """A name that is still there after connecting stays for ever when a rank is killed."""
    world = open_world(3, own=True)
    left = sorted(path.name for path in world.ranks.folder.iterdir())
    check(
        not left,
        "files are left in the folder",
        case="3 connected ranks",
        expected="none",
        got=", ".join(left),
    )
    world.close()
    left = sorted(path.name for path in world.ranks.folder.iterdir())
    check(
        not left, "files are left in the folder", case="after closing", expected="none", got=", ".join(left)
    )


@category("hygiene")
@points(1)
def test_nothing_is_left_after_many_lives(ranks):
    """Connecting, talking and closing a hundred times: no descriptor, thread, mapping or file more than before."""
    them, case = ranks(2), "2 ranks, connected and closed 100 times"
    lives = [("drive_lifecycles", lambda rank: (".", rank, 2, 5, 1000))]
    first = them.calls(lives, case=case)
    before = [(them.descriptors_open(rank), them.threads(rank), them.memory_mib(rank)) for rank in range(2)]
    more = them.calls([("drive_lifecycles", lambda rank: (".", rank, 2, 100, 1000))], case=case)
    check(all(row == (0,) for row in (*first, *more)), "a round failed", case=case, got=str(more))
    for rank, (descriptors, threads, memory) in enumerate(before):
        check(them.descriptors_open(rank) == descriptors, f"rank {rank} has descriptors left open", case=case)
        check(them.threads(rank) == threads, f"rank {rank} has threads left", case=case)
        grown = them.memory_mib(rank) - memory
        check(grown < 20, f"rank {rank} has grown by {grown:.0f} MiB", case=case)


@category("safety")
@points(1)
def test_a_killed_peer_on_your_own_transport(open_world, rng):
    """The others do not hang, and a broken pipe does not end their process."""
    world, case = (
        open_world(3, own=True, timeout_ms=700, cut={}),
        "3 ranks, your own transport, rank 1 is killed",
    )
    given = whole(rng, 3, 900_000)
    world.allreduce(given, SUM, case)
    fates = world.ranks.fates(
        [("drive_rounds", lambda rank: (0, 1, 100_000, 200_000, given[rank], np.zeros(1, np.uint64)))],
        kill_after_s={1: 0.1},
        timeout_s=30,
        case=case,
    )
    for rank in (0, 2):
        fate = fates[rank]
        check(isinstance(fate, Answer), f"rank {rank} {getattr(fate, 'summary', '')}", case=case)
        must_fail({rank: answer(fate.values[0])}, LOST, case)
    one_more, case = np.zeros(1000, np.uint8), f"{case}; then rank 0 sends it 1000 bytes"
    fate = world.ranks.fates([("drive_pass", lambda rank: (0, one_more, 1000))], only=[0], case=case)[0]
    check(isinstance(fate, Answer), f"rank 0 {getattr(fate, 'summary', '')}", case=case)
    must_fail({0: answer(fate.values[0])}, ("0", *LOST), case)  # memory takes what nobody will fetch
    left = sorted(path.name for path in world.ranks.folder.iterdir())
    check(not left, "files are left in the folder", case=case, expected="none", got=", ".join(left))


@category("hygiene")
@points(1)
def test_leftovers_of_a_killed_run(ranks, shared_folder, rng):
    """A rank is killed while it waits for the others; the next run meets in the same folder."""
    for victim in (0, 1):
        case = f"2 ranks; an earlier rank {victim} was killed while it was connecting"
        first = ranks(2, folder=shared_folder)
        first.fates(
            [("drive_own", lambda rank: (0, ".", rank, 2, 5000))], only=[victim], kill_after_s={victim: 0.15}
        )
        first.close()
        then = ranks(2, folder=shared_folder)
        values = then.call(
            "drive_own_rounds",
            lambda rank: (".", rank, 2, 3, 1, 1, np.zeros(1, np.float32), np.zeros(1, np.uint64)),
            case=case,
        )
        check(values == (0, 0), "the second run failed", case=case, got=", ".join(map(answer, values)))
        then.close()


@category("hygiene")
@points(0.5)
def test_nobody_comes(ranks):
    """ddp_unix_transport gives up after timeout_ms, and takes its files away."""
    them, case = ranks(2, cut={}), "2 ranks, only one calls, timeout 300 ms"
    for rank in (0, 1):
        fates = them.fates([("drive_own", lambda rank: (0, ".", rank, 2, 300))], only=[rank], case=case)
        fate = fates[rank]
        check(
            isinstance(fate, Answer) and fate.values[0] == -110,
            "the answer is not -ETIMEDOUT",
            case=f"{case}: {rank}",
        )
        left = sorted(path.name for path in them.folder.iterdir())
        check(not left, "files are left in the folder", case=case, expected="none", got=", ".join(left))


@category("safety")
@points(0.5)
def test_waiting_on_your_own_transport_is_sleeping(open_world):
    """300 ms with nothing to do, and no core is busy meanwhile."""
    world, case = open_world(2, own=True), "2 ranks, your own wait(300 ms), nothing comes"
    before = world.ranks.busy_s(0)
    values = world.ranks.call("drive_idle", lambda rank: (0, 300), case=case)
    busy, took = world.ranks.busy_s(0) - before, world.ranks.timings[0].wall_s
    check(values == (0, 0), "wait did not answer 0", case=case, got=", ".join(map(answer, values)))
    check(took > 0.29, "wait came back too early", case=case, got=f"{1000 * took:.0f} ms")
    check(busy < BUSY * took, "wait kept a core busy: it must sleep", case=case, got=f"{1000 * busy:.0f} ms")


@category("hygiene")
@points(0.5)
def test_descriptor_0_on_your_own_transport(ranks):
    """A program that has closed its standard input gets 0 from open or socket: a descriptor like any other."""
    them, case = ranks(2), "2 ranks, your own transport, after close(0)"
    values = them.call(
        "drive_own_without_input",
        lambda rank: (".", rank, 2, 3, 100, np.zeros(100, np.float32), np.zeros(1, np.uint64)),
        case=case,
    )
    check(values == (0, 0), "it failed", case=case, expected="0 on both", got=", ".join(map(answer, values)))
    them.close()


# --- Errors -------------------------------------------------------------------------------------------------------


@category("hygiene")
@points(0.5)
def test_arguments_without_sense(open_world, rng):
    """-EINVAL, and nothing has changed."""
    world = open_world(2)
    seen = [np.full(15, 99, np.int64) for _ in range(2)]
    world.ranks.call("drive_nonsense", lambda rank: (seen[rank],))
    expected = [-22] * 9 + [0] + [-22] * 5
    assert_same(
        seen[0],
        np.array(expected, np.int64),
        what="the answers (see drive_nonsense)",
        case="ddp_create and others",
    )
    buf = np.ones(4, np.float32)
    for function, arguments in (
        ("allreduce_f32", (None, 4, SUM)),
        ("allreduce_f32", (buf, 4, 3)),
        ("allreduce_f32", (buf, 4, -1)),
        ("broadcast", (buf, 16, 2)),
        ("broadcast", (buf, 16, -1)),
        ("broadcast", (None, 16, 0)),
        ("reduce_scatter_f32", (None, buf, 2)),
        ("allgather_f32", (buf, None, 2)),
    ):
        answers = world.answers(
            function, lambda rank, arguments=arguments: arguments, f"ddp_{function}{arguments}"
        )
        must_fail(answers, ("-EINVAL",), f"ddp_{function}{arguments}")
    check(all_zero(world.answers("barrier", lambda rank: (), "afterwards")), "the context no longer works")


@category("hygiene")
@points(1)
@variant("faults")
def test_without_memory(ranks):
    """Whichever allocation fails: -ENOMEM and no crash, and everything is given back; also when all goes well."""
    them, shape = ranks(2), shape_of(3, (2, 0), 4)
    for own in (0, 1):
        for nth in range(60):
            case = f"2 ranks, allocation {nth} fails on both" + (", your own transport" if own else "")
            them.call("guest_fail_allocation", lambda rank, nth=nth: (nth,), case=case)
            seen, out = hungry(them, own, shape, case)
            made = them.call("guest_allocations", lambda rank: (), case=case)
            live = them.call("guest_live_bytes", lambda rank: (), case=case)
            them.call("guest_fail_allocation", lambda rank: (-1,), case=case)
            answers = [answer(int(value)) for row in seen for value in row]
            is_short = "-ENOMEM" in answers
            allowed = {"0", "99", "-ENOMEM", *LOST, "-EPROTO"} if is_short else {"0"}
            check(
                set(answers) <= allowed,
                "an allocation failed, and the answer is another",
                case=case,
                expected="-ENOMEM where it matters, else 0",
                got=", ".join(answers),
            )
            for rank in () if is_short else (0, 1):
                numbers = np.arange(1, 15, dtype=np.float32)
                expected = [2 * numbers[:7], 2 * numbers[7 * rank :][:7], numbers[:7], numbers[:7]]
                what = f"what comes of it on rank {rank}"
                assert_same(out[rank], np.concatenate(expected), what=what, case=f"{case}, all answer 0")
            check(live == (0, 0), "memory is not given back", case=case, got=f"{live} bytes")
            if max(made) <= nth:
                check(not is_short, "-ENOMEM although there is memory", case=case, got=", ".join(answers))
                break
    them.close()


def hungry(them, own, shape, case):
    """drive_hungry on two ranks: (what it answered, what came of it), by rank."""
    seen, out = np.full((2, 6), 99, np.int64), np.full((2, 28), np.nan, np.float32)
    them.call(
        "drive_hungry",
        lambda rank: (
            *(".", own, rank, 2, them.descriptors(rank), shape, len(shape), seen[rank], out[rank]),
        ),
        case=case,
        timeout_s=30,
    )
    return seen, out
