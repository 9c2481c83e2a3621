"""The right answer: one product of matrix and vector as C sees it, in double precision, with its error bound."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from grader.testing import assert_close, assert_same

UNIT_ROUNDOFF = 2.0**-24
GAP = np.float32(424242.5)
"""Between the elements of y: unlike NaN it changes when something is added to it."""

LINK = np.float32(2.0**-10)
"""What driver.c adds of one answer to the next question."""

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
Draw = Callable[[np.random.Generator, tuple[int, ...]], npt.NDArray[np.floating]]


def uniform(rng: np.random.Generator, shape: tuple[int, ...]) -> Floats:
    """Values in [0, 1): a sum of many does not cancel, so that lost terms show."""
    return rng.random(shape, np.float32)


def whole_numbers(rng: np.random.Generator, shape: tuple[int, ...]) -> Floats:
    """-8 .. 8: products and their sums are exact in single precision, in any order."""
    return rng.integers(-8, 9, shape).astype(np.float32)


def mixed_magnitudes(rng: np.random.Generator, shape: tuple[int, ...]) -> Floats:
    """Both signs, from 1e-6 to 1e6 in size."""
    return (rng.choice([-1.0, 1.0], shape) * rng.lognormal(0.0, 4.6, shape)).astype(np.float32)


def stored_vector(values: npt.NDArray[np.floating], increment: int, fill: float = np.nan) -> Floats:
    """A vector as C sees it: `fill` between the elements, backwards when the increment is negative."""
    step = abs(increment)
    flat = np.full((len(values) - 1) * step + 1 if len(values) else 0, fill, np.float32)
    flat[::step] = values if increment > 0 else values[::-1]
    return flat


def vector_of(flat: Floats, increment: int) -> Floats:
    """The vector in its storage."""
    return flat[:: abs(increment)] if increment > 0 else flat[:: abs(increment)][::-1]


def stored_matrix(matrix: npt.NDArray[np.floating], padding: int) -> Floats:
    """A matrix as C sees it: flat, row major, `padding` times NaN behind every row but the last."""
    rows, columns = matrix.shape
    if not matrix.size:
        return np.empty(0, np.float32)
    wide = np.full((rows, columns + padding), np.nan, np.float32)
    wide[:, :columns] = matrix
    return wide.reshape(-1)[: (rows - 1) * (columns + padding) + columns].copy()


@dataclass(frozen=True)
class Problem:
    """y = alpha A x + beta y, or with A^T, ready to be passed to C. `a` is the m x n matrix as stored."""

    a: Floats
    x: Floats
    y: Floats
    transposed: bool
    alpha: float
    beta: float
    padding: int
    incx: int
    incy: int
    flat: tuple[Floats, Floats, Floats]

    @property
    def function(self) -> str:
        return "gemv_t_f32" if self.transposed else "gemv_f32"

    @property
    def label(self) -> str:
        m, n = self.a.shape
        numbers = f"alpha={self.alpha:g} beta={self.beta:g} lda={n + self.padding}"
        return f"{self.function} m={m} n={n} {numbers} incx={self.incx} incy={self.incy}"

    @property
    def arguments(self) -> tuple[object, ...]:
        """The arguments of gemv_f32 and gemv_t_f32. The storage of y is written."""
        (m, n), (a, x, y) = self.a.shape, self.flat
        return (m, n, self.alpha, a, n + self.padding, x, self.incx, self.beta, y, self.incy)

    @property
    def operator(self) -> Floats:
        """A or its transpose: what x is multiplied with."""
        return self.a.T if self.transposed else self.a

    @property
    def is_empty_sum(self) -> bool:
        return self.alpha == 0 or not self.x.size

    def expected(self) -> Doubles:
        """alpha op(A) x + beta y in double precision, with BLAS's rules for zeros."""
        with np.errstate(all="ignore"):
            result = np.zeros(len(self.y))
            if not self.is_empty_sum:
                result = self.alpha * times(self.operator, self.x)
            return result if self.beta == 0 else result + self.beta * self.y.astype(np.float64)

    def bound(self) -> Doubles:
        """Componentwise: 8 sqrt(n) u (|alpha| |A| |x| + |beta y|), n being the length of x.

        Sums in any order stay near sqrt(n) u |A||x| (Higham, Accuracy and Stability, §3.1 gives n u as the worst
        case); measured: single precision 1.4, inputs rounded to bfloat16 at least 30 of these units.
        """
        with np.errstate(all="ignore"):
            sizes = np.zeros(len(self.y))
            if not self.is_empty_sum:
                sizes = abs(self.alpha) * times(np.abs(self.operator), np.abs(self.x))
            if self.beta != 0:
                sizes = sizes + np.abs(self.beta * self.y.astype(np.float64))
            return 8 * np.sqrt(max(self.x.size, 1)) * UNIT_ROUNDOFF * sizes

    def verify(self, why: str = "") -> None:
        """Check y after the call: every element within the bound, everything between them as it was."""
        after, step = self.flat[2], abs(self.incy)
        assert_close(vector_of(after, self.incy), self.expected(), self.bound(), case=self.label, why=why)
        between = np.arange(after.size) % step != 0
        if between.any():
            untouched = np.full(int(between.sum()), GAP, np.float32)
            reason = "With incy = 2 every second float belongs to someone else: store elements one by one."
            what = "what lies between the elements of y was written"
            assert_same(after[between], untouched, what=what, case=self.label, why=reason)


