"""A duel: submission and reference do the same work in turn, in one run, until the ratio's interval is clear.

One round gives every case of the duel a new memory layout and new inputs, lets both sides do it once, and yields one
ratio (the geometric mean over the cases). Both sides are guests of the same kind, on the same core, frozen while the
other one runs; the clock is the grader's. Outputs of timed calls are verified, those of both sides. Protocol and its
measured error rates: a fixed number of seconds is wrong up to 66 % of the time on a busy machine, this one 0-1 %.
"""

from __future__ import annotations

import contextlib
import itertools
import math
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any, Literal

import numpy as np

from grader.runner import invoke
from grader.runner.arena import PAGE
from grader.runner.group import Group, Together
from grader.runner.host import Guest, GuestFailed
from grader.runner.invoke import Invocation
from grader.runner.programs import ProgramRunner, Run
from grader.timing import agreement, fitness
from grader.timing.interval import LOOKS, median, median_interval
from grader.toolchain.interface import Interface

Verdict = Literal["passed", "failed", "not_judged"]
Contestant = Guest | Group | ProgramRunner

CLEAR_WIDTH, PRECISE_WIDTH, USELESS_WIDTH = 1.10, 1.04, 1.30
"""Upper over lower end of an interval: narrow enough once no tier lies inside; narrow enough in any case; too wide to
say anything at the cap."""

BUSY_SHARE = 0.10
"""A round of a wall-clock duel counts only when others used at most this share of the cores meanwhile."""

COLD_ROUNDS = 4
"""A case without warm-up has one all the same in every fourth round: the same addresses then come back with other
inputs, which a remembered result does not survive."""


@dataclass(frozen=True)
class Task:
    """Fresh inputs for one side of one round: what to call, and how to check what came out."""

    invocations: tuple[Invocation, ...] | tuple[Together, ...] | tuple[Run, ...]
    verify: Callable[[Sequence[Any]], None]
    """Gets the returned values (by rank, for a group; what came of each run, for programs); the arrays in
    `invocations` and `proof` hold the outputs. Raises on a wrong result."""
    prepare: tuple[Invocation, ...] = ()
    """Calls before, that are not timed: inputs that are made on a device."""
    proof: tuple[Invocation, ...] = ()
    """Calls after, that are timed too. Their arguments reach the guest only when the others have returned: which
    results will be asked for is not known while they are computed."""
    agree: Callable[[float], None] = lambda seconds: None
    """Gets the seconds of `invocations` by the grader's clock; raises Held when what the guest says of them cannot be
    true."""
    value: Callable[[Sequence[Any]], float] | None = None
    """For a duel of values: the positive number that this side has come to. Gets what `verify` gets."""


@dataclass(frozen=True)
class Case:
    """One kind of work: `tasks(rng)` makes new inputs for (submission, reference); `work` counts its operations."""

    name: str
    tasks: Callable[[np.random.Generator], tuple[Task, Task]]
    work: float
    """What one task does, in the duel's unit times a second: FLOPs for FLOP/s."""
    warm_up: bool = True


@dataclass(frozen=True)
class Side:
    """One contestant: a way to start its guest, its group of guests or its sandbox for programs, its interface (None
    for programs), and how arrays reach it."""

    start: Callable[[int, int], Contestant]
    interface: Interface | None
    arrays: ModuleType = invoke
    """`invoke` for one guest, `group` for several, `programs` for executables: `needed_bytes`, `stage`, `write`,
    `read_back`."""


@dataclass(frozen=True)
class Rules:
    """What decides a duel; from lab.yaml."""

    tiers: Mapping[str, float]
    clock: Literal["cpu", "wall"]
    cap_s: float
    scale: float = 1.0
    """Factor on every ratio: 1 / cores for a speed-up per core."""
    full: float | None = None
    """Ratio that earns every point of the duel: only a bonus lies above. None: the highest tier."""
    compares: Literal["time", "values"] = "time"
    """`values`: not how long both take, but how well they agree on the numbers that they come to."""


