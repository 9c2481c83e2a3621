"""Who takes the course: one list from whatever CSV there is, and the names under which each may hand in.

Read are a plain list, rosters of GitHub Classroom and Classroom 50, Canvas' gradebook export and Moodle's grading
worksheet; they are told apart by their columns alone.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

_NAMES = ("username", "github_username", "sis login id", "identifier", "student", "email", "email address")
"""Columns that may name a student, the best first."""

_ALIASES = (*_NAMES, "name", "full name", "id", "sis user id", "sid", "login", "participant")


_CANVAS_TEST = "student, test"
"""What Canvas calls the student that every course has for trying things out."""


class BadRoster(ValueError):
    """The roster cannot be read; the message says what is wanted."""


@dataclass(frozen=True)
class Student:
    """One student. `row` is the roster's whole row, by column in lower case."""

    id: str
    name: str = ""
    email: str = ""
    row: Mapping[str, str] = field(default_factory=dict)
    late_days: int | None = None
    """Free late days of this student; None: as the course says."""
    extensions: Mapping[str, int] = field(default_factory=dict)
    """Days added to a lab's due date, from columns named `extension <lab>`."""


@dataclass(frozen=True)
class Roster:
    """All students, in the order of the file. An empty one knows nobody and takes every name as it comes."""

    students: tuple[Student, ...] = ()
    columns: tuple[str, ...] = ()
    aliases: Mapping[str, str] = field(default_factory=dict)

    @property
    def usernames(self) -> list[str]:
        """Names that folders may end with."""
        return [name for name in self.aliases if re.fullmatch(r"[a-z0-9._-]+", name)]

    def has(self, name: str) -> bool:
        """Is it the name of a student?"""
        return name.strip().lower() in self.aliases

    def student_of(self, *told: str) -> str:
        """The student whom one of these names means, else the first of them as it is."""
        known = (self.aliases.get(name.strip().lower()) for name in told)
        return next((name for name in known if name is not None), told[0].strip() if told else "unknown")


def read(path: Path) -> Roster:
    """The roster in a CSV file. Raises BadRoster, OSError."""
    try:
        return roster(path.read_text(encoding="utf-8-sig"))
    except UnicodeDecodeError as error:
        raise BadRoster(f"{path} is no UTF-8 text; export it as UTF-8") from error


def roster(text: str) -> Roster:
    """The roster of a CSV text. Raises BadRoster for one that is none, has no students, or has one twice."""
    delimiter = ";" if text.split("\n", 1)[0].count(";") > text.split("\n", 1)[0].count(",") else ","
    try:
        rows = [row for row in csv.reader(io.StringIO(text), delimiter=delimiter) if any(map(str.strip, row))]
    except csv.Error as error:
        raise BadRoster(f"the roster is no CSV: {error}") from error
    if len(rows) < 2:
        raise BadRoster("the roster has no students: a header and a row for each is wanted")
    columns = tuple(cell.strip() for cell in rows[0])
    lower = [name.lower() for name in columns]
    naming = next((name for name in _NAMES if name in lower), lower[0])
    students: dict[str, Student] = {}
    for cells in rows[1:]:
        row = dict(zip(lower, (cell.strip() for cell in cells), strict=False))
        name = row.get(naming, "")
        if naming == "github_username" and not name:
            name = row.get("identifier", "")  # on the roster, not linked to an account
        shown = row.get("student", "").lower()
        if not name or "points possible" in shown or shown == _CANVAS_TEST:
            continue
        if name in students:
            raise BadRoster(f"the roster has {name!r} twice in its column {naming!r}")
        students[name] = _student(name, row)
    if not students:
        raise BadRoster(f"the column {naming!r} of the roster is empty")
    return Roster(tuple(students.values()), columns, _aliases(students.values(), lower))


def _student(name: str, row: Mapping[str, str]) -> Student:
    full = row.get("name") or row.get("full name") or row.get("student") or ""
    if not full and row.get("last_name"):
        full = f"{row.get('first_name', '')} {row['last_name']}".strip()
    extensions = {
        column.removeprefix("extension ").strip(): _days(value, name, column)
        for column, value in row.items()
        if column.startswith("extension ") and value
    }
    late = row.get("late_days") or row.get("late days") or ""
    email = row.get("email") or row.get("email address") or ""
    return Student(name, full, email, row, _days(late, name, "late_days") if late else None, extensions)


def _days(value: str, name: str, column: str) -> int:
    if not value.isdigit():
        raise BadRoster(
            f"the roster says {value!r} for {name} in the column {column!r}; a number of days is wanted"
        )
    return int(value)


def _aliases(students: Iterable[Student], columns: list[str]) -> dict[str, str]:
    """Every name that means just one student, in lower case."""
    found: dict[str, set[str]] = {}
    for student in students:
        told = {student.row.get(column, "") for column in _ALIASES if column in columns}
        told |= {student.name, student.id, _turned(student.name)}
        for name in told:
            if name:
                found.setdefault(name.lower(), set()).add(student.id)
    return {name: ids.copy().pop() for name, ids in found.items() if len(ids) == 1}


def _turned(name: str) -> str:
    """'Lovelace, Ada' -> 'Ada Lovelace'."""
    last, comma, first = name.partition(",")
    return f"{first.strip()} {last.strip()}" if comma else ""
