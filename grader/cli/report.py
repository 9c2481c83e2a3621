"""`grader report`: a stored result, shown again."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from grader import result
from grader.cli.say import BAD_COMMAND, stop
from grader.reports import terminal
from grader.reports.junit import junit as to_junit


def run(path: Path, junit: Path | None, reveal: bool) -> None:
    """Read the document at `path`; write JUnit when a path is given, else print the report."""
    try:
        document = result.read(path)
    except ValueError as error:
        stop(str(error), BAD_COMMAND)
    if junit is not None:
        try:
            result.write_atomically(junit, to_junit(document, reveal=reveal))
        except OSError as error:
            stop(f"the JUnit report could not be written: {error}")
        return
    terminal.render(document, Console(highlight=False), reveal=reveal)
