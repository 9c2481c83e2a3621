"""What the clock of the faults build has said: its log, and what follows from it."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

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


def check_said(stat: Stat, events: list[Event], case: str, speed: float = 1.0) -> None:
    """Smallest value and median, times the operations, are those of the repetitions' readings, less the overhead."""
    check_clocks(events, case)
    check(stat.reps == REPS, "reps is wrong", case=case, expected=REPS, got=stat.reps)
    check(stat.iters >= 1, "iters is 0", case=case)
    readings = np.array([event.ns for event in events if event.kind == READING])
    tolerance = 3 * overhead(events) + 2000 * speed
    # Repetitions come last: pairs of readings, or readings that each end one and begin the next. Both numbers must be
    # those of the same repetitions; other readings, such as those for the overhead, explain nothing.
    pairs, chain = np.diff(readings[-2 * REPS :])[::2], np.diff(readings[-REPS - 1 :])
    wrong = [_wrong(stat, distances.astype(float), tolerance) for distances in (pairs, chain)]
    if wrong[0] is not None and wrong[1] is not None:
        name, value, closest = wrong[0]
        raise CheckFailed(
            f"the {name} is not what the clock said",
            case=f"{case}, iters = {stat.iters}",
            expected=f"{closest / stat.iters:.6g} ns (the {name} of {REPS} repetitions was {closest:.0f} ns)",
            got=f"{value:.6g} ns ({name} * iters = {value * stat.iters:.0f} ns)",
            why="Each value is (elapsed - overhead) / iters of one repetition: which clock, and which unit, is this?",
        )


def _wrong(
    stat: Stat, distances: npt.NDArray[np.float64], tolerance: float
) -> tuple[str, float, float] | None:
    """What does not follow from these repetitions: (its name, what was said, the ns that it comes from), or nothing."""
    for name, value, elapsed in (
        ("median", stat.median, float(np.median(distances))),
        ("min", stat.min, float(distances.min())),
    ):
        total = value * stat.iters
        if not -1 - 1e-9 * total <= elapsed - total <= tolerance:  # also for NaN
            return name, value, elapsed
    return None
