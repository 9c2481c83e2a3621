"""Hidden tests: facts about a correct, safe and well-behaved gemv. Each catches at least one known mistake."""

from __future__ import annotations

import errno
import itertools
import math

import numpy as np
import pytest

from grader.runner.invoke import Invocation
from grader.testing import (
    CheckFailed,
    NotJudged,
    assert_close,
    assert_pinned_isa,
    assert_same,
    category,
    check,
    must,
    points,
    variant,
)
from labs.gemv_simd import oracle
from labs.gemv_simd.oracle import of, problem, uniform

pytestmark = category("correctness")
both = pytest.mark.parametrize("transposed", [False, True], ids=["A x", "A^T x"])

SIZE_MAX, PTRDIFF_MIN = 2**64 - 1, -(2**63)


# --- Shapes -------------------------------------------------------------------------------------------------------


@must
@points(4)
@both
def test_every_small_shape(gemv, rng, transposed):
    """All m and n from 0 to 33: every number of rows and columns that can be left over occurs."""
    for m, n in sorted(itertools.product(range(34), repeat=2), key=lambda shape: (sum(shape), shape)):
        gemv(problem(rng, m, n, transposed=transposed))


@points(2)
@both
def test_primes_and_neighbours_of_powers_of_two(gemv, rng, transposed):
    """Lengths around every power of two, and primes: blocks begin and end in the wrong places here."""
    lengths = [2**k + d for k in range(6, 14) for d in (-1, 0, 1)] + [97, 997, 4999]
    for length in lengths:
        gemv(problem(rng, 11, length, transposed=transposed, beta=1.0))
        gemv(problem(rng, length, 11, transposed=transposed, beta=1.0))


@points(1)
@both
def test_one_row_and_one_column(gemv, rng, transposed):
    """A vector is a matrix too."""
    for shape in ((1, 1), (1, 2000), (2000, 1), (2, 1999), (1999, 2)):
        gemv(problem(rng, *shape, transposed=transposed))


@points(2)
@both
def test_random_problems(gemv, rng, transposed):
    """Forty random problems: shapes, factors, padding and strides at once."""
    for limit in (12, 40, 130, 260):
        for _ in range(10):
            m, n = (int(side) for side in rng.integers(1, limit, 2))
            incx, incy = (int(step) for step in rng.choice([-3, -2, -1, 1, 1, 2, 3], 2))
            alpha, beta = rng.choice([-1.5, 0.0, 1.0, 2.0], 2)
            padding = int(rng.integers(0, 9))
            gemv(
                problem(
                    rng,
                    m,
                    n,
                    transposed=transposed,
                    alpha=alpha,
                    beta=beta,
                    padding=padding,
                    incx=incx,
                    incy=incy,
                )
            )


@points(1)
@both
def test_a_large_matrix(gemv, rng, transposed):
    """Fifteen million elements: more than any cache holds."""
    gemv(problem(rng, 3001, 5003, transposed=transposed, beta=0.5))


@points(1)
@both
@variant("asan")
def test_rows_gigabytes_apart(library, rng, transposed):
    """lda = 2^29 + 3: the offset of the last rows, i * lda, does not fit into 32 bits."""
    m, n, lda = 9, 5, 2**29 + 3
    item = problem(rng, m, n, transposed=transposed)
    case = f"{item.function} m={m} n={n} lda={lda}"
    _, x, y = item.flat
    status = library.call("gemv_far_apart", int(transposed), m, n, lda, item.a, x, y, case=case)
    if status == -errno.ENOSPC:
        raise NotJudged("this machine does not reserve 20 GB of address space")
    check(status == 0, "a correct call was refused", case=case, expected=0, got=status)
    assert_close(y, item.expected(), item.bound(), case=case)


# --- Padding and strides ------------------------------------------------------------------------------------------


@points(1)
@both
def test_padding_of_the_matrix_is_not_used(gemv, rng, transposed):
    """The gaps between the rows hold NaN here: one of them in a sum poisons the result."""
    for shape in ((3, 5), (8, 16), (9, 17), (23, 35), (40, 13)):
        for padding in (1, 7, 16):
            gemv(problem(rng, *shape, padding=padding, transposed=transposed))


