"""Fills the class report's book from the store: what counts, what is hard, what waits, what is flaky, what changed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from grader.batch import copies, feedback
from grader.batch.copies import Work
from grader.batch.course import Course
from grader.batch.gradebook import Counts, Failed, everyone
from grader.batch.regrade import Change
from grader.batch.roster import Roster
from grader.batch.store import Outcome, Store
from grader.reports.class_book import (
    Cell,
    ClassBook,
    DuelBook,
    Flaky,
    Fought,
    HardTest,
    LabBook,
    Moved,
    Row,
    Waiting,
)
from grader.result import Result

POLICY = {
    "latest": "the latest attempt counts",
    "best": "the best attempt counts",
    "never_lower": "the latest submission counts, no regrade lowers it",
}


@dataclass(frozen=True)
class Told:
    """What a run knows beside the store."""

    labs: Sequence[str]
    made_at: str
    layout: str = ""
    failed: Failed = field(default_factory=dict)
    unknown: Sequence[tuple[str, str]] = ()
    changes: Sequence[Change] = ()
    notes: Sequence[str] = ()
    unclear: Failed = field(default_factory=dict)
    """Why nothing can be graded of what a (student, lab) handed in."""


def book(
    store: Store,
    counts: Counts,
    course: Course,
    roster: Roster,
    told: Told,
    starters: Mapping[str, Mapping[str, str]],
    waiting: Sequence[Waiting],
) -> ClassBook:
    """The whole book. `starters` maps a lab to the files that students are given."""
    names = {student.id: student.name for student in roster.students}
    students = everyone(list(names), counts, {**told.unclear, **told.failed})
    rows = tuple(
        Row(
            student,
            names.get(student, ""),
            {lab: _cell(student, lab, counts, {**told.unclear, **told.failed}) for lab in told.labs},
        )
        for student in students
    )
    not_graded = [Waiting(student, lab, "", why) for (student, lab), why in sorted(told.failed.items())]
    works = {lab: works_of(store, counts, lab) for lab in told.labs}
    alike = [pair for lab in told.labs for pair in copies.alike(lab, works[lab], starters.get(lab, {}))]
    return ClassBook(
        title=course.title or "A class",
        made_at=told.made_at,
        layout=told.layout,
        labs=tuple(_lab(store, counts, lab) for lab in told.labs),
        rows=rows,
        waiting=tuple(waiting),
        not_graded=tuple(not_graded),
        unknown=tuple(told.unknown),
        alike=tuple(alike),
        copies_note=""
        if copies.available()
        else f"Only identical files are shown; more is {copies.MISSING}.",
        flaky=tuple(flaky(store)),
        moved=tuple(_moved(item) for item in told.changes),
        policy=POLICY[course.attempts],
        notes=tuple(told.notes),
    )


def _cell(student: str, lab: str, counts: Counts, failed: Failed) -> Cell:
    item, why = counts.get((student, lab)), failed.get((student, lab), "")
    if item is None:
        return Cell(None, note=f"not graded: {why}" if why else "nothing handed in")
    page = feedback.page_of(student, lab).as_posix()
    return Cell(item.score, item.possible, item.attempt.judged_max, item.note, page)


def works_of(store: Store, counts: Counts, lab: str) -> list[Work]:
    """The submissions that count, each different one once, with all who handed it in."""
    owners: dict[str, list[str]] = {}
    for (student, of_lab), item in sorted(counts.items()):
        if of_lab == lab:
            owners.setdefault(item.attempt.submission, []).append(student)
    works = (Work(digest, store.files(digest), tuple(who)) for digest, who in owners.items())
    return [work for work in works if work.files]


def _lab(store: Store, counts: Counts, lab: str) -> LabBook:
    counting = {student: item for (student, of_lab), item in counts.items() if of_lab == lab}
    attempts = [item.attempt for item in counting.values()]
    outcomes = store.outcomes(item.key for item in attempts)
    maximum = next((item.possible for item in counting.values()), 0.0)
    return LabBook(
        lab,
        maximum,
        tuple(item.score for item in attempts),
        tuple(_duels(store, {student: item.attempt.key for student, item in counting.items()})),
        tuple(hardest(outcomes[item.key] for item in attempts)),
    )


def _duels(store: Store, keys: Mapping[str, str]) -> Iterable[DuelBook]:
    """The duels of a lab, with the ratio of everybody whose duel was judged."""
    ratios = store.ratios(keys.values())
    kinds = {item.id: item for found in ratios.values() for item in found}
    for kind in kinds.values():
        fought = [
            Fought(student, item.ratio, item.tier)
            for student, key in sorted(keys.items())
            for item in ratios[key]
            if item.id == kind.id and item.ratio is not None and item.verdict != "not_judged"
        ]
        fought.sort(key=lambda item: -item.ratio)
        yield DuelBook(kind.id, kind.title, kind.tiers, tuple(fought))


def hardest(results: Iterable[Sequence[Outcome]]) -> list[HardTest]:
    """Every test with how often it failed, the hardest first, those without points last.

    Tests that waited for their gate count as failed.
    """
    seen: dict[str, list[Outcome]] = {}
    for outcomes in results:
        for item in outcomes:
            seen.setdefault(item.id, []).append(item)
    tests = []
    for items in seen.values():
        judged = [item for item in items if item.status != "not_judged"]
        lost = sum(max(0.0, item.max_points - item.points) for item in judged)
        failed = sum(item.status == "failed" for item in judged)
        tests.append(HardTest(items[0].name, items[0].category, failed, len(judged), lost))
    worth = {items[0].name: items[0].max_points for items in seen.values()}
    return sorted(tests, key=lambda test: (not worth[test.name], -test.share, -test.points_lost, test.name))


def flaky(store: Store) -> list[Flaky]:
    """Tests with more than one verdict among results of the same files, lab, grader and terms."""
    groups = store.repeated()
    keys = [key for group in groups for key in group]
    outcomes, pieces = store.outcomes(keys), store.pieces(keys)
    owners: dict[str, set[str]] = {}
    wanted = set(keys)
    for item in store.attempts() if groups else ():
        if item.key in wanted:
            owners.setdefault(item.key, set()).add(item.student)
    found = []
    for group in groups:
        verdicts: dict[str, list[str]] = {}
        for key in group:
            for test in outcomes[key]:
                verdicts.setdefault(test.name, []).append(test.status.replace("_", " "))
        students = tuple(sorted(set().union(*(owners.get(key, set()) for key in group))))
        for name, told in verdicts.items():
            if len(set(told)) > 1:
                words = ", ".join(f"{told.count(word)} × {word}" for word in sorted(set(told)))
                found.append(Flaky(pieces[group[0]].lab, name, students, words))
    return found


def waiting_of(student: str, result: Result) -> list[Waiting]:
    """What could not be judged of a result, one line for each reason."""
    reasons: dict[str, list[str]] = {}
    for test in result.tests:
        if test.status == "not_judged":
            reasons.setdefault(test.message or "no reason was given", []).append(test.name)
    lines = []
    for reason, names in reasons.items():
        more = f" and {len(names) - 3} more" if len(names) > 3 else ""
        lines.append(Waiting(student, result.lab, ", ".join(names[:3]) + more, reason))
    return lines


def _moved(change: Change) -> Moved:
    tests = tuple(
        f"{test.name}: {test.old} → {test.new} ({test.old_points:g} → {test.new_points:g})"
        for test in change.tests
    )
    return Moved(
        change.student, change.lab, change.old.score, change.new.score, ", ".join(change.reasons), tests
    )
