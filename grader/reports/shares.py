"""Points in the coarse units that other systems ask for, so that the parts still add up to the whole."""

from __future__ import annotations

import math
from collections.abc import Sequence


def in_units(points: Sequence[float], unit: float) -> list[int]:
    """Each value as a whole number of units; their sum is the sum of the values, rounded (largest remainder).

    No value moves by a unit or more.
    """
    exact = [value / unit for value in points]
    whole = [math.floor(value + 1e-9) for value in exact]
    missing = round(math.fsum(exact)) - sum(whole)
    by_remainder = sorted(range(len(exact)), key=lambda place: (whole[place] - exact[place], place))
    for place in by_remainder[: max(0, missing)]:
        whole[place] += 1
    return whole
