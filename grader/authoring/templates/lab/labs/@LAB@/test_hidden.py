"""Hidden tests: facts about a right solution. Each catches at least one known mistake (mutants/)."""

from __future__ import annotations

import errno

import numpy as np
import pytest

from grader.testing import category, check, must, points

pytestmark = category("correctness")


@points(50)
def test_every_length(scale, rng):
    """All lengths from 0 to 70: what is left over behind a block shows here."""
    for n in range(71):
        scale(-1.5, rng.random(n, np.float32))


@category("safety")
@must
@points(20)
@pytest.mark.parametrize("edge", ["end", "start"])
def test_nothing_outside_the_arrays_is_touched(scale, rng, edge):
    """A page that nobody may touch lies directly behind (or before) every array."""
    for n in (1, 2, 17, 1000):
        scale(3.0, rng.random(n, np.float32), edge=edge)


@category("hygiene")
@points(10)
def test_missing_arrays_are_refused(library):
    """-EINVAL for NULL, unless there is nothing to do."""
    for case, arguments, expected in (
        ("n = 4, x = NULL", (4, 1.0, None, np.zeros(4, np.float32)), -errno.EINVAL),
        ("n = 4, y = NULL", (4, 1.0, np.zeros(4, np.float32), None), -errno.EINVAL),
        ("n = 0, both NULL", (0, 1.0, None, None), 0),
    ):
        status = library.call("@LAB@_scale", *arguments, case=case)
        check(status == expected, "the wrong answer to missing arrays", case=case, expected=expected, got=status)
