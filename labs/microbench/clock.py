"""What the clock of the faults build has said: its log, and what follows from it."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np

from grader.testing import CheckFailed, Library, NotJudged, check
from labs.microbench.oracle import REPS, Stat

MONOTONIC, MONOTONIC_RAW = 1, 4
READING, WORK, THREAD, WRONG_CLOCK = range(4)
EVENT = np.dtype([("kind", np.uint32), ("which", np.int32), ("ns", np.int64), ("number", np.uint64)])

_ROOM = 1 << 16
_FUNCTIONS = ("gettimeofday", "timespec_get", "clock", "time")
_NAMES = {0: "CLOCK_REALTIME", 2: "CLOCK_PROCESS_CPUTIME_ID", 3: "CLOCK_THREAD_CPUTIME_ID"}


@dataclass(frozen=True)
class Event:
    """One line of the log; see faults.h."""

    kind: int
    which: int
    ns: int
    number: int


@dataclass(frozen=True)
class Timed:
    """A call of the work between two readings, of the scripted clock: operations, and ns from reading to reading."""

    iters: int
    elapsed: int


def log(library: Library) -> list[Event]:
    """All that has happened since the script, or the real clock, was set."""
    events = np.zeros(_ROOM, EVENT)
    count = library.call("clock_log", events, _ROOM)
    assert isinstance(count, int)
    if count > _ROOM:
        raise NotJudged(f"the clock was read {count} times; only {_ROOM} readings are written down")
    return [Event(*(int(field) for field in event)) for event in events[:count]]


def check_clocks(events: list[Event], case: str) -> None:
    """Every reading is of CLOCK_MONOTONIC (or its raw twin), and there are some."""
    wrong = [event for event in events if event.kind == WRONG_CLOCK]
    check(
        not wrong, f"it reads {_FUNCTIONS[wrong[0].which] if wrong else ''}(), not clock_gettime", case=case
    )
    readings = [event for event in events if event.kind == READING]
    others = [event for event in readings if event.which not in (MONOTONIC, MONOTONIC_RAW)]
    name = _NAMES.get(others[0].which, f"clock number {others[0].which}") if others else ""
    check(
        not others,
        f"it reads {name}, not CLOCK_MONOTONIC",
        case=case,
        why="CLOCK_REALTIME is set by people and by the network; CPU time stands still while a process waits.",
    )
    check(
        len(readings) >= 2 * REPS,
        "it did not read the clock for every repetition",
        case=case,
        expected=f"at least {2 * REPS} readings of clock_gettime(CLOCK_MONOTONIC)",
        got=f"{len(readings)} readings",
    )


def timed(events: list[Event], case: str) -> list[Timed]:
    """The calls of the work, in order. Each must lie between two readings, with nothing else there."""
    found = []
    for i, event in enumerate(events):
        if event.kind != WORK:
            continue
        around = [events[j] for j in (i - 1, i + 1) if 0 <= j < len(events)]
        if len(around) < 2 or any(other.kind != READING for other in around):
            raise CheckFailed(
                "work was called without a reading of the clock right before and right after it",
                case=case,
                why="A repetition is: read the clock, call work once, read the clock.",
            )
        found.append(Timed(event.number, around[1].ns - around[0].ns))
    return found


def overhead(events: list[Event]) -> int:
    """The smallest distance between two readings in a row, as the clock has said it, never below 0."""
    pairs = itertools.pairwise(events)
    distances = [b.ns - a.ns for a, b in pairs if a.kind == READING and b.kind == READING]
    return min((distance for distance in distances if distance >= 0), default=0)


def repetitions(events: list[Event]) -> list[Event]:
    """The readings of the last MB_REPS repetitions, and what happened between them."""
    places = [i for i, event in enumerate(events) if event.kind == READING]
    check(
        len(places) >= 2 * REPS,
        "it did not read the clock for every repetition",
        expected=f"at least {2 * REPS} readings",
        got=len(places),
    )
    return events[places[-2 * REPS] :]


def check_scripted(stat: Stat, events: list[Event], less: int, case: str) -> None:
    """MB_REPS distances in a row, less the overhead `less`, over iters: their summary is what was said, digit by digit.

    A reading behind the last repetition is allowed, and so the repetitions may be anywhere in the log.
    """
    check_clocks(events, case)
    check(stat.reps == REPS, "reps is wrong", case=case, expected=REPS, got=stat.reps)
    check(stat.iters >= 1, "iters is 0", case=case)
    readings = np.array([event.ns for event in events if event.kind == READING])
    values = np.maximum(0, np.diff(readings) - less) / stat.iters
    runs = np.lib.stride_tricks.sliding_window_view(values, 2 * REPS - 1)[:, ::2]
    medians = np.median(runs, axis=1)
    mads = np.median(np.abs(runs - medians[:, None]), axis=1)
    found = np.stack([medians, runs.min(axis=1), mads], axis=1)
    near = np.abs(found - [stat.median, stat.min, stat.mad]) <= 1e-9 * found.max(axis=1, keepdims=True)
    median, smallest, mad = found[-1]
    check(
        bool(near.all(axis=1).any()),
        "the numbers are not what the clock said",
        case=f"{case}, iters = {stat.iters}",
        expected=f"median {median:.9g}, min {smallest:.9g}, mad {mad:.9g}, from the last {REPS} repetitions",
        got=f"median {stat.median:.9g}, min {stat.min:.9g}, mad {stat.mad:.9g}",
        why="Each value is (elapsed - overhead) / iters of one repetition: take off, divide; iters counts operations.",
    )


def check_said(stat: Stat, events: list[Event], case: str, speed: float = 1.0) -> None:
    """Smallest value and median, times the operations, are distances between readings, less the overhead."""
    check_clocks(events, case)
    check(stat.reps == REPS, "reps is wrong", case=case, expected=REPS, got=stat.reps)
    check(stat.iters >= 1, "iters is 0", case=case)
    readings = np.array([event.ns for event in events if event.kind == READING])
    distances = np.diff(readings).astype(float)
    tolerance = 3 * overhead(events) + 2000 * speed
    for name, value in (("min", stat.min), ("median", stat.median)):
        total = value * stat.iters
        less = distances - total
        near = (less >= -1 - 1e-9 * total) & (less <= tolerance)
        closest = distances[np.argmin(np.abs(less))]
        check(
            bool(near.any()),
            f"the {name} is not what the clock said",
            case=f"{case}, iters = {stat.iters}",
            expected=f"{closest / stat.iters:.6g} ns (two readings were {closest:.0f} ns apart)",
            got=f"{value:.6g} ns ({name} * iters = {total:.0f} ns)",
            why="Each value is (elapsed - overhead) / iters of one repetition: which clock, and which unit, is this?",
        )
