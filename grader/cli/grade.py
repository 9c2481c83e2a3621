"""`grader grade`: one submission, one report."""

from __future__ import annotations

import contextlib
import shlex
import sys
from pathlib import Path

from rich.console import Console

from grader import grading, history, result
from grader.cli.history import file_of, show
from grader.cli.say import BAD_COMMAND, stop
from grader.grading import Graded, Options
from grader.lab import ContractError, load_lab
from grader.reports import terminal
from grader.reports.junit import junit as to_junit
from grader.reports.wording import is_refused
from grader.result import Result
from grader.trouble import CannotWork


def run(
    lab_name: str,
    root: Path,
    folder: Path | None,
    practice: bool,
    tests: tuple[str, ...],
    seed: int | None,
    duels: bool,
    reveal: bool,
    json: Path | None,
    junit: Path | None,
    html: Path | None,
    verbose: bool,
    slot: int,
    remember: bool,
) -> None:
    """Grade and report; see `grader.cli.grade` for the meaning of the options."""
    try:
        lab = load_lab(lab_name, root.resolve())
    except ContractError as error:
        stop(str(error), BAD_COMMAND)
    # The standard output of now, also while the tests' own output is caught.
    console = Console(file=sys.stdout, highlight=False)
    options = Options("practice" if practice else "official", tests, seed, duels, slot)
    try:
        with terminal.Progress(console, verbose=verbose) as progress:
            graded = grading.grade(lab, folder or lab.starter, options, progress)
    except grading.UnknownTest as error:
        stop(str(error), BAD_COMMAND)
    except (CannotWork, ContractError) as error:
        stop(str(error))
    default = root / "reports" / lab.id / f"{graded.result.submission}.json"
    rerun = _rerun(folder, practice)
    unwritten = ""
    try:
        if json is not None:
            _keep(graded, json)
        _write(graded.result, junit, html, reveal, rerun)
    except OSError as error:
        unwritten = f"the result could not be written: {error}"
    unkept = ""
    try:
        _keep(graded, default)
    except OSError as error:  # a checkout that is read-only: nobody asked for this copy
        unkept = f"no copy in {default.parent}, and no history ({error.strerror})"
    terminal.render(graded.result, console, reveal=reveal, rerun=rerun)
    if unkept:
        console.print(unkept, markup=False)
    if unwritten:
        stop(unwritten)
    if graded.result.lab_errors:
        stop(f"this is no grade, the lab itself is wrong: {'; '.join(graded.result.lab_errors)}")
    if is_refused(graded.result):
        raise SystemExit(1)  # said above; there is nothing to compare with earlier runs
    if remember and not tests:
        _remember(graded.result, folder or lab.starter, file_of(root, lab.id), console)


def _remember(document: Result, folder: Path, file: Path, console: Console) -> None:
    """Add this run to the folder's history, and show it when there is something to compare with."""
    with contextlib.suppress(OSError):  # a history is a comfort, and no reason to fail
        history.keep(file, history.of(document, folder))
    runs = history.last(file, folder)
    if len(runs) > 1:
        console.print()
        show(runs, console)


def _keep(graded: Graded, path: Path) -> None:
    """Write the result here; pytest-benchmark's JSON beside it."""
    result.write_atomically(path, graded.result.to_json())
    if graded.benchmark_json:
        result.write_atomically(path.with_suffix(".benchmark.json"), graded.benchmark_json)


def _rerun(folder: Path | None, practice: bool) -> str:
    """The template of the command that grades this again, as it was typed: for the terminal and the page alike."""
    submission = f" SUBMISSION={shlex.quote(str(folder))}" if folder else ""
    return (
        f"make grade LAB={{lab}}{submission}{' PRACTICE=1' if practice else ''} TEST={{test}} SEED={{seed}}"
    )


def _write(document: Result, junit: Path | None, html: Path | None, reveal: bool, rerun: str) -> None:
    """The other formats, those that were asked for."""
    if junit is not None:
        result.write_atomically(junit, to_junit(document, reveal=reveal))
    if html is not None:
        from grader.reports.html import html as to_html  # its template engine costs every other run a moment

        result.write_atomically(html, to_html(document, reveal=reveal, rerun=rerun))
