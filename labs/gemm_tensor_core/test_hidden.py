"""Facts about a product on tensor cores. Each test states one."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from grader.runner.invoke import Invocation
from grader.testing import assert_same, category, check, must, points, variant
from grader.toolchain.kernels import table
from labs.gemm_tensor_core.conftest import POISON
from labs.gemm_tensor_core.oracle import assert_product

pytestmark = category("correctness")

TAILS = [1, 7, 15, 17, 33, 100, 127, 129, 255]


def halves(rng, *shape):
    """Numbers in [0, 1) as float16."""
    return rng.random(shape).astype(np.float16)


def product_of(hgemm, rng, m, n, k, **how):
    """A product of random matrices, checked."""
    a, b, case = halves(rng, m, k), halves(rng, k, n), f"{m} x {n} x {k}"
    assert_product(hgemm(a, b, case=case, **how).c, a, b, 1, 0, np.zeros((m, n)), case=case)


# --- Sizes --------------------------------------------------------------------------------------------------------


@points(4)
@must
def test_products_of_tile_sizes(hgemm, rng):
    """Multiples of 16 in every combination: whole tiles, several of them, more in one direction than in the other."""
    for m, n, k in itertools.product([16, 48, 128, 256], repeat=3):
        product_of(hgemm, rng, m, n, k)


@points(4)
@must
def test_every_tail(hgemm, rng):
    """No size is a multiple of a tile: the last row, the last column and the last step of k are not full."""
    for m, n, k in itertools.product(TAILS, TAILS, [1, 7, 33, 127]):
        product_of(hgemm, rng, m, n, k)
    product_of(hgemm, rng, 1000, 1000, 1000)


@points(1)
def test_short_k(hgemm, rng):
    """k below the depth of one instruction, and none at all: then C = beta C."""
    for k in [1, 2, 8, 15]:
        product_of(hgemm, rng, 64, 64, k)
    a, b, c = halves(rng, 64, 0), halves(rng, 0, 64), rng.random((64, 64), np.float32)
    assert_product(hgemm(a, b, case="k = 0", beta=0.5, c=c).c, a, b, 1, 0.5, c, case="k = 0")


@points(1)
def test_long_k(hgemm, rng):
    """A small C and a very long sum: also where the work is split along k."""
    product_of(hgemm, rng, 128, 128, 32_768)
    product_of(hgemm, rng, 17, 33, 20_001)


@points(1)
def test_skinny_matrices(hgemm, rng):
    """One row, one column, one short side."""
    for m, n, k in [(1, 4096, 512), (4096, 1, 512), (2048, 16, 2048), (16, 2048, 2048)]:
        product_of(hgemm, rng, m, n, k)


# --- Where matrices lie -------------------------------------------------------------------------------------------


@points(3)
def test_leading_dimensions(hgemm, rng):
    """Rows that are further apart than they are long; NaN lies between and belongs to nobody."""
    wide = [(1, 0, 0), (0, 1, 0), (0, 0, 1), (8, 16, 4), (3, 5, 7)]
    cases = [(size, extra) for extra in wide for size in [(64, 64, 64), (33, 129, 65)]]
    for (m, n, k), extra in [*cases, ((60, 60, 60), (4, 4, 4)), ((130, 124, 252), (4, 4, 4))]:
        a, b, case = halves(rng, m, k), halves(rng, k, n), f"{m} x {n} x {k}, lda, ldb, ldc longer by {extra}"
        assert_product(hgemm(a, b, case=case, extra=extra).c, a, b, 1, 0, np.zeros((m, n)), case=case)


@points(2)
def test_misaligned_matrices(hgemm, rng):
    """A matrix of halves may begin at any even address: 16 bytes may not be loaded there."""
    for skew_a, skew_b, skew_c in [(1, 0, 0), (0, 1, 0), (0, 0, 1), (3, 5, 1)]:
        for m, n, k in [(64, 64, 64), (128, 256, 96)]:
            product_of(hgemm, rng, m, n, k, skew_a=skew_a, skew_b=skew_b, skew_c=skew_c)


@points(1)
def test_padding_of_c_is_left_alone(hgemm, rng):
    """What lies between the rows of C is not written."""
    a, b = halves(rng, 65, 40), halves(rng, 40, 33)
    got = hgemm(a, b, case="ldc 44", extra=(0, 0, 11))
    check(bool(np.isnan(got.padding).all()), "something was written between the rows of C", case="ldc 44")


# --- Arithmetic ---------------------------------------------------------------------------------------------------


@points(2)
def test_alpha_and_beta(hgemm, rng):
    """C = alpha A B + beta C, also where one of them is 0, 1 or negative."""
    a, b, c = halves(rng, 70, 50), halves(rng, 50, 90), rng.random((70, 90), np.float32)
    for alpha, beta in [(1, 1), (2, 0), (0, 2), (-1, 0.5), (0, 0), (0.25, -3)]:
        case = f"alpha {alpha}, beta {beta}"
        assert_product(hgemm(a, b, case=case, alpha=alpha, beta=beta, c=c).c, a, b, alpha, beta, c, case=case)


@points(1)
def test_beta_zero_ignores_c(hgemm, rng):
    """With beta 0 the old C is not read: 0 times NaN would be NaN. With alpha 0 A and B are not."""
    a, b = halves(rng, 48, 48), halves(rng, 48, 48)
    got = hgemm(a, b, case="C was NaN", beta=0)
    assert_product(got.c, a, b, 1, 0, np.zeros((48, 48)), case="C was NaN")
    nan, c = np.full((48, 48), np.nan, np.float16), rng.random((48, 48), np.float32)
    got = hgemm(nan, nan, case="alpha 0, A and B are NaN", alpha=0, beta=1, c=c)
    assert_same(got.c, c, what="C", case="alpha 0, A and B are NaN")


@points(2)
def test_small_integers_are_exact(hgemm, rng):
    """Whole numbers from -4 to 4: every sum is exact in single precision, so that one wrong index shows."""
    for m, n, k in [(64, 64, 64), (100, 120, 4096)]:
        a, b = (rng.integers(-4, 5, shape).astype(np.float16) for shape in ((m, k), (k, n)))
        expected = (a.astype(np.float64) @ b.astype(np.float64)).astype(np.float32)
        assert_same(
            hgemm(a, b, case=f"{m} x {n} x {k}").c + 0.0, expected + 0.0, what="C", case=f"{m} x {n} x {k}"
        )


@points(2)
@pytest.mark.parametrize("kind", ["uniform", "normal", "lognormal"])
def test_errors_stay_within_the_bound(hgemm, rng, kind):
    """(16 sqrt(k) + k) u |A||B|: sums in single precision, products exact."""
    draw = {
        "uniform": rng.random,
        "normal": rng.standard_normal,
        "lognormal": lambda shape: np.clip(rng.lognormal(0, 2, shape), 1e-3, 1e2),
    }[kind]
    a, b = (draw(shape).astype(np.float16) for shape in ((200, 1024), (1024, 150)))
    assert_product(hgemm(a, b, case=kind).c, a, b, 1, 0, np.zeros((200, 150)), case=kind)


@points(2)
def test_sums_do_not_overflow_half(hgemm):
    """4096 times 30 x 30 is 3686400: a sum that is kept in half precision is infinite from 65504 on, part or whole."""
    a, b = np.full((64, 4096), 30, np.float16), np.full((4096, 64), 30, np.float16)
    expected = np.full((64, 64), 3_686_400, np.float32)
    assert_same(hgemm(a, b, case="all 30, k = 4096").c, expected, what="C", case="all 30, k = 4096")


@points(1)
def test_infinity_and_nan_go_through(hgemm, rng):
    """As IEEE arithmetic says: they reach their row or column of C, and no other."""
    for value in [np.inf, -np.inf, np.nan]:
        a, b = halves(rng, 40, 50) + np.float16(0.5), halves(rng, 50, 60) + np.float16(0.5)
        a[7, 20], b[3, 41] = value, value
        assert_product(hgemm(a, b, case=f"{value}").c, a, b, 1, 0, np.zeros((40, 60)), case=f"{value}")


@points(1)
def test_single_hot_rows(hgemm, rng):
    """A picks single rows of B: C shows where each of them went."""
    m, n, k = 96, 80, 112
    a, b = np.zeros((m, k), np.float16), np.arange(k * n).reshape(k, n) % 2039
    a[np.arange(m), (7 * np.arange(m)) % k] = 1
    expected = b[(7 * np.arange(m)) % k].astype(np.float32)
    got = hgemm(a, b.astype(np.float16), case="one 1 in each row of A")
    assert_same(got.c, expected, what="C", case="one 1 in each row of A")


@points(2)
def test_single_precision_products(sgemm, rng):
    """tc_sgemm_smem: tails, leading dimensions, misaligned matrices, alpha and beta."""
    for m, n, k in [(1, 1, 1), (33, 65, 17), (128, 128, 128), (129, 100, 1000)]:
        a, b, c = (rng.random(shape, np.float32) for shape in ((m, k), (k, n), (m, n)))
        case = f"{m} x {n} x {k}, alpha 2, beta 0.5"
        got = sgemm(a, b, case=case, alpha=2, beta=0.5, c=c, extra=(3, 5, 7), skew_a=1, skew_b=3)
        assert_product(got.c, a, b, 2, 0.5, c, case=case)


# --- What the stream, the device and the next caller rely on ------------------------------------------------------


@points(1)
def test_rubbish_in_the_workspace_does_no_harm(hgemm, rng):
    """Nobody clears the workspace between calls."""
    a, b = halves(rng, 128, 8192), halves(rng, 8192, 128)
    for poison, words in [
        (0x00, "zeros: wrong even so"),
        (0x7F, "bytes 0x7f"),
        (0xFF, "bytes 0xff, which are NaN"),
    ]:
        case = f"128 x 128 x 8192, a workspace of {words}"
        assert_product(hgemm(a, b, case=case, poison=poison).c, a, b, 1, 0, np.zeros((128, 128)), case=case)


@points(1)
def test_one_call_after_the_other(hgemm, rng):
    """Three calls in a row, with beta 1 and the same workspace: each adds A B once more."""
    a, b, c = halves(rng, 100, 80), halves(rng, 80, 60), rng.random((100, 60), np.float32)
    got = hgemm(a, b, case="three calls, beta 1", beta=1, c=c, calls=3)
    assert_product(got.c, a, b, 3, 1, c, case="three calls, beta 1")


@points(1)
def test_two_streams_at_once(hgemm, rng):
    """Two products at the same time, with a workspace each: a variable on the device would belong to both."""
    a, b = halves(rng, 300, 4000), halves(rng, 4000, 200)
    for attempt in range(8):
        got = hgemm(a, b, case="two streams", twin=4, calls=8, delayed=1)
        for sign, c in ((1, got.c[:300]), (-1, got.c[300:])):
            case = f"{sign} A B, attempt {attempt + 1}"
            assert_product(c, a, b, sign, 0, np.zeros((300, 200)), case=case)


@points(1)
def test_recorded_into_a_graph(hgemm, rng):
    """Recorded once, launched twice: nothing may wait, allocate, or leave the stream."""
    product_of(hgemm, rng, 200, 150, 3000, graph=1)


@points(1)
def test_the_stream_orders_the_work(hgemm, rng):
    """A and B are ready only when the stream has come so far: a launch on another stream is too early."""
    product_of(hgemm, rng, 128, 256, 512, delayed=1)


@points(1)
def test_equal_inputs_give_equal_bits(library, hgemm, rng):
    """Products of the same matrices are the same, whichever block ends first: sums in the order of arrival are not."""
    a, b = (rng.standard_normal(shape).astype(np.float16) for shape in ((128, 16_384), (16_384, 128)))
    first = hgemm(a, b, case="10 times").c
    for _ in range(9):
        assert_same(hgemm(a, b, case="10 times").c, first, what="C", case="10 times")
    for m, n, k in [(64, 64, 1000), (64, 64, 65_536), (128, 128, 16_384), (256, 192, 4096), (512, 512, 2048)]:
        case = f"{m} x {n} x {k}, 20 times, beside other work on the GPU"
        products, seed = np.zeros((20, m, n), np.float32), int(rng.integers(0, 1 << 32))
        status = library.call("drive_repeated_hgemm", m, n, k, seed, len(products), products, case=case)
        check(status == 0, "the call failed", case=case, got=f"cudaError_t {status}")
        for again in products[1:]:
            assert_same(again, products[0], what="C", case=case)


@points(1)
def test_nonsense_is_refused(library):
    """Arguments that contradict the header are answered cudaErrorInvalidValue (1), and nothing to do is no mistake."""
    answers = np.full(12, -1, np.int32)
    error = library.call("drive_nonsense", answers)
    check(error == 0, "a call with wrong arguments did something all the same", got=f"cudaError_t {error}")
    expected = np.array([1] * 8 + [0] * 4, np.int32)
    assert_same(answers, expected, what="the answers (in the order of driver.cu)")


@points(1)
@variant("faults")
def test_nothing_is_allocated_or_waited_for(library):
    """No cudaMalloc, no cudaDeviceSynchronize, no copy to the host in a call: a stream must never stand still."""
    counts = np.zeros(3, np.int64)
    check(library.call("drive_counted", 512, counts) == 0, "a call failed")
    for name, count in zip(["allocations", "waits", "copies to or from the host"], counts, strict=True):
        check(count == 0, f"calls made {name}", expected=0, got=int(count))


def scenes(library, rng):
    """Small calls of both functions, for a tool that watches each access: whole tiles, and tails at odd addresses."""
    calls = []
    for m, n, k, skew in [(128, 128, 128, 0), (70, 45, 100, 1)]:
        how, seen = library.struct("drive_how"), library.struct("drive_seen")
        how.poison, how.skew_a, how.skew_b, how.snug = POISON, skew, skew, 1
        a, b = (halves(rng, *shape).view(np.uint16).ravel() for shape in ((m, k), (k, n)))
        c = np.zeros(m * n, np.float32)
        calls.append(Invocation("drive_hgemm", (how, m, n, k, 1.0, a, k, b, n, 0.0, c, n, seen)))
    x, y, z = (rng.random(40 * 40, np.float32) for _ in range(3))
    how, seen = library.struct("drive_how"), library.struct("drive_seen")
    how.poison, how.snug = POISON, 1
    calls.append(Invocation("drive_sgemm", (how, 40, 40, 40, 1.0, x, 40, y, 40, 0.5, z, 40, seen)))
    return calls


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


@points(1)
def test_no_access_outside_the_matrices(watch, library, rng):
    """compute-sanitizer's memcheck: every load and store of every thread lies in an array, and is aligned."""
    watched(watch, "memcheck", library, rng)


