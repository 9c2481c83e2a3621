"""Hidden tests: facts about a correct, safe and well-behaved gemm. Each catches at least one known mistake."""

from __future__ import annotations

import errno
import itertools

import numpy as np
import pytest

from grader.testing import assert_pinned_isa, assert_same, category, check, must, points, variant
from labs.gemm_cpu import oracle
from labs.gemm_cpu.oracle import USUAL_BLOCKING, N, T, of, problem, reported_blocking

pytestmark = category("correctness")

SMALL = (0, 1, 2, 5, 6, 7, 15, 16, 17, 31, 33)
OPERANDS = [(N, N), (T, N), (N, T), (T, T)]
SIZE_MAX = 2**64 - 1


# --- Shapes -------------------------------------------------------------------------------------------------------


@must
@points(2)
def test_every_small_shape(gemm, rng):
    """All shapes with sides 0 .. 33 around the usual tile sizes: every kind of edge tile occurs."""
    for m, n, k in sorted(itertools.product(SMALL, repeat=3), key=lambda shape: (sum(shape), shape)):
        gemm(problem(rng, m, n, k))


@points(1)
def test_sizes_around_your_own_block_sizes(gemm, library, rng):
    """One below, at and above mr, nr, mc, kc and nc as you report them: off-by-one errors live at block edges.

    Usual sizes while the building blocks are not written.
    """
    mr, nr, mc, kc, nc = reported_blocking(library) or USUAL_BLOCKING
    sizes = [(mr + d, nr + d, 9) for d in (-1, 0, 1)] + [(2 * mr + 1, 2 * nr + 1, 9)]
    sizes += [(min(mc, 1500) + d, 33, 10) for d in (-1, 0, 1)]
    sizes += [(13, 33, min(kc, 1500) + d) for d in (-1, 0, 1)] + [(13, 33, 2 * min(kc, 700) + 3)]
    sizes += [(7, min(nc, 6000) + d, 5) for d in (-1, 0, 1)]
    for m, n, k in sizes:
        gemm(problem(rng, m, n, k, beta=1.0))


@points(1)
@pytest.mark.parametrize(
    "shape", [(1, 300, 200), (300, 1, 200), (1, 1, 2000), (300, 200, 1), (5, 3, 1000)], ids=str
)
def test_skinny_shapes(gemm, rng, shape):
    """Vectors, dot products and outer products are matrices too."""
    for ta, tb in OPERANDS:
        gemm(problem(rng, *shape, ta=ta, tb=tb))


@points(1)
def test_transposes_of_odd_shapes(gemm, rng):
    """TN, NT and TT with m, n and k all different, odd, and larger than a register tile."""
    for ta, tb in OPERANDS:
        gemm(problem(rng, 37, 53, 71, ta=ta, tb=tb, alpha=1.5, beta=-2.0))


@points(1)
def test_random_shapes(gemm, rng):
    """Forty random problems: shapes, operands, factors and padding at once."""
    for limit in (12, 40, 130, 260):
        for _ in range(10):
            m, n, k = (int(side) for side in rng.integers(1, limit, 3))
            ta, tb = OPERANDS[rng.integers(4)]
            padding = tuple(int(gap) for gap in rng.integers(0, 9, 3))
            alpha, beta = rng.choice([-1.5, 0.0, 1.0, 2.0], 2)
            gemm(problem(rng, m, n, k, ta=ta, tb=tb, alpha=alpha, beta=beta, padding=padding))


@points(1)
def test_a_large_product(library, rng):
    """A large product crosses every block boundary; checked with random vectors."""
    large = problem(rng, 2000, 401, 1301)
    status = library.call("gemm_f32", *large.arguments, case=large.label, timeout_s=60)
    check(status == 0, "the call failed", case=large.label, expected=0, got=status)
    large.verify_large(rng)


# --- Padding ------------------------------------------------------------------------------------------------------


