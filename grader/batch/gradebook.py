"""The class as a table for people and for the systems that keep grades: CSV for spreadsheets, Canvas and Moodle."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence

from grader.batch.course import Course
from grader.batch.policy import Counted
from grader.batch.roster import Roster, Student
from grader.reports.text import one_line

_FORMULA = ("=", "+", "-", "@", "\t", "\r")

Counts = Mapping[tuple[str, str], Counted]
"""What counts for each (student, lab)."""

Failed = Mapping[tuple[str, str], str]
"""Why a (student, lab) could not be graded."""


def everyone(students: Sequence[str], counts: Counts, failed: Failed) -> list[str]:
    """All who must have a row, by name: the roster's, and who handed something in."""
    return sorted({*students, *(student for student, _ in counts), *(student for student, _ in failed)})


def gradebook(
    students: Sequence[str],
    labs: Sequence[str],
    counts: Counts,
    failed: Failed,
    names: Mapping[str, str] | None = None,
) -> str:
    """CSV text: student and name, then score, maximum, what was judged and a note for each lab, and the total.

    `failed` is also why there is nothing to grade of somebody who handed in something.
    """
    header = [
        "student",
        "name",
        *(f"{lab} {what}" for lab in labs for what in ("score", "of", "judged", "note")),
    ]
    rows = []
    for student in everyone(students, counts, failed):
        row = [defused(student), defused((names or {}).get(student, ""))]
        for lab in labs:
            item, why = counts.get((student, lab)), failed.get((student, lab), "")
            if item is None:
                row += ["", "", "", defused(f"not graded: {why}" if why else "nothing handed in")]
            else:
                maximum, judged = item.possible, item.attempt.judged_max
                note = "; ".join(filter(None, (item.note, why and f"not graded again: {why}")))
                row += [f"{item.score:.2f}", f"{maximum:g}", f"{judged:g}", defused(note)]
        scores = [counts[student, lab].score for lab in labs if (student, lab) in counts]
        rows.append([*row, f"{sum(scores):.2f}" if scores else ""])
    return _csv([*header, "total"], rows)


def canvas(
    roster: Roster, labs: Sequence[str], course: Course, counts: Counts, maxima: Mapping[str, float]
) -> str:
    """Canvas' import file: its student columns as they came, a column for each lab, its points in the second row.

    By the rules of its importer (canvas-lms, lib/gradebook_importer.rb): the last student column is 'Section', a
    column is matched by the number in parentheses, and cells with a comma are read as decimals. An empty cell
    changes nothing, and is what an incomplete grade becomes. The names of students are theirs: nothing is put before
    them. `maxima`: the points of each lab by its contract.
    """
    own = ["Student", "ID", "SIS User ID", "SIS Login ID", "Section"]
    here = {column.lower() for column in roster.columns}
    columns = [name for name in own if name in ("Student", "ID", "Section") or name.lower() in here]
    if "SIS Login ID" not in columns and "ID" not in roster.columns:
        columns.insert(-1, "SIS Login ID")
    graded = [lab for lab in labs if any(pair[1] == lab for pair in counts)]
    titles = [course.plan(lab).canvas or lab for lab in graded]
    rows = [["    Points Possible", *("" for _ in columns[1:]), *(f"{maxima[lab]:g}" for lab in graded)]]
    for student in roster.students:
        row = [_canvas_cell(student, column) for column in columns]
        rows.append([*row, *(_score(counts.get((student.id, lab)), course) for lab in graded)])
    return _csv([*columns, *titles], rows)


def _canvas_cell(student: Student, column: str) -> str:
    told = student.row.get(column.lower(), "")
    if column == "Student":
        return told or student.name or student.id
    if column == "SIS Login ID":
        return told or student.id
    return told


def moodle(roster: Roster, labs: Sequence[str], course: Course, counts: Counts) -> str:
    """Moodle's grade import: the identifying columns as they came, then grade and feedback of each lab.

    Map by email or ID number in its preview. A grade is never blank beside feedback: that would wipe it.
    """
    own: list[str] = [
        name
        for name in ("Identifier", "Full name", "ID number", "Email address", "Email")
        if name in roster.columns
    ]
    columns: list[str] = own or ["Username"]
    titles = [title for lab in labs for title in _moodle_titles(course.plan(lab).moodle or lab)]
    rows = []
    for student in roster.students:
        row = [student.row.get(column.lower(), "") or student.id for column in columns]
        for lab in labs:
            item = counts.get((student.id, lab))
            score = _score(item, course)
            row += [score, _feedback(item) if item and score else ""]
        rows.append(row)
    return _csv([*columns, *titles], rows)


def _moodle_titles(item: str) -> tuple[str, str]:
    return item, f"{item} feedback"


def moodle_worksheet(roster: Roster, lab: str, course: Course, counts: Counts) -> str | None:
    """Moodle's offline grading worksheet with its grades filled in; None when the roster is no worksheet.

    `Identifier`, `Grade` and `Last modified (grade)` are what its importer needs; all columns stay as they came.
    """
    if not {"Identifier", "Grade", "Last modified (grade)"} <= set(roster.columns):
        return None
    rows = []
    for student in roster.students:
        row = dict(
            zip(roster.columns, (student.row.get(name.lower(), "") for name in roster.columns), strict=True)
        )
        item = counts.get((student.id, lab))
        score = _score(item, course)
        if item is not None and score:
            row["Grade"] = score
            if "Feedback comments" in row:
                row["Feedback comments"] = _feedback(item)
        rows.append(list(row.values()))
    return _csv(list(roster.columns), rows)


def _feedback(item: Counted) -> str:
    """One line for a student: what was reached, and why it is less."""
    text = f"{item.score:.2f} of {item.possible:g} points"
    return f"{text}; {item.note}" if item.note else text


def _score(item: Counted | None, course: Course) -> str:
    """The cell of a grade: empty, which changes nothing, where there is none or points of it wait."""
    if item is None or (item.waits and course.incomplete == "hold"):
        return ""
    return f"{item.score:.2f}"


def _csv(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([header, *rows])
    return text.getvalue()


def defused(text: str) -> str:
    """On one line, and never a formula: a spreadsheet runs what begins with = + - or @."""
    line = one_line(text)
    return f"'{line}" if line.startswith(_FORMULA) else line
