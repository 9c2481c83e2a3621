"""What collectives must give, in double precision, with the bound that the arithmetic of single precision allows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from grader.testing import assert_close, assert_same
from labs.ddp_lite.world import MAX, MEAN, Floats

UNIT = 2.0**-24
"""Unit roundoff of float (IEEE 754, round to nearest)."""

Doubles = npt.NDArray[np.float64]


def inputs(rng: np.random.Generator, count: int, n: int) -> list[Floats]:
    """A buffer for each rank: positive and of different sizes, so that a lost or doubled addend shows."""
    return [(rng.random(n) + 0.5 + rank).astype(np.float32) for rank in range(count)]


def whole(rng: np.random.Generator, count: int, n: int) -> list[Floats]:
    """Small whole numbers: every sum is exact, in whatever order."""
    return [rng.integers(-512, 512, n).astype(np.float32) for _ in range(count)]


def reduced(given: Sequence[Floats], op: int) -> tuple[Doubles, Doubles]:
    """The exact result and the absolute error bound for each element.

    A sum of w addends in any order errs by at most (w-1) u sum|x| + O(u^2) (Higham, Accuracy and Stability, eq. 4.4);
    a mean has one rounding more. A maximum is exact.
    """
    wide = np.array(given, np.float64)
    if op == MAX:
        return wide.max(axis=0), np.zeros(wide.shape[1])
    total, size = wide.sum(axis=0), np.abs(wide).sum(axis=0)
    bound = len(given) * 1.001 * UNIT * size
    return (
        (total / len(given), bound / len(given) + UNIT * np.abs(total / len(given)))
        if op == MEAN
        else (total, bound)
    )


def verify_reduced(after: Sequence[Floats], given: Sequence[Floats], op: int, case: str) -> None:
    """Right on rank 0, and the same bits on every rank."""
    expected, bound = reduced(given, op)
    assert_close(after[0], expected, bound, case=f"{case}, on rank 0")
    same_everywhere(after, case)


def same_everywhere(after: Sequence[npt.NDArray[np.generic]], case: str) -> None:
    """All ranks hold the same bits."""
    for rank, array in enumerate(after):
        assert_same(
            array,
            after[0],
            what=f"rank {rank}'s result, compared with rank 0's",
            case=case,
            why="Models that differ in one bit drift apart. Let one rank compute a sum, and the others copy it.",
        )


def net(rng: np.random.Generator, samples: int) -> tuple[list[Doubles], Doubles, Doubles]:
    """A small network (12-16-3, tanh), inputs and targets, in double precision."""
    weights = [rng.normal(size=shape) * 0.4 for shape in ((12, 16), (16,), (16, 3), (3,))]
    return weights, rng.normal(size=(samples, 12)), rng.normal(size=(samples, 3))


def gradients(weights: Sequence[Doubles], x: Doubles, y: Doubles) -> tuple[float, list[Doubles]]:
    """Mean squared error over the samples, and its gradients, layer by layer."""
    w1, b1, w2, b2 = weights
    hidden = np.tanh(x @ w1 + b1)
    error = hidden @ w2 + b2 - y
    scale = 2.0 / error.size
    back = (scale * error) @ w2.T * (1 - hidden**2)
    grads = [x.T @ back, back.sum(axis=0), hidden.T @ (scale * error), scale * error.sum(axis=0)]
    return float((error**2).mean()), grads
