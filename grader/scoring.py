"""Scoring: from verdicts and ratios to points. Pure functions: nothing here runs, reads or prints."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from grader.result import Status, TestResult

# Fraction of a duel's points that each tier is worth; a lab may say otherwise.
DEFAULT_CREDIT: Mapping[str, float] = {"pass": 0.4, "bronze": 0.6, "silver": 0.8, "gold": 1.0, "bonus": 1.1}

GATE_CATEGORY = "correctness"

# Sums of points such as 0.1 + 0.2 must not shut the gate by a rounding error.
_ROUNDING = 1e-9


@dataclass(frozen=True)
class Totals:
    """Sums over a submission's tests, in points."""

    score: float
    max_score: float
    judged_max: float


def duel_credit(ratio: float, tiers: Mapping[str, float], credit: Mapping[str, float]) -> float:
    """Fraction of a duel's points that `ratio` earns.

    `tiers` gives each tier's ratio, rising; `credit` gives the fraction earned there, not falling. Between
    tiers the credit is linear in log(ratio), because each doubling of speed is about equal effort. Below the
    first tier it falls in the same way to 0 at half of that tier, so that almost reaching it earns something;
    at and above the last tier it stays. Scaling `ratio` and all tiers alike changes nothing.

    Raises ValueError for NaN, for no tiers, and for tiers or credits that do not rise or do not fit together.
    """
    points = _curve(tiers, credit)
    if math.isnan(ratio):
        raise ValueError("the ratio is not a number")
    if ratio <= points[0][0]:
        return 0.0
    for (low, low_credit), (high, high_credit) in pairwise(points):
        if ratio == high:
            return high_credit
        if ratio < high:
            share = math.log(ratio / low) / math.log(high / low)
            return min(high_credit, low_credit + (high_credit - low_credit) * share)
    return points[-1][1]


def _curve(tiers: Mapping[str, float], credit: Mapping[str, float]) -> list[tuple[float, float]]:
    """The corners (ratio, credit) of the credit curve, from the zero at half of the first tier upwards."""
    if not tiers:
        raise ValueError("a duel needs at least one tier")
    missing = [name for name in tiers if name not in credit]
    if missing:
        raise ValueError(f"no credit is given for the tier {missing[0]!r}")
    points = [(ratio, credit[name]) for name, ratio in tiers.items()]
    if not all(math.isfinite(ratio) and math.isfinite(share) for ratio, share in points):
        raise ValueError("every tier and credit must be a finite number")
    corners = [(points[0][0] / 2, 0.0), *points]
    if any(low[0] >= high[0] or low[1] > high[1] for low, high in pairwise(corners)):
        raise ValueError(
            f"tiers must be positive and rise, credits must not fall: (ratio, credit) = {points}"
        )
    return corners


def highest_tier(ratio: float, tiers: Mapping[str, float]) -> str | None:
    """Name of the highest tier whose ratio is reached, or None below the first."""
    reached = [name for name, threshold in tiers.items() if ratio >= threshold]
    return max(reached, key=lambda name: tiers[name], default=None)


def linear_credit(value: float, full_at: float, zero_at: float) -> float:
    """Fraction of points for a noise-free metric: 1 at `full_at` or better, 0 at `zero_at` or worse.

    Linear between; `full_at` may lie below `zero_at` (cache misses: fewer is better) or above it. All three
    share one unit. This is the rule of CMU's cache lab.
    Raises ValueError when the two ends are equal or a number is not finite.
    """
    if not (math.isfinite(value) and math.isfinite(full_at) and math.isfinite(zero_at)):
        raise ValueError(f"a metric and its two ends must be finite: {value}, {full_at}, {zero_at}")
    if full_at == zero_at:
        raise ValueError(f"full and zero credit cannot both be at {full_at}")
    share = (value - zero_at) / (full_at - zero_at)
    return min(1.0, max(0.0, share))


def gate_reason(tests: Sequence[TestResult], share: float) -> str | None:
    """Why performance does not count yet, and what to fix first; None when it counts.

    It counts when every `must` test passed and at least `share` (0..1) of the judged points of the category
    'correctness' were earned. With `share` above 0, correctness that could not be judged keeps the gate shut.
    """
    for test in tests:
        if test.must and test.status != "passed":
            what = "failed; fix it first" if test.status == "failed" else "could not be judged here"
            return f"Performance counts only when '{test.name}' passes: it {what}."
    correctness = [test for test in tests if test.category == GATE_CATEGORY]
    judged = math.fsum(test.max_points for test in _judged(correctness))
    earned = math.fsum(min(test.points, test.max_points) for test in _judged(correctness))
    if share <= 0 or (judged > 0 and earned >= share * judged - _ROUNDING * judged):
        return None
    if judged == 0:
        return "Performance counts only after correctness, and no correctness test could be judged here."
    first = next(test for test in _judged(correctness) if test.points < test.max_points)
    return (
        f"Performance counts once {share:.0%} of the correctness points are earned: "
        f"{earned:.4g} of {judged:.4g} so far; fix '{first.name}' first."
    )


def _judged(tests: Sequence[TestResult]) -> Iterator[TestResult]:
    return (test for test in tests if test.status != "not_judged")


def totals(tests: Sequence[TestResult]) -> Totals:
    """Points earned, points there are, and points that could be judged here.

    Tests that were not judged count in `max_score` only: they neither earn nor cost anything.
    """
    return Totals(
        score=math.fsum(test.points for test in _judged(tests)),
        max_score=math.fsum(test.max_points for test in tests),
        judged_max=math.fsum(test.max_points for test in _judged(tests)),
    )


def overall_status(tests: Sequence[TestResult]) -> Status:
    """'failed' if any test failed; 'passed' if there are tests and all passed; 'not_judged' otherwise."""
    statuses = {test.status for test in tests}
    if "failed" in statuses:
        return "failed"
    return "passed" if statuses == {"passed"} else "not_judged"
