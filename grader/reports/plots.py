"""Plots as SVG, drawn from numbers: a duel on its axis of tiers, a measurement under its roof.

Colours are the page's (CSS classes), so that they follow its light or dark scheme.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from grader.reports.axis import ends
from grader.reports.text import one_line
from grader.reports.wording import quantity, rate, ratio_down, ratio_up, threshold
from grader.reports.wording import sweep as in_words
from grader.result import Duel, Roofline, Series

_WIDTH, _LEFT, _RIGHT = 720, 12, 708  # of the drawing, in its own units
_AXIS, _HEIGHT = 30, 66


def duel(drawn: Duel) -> Markup:
    """The ratio with its interval on a logarithmic axis, the tiers marked on it; empty without tiers."""
    tiers = sorted((ratio, one_line(name, 20)) for name, ratio in drawn.tiers.items())
    if not tiers or tiers[0][0] <= 0:
        return Markup()
    low, high = ends(drawn, tiers[0][0], tiers[-1][0])

    def at(ratio: float) -> float:
        share = (math.log(max(ratio, low)) - math.log(low)) / (math.log(high) - math.log(low))
        return round(_LEFT + min(1.0, share) * (_RIGHT - _LEFT), 1)

    parts = [_line("axis", _LEFT, _AXIS, _RIGHT, _AXIS)]
    if drawn.ratio is not None:
        parts.append(_line("reached", _LEFT, _AXIS, at(drawn.ratio), _AXIS))
    for (ratio, name), place in zip(tiers, _apart([at(ratio) for ratio, _ in tiers]), strict=True):
        parts.append(_line("tick", at(ratio), _AXIS - 8, at(ratio), _AXIS + 8))
        parts.append(_text("tier", place, _AXIS + 22, name))
        parts.append(_text("number", place, _AXIS + 34, threshold(ratio)))
    if drawn.interval is not None:
        first, last = (at(end) for end in drawn.interval)
        parts.append(
            Markup('<rect class="interval" x="{}" y="{}" width="{}" height="14" rx="3"/>').format(
                first, _AXIS - 7, round(max(3.0, last - first), 1)
            )
        )
    if drawn.ratio is not None:
        parts.append(Markup('<circle class="ratio" cx="{}" cy="{}" r="6"/>').format(at(drawn.ratio), _AXIS))
        parts.append(_text("value", min(max(at(drawn.ratio), 30), 690), _AXIS - 13, ratio_down(drawn.ratio)))
    return _svg(_HEIGHT, _described(drawn), parts)


def sweep(drawn: Duel) -> Markup:
    """Both rates of every case, in the order of the duel: where the submission keeps up and where not."""
    if len(drawn.cases) < 2:
        return Markup()
    top = max(max(case.submission_rate, case.reference_rate) for case in drawn.cases) or 1.0
    parts: list[Markup] = []
    for number, case in enumerate(drawn.cases):
        y = 20 + 34 * number
        parts.append(_start("number", _LEFT, y + 3, one_line(case.name, 34)))
        parts.append(_end("value", _RIGHT, y + 4, ratio_down(case.ratio)))
        for kind, value, offset in (("fill", case.submission_rate, -9), ("room", case.reference_rate, 1)):
            width = round(max(1.0, 400 * min(1.0, max(0.0, value / top))), 1)
            parts.append(
                Markup('<rect class="{}" x="230" y="{}" width="{}" height="9" rx="2"/>').format(
                    kind, y + offset, width
                )
            )
    words = "; ".join(f"{one_line(case.name, 40)} {ratio_down(case.ratio)}" for case in drawn.cases)
    return _svg(34 * len(drawn.cases) + 12, f"ratio by case: {words}", parts)


def roof(line: Roofline) -> Markup:
    """What was reached under what the machine allows: one bar, the roof at its right end."""
    share = min(1.0, line.value / line.ceiling) if line.ceiling > 0 else 0.0
    end = round(_LEFT + share * (_RIGHT - _LEFT), 1)
    label = f"{rate(line.value)} of {rate(line.ceiling)} {one_line(line.unit, 20)}"
    parts = [
        Markup('<rect class="room" x="{}" y="8" width="{}" height="12" rx="3"/>').format(
            _LEFT, _RIGHT - _LEFT
        ),
        Markup('<rect class="fill" x="{}" y="8" width="{}" height="12" rx="3"/>').format(
            _LEFT, round(end - _LEFT, 1)
        ),
        _line("tick", _RIGHT, 3, _RIGHT, 25),
        Markup('<text class="number" x="{}" y="38" text-anchor="end">{} roof</text>').format(
            _RIGHT, line.bound
        ),
    ]
    return _svg(44, f"{label}, the {line.bound} roof measured here", parts)


@dataclass(frozen=True)
class Point:
    """One duel under the roofs: FLOPs per byte from memory, and GFLOP/s reached."""

    label: str
    intensity: float
    rate: float


def points(duels: Sequence[Duel]) -> list[Point]:
    """The duels that can be drawn under the roofs; rates in bytes become FLOP/s by the intensity."""
    found = []
    for item in duels:
        line = item.roofline
        if line is None or line.intensity is None or line.value <= 0:
            continue
        in_flops = line.value if line.bound == "compute" else line.value * line.intensity
        found.append(Point(one_line(item.title, 40), line.intensity, in_flops))
    return found


def roofline(duels: Sequence[Duel]) -> Markup:
    """The classic plot (Williams, Waterman, Patterson, CACM 52(4), 2009): GFLOP/s over FLOPs per byte, both axes
    logarithmic, under what one core was measured to read and to compute in this run. Empty without such duels."""
    found = points(duels)
    roofs = [
        item.roofline for item in duels if item.roofline and item.roofline.peak and item.roofline.bandwidth
    ]
    if not found or not roofs:
        return Markup()
    peak, bandwidth = roofs[0].peak or 1.0, roofs[0].bandwidth or 1.0
    ridge = peak / bandwidth
    low_x = 2.0 ** math.floor(math.log2(min(0.25, ridge, *(point.intensity for point in found))))
    high_x = 2.0 ** math.ceil(math.log2(max(4 * ridge, *(2 * point.intensity for point in found))))
    low_y = 2.0 ** math.floor(math.log2(min(low_x * bandwidth, *(point.rate for point in found)) / 2))
    high_y = 2.0 ** math.ceil(math.log2(max(peak, *(point.rate for point in found)) * 1.3))
    left, right, top, bottom = 64, _RIGHT, 14, 250

    def x(value: float) -> float:
        return round(left + (right - left) * math.log(value / low_x) / math.log(high_x / low_x), 1)

    def y(value: float) -> float:
        return round(bottom - (bottom - top) * math.log(value / low_y) / math.log(high_y / low_y), 1)

    parts = [_line("axis thin", left, bottom, right, bottom), _line("axis thin", left, top, left, bottom)]
    for value in _powers(low_x, high_x):
        parts += [
            _line("axis thin", x(value), bottom, x(value), bottom + 5),
            _text("number", x(value), bottom + 18, _short(value)),
        ]
    for value in _powers(low_y, high_y):
        parts += [
            _line("axis thin", left - 5, y(value), left, y(value)),
            _end("number", left - 9, y(value) + 4, _short(value)),
        ]
    foot = max(low_x, low_y / bandwidth)
    parts += [
        _line("roof", x(foot), y(foot * bandwidth), x(ridge), y(peak)),
        _line("roof", x(ridge), y(peak), right, y(peak)),
    ]
    parts += [
        _end("number", right, y(peak) - 6, f"{rate(peak)} GFLOP/s"),
        _text("number", x(foot) + 96, y(foot * bandwidth) + 4, f"{rate(bandwidth)} GB/s"),
    ]
    for point in found:
        under = min(peak, point.intensity * bandwidth)
        parts.append(_line("fall", x(point.intensity), y(under), x(point.intensity), y(point.rate)))
        parts.append(
            Markup('<circle class="ratio" cx="{}" cy="{}" r="5"/>').format(x(point.intensity), y(point.rate))
        )
        place = _end if x(point.intensity) > (left + right) / 2 else _start
        shift = -10 if place is _end else 10
        parts.append(
            place(
                "value", x(point.intensity) + shift, y(point.rate) + 14, f"{point.label}: {rate(point.rate)}"
            )
        )
    parts += [
        _end("number", right, bottom + 34, "FLOPs per byte from memory"),
        _start("number", left + 6, top + 4, "GFLOP/s"),
    ]
    words = "; ".join(
        f"{point.label}: {rate(point.rate)} GFLOP/s at {point.intensity:g} FLOPs per byte" for point in found
    )
    return _svg(292, f"roofline: {rate(bandwidth)} GB/s and {rate(peak)} GFLOP/s; {words}", parts)


def series(drawn: Series) -> Markup:
    """Lines of points with both axes logarithmic, powers of two marked on them: latency over size, say. Points of the
    first line are dots; names stand in the upper left, where a rising line leaves room."""
    everywhere = [point for line in drawn.lines.values() for point in line]
    low_x, high_x = _bounds([x for x, _ in everywhere])
    low_y, high_y = _bounds([y for _, y in everywhere])
    left, right, top, bottom = 64, _RIGHT, 14, 290

    def x(value: float) -> float:
        return round(left + (right - left) * math.log(value / low_x) / math.log(high_x / low_x), 1)

    def y(value: float) -> float:
        return round(bottom - (bottom - top) * math.log(value / low_y) / math.log(high_y / low_y), 1)

    parts = [_line("axis thin", left, bottom, right, bottom), _line("axis thin", left, top, left, bottom)]
    for value in _powers(low_x, high_x):
        parts += [
            _line("axis thin", x(value), bottom, x(value), bottom + 5),
            _text("number", min(x(value), right - 18), bottom + 18, quantity(value, drawn.x.unit)),
        ]
    for value in _powers(low_y, high_y):
        parts += [
            _line("grid", left, y(value), right, y(value)),
            _end("number", left - 9, y(value) + 4, _short(value)),
        ]
    for number, (name, points) in enumerate(drawn.lines.items()):
        places = " ".join(f"{x(a)},{y(b)}" for a, b in points)
        parts.append(Markup('<polyline class="trace t{}" points="{}"/>').format(number, places))
        if number == 0:
            dot = Markup('<circle class="ratio" cx="{}" cy="{}" r="2.5"/>')
            parts += [dot.format(x(a), y(b)) for a, b in points]
        row = top + 26 + 18 * number
        parts += [
            _line(f"trace t{number}", left + 8, row, left + 34, row),
            _start("value", left + 42, row + 4, one_line(name, 40)),
        ]
    parts += [
        _end("number", right, bottom + 34, _axis(drawn.x.label, drawn.x.unit)),
        _start("number", left + 6, top + 4, _axis(drawn.y.label, drawn.y.unit)),
    ]
    return _svg(332, in_words(drawn), parts)


def _axis(label: str, unit: str) -> str:
    return f"{one_line(label, 60)} ({one_line(unit, 20)})" if unit else one_line(label, 60)


def _bounds(values: Sequence[float]) -> tuple[float, float]:
    """The powers of two around some positive numbers, two different ones."""
    low = 2.0 ** math.floor(math.log2(min(values)))
    high = 2.0 ** math.ceil(math.log2(max(values)))
    return (low, high) if high > low else (low, 2 * low)


def _powers(low: float, high: float) -> list[float]:
    """Powers of two from low to high, at most nine of them."""
    first, last = round(math.log2(low)), round(math.log2(high))
    step = max(1, math.ceil((last - first) / 8))
    return [2.0**exponent for exponent in range(first, last + 1, step)]


def _short(value: float) -> str:
    return f"{value:g}" if value >= 1 else f"1/{1 / value:g}"


def _end(kind: str, x: float, y: float, text: str) -> Markup:
    return Markup('<text class="{}" x="{}" y="{}" text-anchor="end">{}</text>').format(kind, x, y, text)


def _start(kind: str, x: float, y: float, text: str) -> Markup:
    return Markup('<text class="{}" x="{}" y="{}" text-anchor="start">{}</text>').format(kind, x, y, text)


def _described(drawn: Duel) -> str:
    """The drawing in words, for those who do not see it."""
    tiers = ", ".join(f"{one_line(name, 20)} {threshold(ratio)}" for name, ratio in drawn.tiers.items())
    if drawn.ratio is None:
        return f"no ratio measured; tiers: {tiers}"
    words = f"ratio {ratio_down(drawn.ratio)}"
    if drawn.interval is not None:
        words += f", interval {ratio_down(drawn.interval[0])} to {ratio_up(drawn.interval[1])}"
    return f"{words}; tiers: {tiers}"


def _apart(places: Sequence[float], gap: float = 44.0) -> list[float]:
    """Places of labels near their ticks, rising, at least `gap` apart and inside the drawing."""
    placed: list[float] = []
    for place in places:
        placed.append(max(place, placed[-1] + gap) if placed else max(place, _LEFT + 16.0))
    border = _RIGHT - 16.0
    for position in range(len(placed) - 1, -1, -1):
        placed[position] = round(min(placed[position], border), 1)
        border = placed[position] - gap
    return placed


def _line(kind: str, x1: float, y1: float, x2: float, y2: float) -> Markup:
    return Markup('<line class="{}" x1="{}" y1="{}" x2="{}" y2="{}"/>').format(kind, x1, y1, x2, y2)


def _text(kind: str, x: float, y: float, text: str) -> Markup:
    return Markup('<text class="{}" x="{}" y="{}" text-anchor="middle">{}</text>').format(kind, x, y, text)


def _svg(height: int, words: str, parts: Sequence[Markup]) -> Markup:
    opening = Markup('<svg viewBox="0 0 {} {}" role="img" aria-label="{}">').format(_WIDTH, height, words)
    return opening + Markup("").join(parts) + Markup("</svg>")
