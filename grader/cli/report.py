"""`grader report`: a stored result, shown again or turned into what another system reads."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path

from rich.console import Console

from grader import result
from grader.cli.say import BAD_COMMAND, stop
from grader.reports import terminal
from grader.reports.autograding import autograding
from grader.reports.classroom50 import classroom50
from grader.reports.gradescope import gradescope
from grader.reports.html import html
from grader.reports.junit import junit
from grader.reports.markdown import markdown
from grader.result import Result

# Format -> how a result becomes its text; the flag says whether staff see hidden tests in full.
FORMATS: Mapping[str, Callable[[Result, bool], str]] = {
    "html": lambda document, reveal: html(document, reveal=reveal),
    "junit": lambda document, reveal: junit(document, reveal=reveal),
    "markdown": lambda document, reveal: markdown(document, reveal=reveal),
    "autograding": lambda document, reveal: autograding(document),
    "classroom50": lambda document, reveal: classroom50(document, os.environ),
    "gradescope": lambda document, reveal: gradescope(document),
}


def run(path: Path, written: Mapping[str, Path | None], reveal: bool) -> None:
    """Read the document at `path`; write each format that has a path in `written`, or print the report."""
    try:
        document = result.read(path)
    except ValueError as error:
        stop(str(error), BAD_COMMAND)
    chosen = {name: target for name, target in written.items() if target is not None}
    for name, target in chosen.items():
        try:
            result.write_atomically(target, FORMATS[name](document, reveal))
        except (OSError, ValueError) as error:
            stop(f"the {name} report could not be written: {error}")
    if not chosen:
        terminal.render(document, Console(highlight=False), reveal=reveal)
