"""What you have: the first steps of each function, on a GPU."""

from __future__ import annotations

import numpy as np
import pytest

from grader.runner.invoke import Invocation
from grader.testing import assert_same, category, check, points
from labs.cuda_reduce_transpose.conftest import POISON
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


@points(0)
def test_first_accesses_stay_inside_the_arrays(watch, library, rng):
    """compute-sanitizer's memcheck on a small call: every load and store lies in an array, and is aligned."""
    watched(watch, "memcheck", library, rng)


@points(0)
def test_first_barriers_are_where_they_must_be(watch, library, rng):
    """compute-sanitizer's racecheck on a small call: a barrier lies between a store to shared memory and a load."""
    watched(watch, "racecheck", library, rng)


def watched(watch, tool, library, rng):
    """One call under one of compute-sanitizer's tools; without it first: who does nothing shows nothing."""
    call = small_call(library, rng)
    library.call(call.function, *call.arguments, case=call.function)
    answer = call.arguments[-1].status
    check(answer == 0, "a call that must work did not", case=call.function, expected=0, got=answer)
    watch(tool, [call], case="a small call")


def small_call(library, rng):
    """A sum of several blocks, the last of which is not full."""
    how, seen = library.struct("drive_how"), library.struct("drive_seen")
    how.poison, how.snug = POISON, 1
    numbers, out = rng.random(5000, np.float32), np.zeros(1, np.float32)
    return Invocation("drive_reduce", (0, how, numbers, numbers.size, out, seen))