@points(1)
@pytest.mark.parametrize(("ta", "tb"), OPERANDS, ids=["NN", "TN", "NT", "TT"])
def test_padding_of_the_inputs_is_not_used(gemm, rng, ta, tb):
    """The gaps between rows hold NaN here: one of them in a sum poisons the result."""
    for shape in ((3, 4, 5), (6, 16, 8), (23, 35, 29)):
        gemm(problem(rng, *shape, ta=ta, tb=tb, padding=(7, 5, 0)))


@points(1)
def test_padding_of_c_is_left_alone(gemm, rng):
    """The gaps between the rows of C are not yours: a kernel that stores whole tiles writes there."""
    for shape in ((2, 3, 4), (7, 17, 5), (13, 31, 40), (50, 50, 300)):
        for beta in (0.0, 0.5):
            gemm(problem(rng, *shape, padding=(0, 0, 9), beta=beta))


# --- alpha and beta -----------------------------------------------------------------------------------------------


@points(1)
def test_beta_zero_does_not_read_c(gemm, rng):
    """With beta = 0, C may hold NaN, and 0 * NaN is NaN: C must be overwritten, not scaled."""
    for shape in ((1, 1, 1), (6, 16, 4), (19, 37, 300)):
        gemm(problem(rng, *shape, beta=0.0))


@points(1)
def test_beta_is_applied_once(gemm, rng):
    """However many blocks k is cut into, C is scaled by beta once."""
    for k in (1, 100, 600, 1300):
        gemm(problem(rng, 20, 30, k, beta=-0.5))


@points(1)
def test_alpha_is_applied_once(gemm, rng):
    """alpha scales the product, not C, and not once per block."""
    for k in (1, 100, 600, 1300):
        gemm(problem(rng, 20, 30, k, alpha=-1.75, beta=1.0))


@points(1)
def test_alpha_zero_does_not_read_a_and_b(gemm, rng):
    """With alpha = 0, A and B may hold NaN: the answer is beta * C."""
    for beta in (0.0, 1.0, -0.5):
        full = problem(rng, 8, 9, 10, beta=beta)
        nothing = np.full((8, 10), np.nan, np.float32), np.full((10, 9), np.nan, np.float32)
        gemm(of(*nothing, full.c, alpha=0.0, beta=beta))


@points(1)
def test_k_zero_scales_c(gemm, rng):
    """An empty sum is zero: C = beta * C."""
    for beta in (0.0, 1.0, -0.5):
        gemm(problem(rng, 8, 9, 0, beta=beta))


# --- Numbers ------------------------------------------------------------------------------------------------------


@points(1)
def test_mixed_magnitudes(gemm, rng):
    """Sizes from 1e-6 to 1e6: the error stays within what single precision allows, and no worse."""
    for shape in ((5, 6, 7), (30, 31, 500)):
        gemm(problem(rng, *shape, draw=oracle.mixed_magnitudes))


@points(1)
def test_single_precision_is_kept(gemm, rng):
    """Inputs or sums rounded to fewer than 24 bits are at least thirty times over the bound."""
    for k in (1, 64, 2000):
        gemm(problem(rng, 40, 48, k), why="Was something rounded to bfloat16 or half precision on the way?")


@points(1)
def test_infinity_and_nan_propagate(gemm):
    """0 * Inf is NaN, Inf - Inf is NaN: a shortcut for zeros hides them."""
    for special in (np.inf, -np.inf, np.nan):
        a, b = np.ones((7, 9), np.float32), np.ones((9, 18), np.float32)
        a[3, 4], b[4, 5], a[0, :], b[2, 17] = special, 0.0, 0.0, special
        gemm(of(a, b))


@points(1)
def test_identity_permutation_and_hilbert(gemm, rng):
    """Matrices whose products are known by heart."""
    b = oracle.uniform(rng, (23, 37))
    hilbert = (1.0 / (1 + np.add.outer(np.arange(23), np.arange(23)))).astype(np.float32)
    for a in (np.eye(23, dtype=np.float32), np.eye(23, dtype=np.float32)[rng.permutation(23)], hilbert):
        gemm(of(a, b))


