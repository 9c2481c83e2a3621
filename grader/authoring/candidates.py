"""The submissions that prove a lab: solution, starter, rungs, mutants and cheats, as folders ready to be graded.

A mutant or cheat is a folder with a small YAML file. It either brings whole files or edits those of a base: `old`
must occur exactly once there, so that a changed solution cannot quietly turn a mutant into something else.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from grader.lab import Lab

Kind = Literal["solution", "starter", "rung", "mutant", "cheat"]


class BadCandidate(ValueError):
    """A mutant or cheat that cannot be made; the message names its file."""


class Edit(BaseModel):
    """Replace `old`, which occurs exactly once in `file`, by `new`."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    file: str
    old: str = Field(min_length=1)
    new: str


@dataclass(frozen=True)
class Candidate:
    """One submission of the proof, and what must come out. `folder` is where its files come from."""

    kind: Kind
    name: str
    folder: Path
    edits: tuple[Edit, ...] = ()
    caught_by: tuple[str, ...] = ()
    max_score: float | None = None
    tiers: dict[str, tuple[str, ...]] = field(default_factory=dict)
    why: str = ""

    @property
    def label(self) -> str:
        return self.name if self.kind in ("solution", "starter") else f"{self.kind} {self.name}"


class _Mutant(BaseModel):
    model_config = ConfigDict(extra="forbid")
    why: str
    caught_by: tuple[str, ...] = Field(min_length=1)
    base: str = "."
    edits: tuple[Edit, ...] = ()


class _Cheat(BaseModel):
    model_config = ConfigDict(extra="forbid")
    why: str
    max_score: float = Field(ge=0)
    caught_by: tuple[str, ...] = ()
    base: str = "."
    edits: tuple[Edit, ...] = ()


def of_lab(lab: Lab) -> list[Candidate]:
    """All candidates of a lab, in the order in which they are told. Raises BadCandidate for an unreadable one."""
    candidates = [
        Candidate("solution", "solution", lab.solution),
        Candidate("starter", "starter", lab.starter, max_score=lab.starter_floor),
    ]
    for name, rung in lab.rungs.items():
        candidates.append(Candidate("rung", name, lab.solution / rung.folder, tiers=dict(rung.tiers)))
    for path in sorted(lab.folder.glob("mutants/*/mutant.yaml")):
        mutant = _read(path, _Mutant)
        candidates.append(
            Candidate(
                "mutant",
                path.parent.name,
                _base(lab, path, mutant),
                mutant.edits,
                mutant.caught_by,
                why=mutant.why,
            )
        )
    for path in sorted(lab.folder.glob("cheats/*/cheat.yaml")):
        cheat = _read(path, _Cheat)
        candidates.append(
            Candidate(
                *("cheat", path.parent.name, _base(lab, path, cheat), cheat.edits, cheat.caught_by),
                max_score=cheat.max_score,
                why=cheat.why,
            )
        )
    return candidates


def lay_out(candidate: Candidate, lab: Lab, parent: Path) -> Path:
    """Write the candidate's files into a new folder under `parent`, edits applied, and return it.

    Raises BadCandidate when an edit's `old` does not occur exactly once.
    """
    folder = parent / f"{candidate.kind}-{candidate.name}"
    for source in lab.sources:
        target = folder / source.path
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(candidate.folder / source.path, target)
    for edit in candidate.edits:
        target = folder / edit.file
        text = target.read_text(encoding="utf-8") if target.is_file() else ""
        count = text.count(edit.old)
        if count != 1:
            line = edit.old.strip().splitlines()[0]
            raise BadCandidate(
                f"{candidate.label}: {edit.file}: {line!r} occurs {count} times in the base, not once"
            )
        target.write_text(text.replace(edit.old, edit.new), encoding="utf-8")
    return folder


def _base(lab: Lab, path: Path, described: _Mutant | _Cheat) -> Path:
    """Where the files come from: the candidate's own folder when it brings them, else a base in the solution."""
    own = [source.path for source in lab.sources if (path.parent / source.path).is_file()]
    if own and described.edits:
        raise BadCandidate(f"{path}: it has edits and also brings {own[0]}; keep one of the two")
    # Another base, a rung, may be wrong as it is.
    if not own and not described.edits and described.base == ".":
        raise BadCandidate(f"{path}: no edits, and no {lab.sources[0].path} beside it")
    return path.parent if own else lab.solution / described.base


_Model = TypeVar("_Model", _Mutant, _Cheat)


def _read(path: Path, model: type[_Model]) -> _Model:
    try:
        return model.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except (yaml.YAMLError, ValidationError, UnicodeDecodeError) as error:
        raise BadCandidate(f"{path}: {error}") from error


def selected(candidates: Sequence[Candidate], only: str | None) -> list[Candidate]:
    """Those that `only` names: a kind ("mutants"), or one by name; all for None."""
    if only is None:
        return list(candidates)
    return [item for item in candidates if only in (item.kind, f"{item.kind}s", item.name)]
