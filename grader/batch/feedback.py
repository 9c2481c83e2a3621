"""What each student gets back: a folder with the result of every lab as Markdown, HTML and JSON, hidden tests cut."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

from grader.reports.hidden import for_students
from grader.reports.html import html
from grader.reports.markdown import markdown
from grader.result import Result, write_atomically

_PLAIN = re.compile(r"[A-Za-z0-9@_][A-Za-z0-9@._-]{0,79}")


def folder_of(student: str) -> str:
    """A folder's name for a student, safe on any file system and different for different students."""
    if _PLAIN.fullmatch(student) and not student.endswith("."):
        return student
    plain = re.sub(r"[^A-Za-z0-9._-]+", "_", student).strip("._-")[:40] or "student"
    return f"{plain}-{hashlib.sha256(student.encode('utf-8', 'surrogatepass')).hexdigest()[:8]}"


def page_of(student: str, lab: str) -> PurePosixPath:
    """Where a student's page of a lab lies, seen from the folder of the class report."""
    return PurePosixPath("feedback", folder_of(student), f"{lab}.html")


def write(out: Path, student: str, result: Result, notes: Sequence[str] = ()) -> None:
    """Write the three files of one student and lab below `out`; those that are as they should be stay untouched.

    The page names the student, who may share the result with others. `notes` are intake's.
    """
    shown = result.model_copy(update={"submission": student, "notes": [*notes, *result.notes]})
    place = out / page_of(student, result.lab)
    for ending, text in _files(shown):
        target = place.with_suffix(ending)
        if not _is(target, text):
            write_atomically(target, text)


def _files(result: Result) -> Iterator[tuple[str, str]]:
    yield ".json", for_students(result).to_json()
    yield ".md", markdown(result)
    yield ".html", html(result)


def _is(path: Path, text: str) -> bool:
    try:
        return path.read_text(encoding="utf-8") == text
    except (OSError, UnicodeDecodeError):
        return False