@dataclass(frozen=True)
class CaseOutcome:
    """One case of a duel: the median of its own ratios, and both sides' work per second (or the values they gave)."""

    name: str
    ratio: float
    submission_rate: float
    reference_rate: float


@dataclass(frozen=True)
class Outcome:
    """What was measured. Rates are work per second of the whole round's work."""

    verdict: Verdict
    reason: str
    ratio: float | None
    interval: tuple[float, float] | None
    rounds: int
    submission_s: tuple[float, ...] = ()
    reference_s: tuple[float, ...] = ()
    work: float = 0.0
    taken_elsewhere: float = 0.0
    cases: tuple[CaseOutcome, ...] = ()

    @property
    def submission_rate(self) -> float | None:
        return self.work / median(self.submission_s) if self.submission_s else None

    @property
    def reference_rate(self) -> float | None:
        return self.work / median(self.reference_s) if self.reference_s else None


class WrongResult(Exception):
    """A timed call of a case gave a wrong result; the cause is the verifier's exception, or the damage done."""


class Held(Exception):
    """The measurement contradicts itself: nothing is judged until a person has looked at it."""


class ReferenceFailed(Exception):
    """The other side failed, not the submission; the cause is what it did: GuestFailed or WrongResult."""


@dataclass
class _Tally:
    ratios: list[float] = field(default_factory=list)
    submission_s: list[float] = field(default_factory=list)
    reference_s: list[float] = field(default_factory=list)
    rejected: int = 0
    elsewhere: list[float] = field(default_factory=list)
    by_case: dict[str, list[tuple[float, float]]] = field(default_factory=dict)
    """Seconds of (submission, reference) in every round that counts."""


def fight(
    submission: Side,
    reference: Side,
    cases: Sequence[Case],
    rules: Rules,
    rng: np.random.Generator,
    on_round: Callable[[int, float], None] = lambda number, ratio: None,
) -> Outcome:
    """Fight until the interval is clear of the tiers, or the cap is reached; confirm a failure in fresh processes.

    Raises WrongResult when a timed output of the submission is wrong, GuestFailed when the submission's guest fails
    (but for being too slow, which is a verdict), ReferenceFailed when either happens to the reference.
    """
    first = _fight_once(submission, reference, cases, rules, rng, on_round)
    if first.verdict != "failed":
        return first
    second = _fight_once(submission, reference, cases, rules, rng, on_round)
    if second.verdict == "failed":
        return second
    reason = "two measurements in fresh processes disagree: the machine is too noisy; run it again"
    return Outcome(
        "not_judged", reason, second.ratio, second.interval, second.rounds, second.submission_s, second.reference_s,
        second.work, second.taken_elsewhere, second.cases,
    )  # fmt: skip


def judge(
    ratios: Sequence[float], tiers: Mapping[str, float], at_cap: bool, full: float | None = None
) -> tuple[Verdict | None, str, tuple[float, float] | None]:
    """The verdict on a duel's ratios so far: None means that more rounds are needed. Pure; see `fight`."""
    return judge_interval(median_interval(ratios), tiers, at_cap, full)


