"""What each student gets back: a folder with the result of every lab as Markdown, HTML and JSON, hidden tests cut."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

from grader.batch.names import folder_of
from grader.reports.hidden import for_students
from grader.reports.html import html
from grader.reports.markdown import markdown
from grader.reports.text import markdown as escaped
from grader.reports.text import one_line
from grader.result import Result, write_atomically


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


def write_reason(out: Path, student: str, lab: str, why: str) -> None:
    """Say on a page why there is no result: somebody who handed in something must find out."""
    target = (out / page_of(student, lab)).with_suffix(".md")
    text = f"# {escaped(lab)}\n\nThere is no result yet: {escaped(one_line(why, 500))}.\n"
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
