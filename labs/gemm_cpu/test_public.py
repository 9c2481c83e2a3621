"""Public tests: what every student has. Their names say what must hold."""

from __future__ import annotations

import numpy as np
import pytest

from grader.testing import assert_same, category, check, must, points, smoke
from labs.gemm_cpu import oracle
from labs.gemm_cpu.oracle import N, T, problem

pytestmark = category("correctness")


@smoke
@must
@points(2)
def test_whole_numbers_multiply_exactly(gemm, rng):
    """Small whole numbers have exact products and sums: any difference is a wrong index, not rounding."""
    for size in (1, 2, 3, 4, 8):
        gemm(problem(rng, size, size, size, draw=oracle.whole_numbers))


@points(2)
@pytest.mark.parametrize("shape", [(2, 3, 4), (5, 1, 7), (16, 9, 32), (33, 20, 17)], ids=str)
def test_rectangular_shapes(gemm, rng, shape):
    """m, n and k differ: a swapped pair of them shows here."""
    gemm(problem(rng, *shape))


@points(2)
@pytest.mark.parametrize(("ta", "tb"), [(T, N), (N, T), (T, T)], ids=["TN", "NT", "TT"])
def test_transposed_operands(gemm, rng, ta, tb):
    """A transposed operand is stored the other way round: element (i, j) of op(A) is A[j * lda + i]."""
    gemm(problem(rng, 7, 11, 5, ta=ta, tb=tb))


@points(2)
@pytest.mark.parametrize(("alpha", "beta"), [(2.0, 0.0), (1.0, 1.0), (-0.5, 3.0)])
def test_alpha_and_beta(gemm, rng, alpha, beta):
    """C = alpha * A * B + beta * C: each factor is applied once, and to its own term only."""
    gemm(problem(rng, 9, 10, 11, alpha=alpha, beta=beta))


@points(2)
def test_rows_with_padding(gemm, rng):
    """The distance between rows is lda, ldb, ldc, not the number of columns."""
    gemm(problem(rng, 6, 7, 8, padding=(3, 2, 1), beta=1.0))


@points(2)
@pytest.mark.parametrize("threads", [1, 2, 4])
def test_threads_give_the_same_product(gemm, rng, threads):
    """gemm_f32_mt is gemm_f32, only faster."""
    gemm(problem(rng, 50, 40, 30), threads=threads)


@category("building blocks")
@points(1)
def test_pack_a_puts_rows_side_by_side(library, blocking):
    """One panel of mr rows: the first mr values are the first column."""
    mr = blocking[0]
    a = np.arange(mr * 3, dtype=np.float32).reshape(mr, 3)
    packed = np.full(mr * 3, np.nan, np.float32)
    library.call("gemm_pack_a", N, mr, 3, a, 3, packed)
    assert_same(packed, oracle.packed_a(a, mr), what="the packed panel", case=f"mr={mr} mc={mr} kc=3")


@category("building blocks")
@points(1)
def test_pack_b_keeps_rows_together(library, blocking):
    """One panel of nr columns: the first nr values are the first row."""
    nr = blocking[1]
    b = np.arange(3 * nr, dtype=np.float32).reshape(3, nr)
    packed = np.full(3 * nr, np.nan, np.float32)
    library.call("gemm_pack_b", N, 3, nr, b, nr, packed)
    assert_same(packed, oracle.packed_b(b, nr), what="the packed panel", case=f"nr={nr} kc=3 nc={nr}")


@category("building blocks")
@points(1)
def test_micro_kernel_adds_to_c(library, blocking, rng):
    """The micro-kernel accumulates: C is read, the panels' product is added, C is written."""
    mr, nr = blocking[:2]
    a, b, c = (oracle.whole_numbers(rng, shape) for shape in ((mr, 4), (4, nr), (mr, nr)))
    result = c.copy()
    library.call("gemm_ukernel", 4, oracle.packed_a(a, mr), oracle.packed_b(b, nr), result, nr)
    assert_same(result, c + a @ b, what="the tile of C", case=f"mr={mr} nr={nr} k=4")


@category("hygiene")
@points(3)
def test_compiles_without_warnings(build, gemm, rng):
    """The compiler's warnings (-Wall -Wextra) are often the first sign of a mistake."""
    gemm(problem(rng, 1, 1, 1))  # an empty file has no warnings either
    remarks = [item for item in build.remarks if item.severity == "warning"]
    if remarks:
        first = remarks[0]
        check(
            False,
            f"{len(remarks)} warnings, the first: {first.message}",
            where=f"{first.file}:{first.line}",
            why=first.hint,
        )