def judge_interval(
    interval: tuple[float, float] | None, tiers: Mapping[str, float], at_cap: bool, full: float | None = None
) -> tuple[Verdict | None, str, tuple[float, float] | None]:
    """The same, from the interval of what is judged.

    What the interval proves is said whatever its width: below the first tier, the duel is lost; from `full` on
    (the ratio that earns every point, the highest tier if None), only a bonus is open.
    """
    lowest = min(tiers.values())
    if interval is None:
        return ("not_judged" if at_cap else None), "too few quiet rounds within the time limit", None
    low, high = interval
    width = high / low if low > 0 else math.inf
    if high < lowest and (at_cap or high <= lowest / 2):  # noise must not save what is lost anywhere in it
        return "failed", "", interval
    straddled = any(low < tier < high for tier in tiers.values())
    if (not straddled and width <= CLEAR_WIDTH) or width <= PRECISE_WIDTH or at_cap:
        if low < lowest <= high:
            return (
                ("not_judged" if at_cap else None),
                f"too close or too noisy: the interval {low:.3g} .. {high:.3g} holds the threshold {lowest:g}",
                interval,
            )
        highest = max(tiers.values())
        if is_wide(interval) and low < (highest if full is None else full):
            return "not_judged", f"too noisy: the interval {low:.3g} .. {high:.3g} is too wide", interval
        if is_wide(interval) and low < highest:
            reached = max((ratio, name) for name, ratio in tiers.items() if ratio <= low)[1]
            ahead = min((ratio, name) for name, ratio in tiers.items() if ratio > low)[1]
            return "passed", f"at least {reached}; {ahead} undecided: the machine was too noisy", interval
        return ("passed" if low >= lowest else "failed"), "", interval
    return None, "", interval


def is_wide(interval: tuple[float, float]) -> bool:
    """Whether an interval says too little about the ratio inside it: only its ends prove something."""
    low, high = interval
    return low <= 0 or high / low > USELESS_WIDTH


def _fight_once(
    submission: Side,
    reference: Side,
    cases: Sequence[Case],
    rules: Rules,
    rng: np.random.Generator,
    on_round: Callable[[int, float], None],
) -> Outcome:
    tally = _Tally()
    deadline = time.monotonic() + rules.cap_s
    room = _room(submission, reference, cases, rng)
    with submission.start(*room) as ours, reference.start(*room) as theirs, contextlib.ExitStack() as stack:
        ours.wait_until_ready()
        with _blaming_the_reference():
            theirs.wait_until_ready()
        stack.enter_context(_in_their_places(rules, ours, theirs))
        while True:
            at_cap = time.monotonic() >= deadline or len(tally.ratios) + tally.rejected >= LOOKS[-1]
            if at_cap or len(tally.ratios) in LOOKS:
                verdict, reason, interval = judge_interval(
                    _interval(tally, rules), rules.tiers, at_cap, rules.full
                )
                if verdict is not None:
                    if at_cap and tally.rejected > len(tally.ratios):
                        reason = _busy(tally)
                    return _outcome(verdict, reason, interval, tally, cases, rules)
            too_slow = _round((submission, ours), (reference, theirs), cases, rules, rng, tally)
            if too_slow is not None:
                return too_slow
            if tally.ratios:
                on_round(len(tally.ratios), tally.ratios[-1])


def _interval(tally: _Tally, rules: Rules) -> tuple[float, float] | None:
    if rules.compares == "values":
        return agreement.interval(tally.by_case.values())
    return median_interval(tally.ratios)


def _busy(tally: _Tally) -> str:
    share = 100 * median(tally.elsewhere)
    return f"other programs used {share:.0f} % of the cores; close them and run it again"


def _outcome(
    verdict: Verdict,
    reason: str,
    interval: tuple[float, float] | None,
    tally: _Tally,
    cases: Sequence[Case],
    rules: Rules,
) -> Outcome:
    ratio = median(tally.ratios) if tally.ratios else None
    times = (tuple(tally.submission_s), tuple(tally.reference_s))
    elsewhere = median(tally.elsewhere) if tally.elsewhere else 0.0
    work = sum(case.work for case in cases)
    each = tuple(
        _of_case(case, tally.by_case[case.name], rules.scale) for case in cases if case.name in tally.by_case
    )
    if rules.compares == "values":  # there are no times, and no rate of the whole
        ratio = agreement.overall(tally.by_case.values()) if tally.by_case else None
        each = tuple(_agreed(case, tally.by_case[case.name]) for case in cases if case.name in tally.by_case)
        return Outcome(
            verdict, reason, ratio, interval, len(tally.ratios), taken_elsewhere=elsewhere, cases=each
        )
    return Outcome(verdict, reason, ratio, interval, len(tally.ratios), *times, work, elsewhere, each)