@points(2)
@both
def test_every_pair_of_strides(gemv, rng, transposed):
    """incx and incy of 1, 2, 3, -1 and -2. Between the elements of x lie NaN; what lies between those of y stays."""
    for incx, incy in itertools.product((1, 2, 3, -1, -2), repeat=2):
        for shape in ((1, 1), (2, 3), (9, 20), (70, 33)):
            gemv(problem(rng, *shape, incx=incx, incy=incy, beta=-0.5, transposed=transposed))


@points(1)
@both
def test_strides_of_long_vectors(gemv, rng, transposed):
    """Vectors longer than any buffer that gathers them."""
    for shape in ((5, 20011), (20011, 5)):
        gemv(problem(rng, *shape, incx=3, incy=-2, beta=2.0, transposed=transposed))


# --- alpha and beta -----------------------------------------------------------------------------------------------


@points(1)
@both
def test_beta_zero_does_not_read_y(gemv, rng, transposed):
    """With beta = 0, y may hold NaN, and 0 * NaN is NaN: y must be overwritten, not scaled."""
    for shape in ((1, 1), (8, 16), (19, 37)):
        for incy in (1, 2):
            gemv(problem(rng, *shape, beta=0.0, incy=incy, transposed=transposed))


@points(1)
@both
def test_factors_are_applied_once(gemv, rng, transposed):
    """However many blocks a long sum is cut into, y is scaled by beta once, and each product by alpha once."""
    for shape in ((3, 100), (3, 20000), (20000, 3)):
        gemv(problem(rng, *shape, alpha=-1.75, beta=-0.5, transposed=transposed))


@points(1)
@both
def test_alpha_zero_does_not_read_the_matrix(gemv, rng, transposed):
    """With alpha = 0, A and x may hold NaN: the answer is beta * y."""
    for beta, incy in itertools.product((0.0, 1.0, -0.5), (1, -3)):
        full = problem(rng, 12, 13, beta=beta, transposed=transposed)
        a, x = np.full_like(full.a, np.nan), np.full_like(full.x, np.nan)
        gemv(of(a, x, full.y, alpha=0.0, beta=beta, incy=incy, transposed=transposed))


@points(1)
@both
def test_an_empty_sum_scales_y(gemv, rng, transposed):
    """Nothing to add up is zero, not nothing to do: y = beta * y."""
    shape = (0, 9) if transposed else (9, 0)
    for beta in (0.0, 1.0, -0.5):
        gemv(problem(rng, *shape, beta=beta, transposed=transposed))


# --- Numbers ------------------------------------------------------------------------------------------------------


@points(1)
@both
def test_whole_numbers_stay_exact(gemv, rng, transposed):
    """Sums of whole numbers below 2^24 are exact, whatever the order: a term lost or counted twice shows."""
    for shape in ((64, 128), (129, 257), (31, 4099)):
        gemv(problem(rng, *shape, draw=oracle.whole_numbers, alpha=2.0, transposed=transposed))


@points(2)
@both
def test_single_precision_is_kept(gemv, rng, transposed):
    """Inputs or sums rounded to fewer than 24 bits are at least thirty times over the bound."""
    why = "Was something rounded to bfloat16 or half precision on the way?"
    for shape in ((40, 1), (40, 64), (40, 2000), (2000, 40)):
        gemv(problem(rng, *shape, transposed=transposed), why=why)


@points(1)
@both
def test_mixed_magnitudes_and_cancellation(gemv, rng, transposed):
    """Sizes from 1e-6 to 1e6, and sums whose large terms cancel: the error stays within single precision."""
    for shape in ((5, 6), (30, 500), (500, 30)):
        gemv(problem(rng, *shape, draw=oracle.mixed_magnitudes, transposed=transposed))
    a = np.array([[1e8, 1, -1e8], [-1e8, 1e8, 1], [1, 1e8, -1e8]], np.float32)
    gemv(of(a, np.ones(3), transposed=transposed))


