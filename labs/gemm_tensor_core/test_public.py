"""What you have: the first products, on a GPU."""

from __future__ import annotations

import numpy as np
import pytest

from grader.testing import category, points
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
