"""What a GitHub Actions step prints and hands on: annotations, log groups, a fence around a submission's text.

A runner of GitHub reads lines that begin with `::` in a step's output as commands. So nothing of a submission is
printed outside of a fence (`::stop-commands::`), and what goes into a command is escaped by GitHub's rules.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from grader.reports.hidden import for_students
from grader.reports.pending import pending
from grader.reports.text import one_line, plain
from grader.result import Result, TestResult

MOST_ANNOTATIONS = 10
"""GitHub shows ten errors and ten warnings of a step (actions/toolkit, problem-matchers.md)."""

SUMMARY_BYTES = 1_000_000
"""A step summary above 1 MiB is refused as a whole."""

# The bounds keep a line of a submission that has no end from being searched from each of its letters to that end.
_PLACE = re.compile(
    r"(?P<file>[A-Za-z0-9_][A-Za-z0-9_./+-]{0,159}\.(?:c|h|cu|cuh)):(?P<line>\d{1,7})(?::(?P<column>\d{1,7}))?"
)


@dataclass(frozen=True)
class Annotation:
    """One error, on a line of the student's file where one is known."""

    title: str
    message: str
    file: str = ""
    line: int = 0
    column: int = 0

    def command(self) -> str:
        """The workflow command, e.g. '::error file=gemm.c,line=3,title=…::…'."""
        place = (
            {"file": self.file, "line": str(self.line), "col": str(self.column or "")} if self.file else {}
        )
        properties = {name: value for name, value in {**place, "title": self.title}.items() if value}
        listed = ",".join(f"{name}={_property(value)}" for name, value in properties.items())
        return f"::error {listed}::{_message(self.message)}"


def errors(result: Result, folder: str = "") -> list[Annotation]:
    """At most ten, those with a place in the student's file first. `folder` is that of the files in the repository."""
    shown = for_students(result)
    found = [_annotation(test, folder) for test in shown.tests if test.status == "failed"]
    return sorted(found, key=lambda item: not item.file)[:MOST_ANNOTATIONS]


def log(result: Result, report: str, token: str, folder: str = "") -> str:
    """Everything for the step's log: the terminal report in a group and a fence, then the annotations.

    `token` ends the fence and must be unpredictable.
    """
    lines = [
        "::group::The whole report",
        f"::stop-commands::{token}",
        plain(report, 200_000),
        f"::{token}::",
        "::endgroup::",
    ]
    waits = pending(result)
    notices = [f"::warning title=Not judged yet::{_message(waits)}"] if waits else []
    return "\n".join([*lines, *notices, *(item.command() for item in errors(result, folder))]) + "\n"


def exit_status(result: Result) -> int:
    """1 when something failed, else 0: what could not be judged makes no job red."""
    return 1 if result.status == "failed" else 0


def _annotation(test: TestResult, folder: str) -> Annotation:
    failure = test.failure
    message = "\n".join(_sentences(test)) or "This test failed."
    place = next(_places(test), None)
    if place is None or failure is None:
        return Annotation(one_line(test.name), message)
    file = f"{folder.strip('/')}/{place['file']}" if folder.strip("/") else place["file"]
    return Annotation(one_line(test.name), message, file, int(place["line"]), int(place["column"] or 0))


def _sentences(test: TestResult) -> Iterator[str]:
    if test.failure is None:
        yield from filter(None, [one_line(test.message)])
        return
    yield one_line(test.failure.summary, 300)
    for name in ("case", "expected", "got", "why"):
        value = one_line(getattr(test.failure, name), 300)
        if value:
            yield f"{name}: {value}"


def _places(test: TestResult) -> Iterator[re.Match[str]]:
    """Places in source files that the failure names, the most telling first."""
    if test.failure is not None:
        for text in (test.failure.where, test.failure.summary, test.failure.detail):
            yield from _PLACE.finditer(text)


def _message(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _message(text).replace(":", "%3A").replace(",", "%2C")
