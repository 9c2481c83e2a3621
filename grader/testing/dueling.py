"""The `duel` fixture: fights one of the lab's duels, turns it into points, and keeps what was measured."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from grader import cores
from grader.lab import Duel as DuelContract
from grader.result import Duel, DuelCase, Roofline
from grader.runner.host import GuestFailed
from grader.sandbox import gpu
from grader.scoring import duel_credit, highest_tier
from grader.testing.checks import CheckFailed, NotJudged
from grader.testing.subject import Reference, Subject
from grader.timing import duel, gpu_clocks
from grader.timing.duel import Case, Outcome, Rules


class DuelRunner:
    """`duel("large", [case])` measures; the test's points follow from the ratio."""

    def __init__(
        self,
        subject: Subject,
        reference: Callable[[], Reference],
        rng: np.random.Generator,
        test_id: str,
        award: Callable[[float, str], None],
        keep: Callable[[Duel, Outcome], None],
        on_round: Callable[[int, float], None],
    ) -> None:
        self._subject = subject
        self._reference = reference
        self._rng = rng
        self._test_id = test_id
        self._award = award
        self._keep = keep
        self._on_round = on_round

    def __call__(self, name: str, cases: Sequence[Case], scale: float = 1.0, ranks: int = 0) -> None:
        """Fight the duel `name` of lab.yaml over these cases; with `ranks`, each side in so many runners.

        Raises CheckFailed below the first tier or for a wrong timed result, NotJudged when it cannot be told.
        """
        contract = self._subject.lab.duels[name]
        _check_cores(_wanted_cores(contract, self._subject.lab.hardware.cores, ranks))
        against = None if contract.against == "self" else self._reference()
        full = _full(_tiers(contract), _by_name(self._subject.lab.credit))
        rules = Rules(_tiers(contract), contract.clock, contract.cap_s, scale, full, contract.compares)
        ours = self._subject.side(ranks)
        theirs = ours
        if against is not None:
            theirs = against.grouped(ranks) if ranks else against.side
        here = gpu.present() if self._subject.lab.hardware.gpu else None
        clocks = gpu_clocks.Clocks(gpu_clocks.reader(here.uuid)) if here else None
        if clocks is not None:
            cases = [clocks.watching(case) for case in cases]
        try:
            outcome = duel.fight(ours, theirs, cases, rules, self._rng, self._on_round)
        except duel.ReferenceFailed as failed:
            if against is None:  # the other side is the submission too
                raise _mistake(failed.__cause__) from None
            raise NotJudged(f"the reference failed while it was measured ({failed})") from failed
        except (duel.WrongResult, GuestFailed) as mistake:
            raise _mistake(mistake) from None
        except duel.Held as held:
            raise NotJudged(f"held for review: {held}") from None
        if clocks is not None and (reason := clocks.disturbed()):
            outcome = replace(outcome, verdict="not_judged", reason=reason)
        self._settle(name, contract, against, outcome)

    def _settle(self, name: str, contract: DuelContract, against: Reference | None, outcome: Outcome) -> None:
        """Record the duel and award its points: the median's, or those of a tier that the interval still holds.

        A passed duel whose interval is too wide for that earns what its lower end proves.
        """
        tiers, ratio = _tiers(contract), outcome.ratio
        if outcome.verdict == "passed" and outcome.interval is not None and duel.is_wide(outcome.interval):
            ratio = outcome.interval[0]
        elif ratio is not None and outcome.interval is not None:
            reached = [tier for tier in tiers.values() if ratio < tier <= outcome.interval[1]]
            ratio = max([ratio, *reached])
        judged = ratio is not None and outcome.verdict != "not_judged"
        tier = highest_tier(ratio, tiers) if ratio is not None and judged else None
        record = Duel(
            id=name,
            test_id=self._test_id,
            title=contract.title,
            reference=_opponent(contract, against),
            ratio=outcome.ratio,
            interval=outcome.interval,
            tier=tier,
            tiers=tiers,
            verdict=outcome.verdict,
            reason=outcome.reason,
            rounds=outcome.rounds,
            clock=contract.clock,
            compares=contract.compares,
            unit=contract.unit,
            submission_rate=_in_unit(outcome.submission_rate, contract.unit),
            reference_rate=_in_unit(outcome.reference_rate, contract.unit),
            roofline=_roofline(contract, against, outcome),
            cases=_cases(contract, outcome),
        )
        self._keep(record, outcome)
        if contract.limit is not None and outcome.ratio is not None and outcome.ratio > contract.limit:
            words = f"{outcome.ratio:.3g} of the {_plain_opponent(contract)} is more than the hardware can do"
            raise NotJudged(f"held for review: {words} ({contract.limit:g} at most)")
        if outcome.verdict == "not_judged":
            raise NotJudged(outcome.reason)
        if ratio is not None:
            self._award(duel_credit(ratio, tiers, _by_name(self._subject.lab.credit)), "")
        if outcome.verdict == "failed":
            first, threshold = next(iter(tiers.items()))
            if contract.compares == "values":
                raise _disagreement(outcome, first, threshold, contract.unit)
            raise CheckFailed(
                f"{outcome.ratio:.3g} of the {_plain_opponent(contract)}; '{first}' starts at {threshold:g}",
                where=outcome.reason,
                why="The handout's road shows the step that brings the next factor.",
            )


