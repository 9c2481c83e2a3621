"""What you have: the first steps of each function, on a GPU."""

from __future__ import annotations

import numpy as np
import pytest

from grader.testing import assert_same, category, points
from labs.cuda_reduce_transpose.oracle import assert_sum

pytestmark = category("correctness")


@points(3)
@pytest.mark.parametrize("n", [1, 32, 100, 1024, 100_000])
def test_first_sums(reduce, rng, n):
    """Any number of elements: a warp, a block, several blocks, and a last block that is not full."""
    numbers = rng.random(n, np.float32)
    assert_sum(reduce("sum", numbers, case=f"n = {n}"), numbers, case=f"n = {n}")


@points(2)
def test_first_maxima(reduce, rng):
    """The largest of a few thousand numbers."""
    numbers = rng.standard_normal(5000).astype(np.float32)
    assert_same(reduce("max", numbers, case="n = 5000"), numbers.max(keepdims=True), what="the maximum")


@points(3)
@pytest.mark.parametrize("rows, cols", [(32, 32), (64, 128), (100, 33)])
def test_first_transposes(transpose, rng, rows, cols):
    """A tile, several tiles, and tiles that are not full."""
    matrix = rng.random((rows, cols), np.float32)
    case = f"{rows} x {cols}"
    assert_same(transpose(matrix, cols, rows, case=case), matrix.T, what="the transpose", case=case)
