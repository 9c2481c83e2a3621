"""A whole class on one HTML page that opens from disk: sortable, without a network, and with no script but its own."""

from __future__ import annotations

import base64
import functools
import hashlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import resources

import jinja2

from grader.reports import wording
from grader.reports.class_book import ClassBook, DuelBook, LabBook
from grader.reports.text import one_line, plain

_BINS = 20
_LEFT, _RIGHT, _TOP, _BASE = 8.0, 632.0, 44.0, 126.0  # above the top: labels of the tiers, then a count
_HARDEST = 12


@dataclass(frozen=True)
class Bar:
    """A bar of a distribution, in the drawing's units, and what it says when pointed at."""

    x: float
    y: float
    width: float
    height: float
    words: str
    count: int


@dataclass(frozen=True)
class Mark:
    """A place on a distribution's axis with its label: a tier's line, or a tick."""

    x: float
    label: str


@dataclass(frozen=True)
class Distribution:
    """A drawn distribution: its bars, its tier lines, the ticks of its axis, and a sentence that says the same."""

    title: str
    bars: tuple[Bar, ...]
    marks: tuple[Mark, ...]
    ticks: tuple[Mark, ...]
    words: str


def class_page(book: ClassBook) -> str:
    """The whole page. Every name and word that came from outside is escaped.

    Its one script is named by its hash in the Content-Security-Policy, so no other can run, whatever a name holds.
    """
    script = _file("class.js")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return _template().render(
        book=book,
        script=script,
        digest=digest,
        scores={lab.id: scores(lab) for lab in book.labs if lab.scores},
        duels={lab.id: [ratios(duel) for duel in lab.duels if duel.fought] for lab in book.labs},
        hardest=_HARDEST,
        base=int(_BASE),
        points=wording.points,
        share=lambda part: f"{100 * part:.0f} %",
        count=wording.count,
    )


def scores(lab: LabBook) -> Distribution:
    """How the scores of a lab are spread, from nothing to its maximum or the best score above it."""
    high = max([lab.max_score, *lab.scores, 1e-9])
    middle = sorted(lab.scores)[len(lab.scores) // 2]
    bars = _bars(
        lab.scores, lambda value: value / high, lambda place: f"{wording.points(place * high)} points"
    )
    words = (
        f"{wording.count(len(lab.scores), 'score')}, from {wording.points(min(lab.scores))} to "
        f"{wording.points(max(lab.scores))}, median {wording.points(middle)} of {wording.points(lab.max_score)}"
    )
    ticks = _ticks(lambda part: wording.points(part * high))
    return Distribution("scores", bars, (), ticks, words)


def ratios(duel: DuelBook) -> Distribution:
    """How the ratios of a duel are spread, on a logarithmic axis, with a line at each tier."""
    found = [item.ratio for item in duel.fought if item.ratio > 0]
    tiers = list(duel.tiers.values())
    low, high = min([tiers[0] / 2, *found]), max([tiers[-1] * 1.15, *found])

    def place(ratio: float) -> float:
        return math.log(ratio / low) / math.log(high / low)

    bars = _bars(found, place, lambda part: f"ratio {wording.ratio_down(low * (high / low) ** part)}")
    marks = tuple(
        Mark(
            round(_LEFT + (_RIGHT - _LEFT) * place(ratio), 1),
            f"{one_line(name, 12)} {wording.threshold(ratio)}",
        )
        for name, ratio in duel.tiers.items()
    )
    reached = [f"{name} {sum(item.tier == name for item in duel.fought)}" for name in duel.tiers]
    words = ", ".join([f"below {sum(item.tier is None for item in duel.fought)}", *reached])
    ends = {0.0: wording.ratio_down(low), 1.0: wording.ratio_up(high)}
    ticks = _ticks(lambda part: ends.get(part) or wording.ratio_down(low * (high / low) ** part))
    return Distribution(duel.title, bars, marks, ticks, words)


def _ticks(words: Callable[[float], str]) -> tuple[Mark, ...]:
    """Five ticks from one end of the axis to the other; `words` maps a place in 0..1 to its label."""
    parts = (0.0, 0.25, 0.5, 0.75, 1.0)
    return tuple(Mark(round(_LEFT + (_RIGHT - _LEFT) * part, 1), words(part)) for part in parts)


def _bars(
    values: Sequence[float], place: Callable[[float], float], words: Callable[[float], str]
) -> tuple[Bar, ...]:
    """Bars over equal parts of the axis; `place` maps a value to 0..1, `words` such a place to text."""
    counts = [0] * _BINS
    for value in values:
        counts[min(_BINS - 1, max(0, int(place(value) * _BINS)))] += 1
    step, tallest = (_RIGHT - _LEFT) / _BINS, max(counts)
    return tuple(
        Bar(
            round(_LEFT + number * step + 1, 1),
            round(_BASE - (_BASE - _TOP) * count / tallest, 1),
            round(step - 2, 1),
            round((_BASE - _TOP) * count / tallest, 1),
            f"{count}, from {words(number / _BINS)}",
            count,
        )
        for number, count in enumerate(counts)
        if count
    )


def _file(name: str) -> str:
    return resources.files("grader.reports").joinpath(f"templates/{name}").read_text(encoding="utf-8")


@functools.cache
def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("grader.reports"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(line=one_line, plain=plain)
    return environment.get_template("class.html.j2")
