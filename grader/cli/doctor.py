"""`grader doctor`: what this machine can judge and what not, and the command that mends each."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from grader.doctor import Finding, findings

_MARK = {"yes": ("✓", "+", "green"), "partly": ("–", "-", "yellow"), "no": ("✗", "x", "red")}


def run(root: Path = Path()) -> None:
    """Look at the machine and at the labs of the course in `root`, and print what was found."""
    console = Console(highlight=False)
    with console.status("looking at this machine"):
        found = findings(root.resolve())
    render(found, console)


def render(found: Sequence[Finding], console: Console) -> None:
    """A table of what was found and what it means, then the commands that mend what is wrong."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, width=min(console.width, 110))
    table.add_column("")
    for heading, ratio in (("what", 2), ("found", 5), ("for the labs", 4)):
        table.add_column(heading, ratio=ratio, overflow="fold")
    for finding in found:
        table.add_row(_mark(finding, console), Text(finding.name), Text(finding.found), Text(finding.means))
    console.print(table)
    mends = [finding for finding in found if finding.mend]
    if not mends:
        console.print("Nothing to mend: everything can be judged here.")
        return
    console.print("To mend")
    for finding in mends:
        line = Text.assemble("  ", _mark(finding, console), f" {finding.name}: ", (finding.mend, "bold"))
        console.print(line, soft_wrap=True)


def _mark(finding: Finding, console: Console) -> Text:
    sign, ascii_sign, style = _MARK[finding.status]
    return Text(sign if "utf" in console.encoding.lower() else ascii_sign, style)