def _of_case(case: Case, seconds: Sequence[tuple[float, float]], scale: float) -> CaseOutcome:
    ours, theirs = (median([pair[side] for pair in seconds]) for side in (0, 1))
    ratio = median([theirs_s / ours_s * scale for ours_s, theirs_s in seconds])
    return CaseOutcome(case.name, ratio, case.work / ours, case.work / theirs)


def _agreed(case: Case, values: Sequence[tuple[float, float]]) -> CaseOutcome:
    ours, theirs = (median([pair[side] for pair in values]) for side in (0, 1))
    return CaseOutcome(case.name, agreement.agreement(values), ours, theirs)


def _round(
    submission: tuple[Side, Contestant],
    reference: tuple[Side, Contestant],
    cases: Sequence[Case],
    rules: Rules,
    rng: np.random.Generator,
    tally: _Tally,
) -> Outcome | None:
    """One round; its ratio goes to the tally. An Outcome when the submission is too slow to be waited for."""
    logs, totals, each = 0.0, [0.0, 0.0], []
    before, own_before = fitness.snapshot(), _cpu_s(submission[1], reference[1])
    for case in cases:
        layout = _Layout(rng)
        warm = case.warm_up or len(tally.ratios) % COLD_ROUNDS == 0
        warming = case.tasks(rng) if warm else (None, None)
        ours, theirs = case.tasks(rng)
        with _blaming_the_reference():
            reference_s = _timed(*reference, theirs, warming[1], layout, case, rules, None)
        limit = None if rules.compares == "values" else _patience(reference_s * rules.scale, rules)
        try:
            submission_s = _timed(*submission, ours, warming[0], layout, case, rules, limit)
        except GuestFailed as failure:
            if limit is not None and failure.kind == "hung" and failure.cpu_s > limit * 0.9:
                return _hopeless(failure, reference_s * rules.scale, case)
            raise
        distance = math.log(reference_s / submission_s * rules.scale)
        logs += -abs(distance) if rules.compares == "values" else distance
        totals[0] += submission_s
        totals[1] += reference_s
        each.append((submission_s, reference_s))
    own = _cpu_s(submission[1], reference[1]) - own_before
    elsewhere = fitness.taken_elsewhere(before, fitness.snapshot(), own)
    tally.elsewhere.append(elsewhere)
    if rules.clock == "wall" and elsewhere > BUSY_SHARE:
        tally.rejected += 1
        return None
    tally.ratios.append(math.exp(logs / len(cases)))
    tally.submission_s.append(totals[0])
    tally.reference_s.append(totals[1])
    for case, seconds in zip(cases, each, strict=True):
        tally.by_case.setdefault(case.name, []).append(seconds)
    return None


def _patience(reference_s: float, rules: Rules) -> float:
    """CPU seconds after which a call can no longer earn anything: half of the lowest tier is worth nothing."""
    return 1.5 * reference_s / (min(rules.tiers.values()) / 2) + 0.1


def _hopeless(failure: GuestFailed, reference_s: float, case: Case) -> Outcome:
    bound = reference_s / failure.cpu_s
    reason = f"stopped after {failure.cpu_s:.1f} s in {case.name}; the reference needs {reference_s:.2f} s"
    return Outcome("failed", reason, bound, (0.0, bound), 1)


@contextlib.contextmanager
def _blaming_the_reference() -> Iterator[None]:
    try:
        yield
    except (GuestFailed, WrongResult) as error:
        raise ReferenceFailed(str(error)) from error


