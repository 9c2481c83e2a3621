"""`grader watch`: grade again whenever a file of the submission is saved, the failing test first."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterable, Set
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from grader import result
from grader.cli.say import BAD_COMMAND, stop
from grader.lab import ContractError, Lab, load_lab
from grader.reports.wording import first_failure
from grader.result import Result

Grade = Callable[[list[str]], Result | None]


def run(lab_name: str, root: Path, folder: Path | None, duels: bool) -> None:
    """Grade now and after every change, until Ctrl-C."""
    from watchfiles import watch

    try:
        lab = load_lab(lab_name, root.resolve())
    except ContractError as error:
        stop(str(error), BAD_COMMAND)
    target = folder or lab.starter
    if not target.is_dir():
        stop(f"{target} is no folder", BAD_COMMAND)
    console = Console(highlight=False)
    grade = _grader(lab, root, target, duels)
    last = follow(grade, None, console)
    names = {Path(source.path).name for source in lab.sources}
    for _ in _changes(watch(target), names):
        console.rule(style="dim")
        last = follow(grade, last, console)
    raise SystemExit(0)  # Ctrl-C


def follow(grade: Grade, last: Result | None, console: Console) -> Result | None:
    """Run the test that failed last time; when it passes now, or there was none, run all. The newest full result."""
    failed = first_failure(last.tests) if last is not None else None
    if failed is not None and ".py::" in failed.id and not failed.hidden:
        name = failed.id.rpartition("::")[2]
        alone = grade([f"--test={name}"])
        if alone is None or any(test.status == "failed" for test in alone.tests):
            return last
        console.print(Text(f"✓ {failed.name} passes now. All tests:", "green"))
    return grade([]) or last


def _grader(lab: Lab, root: Path, folder: Path, duels: bool) -> Grade:
    """`grade(options)` grades in a process of its own, which prints its report, and reads the result."""
    document = root / "reports" / lab.id / "watch.json"

    def grade(options: list[str]) -> Result | None:
        command = [sys.executable, "-m", "grader", "grade", "--practice", "--root", str(root)]
        command += ["--submission", str(folder), "--json", str(document), "--no-history", *options]
        command += [] if duels else ["--no-duels"]
        document.unlink(missing_ok=True)
        subprocess.run([*command, "--", lab.id], check=False)
        try:
            return result.read(document)
        except ValueError:
            return None

    return grade


def _changes(events: Iterable[Set[tuple[Any, str]]], names: set[str]) -> Iterable[None]:
    """One item per batch of changes that touches a file of the submission."""
    for changes in events:
        if any(Path(path).name in names for _, path in changes):
            yield