# --- Threads ------------------------------------------------------------------------------------------------------


@points(1)
def test_any_number_of_threads(gemm, rng):
    """1, 2, 3, 7 and 64 threads, also more than there are rows: every row is computed once."""
    for shape in ((1, 1, 1), (5, 90, 30), (67, 129, 80), (300, 310, 120)):
        for threads in (1, 2, 3, 7, 64):
            gemm(problem(rng, *shape, beta=1.0), threads=threads)


@points(1)
def test_threaded_results_repeat_bit_for_bit(library, rng):
    """Who computes what must not depend on who comes first."""
    first = problem(rng, 150, 170, 300)
    results = []
    for _ in range(6):
        again = of(first.a, first.b)
        status = library.call("gemm_f32_mt", *again.arguments, 4, case=again.label + " nthreads=4")
        check(status == 0, "the call failed", expected=0, got=status)
        results.append(again.flat[2])
    for result in results[1:]:
        assert_same(result, results[0], what="a second run", case=first.label + " nthreads=4")


@points(1)
@variant("faults")
def test_fewer_threads_are_enough(library, rng):
    """When the system refuses another thread, the work is done by those that there are."""
    for allowed in (0, 1, 2):
        item = problem(rng, 120, 110, 100, beta=1.0)
        library.call("guest_fail_thread", allowed)
        case = f"{item.label} nthreads=4, but only {allowed} can be started"
        check(library.call("gemm_f32_mt", *item.arguments, 4, case=case) == 0, "the call failed", case=case)
        item.verify()


@points(1)
def test_two_callers_at_once(library, rng):
    """A library may be called from two threads at a time: a static buffer belongs to both of them."""
    for _ in range(4):
        one, two = problem(rng, 150, 160, 170), problem(rng, 140, 130, 180)
        library.call("gemm_two_callers", *_pair(one), *_pair(two), case=f"{one.label}; and {two.label}")
        for part in (one, two):
            part.verify("Is there a static or global buffer that both calls write?")


def _pair(item: oracle.Problem) -> tuple[object, ...]:
    m, n, k = item.shape
    return (m, n, k, *item.flat)


# --- Building blocks ----------------------------------------------------------------------------------------------


@category("building blocks")
@points(1)
def test_blocking_fits_together(blocking):
    """Cache blocks are whole numbers of register tiles, and one of the two blocks fits into a second-level cache."""
    mr, nr, mc, kc, nc = blocking
    case = f"mr={mr} nr={nr} mc={mc} kc={kc} nc={nc}"
    check(min(blocking) > 0, "a block size is zero", case=case)
    check(mc % mr == 0 and nc % nr == 0, "mc must be a multiple of mr, and nc of nr", case=case)
    check(
        min(mc, nc) * kc * 4 <= 2 << 20,
        "both blocks, mc x kc and kc x nc floats, are larger than 2 MiB",
        case=case,
    )


