"""The right answer: products in double precision, and the bound of tcgemm.h."""

from __future__ import annotations

import numpy as np

from grader.testing import assert_close

UNIT_ROUNDOFF = 2.0**-24


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
    """alpha A B + beta C within 16 sqrt(k) u |alpha| |A||B|, and a little for beta C (tcgemm.h)."""
    with np.errstate(invalid="ignore", over="ignore"):
        left, right = a.astype(np.float64), b.astype(np.float64)
        product = alpha * (left @ right) if alpha and a.shape[1] else np.zeros(got.shape)
        size = abs(alpha) * (np.abs(left) @ np.abs(right)) if alpha and a.shape[1] else np.zeros(got.shape)
        kept = beta * c.astype(np.float64) if beta else np.zeros(got.shape)
        bound = 16 * np.sqrt(max(a.shape[1], 1)) * UNIT_ROUNDOFF * size + 4 * UNIT_ROUNDOFF * np.abs(kept)
    assert_close(got, product + kept, np.where(np.isfinite(bound), bound, 0) + 1e-37, case=case)
