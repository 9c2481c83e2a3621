"""The right answer, slow and obvious. It never meets a submission: the grader's process alone runs it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]


def scaled(factor: float, x: Floats) -> Floats:
    """factor * x, rounded once as C does it."""
    return np.float32(factor) * x
