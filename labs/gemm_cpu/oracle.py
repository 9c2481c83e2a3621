"""The right answer: one multiplication with its matrices as C sees them, in double precision, with its error bound."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from grader.testing import Library, assert_close, assert_same, check

N, T = 0, 1
UNIT_ROUNDOFF = 2.0**-24
GAP = np.float32(424242.5)
"""Padding of C: unlike NaN it changes when something is added to it."""

Floats = npt.NDArray[np.float32]
Blocking = tuple[int, int, int, int, int]
USUAL_BLOCKING: Blocking = (6, 16, 72, 256, 1024)
"""mr, nr, mc, kc, nc of many a GEMM on AVX2."""

Draw = Callable[[np.random.Generator, tuple[int, int]], npt.NDArray[np.floating]]


def uniform(rng: np.random.Generator, shape: tuple[int, int]) -> Floats:
    """Values in [0, 1): a sum of many does not cancel, so that lost terms show."""
    return rng.random(shape, np.float32)


def whole_numbers(rng: np.random.Generator, shape: tuple[int, int]) -> Floats:
    """-8 .. 8: products and their sums are exact in single precision, in any order."""
    return rng.integers(-8, 9, shape).astype(np.float32)


def mixed_magnitudes(rng: np.random.Generator, shape: tuple[int, int]) -> Floats:
    """Both signs, from 1e-6 to 1e6 in size."""
    return (rng.choice([-1.0, 1.0], shape) * rng.lognormal(0.0, 4.6, shape)).astype(np.float32)


def stored(matrix: npt.NDArray[np.floating], padding: int, fill: float = np.nan) -> Floats:
    """A matrix as C sees it: flat, row major, `padding` times `fill` behind every row but the last."""
    rows, columns = matrix.shape
    if not matrix.size:
        return np.empty(0, np.float32)
    wide = np.full((rows, columns + padding), fill, np.float32)
    wide[:, :columns] = matrix
    return wide.reshape(-1)[: (rows - 1) * (columns + padding) + columns].copy()


def view(flat: Floats, rows: int, columns: int, padding: int) -> Floats:
    """The matrix in its flat storage."""
    stride = (columns + padding) * 4
    return (
        np.lib.stride_tricks.as_strided(flat, (rows, columns), (stride, 4))
        if flat.size
        else flat.reshape(rows, columns)
    )


@dataclass(frozen=True)
class Problem:
    """C = alpha op(A) op(B) + beta C, ready to be passed to C. `a` and `b` are op(A), m x k, and op(B), k x n."""

    ta: int
    tb: int
    a: Floats
    b: Floats
    c: Floats
    alpha: float
    beta: float
    padding: tuple[int, int, int]
    flat: tuple[Floats, Floats, Floats]

    @property
    def shape(self) -> tuple[int, int, int]:
        return self.a.shape[0], self.b.shape[1], self.a.shape[1]

    @property
    def label(self) -> str:
        m, n, k = self.shape
        operands = "NT"[self.ta] + "NT"[self.tb]
        numbers = f"alpha={self.alpha:g} beta={self.beta:g}"
        lda, ldb, ldc = self.leading
        return f"{operands} m={m} n={n} k={k} {numbers} lda={lda} ldb={ldb} ldc={ldc}"

    @property
    def leading(self) -> tuple[int, int, int]:
        """lda, ldb, ldc."""
        m, n, k = self.shape
        pad_a, pad_b, pad_c = self.padding
        return (m if self.ta else k) + pad_a, (k if self.tb else n) + pad_b, n + pad_c

    @property
    def arguments(self) -> tuple[object, ...]:
        """The arguments of gemm_f32. C's storage is written."""
        flat_a, flat_b, flat_c = self.flat
        lda, ldb, ldc = self.leading
        m, n, k = self.shape
        return (self.ta, self.tb, m, n, k, self.alpha, flat_a, lda, flat_b, ldb, self.beta, flat_c, ldc)

    def expected(self) -> npt.NDArray[np.float64]:
        """alpha op(A) op(B) + beta C in double precision, with BLAS's rules for zeros."""
        m, n, k = self.shape
        with np.errstate(all="ignore"):
            product = np.zeros((m, n))
            if self.alpha != 0 and k:
                product = self.alpha * (self.a.astype(np.float64) @ self.b.astype(np.float64))
            return product if self.beta == 0 else product + self.beta * self.c.astype(np.float64)

    def bound(self) -> npt.NDArray[np.float64]:
        """Componentwise: 8 sqrt(k) u S with S = |alpha| |A||B| + |beta C|, for every order of additions.

        Whatever the order, also where C itself is updated k times, no partial sum exceeds S, and an element sees at
        most k + 4 roundings of such sums. Worst case (Higham, Accuracy and Stability, §3.1): (k + 4) u S, which is
        below the bound up to k = 54. Above, the roundings are independent and even in [-u, u]: their sum is
        sub-Gaussian with variance (k + 4) u^2 S^2 / 3, so that
        P(error > 8 sqrt(k) u S) <= 2 exp(-96 k / (k + 4)) < 10^-38 for k > 54.
        Measured: single precision .33 of the bound at most, inputs rounded to bfloat16 at least 4 times the bound.
        """
        m, n, k = self.shape
        with np.errstate(all="ignore"):
            sizes = np.zeros((m, n))
            if self.alpha != 0 and k:
                sizes = np.abs(self.a.astype(np.float64)) @ np.abs(self.b.astype(np.float64))
            sizes *= abs(self.alpha)
            if self.beta != 0:
                sizes = sizes + np.abs(self.beta * self.c.astype(np.float64))
            return 8 * np.sqrt(max(k, 1)) * UNIT_ROUNDOFF * sizes

    def verify(self, why: str = "") -> None:
        """Check C after the call: every element within the bound, every byte of padding as it was."""
        m, n, _ = self.shape
        pad_c = self.padding[2]
        result = view(self.flat[2], m, n, pad_c)
        assert_close(result, self.expected(), self.bound(), case=self.label, why=why)
        if pad_c and m > 1 and n:
            gaps = view(self.flat[2][n:], m - 1, pad_c, n)
            untouched = np.full(gaps.shape, GAP, np.float32)
            assert_same(
                np.ascontiguousarray(gaps),
                untouched,
                what="the padding between the rows of C was written",
                case=self.label,
                why="Columns n .. ldc-1 are not yours: store edge tiles element by element, or through a buffer.",
            )

    def verify_most(self) -> None:
        """At least half of C's elements are within the bound: the function does multiply."""
        m, n, _ = self.shape
        result, expected = view(self.flat[2], m, n, self.padding[2]), self.expected()
        with np.errstate(invalid="ignore"):
            right = np.abs(result.astype(np.float64) - expected) <= self.bound()
        check(
            2 * int(right.sum()) >= right.size,
            "wrong numbers first: most elements of C are wrong",
            case=self.label,
            why="This test is about another fact, which shows only when the product is about right.",
        )

    def verify_large(self, rng: np.random.Generator) -> None:
        """For sizes where the full product is slow, with alpha = 1, beta = 0: a few rows in full, all rows projected.

        The rows meet the componentwise bound, so a loss of precision shows; Freivalds' check compares C x with
        A (B x) for x of random signs, so a wrong block anywhere shows.
        """
        m, n, k = self.shape
        result = view(self.flat[2], m, n, self.padding[2])
        check(bool(np.isfinite(result).all()), "the result holds NaN or infinity", case=self.label)
        rows = np.sort(rng.choice(m, min(m, 4), replace=False))
        few = of(self.a[rows], self.b)
        assert_close(result[rows], few.expected(), few.bound(), case=f"{self.label}, rows {rows.tolist()}")
        x = rng.choice([-1.0, 1.0], n)
        # Rounding errors of a row add up like a random walk over its n elements, each below 8 sqrt(k) u k.
        spread = 8 * np.sqrt(k) * UNIT_ROUNDOFF * k * np.sqrt(n)
        assert_close(_times(result, x), _times(self.a, _times(self.b, x)), spread, case=self.label)