@points(1)
@both
def test_tiny_numbers_are_not_flushed(gemv, rng, transposed):
    """Below 1.2e-38 floats lose digits, but are not zero: a library must not switch that off for its caller."""
    tiny = (1 + rng.integers(0, 1000, (9, 17))).astype(np.float32) * np.float32(2.0**-149)
    item = of(tiny, np.ones(9 if transposed else 17, np.float32), transposed=transposed)
    gemv(item)
    assert_same(item.flat[2], item.expected().astype(np.float32), what="y", case=item.label)


@points(2)
@both
def test_infinity_and_nan_propagate(gemv, transposed):
    """0 * Inf is NaN, Inf - Inf is NaN, in their own row and in no other: a shortcut for zeros hides them."""
    for special in (np.inf, -np.inf, np.nan):
        for place, zero in itertools.product((0, 5, 17), (False, True)):
            a = np.ones((11, 19) if not transposed else (19, 11), np.float32)
            x = np.ones(19, np.float32)
            row = (3, place) if not transposed else (place, 3)
            a[row], x[place] = special, 0.0 if zero else 1.0
            gemv(of(a, x, transposed=transposed))


@points(1)
@both
def test_it_is_linear_in_x(gemv, rng, transposed):
    """A (2 x + y) = 2 A x + A y, within the error bounds of the three."""
    for m, n in ((13, 21), (64, 130)):
        a = uniform(rng, (m, n))
        inner = m if transposed else n
        x, y = oracle.whole_numbers(rng, (inner,)), oracle.whole_numbers(rng, (inner,))
        items = [of(a, vector, transposed=transposed) for vector in (x, y, 2 * x + y)]
        for item in items:
            gemv(item)
        ax, ay, both_at_once = (item.flat[2].astype(np.float64) for item in items)
        bound = 2 * items[0].bound() + items[1].bound() + items[2].bound()
        assert_close(both_at_once, 2 * ax + ay, bound, case=items[2].label)


@points(1)
def test_the_transpose_is_the_adjoint(gemv, rng):
    """z . (A x) = (A^T z) . x: both functions read the same matrix in the same way."""
    a, x, z = uniform(rng, (37, 53)), uniform(rng, (53,)), uniform(rng, (37,))
    plain, transposed = of(a, x, padding=3), of(a, z, padding=3, transposed=True)
    for item in (plain, transposed):
        gemv(item)
    left, right = z @ plain.flat[2].astype(np.float64), transposed.flat[2].astype(np.float64) @ x
    bound = z @ plain.bound() + transposed.bound() @ x
    assert_close(np.array([left]), np.array([right]), bound, case="m=37 n=53 lda=56")


# --- Calls and callers --------------------------------------------------------------------------------------------


@points(1)
@both
def test_equal_calls_give_equal_bits(gemv, rng, transposed):
    """What was computed before must not show: nothing is left over from another call."""
    item = problem(rng, 45, 77, beta=0.0, transposed=transposed)
    other = problem(rng, 77, 45, draw=oracle.mixed_magnitudes, transposed=not transposed)
    results = []
    for _ in range(4):
        again = of(item.a, item.x, transposed=transposed)
        gemv(again)
        gemv(other)
        results.append(again.flat[2])
    for result in results[1:]:
        assert_same(result, results[0], what="a second run", case=item.label)


@points(1)
def test_four_callers_at_once(library, rng):
    """A library may be called from several threads at a time: a static buffer belongs to all of them."""
    for m, n in ((70, 90), (64, 5000)):
        a, x, y = uniform(rng, (m, n)), uniform(rng, (4, n)), np.full((4, m), np.nan, np.float32)
        case = f"4 threads, m={m} n={n}"
        status = library.call("gemv_callers", 4, m, n, a, x, y, case=case)
        check(status == 0, "a call failed", case=case, expected=0, got=status)
        for question, answer in zip(x, y, strict=True):
            item = of(a, question)
            assert_close(answer, item.expected(), item.bound(), case=case, why="Is there a static buffer?")