@category("building blocks")
@points(2)
def test_packing_any_block(library, blocking, rng):
    """Blocks of every size, stored both ways, with padding; missing rows and columns of the last panel are zeros."""
    mr, nr = blocking[:2]
    for depth, side, padding, stored_as in itertools.product((1, 2, 7), (1, 5, 16, 17, 40), (0, 3), (N, T)):
        block = oracle.uniform(rng, (side, depth))
        for name, tile, data in (
            ("gemm_pack_a", mr, block),
            ("gemm_pack_b", nr, np.ascontiguousarray(block.T)),
        ):
            source = oracle.stored(data.T if stored_as == T else data, padding)
            leading = data.shape[0 if stored_as == T else 1] + padding
            packed = np.full(-(-side // tile) * tile * depth, np.nan, np.float32)
            case = f"{name}: {'NT'[stored_as]} {data.shape[0]} x {data.shape[1]} ld={leading} tile={tile}"
            library.call(name, stored_as, *data.shape, source, leading, packed, case=case)
            model = oracle.packed_a(data, mr) if name == "gemm_pack_a" else oracle.packed_b(data, nr)
            assert_same(packed, model, what="the packed block", case=case)


@category("building blocks")
@points(2)
def test_micro_kernel_alone(library, blocking, rng):
    """Any depth, zero included, and any leading dimension of C; the gaps of C stay as they are."""
    mr, nr = blocking[:2]
    for k, padding in itertools.product((0, 1, 2, 3, 8, 65, 257), (0, 1, 9)):
        a, b, c = (oracle.uniform(rng, shape) for shape in ((mr, k), (k, nr), (mr, nr)))
        tile = of(a, b, c, beta=1.0, padding=(0, 0, padding))
        panels = oracle.packed_a(a, mr), oracle.packed_b(b, nr)
        library.call("gemm_ukernel", k, *panels, tile.flat[2], nr + padding, case=f"k={k} ldc={nr + padding}")
        tile.verify()


# --- Safety -------------------------------------------------------------------------------------------------------


@category("safety")
@must
@points(2)
@pytest.mark.parametrize("edge", ["end", "start"])
def test_reads_and_writes_stay_inside_the_arrays(gemm, rng, edge):
    """A page that nobody may touch lies directly behind (or before) every array, also behind the last row."""
    for shape in ((1, 1, 1), (6, 16, 8), (5, 15, 7), (25, 49, 33), (64, 64, 64), (200, 100, 300)):
        for ta, tb in OPERANDS:
            gemm(problem(rng, *shape, ta=ta, tb=tb, padding=(1, 1, 1)), edge=edge)


@category("safety")
@points(1)
def test_pointers_need_no_alignment(library, rng):
    """A float's address is a multiple of 4 and need not be one of 32: load with loadu, store with storeu."""
    for shift in (1, 2, 3, 5, 7):
        item = problem(rng, 30, 40 + shift, 50 + shift, beta=1.0)
        check(library.call("gemm_f32", *item.arguments, edge="end", case=item.label) == 0, "the call failed")
        item.verify()


@category("safety")
@must
@points(2)
@variant("asan")
def test_no_memory_errors_and_no_undefined_behaviour(gemm, rng):
    """AddressSanitizer and UndefinedBehaviorSanitizer watch your own buffers and your arithmetic."""
    shapes = [(1, 1, 1), (6, 16, 8), (7, 17, 9), (33, 31, 35), (100, 50, 260), (65, 70, 600)]
    for shape, (ta, tb) in itertools.product(shapes, OPERANDS):
        gemm(problem(rng, *shape, ta=ta, tb=tb, alpha=1.5, beta=0.5), roughly=True)
    for threads in (2, 7):
        gemm(problem(rng, 90, 80, 70), threads=threads, roughly=True)


@category("safety")
@points(2)
@variant("tsan")
def test_no_data_races(gemm, library, rng):
    """ThreadSanitizer sees two threads that touch the same element without order, also when nothing goes wrong."""
    for shape, threads in (((40, 50, 30), 2), ((101, 37, 300), 4), ((3, 100, 20), 7)):
        gemm(problem(rng, *shape, beta=1.0), threads=threads, roughly=True)
    one, two = problem(rng, 60, 50, 40), problem(rng, 50, 60, 70)
    library.call("gemm_two_callers", *_pair(one), *_pair(two), case=f"{one.label}; and {two.label}")


@category("safety")
@points(1)
def test_inputs_stay_unchanged(gemm, rng):
    """A and B are const: they lie in memory that cannot be written."""
    for ta, tb in OPERANDS:
        gemm(problem(rng, 40, 30, 20, ta=ta, tb=tb, alpha=3.0), roughly=True)


# --- Hygiene ------------------------------------------------------------------------------------------------------


@category("hygiene")
@points(1)
def test_wrong_arguments_are_refused(library, rng):
    """-EINVAL for a wrong operand, a leading dimension that is too small, a missing matrix; C stays as it was."""
    good = problem(rng, 4, 5, 6, beta=1.0)
    ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc = good.arguments
    wrong = {
        "ta = 7": (7, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc),
        "tb = 2": (ta, 2, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc),
        "lda = k - 1": (ta, tb, m, n, k, alpha, a, k - 1, b, ldb, beta, c, ldc),
        "ldb = n - 1": (ta, tb, m, n, k, alpha, a, lda, b, n - 1, beta, c, ldc),
        "ldc = n - 1": (ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, n - 1),
        "lda = m - 1, transposed": (T, tb, m, n, k, alpha, a, m - 1, b, ldb, beta, c, ldc),
        "ldb = k - 1, transposed": (ta, T, m, n, k, alpha, a, lda, b, k - 1, beta, c, ldc),
        "A = NULL": (ta, tb, m, n, k, alpha, None, lda, b, ldb, beta, c, ldc),
        "B = NULL": (ta, tb, m, n, k, alpha, a, lda, None, ldb, beta, c, ldc),
        "C = NULL": (ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, None, ldc),
    }
    before = c.copy()
    for case, arguments in wrong.items():
        status = library.call("gemm_f32", *arguments, case=case)
        check(
            status == -errno.EINVAL, "a wrong call was not refused", case=case, expected="-EINVAL", got=status
        )
        assert_same(c, before, what="C after a refused call", case=case)
    status = library.call("gemm_f32_mt", *good.arguments, 0, case="nthreads = 0")
    check(status == -errno.EINVAL, "nthreads = 0 was not refused", expected="-EINVAL", got=status)


@category("hygiene")
@points(1)
def test_what_is_not_read_may_be_missing(library, rng):
    """NULL is fine for a matrix that is never read; an empty C still has its arguments checked."""
    item = problem(rng, 4, 5, 6, beta=1.0)
    ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc = item.arguments
    fine = {
        "alpha = 0, A = B = NULL": (ta, tb, m, n, k, 0.0, None, lda, None, ldb, beta, c, ldc),
        "k = 0, A = B = NULL": (ta, tb, m, n, 0, alpha, None, lda, None, ldb, beta, c, ldc),
        "m = 0, all NULL": (ta, tb, 0, n, k, alpha, None, lda, None, ldb, beta, None, ldc),
        "n = 0, all NULL": (ta, tb, m, 0, k, alpha, None, lda, None, ldb, beta, None, ldc),
    }
    for case, arguments in fine.items():
        status = library.call("gemm_f32", *arguments, case=case)
        check(status == 0, "a correct call was refused", case=case, expected=0, got=status)
    status = library.call(
        "gemm_f32", ta, tb, 0, n, k, alpha, a, k - 1, b, ldb, beta, c, ldc, case="m = 0, lda = k - 1"
    )
    check(status == -errno.EINVAL, "an empty C hid a wrong lda", expected="-EINVAL", got=status)


@category("hygiene")
@points(1)
def test_nothing_is_printed(gemm, library, rng):
    """A library speaks through its return values: no debugging output is left."""
    for shape in ((1, 1, 1), (70, 70, 300)):
        gemm(problem(rng, *shape), roughly=True)
        gemm(problem(rng, *shape), threads=2, roughly=True)
    printed = library.printed()
    check(not printed, f"it printed {len(printed)} characters", got=printed[:80])


@category("hygiene")
@points(1)
def test_sizes_beyond_memory_are_refused(library, rng):
    """A matrix of more bytes than size_t can count is -EOVERFLOW, before anything is touched."""
    good = problem(rng, 4, 4, 4)
    ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc = good.arguments
    huge = SIZE_MAX // 4
    wrong = {
        "m = SIZE_MAX / 4": (ta, tb, huge, n, k, alpha, a, lda, b, ldb, beta, c, ldc),
        "lda = SIZE_MAX / 4": (ta, tb, m, n, k, alpha, a, huge, b, ldb, beta, c, ldc),
        "k = lda = SIZE_MAX / 2": (ta, tb, m, n, 2 * huge, alpha, a, 2 * huge, b, ldb, beta, c, ldc),
        "ldc = SIZE_MAX": (ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, SIZE_MAX),
    }
    for case, arguments in wrong.items():
        status = library.call("gemm_f32", *arguments, case=case)
        check(
            status == -errno.EOVERFLOW,
            "an impossible size was accepted",
            case=case,
            expected="-EOVERFLOW",
            got=status,
        )


@category("hygiene")
@points(1)
@variant("faults")
def test_out_of_memory_leaves_c_unchanged(library, rng):
    """Every allocation may fail: then the answer is -ENOMEM, C is as before, and nothing is lost."""
    for name, extra in (("gemm_f32", ()), ("gemm_f32_mt", (2,))):
        item = problem(rng, 100, 90, 80, beta=0.5)
        library.call("guest_fail_allocation", -1)
        check(library.call(name, *item.arguments, *extra, case=item.label) == 0, "the call failed")
        for nth in range(min(library.call("guest_allocations"), 8)):
            again = of(item.a, item.b, item.c, beta=0.5)
            before = again.flat[2].copy()
            library.call("guest_fail_allocation", nth)
            case = f"{name}, allocation number {nth + 1} fails"
            status = library.call(name, *again.arguments, *extra, case=case)
            if status == 0:  # done without that memory: then it must be right
                again.verify()
                continue
            check(
                status == -errno.ENOMEM,
                "the wrong answer to a failed allocation",
                case=case,
                expected="-ENOMEM",
                got=status,
            )
            assert_same(again.flat[2], before, what="C after -ENOMEM", case=case)
            lost = library.call("guest_live_bytes")
            check(lost == 0, f"{lost} bytes were not freed on the way out", case=case)


@category("hygiene")
@points(0.5)
@variant("faults")
def test_memory_is_given_back(library, rng):
    """After every call as much memory is free as before it."""
    for name, extra in (("gemm_f32", ()), ("gemm_f32_mt", (3,))):
        item = problem(rng, 200, 210, 220)
        library.call("guest_fail_allocation", -1)
        check(
            library.call(name, *item.arguments, *extra, case=item.label) == 0,
            "the call failed",
            case=item.label,
        )
        lost = library.call("guest_live_bytes")
        check(
            lost == 0,
            f"{name} lost {lost} bytes",
            case=item.label,
            why="Every malloc needs its free, on every path.",
        )


@category("hygiene")
@points(0.5)
def test_repeated_calls_take_no_more_memory(library, rng):
    """A thread that nobody joins keeps its stack: a hundred calls later the memory is gone."""
    item = problem(rng, 64, 64, 64)
    arguments = (*item.arguments, 4)
    check(library.call("gemm_f32_mt", *arguments, case=item.label) == 0, "the call failed", case=item.label)
    before = library.memory_mib()
    for _ in range(30):
        library.call("gemm_f32_mt", *arguments, case=item.label)
    grown = library.memory_mib() - before
    check(
        grown < 64,
        f"thirty calls on 4 threads took {grown:.0f} MiB of address space",
        expected="less than 64 MiB",
    )


@category("hygiene")
@must
@points(0.5)
def test_vectors_are_those_of_the_lab(gemm, rng, machine_code):
    """AVX2 and FMA on every CPU, as the flags say: with wider vectors, the ratio to OpenBLAS would mean nothing."""
    gemm(problem(rng, 1, 1, 1))
    assert_pinned_isa(machine_code)


@category("hygiene")
@points(0.5)
@variant("faults")
def test_workspace_stays_small(library, rng):
    """Packing needs a few blocks, not copies of whole matrices: at most 32 MiB here."""
    for m, n in ((48, 3000), (3000, 48)):
        item = problem(rng, m, n, 3000)
        library.call("guest_fail_allocation", -1)
        status = library.call("gemm_f32", *item.arguments, case=item.label, timeout_s=60)
        check(status == 0, "the call failed", case=item.label, expected=0, got=status)
        peak = library.call("guest_peak_bytes") / 2**20
        check(peak <= 32, f"the workspace grew to {peak:.1f} MiB", case=item.label, expected="at most 32 MiB")
