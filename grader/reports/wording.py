"""The words that every report shares: numbers with units, sentences about duels, and what to do next."""

from __future__ import annotations

import math
import re
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from grader.reports.hidden import HINT
from grader.reports.text import one_line
from grader.result import Duel, Result, Series, TestResult

_FIELD = re.compile(r"\{(?:lab|test|seed)\}")


@dataclass(frozen=True)
class NextTier:
    """The tier above the one reached, and how many times as fast the submission must become."""

    name: str
    ratio: float
    factor: float


def points(value: float) -> str:
    """Points with at most two decimals: '4', '87.5', '0.33'."""
    return f"{value:.2f}".rstrip("0").rstrip(".")


def count(number: float, noun: str) -> str:
    """A counted noun: '1 test', '3 tests', '2.5 points'."""
    return f"{points(number)} {noun}" if number == 1 else f"{points(number)} {noun}s"


def ratio_down(value: float) -> str:
    """A ratio rounded down, so that 0.7996 never reads like a tier at 0.80."""
    return _rounded(value, math.floor)


def ratio_up(value: float) -> str:
    """A ratio rounded up: the upper end of an interval, or how much is still needed."""
    return _rounded(value, math.ceil)


_MOST_DECIMALS = 12
"""No measured ratio needs more, and the inverse of the smallest numbers is no number."""


def _rounded(value: float, direction: Callable[[float], int]) -> str:
    if value <= 0:
        return "0"
    decimals = 2 if 0.1 <= value < 10 else max(0, (1 if value < 0.1 else 2) - math.floor(math.log10(value)))
    decimals = min(decimals, _MOST_DECIMALS)
    scaled = value * 10**decimals
    # 0.29 * 100 is 28.999...: a value that is meant to be round stays as it is.
    nearest = round(scaled)
    whole = nearest if math.isclose(scaled, nearest, rel_tol=1e-9) else direction(scaled)
    return f"{whole / 10**decimals:.{decimals}f}"


def threshold(value: float) -> str:
    """A tier's ratio as short as it is exact: '.15', '.075', '1.5'."""
    text = f"{value:.3g}" if value < 1000 else f"{value:.0f}"
    text = text + "0" if len(text) == 3 and text.startswith("0.") else text
    return text.removeprefix("0") if text.startswith("0.") else text


def sweep(series: Series) -> str:
    """A series in one line: 'latency over size: 1.1 .. 154 ns from 2 KiB to 16 MiB'."""
    points = [point for line in series.lines.values() for point in line]
    low, high = (quantity(end(x for x, _ in points), series.x.unit) for end in (min, max))
    values = (rate(end(y for _, y in points)) for end in (min, max))
    return f"{one_line(series.title)}: {' .. '.join(values)} {one_line(series.y.unit)}, from {low} to {high}"


def quantity(value: float, unit: str) -> str:
    """A number with its unit; bytes in KiB, MiB and GiB: '24 KiB'."""
    if unit != "bytes":
        return f"{rate(value)} {one_line(unit)}".rstrip()
    for power, name in ((30, "GiB"), (20, "MiB"), (10, "KiB")):
        if value >= 1 << power:
            return f"{value / (1 << power):.3g} {name}"
    return f"{value:.0f} B"


def rate(value: float) -> str:
    """A rate in two or three digits: '96', '103', '7.25', '0.0123'."""
    return f"{value:,.0f}" if value >= 20 else f"{value:.3g}"


def rates(duel: Duel) -> str:
    """What was reached beside the reference, e.g. '96 of 103 GFLOP/s'; empty when it was not measured."""
    if duel.submission_rate is None:
        return ""
    if duel.reference_rate is None:
        return f"{rate(duel.submission_rate)} {duel.unit}".rstrip()
    return f"{rate(duel.submission_rate)} of {rate(duel.reference_rate)} {duel.unit}".rstrip()


def tier(duel: Duel) -> str:
    """The tier reached, 'below pass' under the first one, or 'not judged'."""
    if duel.verdict == "not_judged":
        return "not judged"
    return duel.tier or f"below {next(iter(duel.tiers), 'the first tier')}"


def next_tier(duel: Duel) -> NextTier | None:
    """The first tier above what was measured and paid; None at the top, and when nothing was judged."""
    if duel.verdict == "not_judged" or duel.ratio is None or duel.ratio < 10**-_MOST_DECIMALS:
        return None
    paid = duel.tiers.get(duel.tier, 0.0) if duel.tier else 0.0
    above = [(ratio, name) for name, ratio in duel.tiers.items() if ratio > max(duel.ratio, paid)]
    if not above:
        return None
    ratio, name = min(above)
    return NextTier(name, ratio, ratio / duel.ratio)


def slowest(duel: Duel) -> str:
    """The case that holds the ratio back most, e.g. 'slowest: 64 x 4096 x 64, .41'; empty when they are alike."""
    if len(duel.cases) < 2 or duel.verdict == "not_judged":
        return ""
    worst = min(duel.cases, key=lambda case: case.ratio)
    best = max(case.ratio for case in duel.cases)
    if worst.ratio >= 0.9 * best:
        return ""
    if duel.compares == "values":
        values = f"{rate(worst.submission_rate)} against {rate(worst.reference_rate)} {duel.unit}"
        return f"farthest from the reference: {worst.name}, {values}"
    return f"slowest: {worst.name}, {ratio_down(worst.ratio)}"