def times(matrix: npt.NDArray[np.floating], x: npt.NDArray[np.floating]) -> Doubles:
    """Matrix times vector in double precision, in slices that stay in the cache."""
    columns = matrix.flags.f_contiguous and not matrix.flags.c_contiguous
    if columns:  # a transposed view: walk along its storage
        total = np.zeros(matrix.shape[0])
        step = max(1, (1 << 18) // max(1, matrix.shape[0]))
        for start in range(0, matrix.shape[1], step):
            piece = slice(start, start + step)
            total += matrix[:, piece].astype(np.float64) @ x[piece].astype(np.float64)
        return total
    step = max(1, (1 << 18) // max(1, matrix.shape[1]))
    wide = x.astype(np.float64)
    slices = [
        matrix[start : start + step].astype(np.float64) @ wide for start in range(0, matrix.shape[0], step)
    ]
    return np.concatenate(slices) if slices else np.zeros(0)


def problem(
    rng: np.random.Generator,
    m: int,
    n: int,
    *,
    transposed: bool = False,
    alpha: float = 1.0,
    beta: float = 0.0,
    padding: int = 0,
    incx: int = 1,
    incy: int = 1,
    draw: Draw = uniform,
) -> Problem:
    """A random problem; where beta is 0, y holds NaN."""
    inner, outer = (m, n) if transposed else (n, m)
    y = draw(rng, (outer,)) if beta else None
    a, x = draw(rng, (m, n)), draw(rng, (inner,))
    return of(a, x, y, transposed=transposed, alpha=alpha, beta=beta, padding=padding, incx=incx, incy=incy)


def of(
    a: npt.NDArray[np.floating],
    x: npt.NDArray[np.floating],
    y: npt.NDArray[np.floating] | None = None,
    *,
    transposed: bool = False,
    alpha: float = 1.0,
    beta: float = 0.0,
    padding: int = 0,
    incx: int = 1,
    incy: int = 1,
) -> Problem:
    """The problem with this A, x and y; without y it holds NaN."""
    outer = a.shape[1] if transposed else a.shape[0]
    a, x = a.astype(np.float32), x.astype(np.float32)
    y = np.full(outer, np.nan, np.float32) if y is None else y.astype(np.float32)
    flat = (stored_matrix(a, padding), stored_vector(x, incx), stored_vector(y, incy, GAP))
    alpha, beta = float(np.float32(alpha)), float(np.float32(beta))
    return Problem(a, x, y, transposed, alpha, beta, padding, incx, incy, flat)


def verify_dot(got: float, x: Floats, y: Floats, case: str) -> None:
    """A dot product within 8 sqrt(n) u |x||y| of the right one."""
    with np.errstate(all="ignore"):
        products = x.astype(np.float64) * y.astype(np.float64)
        bound = 8 * np.sqrt(max(x.size, 1)) * UNIT_ROUNDOFF * np.abs(products).sum()
        expected = products.sum()
    assert_close(np.array([got]), np.array([expected]), np.array([bound]), case=case)


def fused(a: Floats, b: Floats, c: Floats) -> Floats:
    """a * b + c rounded once.

    In double precision the product of two floats is exact. The sum is rounded to odd (Boldo and Melquiond, Emulation
    of FMA, 2008), after which rounding to single precision gives what one rounding of the exact sum would.
    """
    with np.errstate(all="ignore"):
        product, addend = a.astype(np.float64) * b, c.astype(np.float64)
        total = product + addend
        part = total - product
        error = (product - (total - part)) + (addend - part)  # exact (Knuth's two-sum)
        bits = total.view(np.int64)
        inexact = np.isfinite(total) & (error != 0) & (bits & 1 == 0)
        away = np.where((error > 0) == (total > 0), 1, -1)
        return np.where(inexact, (bits + away).view(np.float64), total).astype(np.float32)


def chained(x: Floats, answers: Floats) -> Floats:
    """What driver.c asks: the first element of each x but the first has a little of the last answer added."""
    asked = x.copy()
    asked[1:, 0] += LINK * answers[:-1, -1]
    return asked