# --- Building blocks ----------------------------------------------------------------------------------------------


@category("building blocks")
@points(2)
def test_fmadd_is_fused_at_every_length(library, rng):
    """Every length from 0 to 70, bit for bit what one rounding gives; nothing behind the end is written."""
    for n in range(71):
        a, b, c = (oracle.mixed_magnitudes(rng, (n,)) for _ in range(3))
        c = np.where(rng.random(n) < 0.5, -a * b, c).astype(np.float32)  # what cancels shows the rounding
        expected = oracle.fused(a, b, c)
        library.call("fmadd_f32", n, a, b, c, case=f"n={n}")
        assert_same(c, expected, what="c", case=f"n={n}")


@category("building blocks")
@points(1)
def test_dot_at_every_length(library, rng):
    """Every length from 0 to 140, and long ones: the sum of nothing is 0."""
    for n in (*range(141), 1000, 1023, 100_003):
        x, y = uniform(rng, (n,)), uniform(rng, (n,))
        oracle.verify_dot(library.call("dot_f32", n, x, y, case=f"n={n}"), x, y, f"n={n}")


@category("building blocks")
@points(1)
def test_dot_agrees_with_an_exact_sum(library, rng):
    """A million terms of both signs against Python's math.fsum, which rounds once."""
    n = 1 << 20
    x, y = oracle.mixed_magnitudes(rng, (n,)), oracle.mixed_magnitudes(rng, (n,))
    products = x.astype(np.float64) * y
    bound = 8 * math.sqrt(n) * oracle.UNIT_ROUNDOFF * math.fsum(np.abs(products))
    got = library.call("dot_f32", n, x, y, case=f"n={n}")
    assert_close(np.array([got]), np.array([math.fsum(products)]), bound, case=f"n={n}")


@category("building blocks")
@points(1)
def test_the_isa_is_what_the_machine_code_says(library, machine_code):
    """gemv_isa says "avx2" when the hot loop of gemv_f32 is packed FMA, and "scalar" when it is not."""
    text = np.zeros(32, np.uint8)
    library.call("gemv_isa_text", text, text.size)
    said = bytes(text).split(b"\0", 1)[0].decode("ascii", "replace")
    loop = machine_code.hot_loop("gemv_f32")
    packed = loop is not None and any(item.is_packed_fma for item in loop.instructions)
    found = "avx2" if packed else "scalar"
    if said != found:
        listing = (
            f"the loop of gemv_f32 with most arithmetic:\n{loop.listing()}" if loop else "there is no loop"
        )
        raise CheckFailed(
            "gemv_isa() does not say what is there", expected=found, got=repr(said), detail=listing
        )


# --- Safety -------------------------------------------------------------------------------------------------------


@category("safety")
@must
@points(3)
@both
@pytest.mark.parametrize("edge", ["end", "start"])
def test_reads_and_writes_stay_inside_the_arrays(gemv, rng, edge, transposed):
    """A page that nobody may touch lies directly behind (or before) every array, also behind the last row."""
    for shape in ((1, 1), (7, 15), (8, 13), (8, 16), (9, 17), (16, 29), (25, 49), (64, 64), (130, 100)):
        for incx, incy in ((1, 1), (2, -1), (-1, 3)):
            gemv(
                problem(rng, *shape, padding=1, incx=incx, incy=incy, beta=1.0, transposed=transposed),
                edge=edge,
            )


@category("safety")
@points(1)
@pytest.mark.parametrize("edge", ["end", "start"])
def test_building_blocks_stay_inside_the_arrays(library, rng, edge):
    """The last n % 8 elements are fewer than a vector: neither read nor write the other ones."""
    for n in range(1, 41):
        a, b, c = uniform(rng, (n,)), uniform(rng, (n,)), uniform(rng, (n,))
        expected = oracle.fused(a, b, c)
        calls = [Invocation("fmadd_f32", (n, a, b, c)), Invocation("dot_f32", (n, a, b))]
        _, dot = library.calls(calls, case=f"n={n}", edge=edge)
        assert_same(c, expected, what="c", case=f"n={n}")
        oracle.verify_dot(dot, a, b, f"n={n}")


