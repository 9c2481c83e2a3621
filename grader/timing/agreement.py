"""How well two sides agree on the same numbers: 1 is agreement, exp(-d) for a mean distance of d in logarithms.

Distances are of medians over the rounds, case by case, since single readings scatter to both sides of the truth: the
mean of their absolute distances would call noise a disagreement.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from grader.timing.interval import median, median_interval

Pairs = Sequence[tuple[float, float]]
"""What both sides said in every round, as positive numbers: (submission, reference)."""


def agreement(pairs: Pairs) -> float:
    """min(r, 1 / r) for the median ratio r of one case."""
    return math.exp(-abs(median(_logs(pairs))))


def overall(cases: Iterable[Pairs]) -> float:
    """The geometric mean of the cases' agreements. Raises ValueError when there is none."""
    distances = [abs(median(_logs(pairs))) for pairs in cases]
    return math.exp(-sum(distances) / len(distances)) if distances else median([])


def interval(cases: Iterable[Pairs]) -> tuple[float, float] | None:
    """An interval that holds the true agreement if every case's own interval holds its median; None for too few rounds.

    Wide on purpose: it takes all cases at their best, and all at their worst.
    """
    nearest, farthest = [], []
    for pairs in cases:
        found = median_interval(_logs(pairs))
        if found is None:
            return None
        low, high = found
        nearest.append(0.0 if low <= 0 <= high else min(abs(low), abs(high)))
        farthest.append(max(abs(low), abs(high)))
    if not nearest:
        return None
    return math.exp(-sum(farthest) / len(farthest)), math.exp(-sum(nearest) / len(nearest))


def _logs(pairs: Pairs) -> list[float]:
    return [math.log(ours / theirs) for ours, theirs in pairs]
