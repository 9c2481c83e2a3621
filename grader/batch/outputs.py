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
from grader.batch.store import Store
from grader.lab import Lab
from grader.reports.class_book import Waiting
from grader.reports.class_junit import class_junit
from grader.reports.class_page import class_page
from grader.result import Result, write_atomically

STORE, GRADEBOOK, PAGE, JUNIT = "grades.sqlite", "gradebook.csv", "class.html", "class.junit.xml"


@dataclass(frozen=True)
class Written:
    """What was written: files below the output folder, and how many students they speak of."""

    files: tuple[str, ...]
    students: int


def write(
    out: Path, store: Store, labs: Mapping[str, Lab], course: Course, roster: Roster, told: Told
) -> Written:
    """Write gradebooks, feedback, JUnit and the class report below `out`. Raises OSError."""
    students = {student.id: student for student in roster.students}
    attempts = [item for item in store.attempts() if item.lab in labs]
    counts = policy.counted(attempts, course, students)
    names = gradebook.everyone(list(students), counts, told.failed)
    texts = {GRADEBOOK: gradebook.gradebook(list(students), list(labs), counts, told.failed)}
    if roster.students:
        texts["canvas.csv"] = gradebook.canvas(roster, list(labs), course, counts)
        texts["moodle.csv"] = gradebook.moodle(roster, list(labs), course, counts)
        for lab in labs:
            sheet = gradebook.moodle_worksheet(roster, lab, counts)
            if sheet is not None:
                texts[f"moodle-worksheet-{lab}.csv"] = sheet
    waiting = _feedback(out, store, counts)
    starters = {lab.id: starter_files(lab) for lab in labs.values()}
    page = book.book(store, counts, course, roster, told, starters, waiting)
    texts[PAGE] = class_page(page)
    texts[JUNIT] = class_junit(
        (student, store.document(item.attempt.key)) for (student, _), item in sorted(counts.items())
    )
    for name, text in texts.items():
        write_atomically(out / name, text)
    return Written(tuple(texts), len(names))


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
