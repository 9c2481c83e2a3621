"""Public tests: what every student has. Their names say what must hold."""

from __future__ import annotations

import numpy as np

from grader.testing import category, must, points, smoke

pytestmark = category("correctness")


@smoke
@must
@points(20)
def test_three_numbers(scale):
    """The smallest thing that can be wrong. This docstring is what a student reads as the reason."""
    scale(2.0, np.array([1, 2, 3], np.float32))
