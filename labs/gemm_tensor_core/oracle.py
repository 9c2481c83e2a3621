"""The right answer: products in double precision, and the bound of tcgemm.h."""

from __future__ import annotations

import numpy as np

from grader.testing import assert_close

UNIT_ROUNDOFF = 2.0**-24


def relative_bound(k: int) -> float:
    """Of a sum of k products, over the sum of their absolute values: (16 sqrt(k) + k) u.

    The first part is what rounding brings, far beyond any chance (labs on the processor use half of it). The second is
    the tensor cores': they cut sums off instead of rounding them, so that errors add up instead of averaging out. A cut
    takes less than 2 u of a partial sum, which for numbers of one sign is half of the whole on average: k u even where
    every product is cut by itself, as hardware without a guard bit does when it aligns them.
    """
    return (16 * float(np.sqrt(max(k, 1))) + k) * UNIT_ROUNDOFF


def padded(matrix: np.ndarray, ld: int) -> np.ndarray:
    """The matrix with leading dimension `ld`, flat, NaN between its rows and nothing behind the last one."""
    rows, cols = matrix.shape
    if matrix.size == 0:
        return np.zeros(0, matrix.dtype)
    nan = np.array(np.nan, np.float16).view(np.uint16) if matrix.dtype == np.uint16 else np.nan
    flat = np.full((rows, ld), nan, matrix.dtype)
    flat[:, :cols] = matrix
    return flat.ravel()[: (rows - 1) * ld + cols].copy()


def assert_product(
    got: np.ndarray, a: np.ndarray, b: np.ndarray, alpha: float, beta: float, c: np.ndarray, *, case: str
) -> None:
    """alpha A B + beta C within relative_bound(k) (|alpha| |A||B| + |beta C|) (tcgemm.h)."""
    with np.errstate(invalid="ignore", over="ignore"):
        left, right = a.astype(np.float64), b.astype(np.float64)
        product = alpha * (left @ right) if alpha and a.shape[1] else np.zeros(got.shape)
        size = abs(alpha) * (np.abs(left) @ np.abs(right)) if alpha and a.shape[1] else np.zeros(got.shape)
        kept = beta * c.astype(np.float64) if beta else np.zeros(got.shape)
        bound = relative_bound(a.shape[1]) * (size + np.abs(kept))
    assert_close(got, product + kept, np.where(np.isfinite(bound), bound, 0) + 1e-37, case=case)