def _tiers(contract: DuelContract) -> dict[str, float]:
    """The duel's tiers on the GPU that is here, or those for all machines."""
    here = gpu.present() if contract.tiers_on else None
    return _by_name(contract.tiers_on.get(here.architecture, contract.tiers) if here else contract.tiers)


def _full(tiers: Mapping[str, float], credit: Mapping[str, float]) -> float | None:
    """The lowest tier's ratio that earns all points; None when no tier does."""
    return min((ratio for name, ratio in tiers.items() if credit[name] >= 1), default=None)


def _disagreement(outcome: Outcome, first: str, threshold: float, unit: str) -> CheckFailed:
    """Below the first tier of a duel of values, with the case in which both differ most."""
    worst = min(outcome.cases, key=lambda case: case.ratio)
    return CheckFailed(
        f"an agreement of {outcome.ratio:.3g} with the reference; '{first}' starts at {threshold:g}",
        case=worst.name,
        expected=f"{worst.reference_rate:.4g} {unit}, as the reference says in turn with it",
        got=f"{worst.submission_rate:.4g} {unit}",
    )


def _by_name(tiers: Mapping[Any, float]) -> dict[str, float]:
    return {str(name): ratio for name, ratio in tiers.items()}


def replay_clock(samples: Sequence[float]) -> Callable[[], float]:
    """A clock whose successive pairs of readings are `samples` seconds apart.

    pytest-benchmark measures with it what the duel's own clock has measured before.
    """
    readings = itertools.chain.from_iterable((0.0, sample) for sample in samples)
    return lambda: next(readings, 0.0)


def _mistake(error: BaseException | None) -> CheckFailed:
    """What the submission did while it was measured, as a verdict."""
    if isinstance(error, GuestFailed):
        detail = error.output.decode("utf-8", "replace")
        return CheckFailed(f"the submission {error.summary} while it was measured", detail=detail)
    cause: Any = error.__cause__ if error else None
    words = f"a measured call ({error}) gave a wrong result: {cause}"
    why = "Every measured call gets new inputs and its output is checked like any other."
    if isinstance(cause, CheckFailed):
        return CheckFailed(
            words,
            case=cause.case or str(error),
            expected=cause.expected,
            got=cause.got,
            where=cause.where,
            why=why,
        )
    return CheckFailed(words, case=str(error), why=why)


_PREFIX = {"G": 1e9, "M": 1e6, "T": 1e12, "k": 1e3}


def _in_unit(rate: float | None, unit: str) -> float | None:
    return None if rate is None else rate / _PREFIX.get(unit[:1], 1.0)


def _opponent(contract: DuelContract, against: Reference | None) -> str:
    """Who was measured against, for the record."""
    if against is None:
        return "your own single thread"
    if contract.against == "roofline":
        return f"this core {'reading memory' if contract.bound == 'memory' else 'multiplying in registers'}"
    return f"{against.name} ({against.isa} kernels)" if against.isa else against.name


def _plain_opponent(contract: DuelContract) -> str:
    return "roofline" if contract.against == "roofline" else "reference"


def _cases(contract: DuelContract, outcome: Outcome) -> list[DuelCase]:
    """Each case's own ratio; nothing where there is only one."""
    if len(outcome.cases) < 2:
        return []
    per_unit = _PREFIX.get(contract.unit[:1], 1.0)
    return [
        DuelCase(
            name=case.name,
            ratio=case.ratio,
            submission_rate=case.submission_rate / per_unit,
            reference_rate=case.reference_rate / per_unit,
        )
        for case in outcome.cases
    ]


def _roofline(contract: DuelContract, against: Reference | None, outcome: Outcome) -> Roofline | None:
    """The bound that this run has measured: by the other side of the duel, or for arithmetic before it."""
    if contract.bound is None or against is None or outcome.submission_rate is None:
        return None
    ceiling = against.peak if contract.bound == "compute" else None
    if contract.against == "roofline":
        ceiling = outcome.reference_rate
    if ceiling is None:
        return None
    per_unit = _PREFIX.get(contract.unit[:1], 1.0)
    bandwidth = against.bandwidth
    if contract.against == "roofline" and contract.bound == "memory":
        bandwidth = ceiling  # measured beside the submission, and longer
    return Roofline(
        bound=contract.bound,
        value=outcome.submission_rate / per_unit,
        ceiling=ceiling / per_unit,
        unit=contract.unit,
        intensity=contract.intensity,
        peak=against.peak / 1e9 if contract.intensity is not None else None,
        bandwidth=bandwidth / 1e9 if contract.intensity is not None and bandwidth else None,
    )


def _wanted_cores(contract: DuelContract, of_lab: int, ranks: int) -> int:
    """By the wall clock all of the lab's, one for each process, and two where threads are to be faster than one."""
    if contract.clock == "cpu":
        return max(1, ranks)
    return max(of_lab, ranks, 2 if contract.against == "self" else 1)


def _check_cores(wanted: int) -> None:
    """Raises NotJudged: who has the core while the other waits would be measured, and not the submission."""
    here = cores.usable()
    if wanted > here:
        raise NotJudged(
            f"needs {wanted} cores at a time, here it has {here}: "
            "give the machine or the container more (docker run --cpus), and look with `make doctor`"
        )
