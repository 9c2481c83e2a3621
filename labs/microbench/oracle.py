"""The right answers that need no clock: cycles, patterns, summaries and levels, each written as its definition says."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from grader.testing import check

RANDOM, PERIODIC, SORTED = 0, 1, 2
READ, WRITE, COPY, TRIAD = 0, 1, 2, 3
REPS, PATIENCE, MAX_LEVELS = 11, 64, 8
JUMP = 1.4

LEVEL = np.dtype([("bytes", np.uint64), ("ns", np.float64)])


@dataclass(frozen=True)
class Stat:
    """What an mb_stat says."""

    median: float
    min: float
    mad: float
    iters: int
    reps: int
    noisy: int


def said(stat: object) -> Stat:
    """The fields of a C mb_stat."""
    return Stat(*(getattr(stat, name) for name in ("median", "min", "mad", "iters", "reps", "noisy")))


def summary(values: Sequence[float], iters: int = 0) -> Stat:
    """Median, smallest value and median absolute deviation."""
    median = statistics.median(values)
    mad = statistics.median([abs(value - median) for value in values])
    return Stat(median, min(values), mad, iters, len(values), int(mad > 0.05 * median))


def verify_summary(got: Stat, expected: Stat, case: str, why: str = "", exact: float = 1e-12) -> None:
    """Equal, up to a relative `exact` of the largest number at hand; `noisy` unless it is a close call."""
    scale = max(abs(expected.median), abs(expected.min), abs(expected.mad))
    for name in ("median", "min", "mad"):
        right, answer = getattr(expected, name), getattr(got, name)
        check(
            abs(answer - right) <= exact * scale,  # False for NaN
            f"the {name} is wrong",
            case=case,
            expected=f"{right:.12g}",
            got=f"{answer:.12g}",
            why=why,
        )
    for name in ("iters", "reps"):
        right, answer = getattr(expected, name), getattr(got, name)
        check(answer == right, f"{name} is wrong", case=case, expected=right, got=answer, why=why)
    if abs(expected.mad - 0.05 * expected.median) > 1e-6 * scale:
        check(
            got.noisy == expected.noisy,
            "noisy is wrong",
            case=case,
            expected=expected.noisy,
            got=got.noisy,
            why="noisy is 1 when mad is more than 5 % of the median, else 0.",
        )


def verify_cycle(following: npt.NDArray[np.uint32], case: str) -> None:
    """One cycle through all: a walk from 0 comes back after n steps, and not before."""
    n = len(following)
    outside = np.flatnonzero(following >= n)
    check(
        outside.size == 0,
        "it leads out of the array",
        case=case,
        where=f"next[{outside[0] if outside.size else 0}]",
        expected=f"0 .. {n - 1}",
    )
    steps, place, links = 0, 0, following.tolist()
    while True:
        steps, place = steps + 1, links[place]
        if place == 0 or steps > n:
            break
    check(
        steps == n,
        "it is not one cycle through all numbers",
        case=case,
        expected=f"back at 0 after {n} steps",
        got=f"back after {steps}" if steps <= n else "never back",
        why="A plain shuffle makes several cycles: in each step, exchange with a place before, never with itself.",
    )


def pattern(n: int, permille: int, kind: int) -> npt.NDArray[np.uint8]:
    """The patterns without chance."""
    if kind == SORTED:
        return (np.arange(n) >= n - n * permille // 1000).astype(np.uint8)
    heights = np.arange(n + 1, dtype=np.int64) * permille // 1000
    return np.diff(heights).astype(np.uint8)


def levels(sizes: Sequence[int], ns: Sequence[float]) -> list[tuple[int, float]]:
    """Steps of the staircase, as microbench.h defines them."""
    found: list[tuple[int, float]] = []
    first = 0
    while first < len(ns) and len(found) < MAX_LEVELS:
        while found and first + 1 < len(ns) and ns[first + 1] > JUMP * ns[first]:
            first += 1
        last = first
        while last + 1 < len(ns) and ns[last + 1] <= JUMP * min(ns[first : last + 1]):
            last += 1
        found.append((sizes[last], statistics.median(ns[first : last + 1])))
        first = last + 1
    return found
