"""What a regrade changed: for each student and lab the attempt before and the one after, test by test, and why."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from grader.batch import plan
from grader.batch.course import Course
from grader.batch.gradebook import defused
from grader.batch.orders import Terms
from grader.batch.plan import Job, Place
from grader.batch.policy import counted
from grader.batch.store import Attempt, Handed, Kind, Outcome, Store, outcomes_of_lines
from grader.lab import Lab

_WORDS = {
    "submission": "another submission",
    "lab_digest": "the lab changed",
    "grader": "the grader changed",
    "compiler": "another compiler",
    "machine": "another machine",
    "how": "graded on other terms",
}


@dataclass(frozen=True)
class TestChange:
    """One test whose verdict or points changed; '–' and 0 where it did not exist."""

    __test__ = False  # its name must not make pytest collect it

    name: str
    category: str
    old: str
    new: str
    old_points: float
    new_points: float


@dataclass(frozen=True)
class Change:
    """One student and lab, before and after."""

    student: str
    lab: str
    old: Attempt
    new: Attempt
    reasons: tuple[str, ...]
    tests: tuple[TestChange, ...]

    @property
    def points(self) -> float:
        """Points won, or lost when below 0."""
        return self.new.score - self.old.score


@dataclass(frozen=True)
class Round:
    """A regrade: its first run (earlier ones of it were stopped), this one, and the number of its repetition."""

    kind: Kind
    first_run: int
    run: int
    again: int


def begin(store: Store, changed_only: bool) -> Round:
    """Begin a regrade, or go on with the one that was stopped."""
    kind: Kind = "regrade" if changed_only else "again"
    mine = [(number, ended) for number, of_kind, _, ended in store.runs() if of_kind == kind]
    over = [number for number, ended in mine if ended]
    stopped = [number for number, ended in mine if not ended and number > max(over, default=0)]
    run = store.begin_run(kind)
    first = min(stopped, default=run)
    return Round(kind, first, run, 0 if changed_only else max(len(over), store.repetitions(first)) + 1)


def jobs(
    store: Store,
    labs: Mapping[str, Lab],
    course: Course,
    since: str,
    how: Terms,
    place: Place,
    again: int,
    work: Path,
) -> tuple[list[Job], list[Attempt]]:
    """What is to be graded again, from the store's own copies; and attempts whose files intake had refused.

    That is the newest submission of each student and lab, graded since then; and where the best attempt counts,
    the one that counts too, before the newest.
    """
    attempts = [item for item in store.attempts() if item.lab in labs]
    newest = {(item.student, item.lab): item for item in attempts}
    chosen = list(newest.values())
    if course.attempts == "best":
        best = [item.attempt for item in counted(attempts, course).values()]
        chosen = [item for item in best if item.id != newest[item.student, item.lab].id] + chosen
    alike: dict[str, Job] = {}
    refused = []
    for item in chosen:
        files = store.files(item.submission)
        if item.at < since:
            continue
        if not files:
            refused.append(item)
            continue
        pieces = plan.pieces_of(item.submission, labs[item.lab], how, place, again)
        key = plan.key_of(pieces)
        owner = Handed(item.student, item.lab, item.handed_in, tuple(store.notes(item.id)))
        owners = (*alike[key].owners, owner) if key in alike else (owner,)
        alike[key] = Job(key, pieces, plan.laid_out(files, item.submission, work), files, owners)
    return list(alike.values()), refused


def table(found: Sequence[Change]) -> str:
    """The changes as CSV, a row for each test; spreadsheet formulas are defused."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(
        ["student", "lab", "score before", "score after", "reason", "test", "before", "after", "points"]
    )
    for item in found:
        head = [
            item.student,
            item.lab,
            f"{item.old.score:.2f}",
            f"{item.new.score:.2f}",
            ", ".join(item.reasons),
        ]
        if not item.tests:
            writer.writerow([*map(defused, head), "", "", "", ""])
        for test in item.tests:
            points = f"{test.new_points - test.old_points:.2f}"
            writer.writerow([*map(defused, head), defused(test.name), test.old, test.new, points])
    return text.getvalue()


def changes(store: Store, since_run: int) -> list[Change]:
    """All that runs from this one on made different, by student and lab; results that say the same are left out.

    Compared are the newest attempt before that run and the newest of all, each as it was judged: lateness and the
    policy of the course come on top.
    """
    found = []
    for old, new, was, now, unlike in store.moved(since_run):
        same = set(was).intersection(now)
        told = (outcomes_of_lines(line for line in side if line not in same) for side in (was, now))
        tests = tuple(differing(*told))
        if tests or abs(old.score - new.score) > 0.005:
            found.append(Change(new.student, new.lab, old, new, reasons(unlike), tests))
    return found


def differing(old: Sequence[Outcome], new: Sequence[Outcome]) -> list[TestChange]:
    """Tests whose verdict or points differ, in the order of the new result, those that are gone last."""
    was = {item.id: item for item in old}
    result = []
    for item in new:
        before = was.pop(item.id, None)
        if before is None:
            result.append(TestChange(item.name, item.category, "–", _words(item), 0.0, item.points))
        elif before.status != item.status or abs(before.points - item.points) > 0.005:
            words = (_words(before), _words(item))
            result.append(TestChange(item.name, item.category, *words, before.points, item.points))
    for gone in was.values():
        result.append(TestChange(gone.name, gone.category, _words(gone), "–", gone.points, 0.0))
    return result


def _words(item: Outcome) -> str:
    return item.status.replace("_", " ")


def reasons(unlike: Sequence[str]) -> tuple[str, ...]:
    """What is not the same any more, in words; 'measured again' when all is."""
    return tuple(_WORDS[name] for name in unlike) or ("measured again",)