def _timed(
    side: Side,
    guest: Any,
    task: Task,
    warming: Task | None,
    layout: _Layout,
    case: Case,
    rules: Rules,
    cpu_limit_s: float | None,
) -> float:
    """Seconds of one task, on the duel's clock; for a duel of values, what the task says.

    The untimed call before it has the same places and other inputs: what is remembered from it is worth nothing.
    """
    patience = {} if cpu_limit_s is None else {"timeout_s": 4 * cpu_limit_s + 5, "cpu_limit_s": cpu_limit_s}

    def made(invocations: Sequence[Any], *, counts: bool = True) -> tuple[Any, float]:
        staged = _written(side, guest, invocations, layout)
        values, timing = guest.call(staged.calls, None, **patience)
        if not counts:
            return values, 0.0
        side.arrays.read_back(guest, side.interface, staged)
        return values, timing.cpu_s if rules.clock == "cpu" else timing.wall_s

    try:
        untimed = [] if warming is None else [warming.prepare, warming.invocations[:1]]
        for calls in (*untimed, task.prepare):
            made(calls, counts=False) if calls else None
        values, seconds = made(task.invocations)
        proving = made(task.proof)[1] if task.proof else 0.0
        task.verify(values)
        if task.value is not None:
            return _positive(task.value(values))
    except (AssertionError, invoke.Damage) as error:
        raise WrongResult(case.name) from error
    task.agree(seconds)
    return seconds + proving


_SMALLEST, _LARGEST = 1e-30, 1e30
"""What a submission has measured lies between; of numbers at the ends of their range the quotient is none."""


def _positive(value: float) -> float:
    if not _SMALLEST < value < _LARGEST:
        raise AssertionError(f"{value:g} is no positive number, or none that can be measured")
    return value


def _written(side: Side, guest: Any, invocations: Sequence[Any], layout: _Layout) -> Any:
    """Calls ready to be made: windows open first, then the inputs are written while the guest is frozen."""
    staged = side.arrays.stage(
        guest, side.interface, invocations, "inside", layout.skews(), layout.first_page
    )
    guest.call([], staged.windows)
    side.arrays.write(guest, side.interface, staged)
    return staged


class _Layout:
    """A round's random placement: the same for both sides, lines and pages shifted anew in every round."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.first_page = int(rng.integers(0, _SPARE_PAGES))
        self._skews = [int(lines) * 64 for lines in rng.integers(0, PAGE // 64, size=61)]

    def skews(self) -> Callable[[], int]:
        """Displacements of a side's arrays in bytes, multiples of a cache line; every side gets the same ones."""
        return itertools.cycle(self._skews).__next__


_SPARE_PAGES = 512


def _room(
    submission: Side, reference: Side, cases: Sequence[Case], rng: np.random.Generator
) -> tuple[int, int]:
    """Arena sizes that hold any one case of either side, anywhere in the spare pages."""
    sizes = [
        side.arrays.needed_bytes(side.interface, task.invocations)
        for case in cases
        for side, task in zip((submission, reference), case.tasks(rng), strict=True)
    ]
    spare = (_SPARE_PAGES + 64) * PAGE
    return max(size[0] for size in sizes) + spare, max(size[1] for size in sizes) + spare


def _cpu_s(*guests: Contestant) -> float:
    return fitness.own_cpu_s() + sum(guest.cpu_ns() * 1e-9 for guest in guests)


@contextlib.contextmanager
def _in_their_places(rules: Rules, *guests: Contestant) -> Iterator[None]:
    """Grader and guests share a core while CPU time is measured: waking each other up is cheapest there.

    By the wall clock each rank of a group has a core of its own: two that talk to each other are at times put on one
    core, and waking up is then several times as cheap as between two.
    """
    allowed = os.sched_getaffinity(0)
    if rules.clock != "cpu":
        for group in guests:
            if isinstance(group, Group):
                group.spread(sorted(allowed))
        yield
        return
    core = {max(allowed)}
    os.sched_setaffinity(0, core)
    try:
        for guest in guests:
            guest.pin(core)
        yield
    finally:
        os.sched_setaffinity(0, allowed)
