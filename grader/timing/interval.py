"""The interval of a median from few samples: order statistics, no assumption about the distribution.

The number of samples below the median is binomial(n, 1/2); see e.g. Hahn & Meeker, Statistical Intervals, §5.2.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

LOOKS = (8, 10, 13, 17, 22, 29, 38, 50, 65, 85, 110, 143, 186)
"""Numbers of rounds after which a duel looks at its interval. Few looks, so that looking often does not fool it."""

ALPHA = 0.01
"""Error of one look. With 13 looks the whole duel errs on one side in well under 7 % of the worst cases; measured
error on real noise is far lower, since the interval only matters where the truth lies next to a threshold."""


def median(samples: Sequence[float]) -> float:
    """The middle of the samples (mean of the two middle ones). Raises ValueError when there are none."""
    if not samples:
        raise ValueError("a median needs at least one sample")
    ordered = sorted(samples)
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2


def median_interval(samples: Sequence[float], alpha: float = ALPHA) -> tuple[float, float] | None:
    """An interval that holds the true median with probability at least 1 - alpha; None for too few samples."""
    ordered = sorted(samples)
    count = len(ordered)
    tail, rank = 0.0, 0
    while True:  # largest rank whose two tails together stay below alpha
        tail += math.comb(count, rank) * 0.5**count
        if 2 * tail > alpha or rank > count:
            break
        rank += 1
    return (ordered[rank - 1], ordered[count - rank]) if rank else None
