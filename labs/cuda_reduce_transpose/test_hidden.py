"""Facts about sums, maxima and transposes on a GPU. Each test states one."""

from __future__ import annotations

import numpy as np
import pytest

from grader.runner.invoke import Invocation
from grader.testing import assert_close, assert_same, category, check, gpu, must, points, variant
from labs.cuda_reduce_transpose.conftest import POISON
from labs.cuda_reduce_transpose.oracle import UNIT_ROUNDOFF, assert_sum

pytestmark = category("correctness")

LENGTHS = [
    0,
    1,
    2,
    31,
    32,
    33,
    127,
    255,
    256,
    257,
    1023,
    1024,
    1025,
    4099,
    65_537,
    (1 << 20) - 1,
    (1 << 20) + 1,
]
TILE_BYTES = 1024
SHAPES = [1, 7, 31, 32, 33, 63, 65, 1000]


# --- Sums and maxima ----------------------------------------------------------------------------------------------


@points(3)
@must
def test_sums_of_every_length(reduce, rng):
    """A block that is not full, a second stage that is not full, a single element, none."""
    for n in LENGTHS:
        numbers = rng.random(n, np.float32)
        assert_sum(reduce("sum", numbers, case=f"n = {n}"), numbers, case=f"n = {n}")


@points(2)
@pytest.mark.parametrize("kind", ["offset 50", "normal", "ones", "alternating", "one huge"])
def test_sums_stay_within_the_bound(reduce, rng, kind):
    """Adding in a tree keeps the error below 8 u sum(|x|); adding a million numbers one by one does not."""
    n = (1 << 22) + 3
    numbers = {
        "offset 50": lambda: rng.random(n, np.float32) + np.float32(50),
        "normal": lambda: rng.standard_normal(n, np.float32),
        "ones": lambda: np.ones(n, np.float32),
        "alternating": lambda: np.where(np.arange(n) % 2, -1, 1) * rng.random(n, np.float32),
        "one huge": lambda: np.where(np.arange(n) == n // 3, 1e8, 1e-3),
    }[kind]()
    numbers = numbers.astype(np.float32)
    assert_sum(reduce("sum", numbers, case=kind), numbers, case=kind)


@points(1)
def test_sums_keep_single_precision(reduce):
    """1 + 2^-12 is no half: whoever goes through half precision loses the small part."""
    numbers = np.full(4096, 1 + 2.0**-12, np.float32)
    got = reduce("sum", numbers, case="4096 times 1 + 2^-12")
    assert_same(got, np.array([4097], np.float32), what="the sum", case="4096 times 1 + 2^-12")


@points(1)
def test_infinity_and_nan_go_through(reduce, rng):
    """As in additions: Inf stays, Inf - Inf and NaN are NaN."""
    for name, put in {
        "Inf": [np.inf],
        "-Inf": [-np.inf],
        "Inf and -Inf": [np.inf, -np.inf],
        "NaN": [np.nan],
    }.items():
        numbers = rng.random(10_000, np.float32)
        numbers[[17, 9000][: len(put)]] = put
        assert_sum(reduce("sum", numbers, case=name), numbers, case=name)


@points(2)
def test_maxima(reduce, rng):
    """Also where all are negative; -Inf for none; 0 and -0 are equal."""
    for n in [1, 31, 33, 1000, 1025, (1 << 20) + 1]:
        numbers = -1 - rng.random(n, np.float32)
        got = reduce("max", numbers, case=f"n = {n}, all negative")
        assert_same(got, numbers.max(keepdims=True), what="the maximum", case=f"n = {n}, all negative")
    nothing = reduce("max", np.zeros(0, np.float32), case="n = 0")
    assert_same(nothing, np.array([-np.inf], np.float32), what="the maximum", case="n = 0")
    zeros = np.zeros(100, np.float32) * np.where(np.arange(100) % 2, -1, 1).astype(np.float32)
    check(float(reduce("max", zeros, case="zeros")[0]) == 0, "the maximum of 0 and -0 is 0", case="zeros")


@points(1)
def test_a_maximum_is_nan_if_one_element_is(reduce, rng):
    """fmaxf drops NaN; the header does not."""
    for n, place in [(33, 0), (1000, 999), (1 << 20, 700_001)]:
        numbers = rng.random(n, np.float32)
        numbers[place] = np.nan
        got = reduce("max", numbers, case=f"NaN at {place} of {n}")
        check(
            bool(np.isnan(got[0])),
            "one element is NaN, the maximum is not",
            case=f"NaN at {place} of {n}",
            got=got[0],
        )


@points(2)
def test_sums_of_warps(warp_sums, rng):
    """One sum for each 32 elements; also where the last block has few warps, and for none."""
    for rows in [0, 1, 3, 8, 33, 1000, 100_003]:
        numbers = rng.standard_normal((rows, 32)).astype(np.float32)
        assert_sum(warp_sums(numbers, case=f"{rows} warps"), numbers, case=f"{rows} warps")


@points(1)
def test_sums_of_rows(rows_sum, rng):
    """Rows that are shorter than their distance: padding, here NaN, belongs to nobody."""
    for rows, cols, ld in [(1, 1, 1), (5, 33, 40), (100, 1000, 1001), (3, 100_000, 100_000), (7, 0, 3)]:
        matrix = np.full((rows, ld), np.nan, np.float32)
        matrix[:, :cols] = rng.random((rows, cols), np.float32)
        case = f"{rows} rows of {cols}, ld {ld}"
        assert_sum(rows_sum(matrix, cols, case=case), matrix[:, :cols], case=case)


@points(2)
def test_misaligned_input(reduce, warp_sums, rng):
    """An array of floats may begin anywhere that 4 divides: a float4 may not be loaded there."""
    for skew in [1, 2, 3]:
        for n in [5, 1000, 100_001]:
            numbers = rng.random(n, np.float32)
            case = f"n = {n}, {4 * skew} bytes behind a multiple of 256"
            assert_sum(reduce("sum", numbers, case=case, skew=skew), numbers, case=case)
            assert_same(
                reduce("max", numbers, case=case, skew=skew), numbers.max(keepdims=True), what="it", case=case
            )


@points(1)
def test_results_replace_what_was_there(reduce, rng):
    """d_out held NaN or an old result: what counts is the new one."""
    numbers = rng.random(70_000, np.float32)
    for poison in [0x00, 0x3F, 0xFF]:
        case = f"d_out filled with {poison:#x}"
        assert_sum(reduce("sum", numbers, case=case, poison=poison), numbers, case=case)


@points(1)
def test_rubbish_in_the_workspace_does_no_harm(reduce, rng):
    """Nobody clears the workspace between calls: a counter in it is not 0."""
    numbers = rng.random(300_000, np.float32)
    for poison in [0x01, 0x7F, 0xFF]:
        for what in ["sum", "max"]:
            got = reduce(what, numbers, case=f"{what}, rubbish {poison:#x}", poison=poison)
            expected = numbers.astype(np.float64).sum() if what == "sum" else numbers.max()
            bound = 8 * UNIT_ROUNDOFF * numbers.size
            assert_close(got, np.array([expected]), bound, case=f"{what}, rubbish {poison:#x}")


@points(1)
def test_one_call_after_the_other(reduce, rng):
    """Three calls in a row with the same workspace: each begins anew."""
    numbers = rng.random(200_000, np.float32)
    assert_sum(reduce("sum", numbers, case="three calls", calls=3), numbers, case="three calls")


@points(1)
def test_two_streams_at_once(reduce, rng):
    """Two sums at the same time, with a workspace each: a variable on the device would belong to both."""
    numbers = (rng.random(3_000_000, np.float32) * np.arange(3_000_000) / 3e6).astype(np.float32)
    for attempt in range(8):
        got = reduce("sum", numbers, case="two streams", twin=4, calls=8, delayed=1)
        assert_sum(got[:1], numbers, case=f"the first stream, attempt {attempt + 1}")
        assert_sum(got[1:], -numbers, case=f"the second stream, attempt {attempt + 1}")


@points(1)
def test_recorded_into_a_graph(reduce, transpose, rng):
    """Recorded once, launched twice: nothing may wait, allocate, or leave the stream."""
    numbers = rng.random(100_000, np.float32)
    assert_sum(reduce("sum", numbers, case="in a graph", graph=1), numbers, case="in a graph")
    matrix = rng.random((100, 70), np.float32)
    assert_same(transpose(matrix, 70, 100, case="in a graph", graph=1), matrix.T, what="the transpose")


@points(2)
def test_the_stream_orders_the_work(reduce, transpose, rng):
    """The input is ready only when the stream has come so far: a launch on another stream is too early."""
    numbers = 1 + rng.random(100_000, np.float32)
    assert_sum(reduce("sum", numbers, case="late input", delayed=1), numbers, case="late input")
    assert_same(
        reduce("max", numbers, case="late input", delayed=1), numbers.max(keepdims=True), what="the maximum"
    )
    matrix = 1 + rng.random((200, 300), np.float32)
    assert_same(transpose(matrix, 300, 200, case="late input", delayed=1), matrix.T, what="the transpose")


@points(1)
def test_equal_inputs_give_equal_bits(library, reduce, rng):
    """Sums of the same numbers are the same, whichever block ends first: atomics in the order of arrival are not."""
    numbers = rng.standard_normal(1_000_003).astype(np.float32)
    sums = np.array([reduce("sum", numbers, case="20 times")[0] for _ in range(20)])
    assert_same(sums, np.full(20, sums[0]), what="sums of the same numbers", case="20 times")
    for n in [100, 3000, 50_000, 1_000_003, (1 << 22) + 3, (1 << 24) + 5, 1 << 26]:
        case = f"n = {n}, 30 times, beside other work on the GPU"
        sums, seed = np.zeros(30, np.float32), int(rng.integers(0, 1 << 32))
        status = library.call("drive_repeated_sum", n, seed, sums.size, sums, case=case)
        check(status == 0, "the call failed", case=case, got=f"cudaError_t {status}")
        assert_same(sums, np.full(30, sums[0]), what="sums of the same numbers", case=case)


@points(2)
def test_a_large_sum(library, on_gpu, seed_of_run):
    """2^28 numbers, 1 GiB: more partial sums than a second stage of one block adds at once."""
    n, seed = 1 << 28, seed_of_run & 0xFFFFFFFF
    out = np.zeros(1, np.float32)
    check(library.call("drive_filled_sum", n, seed, out) == 0, "the call failed", case="n = 2^28")
    expected = float(gpu.filled(on_gpu, n, seed).sum(dtype=np.float64))
    assert_close(out, np.array([expected]), 8 * UNIT_ROUNDOFF * expected, case="n = 2^28")


# --- Transposes ---------------------------------------------------------------------------------------------------


@points(3)
@must
def test_transposes_of_every_shape(transpose, rng):
    """Tiles that are not full, on one side or on both."""
    for rows in SHAPES:
        for cols in SHAPES:
            matrix = rng.integers(0, 1 << 32, (rows, cols), np.uint32).view(np.float32)
            case = f"{rows} x {cols}"
            assert_same(transpose(matrix, cols, rows, case=case), matrix.T, what="the transpose", case=case)


@points(2)
def test_padding_is_left_alone(transpose, rng):
    """Leading dimensions larger than the matrix: the bytes between belong to somebody else."""
    for rows, cols, ld_in, ld_out in [
        (33, 65, 80, 40),
        (64, 64, 65, 96),
        (1, 100, 128, 7),
        (1000, 31, 32, 1024),
    ]:
        matrix = np.full((rows, ld_in), np.nan, np.float32)
        matrix[:, :cols] = rng.random((rows, cols), np.float32)
        case = f"{rows} x {cols}, ld_in {ld_in}, ld_out {ld_out}"
        expected = np.full((cols, ld_out), np.frombuffer(bytes([POISON] * 4), np.float32)[0], np.float32)
        expected[:, :rows] = matrix[:, :cols].T
        assert_same(
            transpose(matrix, cols, ld_out, case=case),
            expected,
            what="the result with its padding",
            case=case,
        )


@points(1)
def test_single_rows_and_columns(transpose, rng):
    """1 x N and N x 1 are copies."""
    for rows, cols in [(1, 100_000), (100_000, 1), (2, 65_537), (65_537, 2)]:
        matrix = rng.random((rows, cols), np.float32)
        case = f"{rows} x {cols}"
        assert_same(transpose(matrix, cols, rows, case=case), matrix.T, what="the transpose", case=case)


@points(1)
def test_many_rows_of_blocks(transpose, rng):
    """More than 65535 tiles in one direction: a grid has no more in y and z."""
    for rows, cols in [(2_200_000, 3), (3, 2_200_000)]:
        matrix = rng.random((rows, cols), np.float32)
        case = f"{rows} x {cols}"
        assert_same(transpose(matrix, cols, rows, case=case), matrix.T, what="the transpose", case=case)


@points(1)
def test_a_matrix_beyond_2_gib(library, rng, seed_of_run):
    """32768 x 17000 floats: an index of 32 bits in bytes is not enough."""
    rows, cols, seed = 32_768, 17_000, seed_of_run & 0xFFFFFFFF
    where = rng.integers(0, rows * cols, 500, np.uint64)
    got = np.zeros(500, np.uint32)
    status = library.call("drive_filled_transpose", rows, cols, seed, 500, where, got)
    check(status == 0, "the call failed", case=f"{rows} x {cols}", got=f"cudaError_t {status}")
    j, i = where // np.uint64(rows), where % np.uint64(rows)
    expected = gpu.unit(gpu.bits(seed, i * np.uint64(cols) + j))
    assert_same(got.view(np.float32), expected, what="500 elements of the result", case=f"{rows} x {cols}")


@points(1)
def test_halves_are_transposed(transpose, rng):
    """Elements of 16 bits, also where a row begins at an odd half."""
    for rows, cols in [(32, 32), (33, 65), (1000, 31)]:
        matrix = rng.integers(0, 1 << 16, (rows, cols), np.uint16)
        case = f"{rows} x {cols} halves"
        assert_same(
            transpose(matrix, cols, rows, case=case, skew=1), matrix.T, what="the transpose", case=case
        )


# --- What the stream, the device and the next caller rely on -------------------------------------------------------


@points(1)
def test_nonsense_is_refused(library):
    """Arguments that contradict the header are answered cudaErrorInvalidValue (1), and nothing to do is no mistake."""
    answers = np.full(16, -1, np.int32)
    error = library.call("drive_nonsense", answers)
    check(error == 0, "a call with wrong arguments did something all the same", got=f"cudaError_t {error}")
    expected = np.array([1] * 11 + [0] * 5, np.int32)
    assert_same(answers, expected, what="the answers (in the order of driver.cu)")


@points(1)
@variant("faults")
def test_nothing_is_allocated_or_waited_for(library):
    """No cudaMalloc, no cudaDeviceSynchronize, no copy to the host in a call: a stream must never stand still."""
    counts = np.zeros(3, np.int64)
    check(library.call("drive_counted", 1_000_000, counts) == 0, "a call failed")
    for name, count in zip(["allocations", "waits", "copies to or from the host"], counts, strict=True):
        check(count == 0, f"calls made {name}", expected=0, got=int(count))


def scenes(library, rng):
    """Small calls of every function, for a tool that watches each access."""
    how, seen = library.struct("drive_how"), library.struct("drive_seen")
    how.poison, how.skew, how.snug = POISON, 1, 1
    numbers, out = rng.random(5000, np.float32), np.zeros(1, np.float32)
    rows, sums = rng.random((37, 32)).astype(np.float32), np.zeros(37, np.float32)
    matrix, turned = rng.random((70, 45)).astype(np.float32), np.zeros((45, 70), np.float32)
    return [
        Invocation("drive_reduce", (0, how, numbers, numbers.size, out, seen)),
        Invocation("drive_reduce", (1, how, numbers, numbers.size, out, seen)),
        Invocation("drive_warp_sum", (how, rows, 37, sums, seen)),
        Invocation("drive_transpose", (4, how, matrix, 70, 45, 45, turned, 70, seen)),
    ]


def watched(watch, tool, library, rng):
    """The scenes under one of compute-sanitizer's tools; whoever does nothing shows nothing."""
    calls = scenes(library, rng)
    first = calls[0]  # without the tool, which takes seconds to say of a starter that nothing is there
    library.call(first.function, *first.arguments, case=first.function)
    check(first.arguments[-1].status == 0, "a call that must work did not", got=first.arguments[-1].status)
    watch(tool, calls, case="small sizes")
    for call in calls:
        seen = call.arguments[-1]
        check(
            seen.status == 0, "a call that must work did not", case=call.function, expected=0, got=seen.status
        )


@points(2)
def test_no_access_outside_the_arrays(watch, library, rng):
    """compute-sanitizer's memcheck: every load and store of every thread lies in an array, and is aligned."""
    watched(watch, "memcheck", library, rng)


@points(2)
def test_no_race_in_shared_memory(watch, library, rng):
    """compute-sanitizer's racecheck: between a store to shared memory and another warp's load there is a barrier."""
    watched(watch, "racecheck", library, rng)


@points(1)
def test_every_thread_reaches_the_barriers(watch, library, rng):
    """compute-sanitizer's synccheck: no __syncthreads in a branch that only some threads take."""
    watched(watch, "synccheck", library, rng)


@points(1)
def test_nothing_unwritten_is_read(watch, library, rng):
    """compute-sanitizer's initcheck: no load from memory that nobody has written."""
    watched(watch, "initcheck", library, rng)


# --- Machine code: judged on every machine -------------------------------------------------------------------------


@points(3)
@category("machine code")
def test_warp_sums_need_no_shared_memory(kernels, evidence):
    """Thirty-two numbers are added within a warp, by shuffles: one kernel has them and no shared memory."""
    from grader.toolchain.kernels import table

    evidence("The kernels as compiled", table(kernels))
    fitting = [
        k.name for k in kernels if k.uses("shuffles") and not k.uses("shared memory") and not k.shared_bytes
    ]
    check(
        bool(fitting),
        "no kernel has shuffles and no shared memory",
        why="__shfl_down_sync gives a lane its neighbour's value.",
    )


@points(3)
@category("machine code")
def test_sums_load_16_bytes_at_a_time(kernels):
    """A quarter of the loads: float4 where the address allows it."""
    found = [k.name for k in kernels if k.uses("16-byte loads") and k.uses("shuffles")]
    check(
        bool(found), "no summing kernel loads 16 bytes at a time", expected="ld.global.v4.f32, from a float4"
    )


@points(2)
@category("machine code")
def test_transposes_go_through_shared_memory(kernels):
    """A tile is loaded by rows and stored by rows of the result: between lies shared memory, and a barrier."""
    tiles = [k for k in kernels if k.uses("shared memory") and k.uses("barriers")]
    found = [k.name for k in tiles if not k.uses("shuffles") and k.shared_bytes >= TILE_BYTES]
    check(bool(found), "no kernel keeps a tile in shared memory", expected="__shared__ float tile[32][33];")


@points(2)
@category("machine code")
def test_no_registers_are_spilled(kernels):
    """What does not fit into registers goes to local memory, which is as slow as the rest of it."""
    check(bool(kernels), "there is no kernel yet")
    for kernel in (kernel for kernel in kernels if kernel.launched):
        check(
            kernel.spill_bytes == 0,
            "registers are spilled to local memory",
            where=kernel.name,
            expected="0 bytes",
            got=f"{kernel.spill_bytes} bytes",
        )