@category("safety")
@points(1.5)
@both
def test_pointers_need_no_alignment(gemv, rng, transposed):
    """Addresses at every multiple of 4 bytes within a cache line: load with loadu, store with storeu."""
    for shift in range(16):
        gemv(problem(rng, 32 + shift, 48 + 3 * shift, beta=1.0, transposed=transposed))


@category("safety")
@must
@points(1.5)
@variant("asan")
def test_no_memory_errors_and_no_undefined_behaviour(gemv, library, rng):
    """AddressSanitizer and UndefinedBehaviorSanitizer watch your own buffers and your arithmetic."""
    for shape, transposed in itertools.product(
        ((1, 1), (8, 16), (9, 17), (33, 70), (16, 60), (3, 9000)), (False, True)
    ):
        for incx, incy in ((1, 1), (-2, 3)):
            gemv(problem(rng, *shape, alpha=1.5, beta=0.5, incx=incx, incy=incy, transposed=transposed))
    for n in (0, 5, 8, 77):
        a, b, c = uniform(rng, (n,)), uniform(rng, (n,)), uniform(rng, (n,))
        library.call("fmadd_f32", n, a, b, c, case=f"n={n}")
        library.call("dot_f32", n, a, b, case=f"n={n}")


@category("safety")
@points(1)
@variant("tsan")
def test_no_data_races(library, rng):
    """ThreadSanitizer sees two callers that touch the same memory without order, also when nothing goes wrong."""
    a, x, y = uniform(rng, (40, 50)), uniform(rng, (4, 50)), np.zeros((4, 40), np.float32)
    case = "4 threads, m=40 n=50"
    status = library.call("gemv_callers", 4, 40, 50, a, x, y, case=case)
    check(status == 0, "a call failed", case=case, expected=0, got=status)


@category("safety")
@points(1)
@both
def test_inputs_stay_unchanged(gemv, rng, transposed):
    """A and x are const: they lie in memory that cannot be written."""
    for incx in (1, -2):
        gemv(problem(rng, 40, 30, alpha=3.0, incx=incx, transposed=transposed))


# --- Hygiene ------------------------------------------------------------------------------------------------------


@category("hygiene")
@points(2)
@both
def test_wrong_arguments_are_refused(library, rng, transposed):
    """-EINVAL for a stride of 0, rows that are too short, a missing array; y stays as it was."""
    good = problem(rng, 4, 5, beta=1.0, transposed=transposed)
    m, n, alpha, a, lda, x, incx, beta, y, incy = good.arguments
    wrong = {
        "lda = n - 1": (m, n, alpha, a, n - 1, x, incx, beta, y, incy),
        "lda = 0": (m, n, alpha, a, 0, x, incx, beta, y, incy),
        "incx = 0": (m, n, alpha, a, lda, x, 0, beta, y, incy),
        "incy = 0": (m, n, alpha, a, lda, x, incx, beta, y, 0),
        "A = NULL": (m, n, alpha, None, lda, x, incx, beta, y, incy),
        "x = NULL": (m, n, alpha, a, lda, None, incx, beta, y, incy),
        "y = NULL": (m, n, alpha, a, lda, x, incx, beta, None, incy),
        "alpha = 0, incx = 0": (m, n, 0.0, a, lda, x, 0, beta, y, incy),
        "m = n = 0, incy = 0": (0, 0, alpha, a, lda, x, incx, beta, y, 0),
        "m = 0, lda = n - 1": (0, n, alpha, a, n - 1, x, incx, beta, y, incy),
        "lda = n - 1, and m too large": (SIZE_MAX, n, alpha, a, n - 1, x, incx, beta, y, incy),
    }
    before = y.copy()
    for case, arguments in wrong.items():
        refused(library.call(good.function, *arguments, case=case), errno.EINVAL, case)
        assert_same(y, before, what="y after a refused call", case=case)