def _times(matrix: npt.NDArray[np.floating], x: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
    """Matrix times vector in double precision, in slices that stay in the cache."""
    rows = max(1, (1 << 18) // max(1, matrix.shape[1]))
    slices = range(0, matrix.shape[0], rows)
    return np.concatenate([matrix[start : start + rows].astype(np.float64) @ x for start in slices])


def problem(
    rng: np.random.Generator,
    m: int,
    n: int,
    k: int,
    *,
    ta: int = N,
    tb: int = N,
    alpha: float = 1.0,
    beta: float = 0.0,
    padding: tuple[int, int, int] = (0, 0, 0),
    draw: Draw = uniform,
) -> Problem:
    """A random problem; where beta is 0, C holds NaN."""
    c = draw(rng, (m, n)).astype(np.float32) if beta else np.full((m, n), np.nan, np.float32)
    a, b = draw(rng, (m, k)).astype(np.float32), draw(rng, (k, n)).astype(np.float32)
    return of(a, b, c, ta=ta, tb=tb, alpha=alpha, beta=beta, padding=padding)


def of(
    a: Floats,
    b: Floats,
    c: Floats | None = None,
    *,
    ta: int = N,
    tb: int = N,
    alpha: float = 1.0,
    beta: float = 0.0,
    padding: tuple[int, int, int] = (0, 0, 0),
) -> Problem:
    """The problem with these op(A), op(B) and C; without C it holds NaN."""
    c = np.full((a.shape[0], b.shape[1]), np.nan, np.float32) if c is None else c
    flat = (
        stored(a.T if ta else a, padding[0]),
        stored(b.T if tb else b, padding[1]),
        stored(c, padding[2], GAP),
    )
    alpha, beta = float(np.float32(alpha)), float(np.float32(beta))
    return Problem(ta, tb, a, b, c, alpha, beta, padding, flat)


def reported_blocking(library: Library) -> Blocking | None:
    """What gemm_get_blocking reports; None while it is not written."""
    reported = library.struct("gemm_blocking")
    library.call("gemm_get_blocking", reported)
    return (reported.mr, reported.nr, reported.mc, reported.kc, reported.nc) if reported.mr else None


def packed_a(a: Floats, mr: int) -> Floats:
    """The layout of gemm_pack_a: panels of mr rows, column after column, missing rows zero."""
    mc, kc = a.shape
    panels = np.zeros((-(-mc // mr) * mr, kc), np.float32)
    panels[:mc] = a
    return panels.reshape(len(panels) // mr, mr, kc).transpose(0, 2, 1).reshape(-1)


def packed_b(b: Floats, nr: int) -> Floats:
    """The layout of gemm_pack_b: panels of nr columns, row after row, missing columns zero."""
    return packed_a(np.ascontiguousarray(b.T), nr)
