"""The runs of a folder, one line each, kept on the machine where they ran: "your last five runs"."""

from __future__ import annotations

import contextlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path

from pydantic import TypeAdapter

from grader.result import Result, write_atomically

MOST_RUNS = 200
"""Lines kept in a file; the oldest go first."""


@dataclass(frozen=True)
class Run:
    """What is remembered of a run. Ratios by the duel's id, only those that were judged."""

    folder: str
    at: str
    mode: str
    score: float
    judged_max: float
    ratios: dict[str, float]


_RUN = TypeAdapter(Run)


def of(result: Result, folder: Path) -> Run:
    """The line for one result."""
    ratios = {
        duel.id: round(duel.ratio, 4)
        for duel in result.duels
        if duel.ratio is not None and duel.verdict != "not_judged"
    }
    return Run(str(folder.resolve()), result.started_at, result.mode, result.score, result.judged_max, ratios)


def read(file: Path) -> list[Run]:
    """All runs in the file, oldest first; lines that are none are passed over. A missing file holds none."""
    runs = []
    with contextlib.suppress(OSError, UnicodeDecodeError):
        for line in file.read_text(encoding="utf-8").splitlines():
            with contextlib.suppress(ValueError):
                runs.append(_RUN.validate_json(line))
    return runs


def last(file: Path, folder: Path, count: int = 5) -> list[Run]:
    """The last runs of this folder, oldest first."""
    wanted = str(folder.resolve())
    return [run for run in read(file) if run.folder == wanted][-count:]


def keep(file: Path, run: Run) -> None:
    """Add a run. Raises OSError when the file cannot be written."""
    runs = [*read(file), run][-MOST_RUNS:]
    write_atomically(file, "".join(json.dumps(asdict(item)) + "\n" for item in runs))