def roofline(duel: Duel) -> str:
    """How close to the machine's own bound, and what the next tier asks for, in the same unit."""
    roof, following = duel.roofline, next_tier(duel)
    if roof is None:
        return ""
    reach = f"You reach {rate(roof.value)} of the {rate(roof.ceiling)} {roof.unit} measured here"
    sentence = f"{reach}: {roof.bound}-bound"
    if following is None:
        return sentence + "."
    return f"{sentence}; {following.name} is at {rate(roof.value * following.factor)}."


def first_failure(tests: Sequence[TestResult]) -> TestResult | None:
    """The failure to explain first: explained ones, then `must` tests, then the earliest."""
    failed = [test for test in tests if test.status == "failed"]
    return min(failed, key=lambda test: (test.failure is None, not test.must), default=None)


def rerun_command(template: str, result: Result, test: TestResult) -> str:
    """The command that runs one test again on the same inputs.

    `template` may name {lab}, {test} and {seed}. A word of it goes when there is nothing to fill in: the
    result has no seed 'run', or the test is none of a test file's (the build, for instance).
    """
    values = {"{lab}": result.lab}
    if ".py::" in test.id:
        values["{test}"] = test.id.rpartition("::")[2].removeprefix("test_")
    if "run" in result.seeds:
        values["{seed}"] = str(result.seeds["run"])
    words = [word for word in template.split() if set(_FIELD.findall(word)) <= set(values)]
    return _FIELD.sub(lambda field: shlex.quote(one_line(values[field.group()])), " ".join(words))


def waiting(result: Result) -> list[str]:
    """Why points wait, one sentence per distinct reason, e.g. '10 points: valgrind is missing'."""
    by_reason: dict[str, list[float]] = {}
    for test in result.tests:
        if test.status == "not_judged":
            by_reason.setdefault(one_line(test.message) or "no reason was given", []).append(test.max_points)
    return [f"{count(math.fsum(lost), 'point')}: {reason}" for reason, lost in by_reason.items()]


def what_next(result: Result, rerun: str) -> list[str]:
    """One to three concrete steps, the most useful first; a command stands on a second line of its step.

    `result` is what the reader may see (see hidden.py); `rerun` is the template of `rerun_command`.
    """
    steps = [*_failure_steps(result, rerun), *_metric_steps(result), *_tier_steps(result)]
    if all(test.points >= test.max_points for test in result.tests if test.status != "not_judged"):
        steps = [_praise(result), *_tier_steps(result)]
    return steps[:3]


def is_refused(result: Result) -> bool:
    """Could nothing be taken from what was handed in? Then no file of it has a hash."""
    return not result.hashes.get("submission") and [test.id for test in result.tests] == ["build"]


def _failure_steps(result: Result, rerun: str) -> list[str]:
    first = first_failure(result.tests)
    if first is None:
        return []
    name = one_line(first.name)
    if is_refused(result):
        return [
            f"Hand it in again: {one_line(first.message)} Then run\n{rerun_command(rerun, result, first)}"
        ]
    if first.failure is None and first.id in {duel.test_id for duel in result.duels if next_tier(duel)}:
        return []  # too slow: what is missing to the next tier says more
    if first.hidden and first.failure is None:
        return [f"Fix the hidden test '{name}' ({one_line(first.category)}). {HINT}"]
    return [f"Fix '{name}', then run\n{rerun_command(rerun, result, first)}"]


def _metric_steps(result: Result) -> list[str]:
    """The test that passed and still left the most points on the table; duels have their own step."""
    in_duels = {duel.test_id for duel in result.duels}
    partial = [
        test
        for test in result.tests
        if test.status == "passed" and test.points < test.max_points and test.id not in in_duels
    ]
    if not partial:
        return []
    test = max(partial, key=lambda test: test.max_points - test.points)
    message = f": {one_line(test.message)}" if test.message else ""
    earned = f"{points(test.points)} of {points(test.max_points)}"
    return [f"'{one_line(test.name)}' has {earned} points{message}"]


def _tier_steps(result: Result) -> list[str]:
    """What each duel lacks to its next tier: those that still earn nothing first, then the nearest."""
    steps = [(duel, following) for duel in result.duels if (following := next_tier(duel))]
    steps.sort(key=lambda step: (step[0].tier is not None, step[1].factor))
    return [_tier_step(duel, following) for duel, following in steps]


def _tier_step(duel: Duel, following: NextTier) -> str:
    reaches = f"'{one_line(duel.title)}' reaches {one_line(following.name)} ({threshold(following.ratio)})"
    if duel.compares == "values":
        return f"{reaches} when its numbers are within {100 * (1 / following.ratio - 1):.0f} % of the reference's."
    return f"{reaches} when it gets {ratio_up(following.factor)} times as fast."


def _praise(result: Result) -> str:
    if result.judged_max == 0:
        return "Nothing could be judged here, and nothing is lost: grade it on a machine that can."
    sentence = "All done: every point that could be judged here is yours."
    waits = result.max_score - result.judged_max
    if waits > 0:
        sentence += f" The other {points(waits)} wait for a machine that can judge them."
    return sentence + (" Hidden tests run at grading." if result.mode == "practice" else "")
