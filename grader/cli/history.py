"""`grader history`, and the lines about earlier runs that `grade` ends with."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.text import Text

from grader import history
from grader.cli.say import BAD_COMMAND, stop
from grader.history import Run
from grader.lab import ContractError, load_lab
from grader.reports import wording


def run(lab_name: str, root: Path, folder: Path | None) -> None:
    """Print the last runs of a folder."""
    try:
        lab = load_lab(lab_name, root.resolve())
    except ContractError as error:
        stop(str(error), BAD_COMMAND)
    runs = history.last(file_of(root, lab.id), folder or lab.starter)
    if not runs:
        stop(
            f"no run of {folder or lab.starter} is remembered here; make grade LAB={lab.id} is the first",
            BAD_COMMAND,
        )
    show(runs, Console(highlight=False))


def file_of(root: Path, lab: str) -> Path:
    """Where the runs of a lab are kept."""
    return root / "reports" / lab / "history.jsonl"


def show(runs: Sequence[Run], console: Console) -> None:
    """One line per run, the newest last."""
    console.print(Text("Your last runs", "bold"))
    for run in runs:
        when = run.at.replace("T", " ")[:16]
        score = f"{wording.points(run.score)} / {wording.points(run.judged_max)}"
        ratios = "  ".join(f"{name} {wording.ratio_down(ratio)}" for name, ratio in run.ratios.items())
        practice = "  practice" if run.mode == "practice" else ""
        console.print(
            Text.assemble(f"  {when}  {score:>13}", (f"  {ratios}{practice}".rstrip(), "dim")), soft_wrap=True
        )
