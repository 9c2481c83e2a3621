"""`grader bundle`: the archive that Gradescope or Classroom 50 runs."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from rich.console import Console
from rich.text import Text

from grader.authoring import bundles
from grader.cli.say import BAD_COMMAND, stop
from grader.lab import ContractError, load_lab

System = Literal["gradescope", "classroom50"]


def run(system: System, lab_name: str, root: Path, out: Path | None, practice: bool) -> None:
    """Write the archive, by default <lab>-<system> with the ending that the system wants."""
    try:
        lab = load_lab(lab_name, root.resolve())
    except ContractError as error:
        stop(str(error), BAD_COMMAND)
    ending = "zip" if system == "gradescope" else "tar.gz"
    archive = out or Path(f"{lab.id}-{system}.{ending}")
    try:
        if system == "gradescope":
            bundles.gradescope(lab, archive, practice=practice)
        else:
            bundles.classroom50(lab, archive)
    except OSError as error:
        stop(f"the archive could not be written: {error}")
    size = archive.stat().st_size / 1024
    Console(highlight=False).print(Text(f"✓ {archive}: {size:.0f} KiB"), soft_wrap=True)
