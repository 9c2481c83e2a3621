"""A duel drawn in characters: the ratio on a logarithmic axis with the tiers marked, as plain strings."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from grader.reports.text import one_line
from grader.reports.wording import threshold
from grader.result import Duel

# A ratio further than this below the first tier (above the last) is drawn at the edge with an arrow.
_FURTHEST = 8.0


@dataclass(frozen=True)
class Axis:
    """A drawn duel: `bar[:reached]` is the part up to the measured ratio, `labels` lie under the marks."""

    bar: str
    reached: int
    labels: tuple[str, ...]


def draw(duel: Duel, width: int) -> Axis:
    """Draw `duel` in `width` columns.

    Heavy line up to the ratio, a block at the ratio, shade for its interval, a cross at every tier. `labels`
    is two rows, names above ratios, or nothing where they would not fit.
    """
    tiers = sorted((ratio, one_line(name)) for name, ratio in duel.tiers.items())
    if not tiers or tiers[0][0] <= 0:
        return Axis("", 0, ())
    low, high = ends(duel, tiers[0][0], tiers[-1][0])

    def column(ratio: float) -> int:
        share = (math.log(ratio) - math.log(low)) / (math.log(high) - math.log(low)) if ratio > 0 else 0.0
        return min(width - 1, max(0, round(share * (width - 1))))

    ticks = [column(ratio) for ratio, _ in tiers]
    reached = 0 if duel.ratio is None else column(duel.ratio) + 1
    cells = ["━" if place < reached else "─" for place in range(width)]
    if duel.interval is not None:
        first, last = (column(end) for end in duel.interval)
        cells[first : last + 1] = "▒" * (last + 1 - first)
    for tick in ticks:
        cells[tick] = "┿" if tick < reached else "┼"
    if duel.ratio is not None:
        cells[reached - 1] = "◀" if duel.ratio < low else "▶" if duel.ratio > high else "█"
    names = label_row(ticks, [name for _, name in tiers], width)
    ratios = label_row(ticks, [threshold(ratio) for ratio, _ in tiers], width)
    return Axis("".join(cells), reached, (names, ratios) if names and ratios else ())


def ends(duel: Duel, first: float, last: float) -> tuple[float, float]:
    """Ends of the axis for tiers from `first` to `last`.

    Half of the first tier, where points start, to a little above the last, and further if the measurement is.
    """
    ratio = duel.ratio if duel.ratio is not None and duel.ratio > 0 else first
    low, high = duel.interval or (ratio, ratio)
    lowest = max(first / _FURTHEST, min(first / 2, ratio, low if low > 0 else ratio))
    highest = min(last * _FURTHEST, max(last * 1.15, ratio, high))
    return lowest, highest


def label_row(ticks: Sequence[int], labels: Sequence[str], width: int) -> str:
    """Put each label across its tick, centred where there is room; empty when they cannot all fit.

    `ticks` are rising columns. A label may move sideways for its neighbours, but always touches its tick.
    """
    latest: list[int] = []
    border = width + 1
    for tick, label in zip(reversed(ticks), reversed(labels), strict=True):
        latest.append(min(tick, border - 1 - len(label)))
        border = latest[-1]
    row = ""
    for tick, label, last in zip(ticks, labels, reversed(latest), strict=True):
        first = max(len(row) + 1 if row else 0, tick - len(label) + 1)
        if first > last:
            return ""
        start = min(last, max(first, tick - len(label) // 2))
        row = row.ljust(start) + label
    return row
