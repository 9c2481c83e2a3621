"""`grader hint`: the next hint for a test, one at a time."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

from rich.console import Console
from rich.text import Text

from grader import hints, result
from grader.cli.say import BAD_COMMAND, stop
from grader.lab import ContractError, Lab, load_lab
from grader.reports.wording import first_failure
from grader.result import write_atomically


def run(lab_name: str, test: str, root: Path, again: bool) -> None:
    """Show the hint after the one shown last, or with `again` those shown so far."""
    try:
        lab = load_lab(lab_name, root.resolve())
        written = hints.load(lab)
    except ContractError as error:
        stop(str(error), BAD_COMMAND)
    name = hints.function_of(test) if test else _failing(lab, root)
    if name not in written:
        known = ", ".join(written) or "none"
        stop(f"{lab.id} has no hints for {name!r}; those with hints: {known}", BAD_COMMAND)
    file = root / "reports" / lab.id / "hints.json"
    shown = _shown(file)
    texts = written[name]
    count = min(len(texts), shown.get(name, 0) + (0 if again else 1))
    write_atomically(file, json.dumps({**shown, name: count}) + "\n")
    _print(
        name,
        texts[:count] if again or count == shown.get(name, 0) else texts[count - 1 : count],
        count,
        len(texts),
    )


def _failing(lab: Lab, root: Path) -> str:
    """The test to look at first in the last run of the starter's folder."""
    path = root / "reports" / lab.id / f"{lab.starter.name}.json"
    try:
        last = result.read(path)
    except ValueError:
        stop(f'which test? make hint LAB={lab.id} TEST="…"; or make grade LAB={lab.id} first', BAD_COMMAND)
    failed = first_failure([test for test in last.tests if not test.hidden])
    if failed is None:
        stop('no public test failed in the last run; name one with TEST="…"', BAD_COMMAND)
    return hints.function_of(failed.id.rpartition("::")[2])


def _shown(file: Path) -> dict[str, int]:
    with contextlib.suppress(OSError, ValueError):
        counts = json.loads(file.read_text(encoding="utf-8"))
        if isinstance(counts, dict):
            return {str(name): count for name, count in counts.items() if isinstance(count, int)}
    return {}


def _print(name: str, texts: list[str], count: int, of: int) -> None:
    console = Console(highlight=False)
    console.print(Text(f"{name.replace('_', ' ')}, hint {count} of {of}", "bold"))
    for text in texts:
        console.print(Text(text))
    if count < of:
        console.print(Text("The same command shows the next one. Try this one first.", "dim"))
