"""`grader lab check`: does the lab prove itself? Every expectation that does not hold becomes one sentence.

Correctness trials run side by side; what is timed runs alone, afterwards.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from grader import cores
from grader.authoring.candidates import BadCandidate, Candidate, lay_out, of_lab, selected
from grader.authoring.trial import TrialFailed, Trials
from grader.lab import Lab
from grader.result import Result, TestResult
from grader.sandbox import gpu

NO_TIER = "none"
LACKS = "needs "
"""How the reason begins when a test is not judged for want of something, not because the machine is noisy."""
_ROUNDING = 1e-6
_SHOWN = 200
"""So much of a case is enough to recognise it; the result document in reports/ has all of it."""


@dataclass(frozen=True)
class Outcome:
    """One trial of one candidate: its result, or why there is none, and the expectations that do not hold."""

    candidate: Candidate
    result: Result | None
    problems: tuple[str, ...]
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True)
class Proof:
    """All trials of a lab."""

    lab: Lab
    outcomes: tuple[Outcome, ...]
    problems: tuple[str, ...]
    """Of the lab as a whole: tests that catch nothing, points that do not add up."""

    @property
    def holds(self) -> bool:
        return not self.problems and not any(outcome.problems for outcome in self.outcomes)


def check(
    lab: Lab,
    runs: int,
    only: str | None = None,
    *,
    quick: bool = False,
    told: Callable[[Outcome, int, int], None] = lambda *_: None,
) -> Proof:
    """Grade every candidate (the solution `runs` times) and compare with what must come out.

    `quick`, for busy machines: a mutant meets only the tests that it names, so that the kill matrix shows no others;
    the solution need not reach the top tier of its duels, only the first.
    `told(outcome, number, total)` is called after each trial. Raises BadCandidate for an unreadable mutant or cheat,
    or when `only` names nothing.
    """
    candidates = selected(of_lab(lab), only)
    if not candidates:
        raise BadCandidate(f"{lab.id} has no solution, starter, rung, mutant or cheat called {only!r}")
    plan = [item for item in candidates for _ in range(runs if item.kind == "solution" else 1)]
    aside = [item for item in plan if not _timed(item)]
    alone = [item for item in plan if _timed(item)]
    outcomes: list[Outcome] = []

    def keep(outcome: Outcome) -> None:
        outcomes.append(outcome)
        told(outcome, len(outcomes), len(plan))

    with tempfile.TemporaryDirectory(prefix="grader-check-") as scratch:
        Path(scratch).chmod(0o755)
        workers = min(8, 2 * cores.usable())  # those that hang only wait
        trials = Trials(lab, Path(scratch))
        for slot in range(workers):
            trials.slots.put(slot)
        mutants = any(item.kind == "mutant" for item in aside)
        hopeless = _unprovable(trials) if quick and mutants else frozenset()

        def attempt(numbered: tuple[int, Candidate]) -> Outcome:
            number, candidate = numbered
            if candidate.kind == "mutant" and hopeless.issuperset(candidate.caught_by):
                return _laid_aside(trials, number, candidate)
            return _try(trials, number, candidate, quick=quick)

        with ThreadPoolExecutor(workers) as pool:
            for outcome in pool.map(attempt, enumerate(aside)):
                keep(outcome)
        for number, candidate in enumerate(alone):
            keep(_try(trials, len(aside) + number, candidate, quick=quick))
    problems = tuple(_lab_problems(lab, outcomes)) if only is None and not quick else ()
    return Proof(lab, tuple(outcomes), problems)


def _timed(candidate: Candidate) -> bool:
    """Mutants are about correctness; all others need the duels to show where they end up."""
    return candidate.kind in ("solution", "rung", "cheat") or bool(candidate.tiers)


def _unprovable(trials: Trials) -> frozenset[str]:
    """The tests that wait for a GPU on a machine without one, as a grading of the starter tells."""
    if not trials.lab.hardware.gpu or gpu.present() is not None:
        return frozenset()
    return waiting_tests(trials.run(trials.lab.starter, "without-a-gpu", performance=False))


def _laid_aside(trials: Trials, number: int, candidate: Candidate) -> Outcome:
    """A mutant that only a GPU can show to be wrong: its edits must fit, more is not asked of it here."""
    try:
        lay_out(candidate, trials.lab, trials.scratch / str(number))
    except (BadCandidate, OSError) as error:
        return Outcome(candidate, None, (str(error),))
    return Outcome(
        candidate, None, (), (f"not proven here: needs a GPU for {', '.join(candidate.caught_by)}",)
    )


def _try(trials: Trials, number: int, candidate: Candidate, *, quick: bool) -> Outcome:
    tests = candidate.caught_by if quick and candidate.kind == "mutant" else ()
    try:
        folder = lay_out(candidate, trials.lab, trials.scratch / str(number))
        result = trials.run(folder, f"{number}-{candidate.name}", performance=_timed(candidate), only=tests)
    except (BadCandidate, TrialFailed, OSError) as error:
        return Outcome(candidate, None, (str(error),))
    return Outcome(
        candidate, result, tuple(problems_of(candidate, result, quick)), tuple(remarks_of(candidate, result))
    )


def problems_of(candidate: Candidate, result: Result, quick: bool = False) -> Iterator[str]:
    """The expectations of one candidate that do not hold. Pure."""
    failed, waiting = failed_tests(result), waiting_tests(result)
    if candidate.kind == "solution":
        timed = {duel.test_id for duel in result.duels} if quick else set()
        lost = [
            test
            for test in result.tests
            if test.status == "failed" or (_short(test) and test.id not in timed)
        ]
        yield from (_loss(test, result) for test in lost)
    if candidate.kind == "rung" and not waiting:
        yield from _tier_problems(candidate.tiers, result)
    if candidate.kind == "mutant" and not failed and not waiting.intersection(candidate.caught_by):
        yield "survives: no test fails"
    missing = [name for name in candidate.caught_by if name not in failed | waiting]
    if missing and (failed or candidate.kind == "cheat"):
        yield f"is not caught by {', '.join(missing)}, but by {', '.join(sorted(failed)) or 'nothing'}"
    if candidate.max_score is not None and result.score > candidate.max_score + _ROUNDING:
        yield f"scores {result.score:.1f}, above its limit of {candidate.max_score:g}"


def remarks_of(candidate: Candidate, result: Result) -> Iterator[str]:
    """What could not be judged here. Never a failure, but the proof is incomplete without it."""
    if candidate.kind == "solution":
        waiting = [test for test in result.tests if test.status == "not_judged"]
        yield from (f"'{test.name}' was not judged: {test.message}" for test in waiting)
    unproven = [name for name in candidate.caught_by if name in waiting_tests(result)]
    if unproven:
        yield f"not proven here: {', '.join(unproven)} could not be judged"


def waiting_tests(result: Result) -> frozenset[str]:
    """Names of the test functions that this machine cannot judge, since it lacks something: a GPU, a tool."""
    return frozenset(
        function_name(test)
        for test in result.tests
        if test.status == "not_judged" and test.message.startswith(LACKS)
    )


def failed_tests(result: Result) -> frozenset[str]:
    """Names of the test functions that failed because of what they saw, not because an earlier one shut the gate."""
    names = (
        function_name(test)
        for test in result.tests
        if test.status == "failed"
        and not (test.failure and test.failure.summary.startswith("not measured yet"))
    )
    return frozenset(names)


def function_name(test: TestResult) -> str:
    """'test_hidden.py::test_skinny[row]' -> 'test_skinny'; the build has no function."""
    return test.id.rpartition("::")[2].partition("[")[0]


def _loss(test: TestResult, result: Result) -> str:
    """Which points the solution loses, with what is needed to see it again."""
    said = f"loses points in '{test.name}': {test.message}"
    if not test.failure:
        return said
    shown = {"case": test.failure.case, "expected": test.failure.expected, "got": test.failure.got}
    details = ", ".join(f"{name} {value[:_SHOWN]!r}" for name, value in shown.items() if value)
    return f"{said}; {details}; seed {result.seeds['run']}" if details else said


def _short(test: TestResult) -> bool:
    return test.status == "passed" and test.points < test.max_points - _ROUNDING


def _tier_problems(expected: Mapping[str, Sequence[str]], result: Result) -> Iterator[str]:
    found = {duel.id: duel for duel in result.duels}
    for name, tiers in expected.items():
        duel = found.get(name)
        if duel is None:
            yield f"the duel '{name}' did not take place"
        elif duel.verdict != "not_judged" and (duel.tier or NO_TIER) not in tiers:
            yield f"the duel '{name}' ended in {duel.tier or NO_TIER} ({duel.ratio:.3g}), not in {' or '.join(tiers)}"


def _lab_problems(lab: Lab, outcomes: Sequence[Outcome]) -> Iterator[str]:
    solved = [
        outcome.result for outcome in outcomes if outcome.candidate.kind == "solution" and outcome.result
    ]
    if solved:
        yield from _point_problems(lab, solved[0])
        waiting = waiting_tests(solved[0])
        yield from (
            f"the hidden test {name} catches no mutant and is not tagged smoke"
            for name in idle_tests(solved[0], outcomes)
            if name not in waiting
        )


def idle_tests(solution: Result, outcomes: Sequence[Outcome]) -> list[str]:
    """Hidden tests that no mutant fails and that are not tagged smoke."""
    caught: set[str] = set()
    for outcome in outcomes:
        if outcome.candidate.kind == "mutant" and outcome.result:
            caught |= failed_tests(outcome.result)
    hidden = dict.fromkeys(function_name(test) for test in solution.tests if test.hidden and not test.smoke)
    return [name for name in hidden if name not in caught]


def _point_problems(lab: Lab, solution: Result) -> Iterator[str]:
    sums: dict[str, float] = {}
    for test in solution.tests:
        sums[test.category] = sums.get(test.category, 0.0) + test.max_points
    for category in sorted({*sums, *lab.points}):
        promised, given = lab.points.get(category, 0.0), sums.get(category, 0.0)
        if abs(promised - given) > _ROUNDING:
            yield f"the tests of '{category}' are worth {given:g} points, lab.yaml promises {promised:g}"
