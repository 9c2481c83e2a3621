"""What you have: the first products, on a GPU."""

from __future__ import annotations

import numpy as np
import pytest

from grader.runner.invoke import Invocation
from grader.testing import category, check, points
from labs.gemm_tensor_core.conftest import POISON
from labs.gemm_tensor_core.oracle import assert_product

pytestmark = category("correctness")


@points(3)
@pytest.mark.parametrize("m, n, k", [(16, 16, 16), (64, 64, 64), (128, 256, 64), (50, 70, 33)])
def test_first_products(hgemm, rng, m, n, k):
    """One tile, several tiles, and tiles that are not full."""
    a, b = (rng.random(shape).astype(np.float16) for shape in ((m, k), (k, n)))
    case = f"{m} x {n} x {k}"
    assert_product(hgemm(a, b, case=case).c, a, b, 1, 0, np.zeros((m, n)), case=case)


@points(3)
@pytest.mark.parametrize("m, n, k", [(32, 32, 32), (100, 65, 40)])
def test_first_products_in_single_precision(sgemm, rng, m, n, k):
    """tc_sgemm_smem: the first step of the road."""
    a, b = (rng.random(shape, np.float32) for shape in ((m, k), (k, n)))
    case = f"{m} x {n} x {k}"
    assert_product(sgemm(a, b, case=case).c, a, b, 1, 0, np.zeros((m, n)), case=case)


@points(2)
def test_first_alpha_and_beta(hgemm, rng):
    """C = 2 A B - C."""
    a, b = (rng.random((64, 64)).astype(np.float16) for _ in range(2))
    c = rng.random((64, 64), np.float32)
    got = hgemm(a, b, case="alpha 2, beta -1", alpha=2, beta=-1, c=c)
    assert_product(got.c, a, b, 2, -1, c, case="alpha 2, beta -1")


@points(0)
def test_first_accesses_stay_inside_the_matrices(watch, library, rng):
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
    """A product of tiles that are not full."""
    how, seen = library.struct("drive_how"), library.struct("drive_seen")
    how.poison, how.snug = POISON, 1
    m, n, k = 70, 45, 100
    a, b = (rng.random(shape).astype(np.float16).view(np.uint16).ravel() for shape in ((m, k), (k, n)))
    c = np.zeros(m * n, np.float32)
    return Invocation("drive_hgemm", (how, m, n, k, 1.0, a, k, b, n, 0.0, c, n, seen))