@category("hygiene")
@points(1)
@both
def test_what_is_not_read_may_be_missing(library, rng, transposed):
    """NULL is fine for an array that is neither read nor written."""
    good = problem(rng, 4, 5, beta=1.0, transposed=transposed)
    m, n, alpha, _, lda, _, incx, beta, y, incy = good.arguments
    fine = {
        "alpha = 0, A = x = NULL": (m, n, 0.0, None, lda, None, incx, beta, y, incy),
        "m = 0, A = x = NULL": (0, n, alpha, None, lda, None, incx, beta, y, incy),
        "n = 0, A = x = NULL": (m, 0, alpha, None, lda, None, incx, beta, y, incy),
        "m = n = 0, all NULL": (0, 0, alpha, None, lda, None, incx, beta, None, incy),
    }
    for case, arguments in fine.items():
        status = library.call(good.function, *arguments, case=case)
        check(status == 0, "a correct call was refused", case=case, expected=0, got=status)


@category("hygiene")
@points(1)
@both
def test_sizes_beyond_memory_are_refused(library, rng, transposed):
    """A matrix or vector of more bytes than size_t can count is -EOVERFLOW, before anything is touched."""
    good = problem(rng, 4, 4, beta=1.0, transposed=transposed)
    m, n, alpha, a, lda, x, incx, beta, y, incy = good.arguments
    huge = SIZE_MAX // 4
    wrong = {
        "m = SIZE_MAX / 4": (huge, n, alpha, a, lda, x, incx, beta, y, incy),
        "lda = SIZE_MAX / 4": (m, n, alpha, a, huge, x, incx, beta, y, incy),
        "m = lda = 2^32": (2**32, n, alpha, a, 2**32, x, incx, beta, y, incy),
        "incx = 2^62": (m, n, alpha, a, lda, x, 2**62, beta, y, incy),
        "incy = 2^62": (m, n, alpha, a, lda, x, incx, beta, y, 2**62),
        "incx = PTRDIFF_MIN": (m, n, alpha, a, lda, x, PTRDIFF_MIN, beta, y, incy),
    }
    before = y.copy()
    for case, arguments in wrong.items():
        refused(library.call(good.function, *arguments, case=case), errno.EOVERFLOW, case)
        assert_same(y, before, what="y after a refused call", case=case)


def refused(status: int, expected: int, case: str) -> None:
    """Was a wrong call answered with this error?"""
    name = errno.errorcode[expected]
    check(status == -expected, "a wrong call was not refused", case=case, expected=f"-{name}", got=status)


@category("hygiene")
@points(1)
@variant("faults")
def test_no_memory_is_allocated(gemv, library, rng):
    """The contract has no error for missing memory, so none may be needed: small buffers fit on the stack."""
    for shape, transposed in itertools.product(((9, 9), (50, 9000), (9000, 50)), (False, True)):
        item = problem(rng, *shape, incx=2, incy=-1, transposed=transposed)
        library.call("guest_fail_allocation", -1)
        gemv(item)
        count = library.call("guest_allocations")
        check(
            count == 0,
            f"{item.function} allocated memory {count} times",
            case=item.label,
            expected=0,
            got=count,
        )


@category("hygiene")
@points(1)
def test_nothing_is_printed(gemv, library, rng):
    """A library speaks through its return values: no debugging output is left."""
    for shape, transposed in itertools.product(((1, 1), (70, 5000)), (False, True)):
        gemv(problem(rng, *shape, transposed=transposed))
    library.call("dot_f32", 0, None, None)
    printed = library.printed()
    check(not printed, f"it printed {len(printed)} characters", got=printed[:80])


@category("hygiene")
@must
@points(1)
def test_vectors_are_those_of_the_lab(gemv, rng, machine_code):
    """AVX2 and FMA on every CPU, as the flags say: with wider vectors, the ratio would mean nothing."""
    gemv(problem(rng, 1, 1))
    assert_pinned_isa(machine_code)
