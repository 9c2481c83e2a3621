"""Fixtures of this lab: `scale` calls the submission and checks its answer."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from grader.testing import Library, assert_same, check
from labs.@LAB@.oracle import Floats, scaled


@pytest.fixture
def scale(library: Library) -> Callable[..., None]:
    """`scale(factor, x)` calls @LAB@_scale on fresh arrays and compares y with the oracle's."""

    def call(factor: float, x: Floats, edge: str = "end") -> None:
        case = f"n={x.size} factor={factor:g}"
        y = np.full_like(x, np.nan)
        status = library.call("@LAB@_scale", x.size, factor, x, y, case=case, edge=edge)
        check(status == 0, "a correct call was refused", case=case, expected=0, got=status)
        assert_same(y, scaled(factor, x), what="y", case=case)

    return call
