"""The report as one HTML page that opens from disk: no script, no network, everything of a submission escaped."""

from __future__ import annotations

import difflib
import functools
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import jinja2
from markupsafe import Markup

from grader.reports import plots, wording
from grader.reports.hidden import HINT, for_students
from grader.reports.text import one_line, plain
from grader.result import Duel, Failure, Result, TestResult

RERUN = "make grade LAB={lab} TEST={test} SEED={seed}"

_PIECES = re.compile(r"\s+|[^\s,;()\[\]=]+|[,;()\[\]=]")
_LONGEST_DIFF = 4000  # characters of expected and got that are compared piece by piece


@dataclass(frozen=True)
class Part:
    """One category of tests. Shares are of its points, 0 .. 1."""

    name: str
    earned: str
    most: str
    tests: tuple[TestResult, ...]

    @property
    def anchor(self) -> str:
        return "part-" + re.sub(r"[^a-z0-9]+", "-", self.name.lower()).strip("-")

    def count(self, status: str) -> int:
        """How many of its tests ended like that."""
        return sum(test.status == status for test in self.tests)


@dataclass(frozen=True)
class Broken:
    """A failed test with all that helps to mend it."""

    test: TestResult
    failure: Failure | None
    expected: Markup
    got: Markup
    rerun: str
    hint: str


@dataclass(frozen=True)
class Fought:
    """A duel with its drawing and its sentences."""

    duel: Duel
    tier: str
    ratio: str
    interval: str
    drawing: Markup
    sweep: Markup
    sentences: tuple[str, ...]


def html(result: Result, *, reveal: bool = False, rerun: str = RERUN) -> str:
    """The whole page. Hidden tests show their name and category only, unless `reveal` (for staff)."""
    shown = result if reveal else for_students(result)
    first = wording.first_failure(shown.tests)
    failed = [test for test in shown.tests if test.status == "failed"]
    return _template("report.html.j2").render(
        result=shown,
        reveal=reveal,
        parts=[_part(name, shown) for name in dict.fromkeys(test.category for test in shown.tests)],
        broken=[_broken(shown, test, rerun) for test in sorted(failed, key=lambda test: test is not first)],
        duels=[_fought(duel) for duel in shown.duels],
        steps=[step.partition("\n")[::2] for step in wording.what_next(shown, rerun)],
        waiting=wording.waiting(shown),
        points=wording.points,
        roof=plots.roof,
        roofline=plots.roofline(shown.duels),
        series=[(item, plots.series(item)) for item in shown.series],
        bar=_bar(shown),
        all_public=shown.mode == "practice" and not failed,
    )


@functools.cache
def _template(name: str) -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("grader.reports"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(line=one_line, plain=plain)
    return environment.get_template(name)


def _part(name: str, result: Result) -> Part:
    tests = tuple(test for test in result.tests if test.category == name)
    judged = [test.points for test in tests if test.status != "not_judged"]
    most = wording.points(math.fsum(test.max_points for test in tests))
    return Part(name, wording.points(math.fsum(judged)) if judged else "–", most, tests)


def _broken(result: Result, test: TestResult, rerun: str) -> Broken:
    failure = test.failure
    expected, got = _differing(failure.expected, failure.got) if failure else (Markup(), Markup())
    if test.hidden and failure is None:
        return Broken(test, failure, expected, got, "", HINT)
    return Broken(test, failure, expected, got, wording.rerun_command(rerun, result, test), "")


def _differing(expected: str, got: str) -> tuple[Markup, Markup]:
    """Both texts, with the pieces that differ marked; unmarked where one is missing or there is too much."""
    left, right = plain(expected), plain(got)
    if not left or not right or len(left) + len(right) > _LONGEST_DIFF:
        return Markup.escape(left), Markup.escape(right)
    ours, theirs = _PIECES.findall(left), _PIECES.findall(right)
    matcher = difflib.SequenceMatcher(None, ours, theirs, autojunk=False)
    sides: tuple[list[Markup], list[Markup]] = ([], [])
    for kind, i, j, k, m in matcher.get_opcodes():
        for side, pieces in zip(sides, (ours[i:j], theirs[k:m]), strict=True):
            text = Markup.escape("".join(pieces))
            side.append(text if kind == "equal" or not text else Markup("<mark>{}</mark>").format(text))
    return Markup("").join(sides[0]), Markup("").join(sides[1])


def _fought(duel: Duel) -> Fought:
    interval = ""
    if duel.interval is not None:
        interval = f"{wording.ratio_down(duel.interval[0])} .. {wording.ratio_up(duel.interval[1])}"
    ratio = wording.ratio_down(duel.ratio) if duel.ratio is not None else "–"
    return Fought(
        duel,
        wording.tier(duel),
        ratio,
        interval,
        plots.duel(duel),
        plots.sweep(duel),
        tuple(_sentences(duel)),
    )


def _sentences(duel: Duel) -> Iterator[str]:
    if duel.verdict == "not_judged":
        yield f"Not judged, and not your fault: {one_line(duel.reason).rstrip('.') or 'no reason was given'}."
    if rates := wording.rates(duel):
        clock = "CPU" if duel.clock == "cpu" else "wall"
        yield f"{rates} (median of {wording.count(duel.rounds, 'round')}, {clock} time)"
    if sentence := wording.slowest(duel):
        yield sentence
    if sentence := wording.roofline(duel):
        yield sentence
    if duel.reason and duel.verdict != "not_judged":
        yield duel.reason


def _bar(result: Result) -> Sequence[tuple[str, float]]:
    """Earned, lost and waiting points, each in percent of all."""
    if result.max_score <= 0:
        return ()
    earned = min(1.0, result.score / result.max_score)
    judged = max(earned, min(1.0, result.judged_max / result.max_score))
    shares = (("earned", earned), ("lost", judged - earned), ("waiting", 1 - judged))
    return [(name, round(100 * share, 2)) for name, share in shares if share > 0]
