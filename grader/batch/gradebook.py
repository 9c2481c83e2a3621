"""The class as a table: one row for each student, one column for each lab; for people and their spreadsheets."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence

from grader.batch.store import Attempt
from grader.reports.text import one_line

_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def students_of(roster: str) -> list[str]:
    """Students of a roster CSV: its column username, identifier, student or email, else the first one.

    Raises ValueError for a roster without a row.
    """
    rows = [row for row in csv.reader(io.StringIO(roster)) if any(cell.strip() for cell in row)]
    if len(rows) < 2:
        raise ValueError("the roster has no students: a header and a row for each is wanted")
    header = [cell.strip().lower() for cell in rows[0]]
    names = ("username", "github_username", "identifier", "student", "email")
    column = next((header.index(name) for name in names if name in header), 0)
    return [row[column].strip() for row in rows[1:] if len(row) > column and row[column].strip()]


def gradebook(
    students: Sequence[str],
    labs: Sequence[str],
    attempts: Sequence[Attempt],
    failed: Mapping[tuple[str, str], str],
) -> str:
    """CSV text: student, then score, maximum and what was judged of each lab, and why something is missing."""
    by_pair = {(item.student, item.lab): item for item in attempts}
    everyone = sorted({*students, *(item.student for item in attempts), *(student for student, _ in failed)})
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(
        ["student", *(f"{lab} {what}" for lab in labs for what in ("score", "of", "judged", "note"))]
    )
    for student in everyone:
        row = [_cell(student)]
        for lab in labs:
            item, why = by_pair.get((student, lab)), failed.get((student, lab), "")
            if item is None:
                row += ["", "", "", _cell(f"not graded: {why}" if why else "nothing handed in")]
            else:
                note = "" if item.judged_max == item.max_score else "some points wait for another run"
                row += [f"{item.score:.2f}", f"{item.max_score:g}", f"{item.judged_max:g}", note]
        table.writerow(row)
    return text.getvalue()


def _cell(text: str) -> str:
    """On one line, and never a formula: a spreadsheet runs what begins with = + - or @."""
    line = one_line(text)
    return f"'{line}" if line.startswith(_FORMULA) else line
