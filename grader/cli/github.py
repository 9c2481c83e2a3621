"""`grader github`: a result inside a GitHub Actions step: summary, annotations, outputs."""

from __future__ import annotations

import base64
import io
import os
import secrets
import sys
from pathlib import Path

from rich.console import Console

from grader import result
from grader.cli.say import BAD_COMMAND, stop
from grader.reports import github, terminal
from grader.reports.autograding import autograding
from grader.reports.markdown import markdown
from grader.result import Result


def run(path: Path, folder: str) -> None:
    """Print the log, append to GitHub's files for summary and outputs, and exit by `github.exit_status`."""
    try:
        document = result.read(path)
    except ValueError as error:
        stop(str(error), BAD_COMMAND)
    sys.stdout.write(github.log(document, _report(document), secrets.token_hex(16), folder))
    _append("GITHUB_STEP_SUMMARY", markdown(document, limit=github.SUMMARY_BYTES))
    encoded = base64.b64encode(autograding(document).encode()).decode()
    score, most = f"{document.score:g}", f"{document.possible:g}"
    waits = f"{document.waiting:g}"
    _append("GITHUB_OUTPUT", f"result={encoded}\nscore={score}\nmax-score={most}\nwaiting={waits}\n")
    raise SystemExit(github.exit_status(document))


def _report(document: Result) -> str:
    file = io.StringIO()
    terminal.render(document, Console(file=file, width=100, highlight=False))
    return file.getvalue()


def _append(variable: str, text: str) -> None:
    """Append to the file that a runner names; outside of one there is none."""
    name = os.environ.get(variable)
    if name:
        with Path(name).open("a", encoding="utf-8") as file:
            file.write(text)
