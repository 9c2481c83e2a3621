"""The right answers: sums in double precision, and NumPy's transpose."""

from __future__ import annotations

import numpy as np

from grader.testing import assert_close

UNIT_ROUNDOFF = 2.0**-24


def assert_sum(got: np.ndarray, numbers: np.ndarray, *, case: str) -> None:
    """A sum in single precision within 8 u sum(|x|), a row's sum within 8 sqrt(cols) u sum(|x|) (redtr.h).

    NaN and Inf are as in additions. A whole sum is a tree's: a million numbers added one by one err by more. A row may
    be added in any order, by one thread too: its cols roundings of partial sums, each even in [-u, u], make an error
    that is sub-Gaussian with variance cols u^2 sum(|x|)^2 / 3, beyond the bound with a chance below 2 exp(-96).
    """
    with np.errstate(invalid="ignore"):
        wide = numbers.astype(np.float64)
        expected = wide.sum(axis=-1, keepdims=wide.ndim == 1)
    assert_close(got, expected, bound(numbers), case=case)


def bound(numbers: np.ndarray) -> np.ndarray:
    """The absolute error that is allowed for the sum of a vector, or for each row's of a matrix; see `assert_sum`."""
    wide = np.abs(np.where(np.isfinite(numbers), numbers, 0).astype(np.float64))
    order = 1.0 if wide.ndim == 1 else float(np.sqrt(max(wide.shape[-1], 1)))
    return 8 * order * UNIT_ROUNDOFF * wide.sum(axis=-1, keepdims=wide.ndim == 1)
