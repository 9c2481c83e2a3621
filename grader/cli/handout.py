"""`grader handout`: the template repository that students start from."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from rich.text import Text

from grader.authoring.handout import NotEmpty, handout
from grader.cli.say import BAD_COMMAND, stop
from grader.lab import ContractError, load_lab


def run(names: list[str], root: Path, folder: Path) -> None:
    """Write the handout of these labs into `folder`, which must be empty or new."""
    try:
        files = handout([load_lab(name, root.resolve()) for name in names], folder)
    except (ContractError, NotEmpty) as error:
        stop(str(error), BAD_COMMAND)
    except OSError as error:
        stop(f"the handout could not be written: {error}")
    Console(highlight=False).print(
        Text(f"✓ {folder}: {len(files)} files. Try it: git init {folder} && make -C {folder} grade"),
        soft_wrap=True,
    )
