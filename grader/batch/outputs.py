"""Everything that a batch leaves behind for people and systems, written from the store: nothing here grades."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from grader.batch import book, feedback, gradebook, policy
from grader.batch.book import Told
from grader.batch.course import Course
from grader.batch.policy import Counted
from grader.batch.roster import Roster
from grader.batch.store import Grade, Store
from grader.lab import Lab
from grader.reports.class_book import Waiting
from grader.reports.class_junit import class_junit
from grader.reports.class_page import class_page
from grader.result import Result, write_atomically

STORE, GRADEBOOK, PAGE, JUNIT = "grades.sqlite", "gradebook.csv", "class.html", "class.junit.xml"


@dataclass(frozen=True)
class Written:
    """What was written: files below the output folder, and how many students they speak of.

    `changed`: (student, lab, before, now) of grades that gradebooks have shown otherwise; `incomplete`: (student, lab,
    points that wait, the lab's points); `untimed`: (student, lab) with a due date and without a time.
    """

    files: tuple[str, ...]
    students: int
    changed: tuple[tuple[str, str, Grade, Grade], ...] = ()
    incomplete: tuple[tuple[str, str, float, float], ...] = ()
    untimed: tuple[tuple[str, str], ...] = ()


def write(
    out: Path,
    store: Store,
    labs: Mapping[str, Lab],
    course: Course,
    roster: Roster,
    told: Told,
    practice: bool = False,
) -> Written:
    """Write gradebooks, feedback, JUnit and the class report below `out`. Raises OSError.

    The maximum of a lab is its contract's, of all its tests or in practice of those that students have.
    """
    students = {student.id: student for student in roster.students}
    maxima = {name: lab.maximum(practice) for name, lab in labs.items()}
    attempts = [item for item in store.attempts() if item.lab in labs]
    counts = policy.counted(attempts, course, students, maxima)
    missing = {**told.unclear, **told.failed}
    missing = {pair: why for pair, why in missing.items() if pair in told.failed or pair not in counts}
    everybody = gradebook.everyone(list(students), counts, missing)
    names = {student.id: student.name for student in roster.students}
    texts = {GRADEBOOK: gradebook.gradebook(list(students), list(labs), counts, missing, names)}
    if roster.students:
        texts["canvas.csv"] = gradebook.canvas(roster, list(labs), course, counts, maxima)
        texts["moodle.csv"] = gradebook.moodle(roster, list(labs), course, counts)
        for lab in labs:
            sheet = gradebook.moodle_worksheet(roster, lab, course, counts)
            if sheet is not None:
                texts[f"moodle-worksheet-{lab}.csv"] = sheet
    waiting = _feedback(out, store, counts)
    for (student, lab), why in sorted(missing.items()):
        if (student, lab) not in counts:
            feedback.write_reason(out, student, lab, why)
    starters = {lab.id: starter_files(lab) for lab in labs.values()}
    page = book.book(store, counts, course, roster, told, starters, waiting)
    texts[PAGE] = class_page(page)
    texts[JUNIT] = class_junit(
        (student, store.document(item.attempt.key)) for (student, _), item in sorted(counts.items())
    )
    for name, text in texts.items():
        write_atomically(out / name, text)
    changed = store.tell({pair: Grade(item.score, bool(item.waits)) for pair, item in counts.items()})
    incomplete = ((*pair, item.waits, item.possible) for pair, item in sorted(counts.items()) if item.waits)
    untimed = (pair for pair, item in sorted(counts.items()) if item.time_unknown)
    return Written(tuple(texts), len(everybody), tuple(changed), tuple(incomplete), tuple(untimed))


def _feedback(out: Path, store: Store, counts: Mapping[tuple[str, str], Counted]) -> list[Waiting]:
    """Each student's folder; and what could not be judged, of which only the documents know the reason."""
    waiting: list[Waiting] = []
    for (student, _), item in sorted(counts.items()):
        result: Result = store.document(item.attempt.key)
        notes = store.notes(item.attempt.id)
        if item.note:
            notes.append(f"In the gradebook: {item.score:.2f} points; {item.note}.")
        feedback.write(out, student, result, notes)
        waiting += book.waiting_of(student, result)
    return waiting


def starter_files(lab: Lab) -> dict[str, str]:
    """What students are given of the files that they hand in."""
    files = {}
    for source in lab.sources:
        path = lab.starter / source.path
        if path.is_file():
            files[source.path] = path.read_text(encoding="utf-8", errors="replace")
    return files


def now() -> str:
    """This moment, ISO 8601 in UTC."""
    return datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
