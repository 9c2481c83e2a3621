"""The right answers: sums in double precision, and NumPy's transpose."""

from __future__ import annotations

import numpy as np

from grader.testing import assert_close

UNIT_ROUNDOFF = 2.0**-24


def assert_sum(got: np.ndarray, numbers: np.ndarray, *, case: str) -> None:
    """One sum in single precision, in any order: within 8 u sum(|x|) (redtr.h); NaN and Inf as in additions."""
    with np.errstate(invalid="ignore"):
        wide = numbers.astype(np.float64)
        expected = wide.sum(axis=-1, keepdims=wide.ndim == 1)
        bound = (
            8
            * UNIT_ROUNDOFF
            * np.abs(np.where(np.isfinite(wide), wide, 0)).sum(axis=-1, keepdims=wide.ndim == 1)
        )
    assert_close(got, expected, bound, case=case)
