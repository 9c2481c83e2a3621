"""`grader lab new`: the beginning of a lab."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from rich.text import Text

from grader.authoring.scaffold import BadName, scaffold
from grader.cli.say import BAD_COMMAND, stop


def run(name: str, title: str, root: Path) -> None:
    """Write the files and say what to do with them."""
    try:
        files = scaffold(name, title or name.replace("_", " "), root.resolve())
    except BadName as error:
        stop(str(error), BAD_COMMAND)
    except OSError as error:
        stop(f"the lab could not be written: {error}")
    console = Console(highlight=False)
    for file in files:
        console.print(Text(f"  {file}"), soft_wrap=True)
    console.print(
        Text(f"✓ a whole lab, small. Prove it: make check LAB={name} RUNS=1. Then: docs/authors.md"),
        soft_wrap=True,
    )
