"""Public tests: what every student has. Their names say what must hold."""

from __future__ import annotations

import numpy as np
import pytest

from grader.testing import assert_same, category, check, must, points, smoke
from labs.gemv_simd import oracle
from labs.gemv_simd.oracle import problem

pytestmark = category("correctness")
both = pytest.mark.parametrize("transposed", [False, True], ids=["A x", "A^T x"])


@smoke
@must
@points(2)
@both
def test_whole_numbers_multiply_exactly(gemv, rng, transposed):
    """Small whole numbers have exact products and sums: any difference is a wrong index, not rounding."""
    for size in (1, 2, 3, 4, 8):
        gemv(problem(rng, size, size, transposed=transposed, draw=oracle.whole_numbers))


@points(2)
@both
@pytest.mark.parametrize("shape", [(2, 3), (5, 1), (16, 9), (33, 20), (7, 70)], ids=str)
def test_rectangular_matrices(gemv, rng, shape, transposed):
    """m and n differ: a swapped pair shows here. So do the last columns when n is no multiple of 8."""
    gemv(problem(rng, *shape, transposed=transposed))


@points(2)
@both
@pytest.mark.parametrize(("alpha", "beta"), [(2.0, 0.0), (1.0, 1.0), (-0.5, 3.0)])
def test_alpha_and_beta(gemv, rng, alpha, beta, transposed):
    """y = alpha * A * x + beta * y: each factor is applied once, and to its own term only."""
    gemv(problem(rng, 9, 10, alpha=alpha, beta=beta, transposed=transposed))


@points(1)
@both
def test_rows_with_padding(gemv, rng, transposed):
    """The distance between rows is lda, not the number of columns."""
    gemv(problem(rng, 6, 7, padding=3, beta=1.0, transposed=transposed))


@points(2)
@both
@pytest.mark.parametrize(("incx", "incy"), [(2, 1), (1, 3), (-1, 1), (1, -2)])
def test_strides(gemv, rng, incx, incy, transposed):
    """Elements of a vector may lie apart, and backwards: with incx = -1 the last element is x[0]."""
    gemv(problem(rng, 6, 11, incx=incx, incy=incy, beta=1.0, transposed=transposed))


@category("building blocks")
@points(1.5)
def test_fmadd_rounds_once(library):
    """(1 + 2^-12)^2 - 1 is 2^-11 + 2^-24. Rounded before the addition, the product loses its last bit."""
    a, c = np.full(8, 1 + 2.0**-12, np.float32), np.full(8, -1, np.float32)
    expected = np.full(8, 2.0**-11 + 2.0**-24, np.float32)
    library.call("fmadd_f32", 8, a, a, c, case="a = b = 1 + 2^-12, c = -1")
    assert_same(c, expected, what="c", case="a = b = 1 + 2^-12, c = -1")


@category("building blocks")
@points(1.5)
def test_dot_of_whole_numbers_is_exact(library, rng):
    """All eight lanes of a vector sum belong to the result, and so does what is left behind the last whole vector."""
    for n in (1, 2, 7, 8, 9, 16, 40):
        x, y = oracle.whole_numbers(rng, (n,)), oracle.whole_numbers(rng, (n,))
        got = library.call("dot_f32", n, x, y)
        check(got == float(x @ y), "the sum is wrong", case=f"n={n}", expected=float(x @ y), got=got)


@category("hygiene")
@points(2)
def test_compiles_without_warnings(build, gemv, rng):
    """The compiler's warnings (-Wall -Wextra) are often the first sign of a mistake."""
    gemv(problem(rng, 1, 1))  # an empty file has no warnings either
    remarks = [item for item in build.remarks if item.severity == "warning"]
    if remarks:
        first = remarks[0]
        place = f"{first.file}:{first.line}"
        check(False, f"{len(remarks)} warnings, the first: {first.message}", where=place, why=first.hint)