@points(1)
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


# --- Machine code: judged on every machine ------------------------------------------------------------------------


@points(4)
@category("machine code")
def test_tensor_cores_do_the_work(kernels, evidence):
    """mma.sync, wmma.mma or wgmma: one instruction multiplies a tile."""
    evidence("The kernels as compiled", table(kernels))
    found = [k.name for k in kernels if k.uses("tensor cores")]
    check(
        bool(found),
        "no kernel uses the tensor cores",
        expected="mma.sync, from inline PTX, or wmma::mma_sync",
    )


@points(3)
@category("machine code")
def test_tiles_come_by_cp_async(kernels):
    """Copies to shared memory that run while the tensor cores work."""
    found = [
        k.name for k in kernels if (k.uses("cp.async") or k.uses("bulk copies")) and k.uses("tensor cores")
    ]
    check(
        bool(found),
        "no kernel with tensor cores copies its tiles by cp.async",
        expected="cp.async.cg, 16 bytes each",
    )


@points(2)
@category("machine code")
def test_no_registers_are_spilled(kernels):
    """An accumulator in local memory is no accumulator."""
    check(bool(kernels), "there is no kernel yet")
    for kernel in (kernel for kernel in kernels if kernel.launched):
        spilled = f"{kernel.spill_bytes} bytes"
        check(
            kernel.spill_bytes == 0,
            "registers are spilled",
            where=kernel.name,
            expected="0 bytes",
            got=spilled,
        )


@points(1)
@category("machine code")
def test_the_first_step_uses_shared_memory(kernels):
    """tc_sgemm_smem: tiles in shared memory, a barrier, and no tensor cores."""
    found = [
        k.name
        for k in kernels
        if k.uses("shared memory") and k.uses("barriers") and not k.uses("tensor cores")
    ]
    check(bool(found), "no kernel without tensor cores uses shared memory with a barrier")
