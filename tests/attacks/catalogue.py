"""The catalogue of attacks: what the folders beside this file say, as submissions ready to be graded.

    tests/attacks/R8_writes_to_the_grader/
        attack.yaml   what it tries, at which boundary, the defence that holds, and the most points it may get
        breach.c      `static int breach(void)`, which answers 1 when the attack worked

`breach.c` goes into an honest solution (frames.yaml) that computes only after a breach: points show that it worked.
Instead of it attack.yaml may hold `edits` of the solution, as mutants and cheats do, or name one of the lab's own
`cheat`s. `beside` are files handed in beside the sources. `twin.c` is the honest look-alike of `breach.c`; without one
the twin is the same solution with nothing in it that breaks out. @WORDS@ in a source stand for what only the run knows:
`Places` lists them.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field

from grader.authoring.candidates import Candidate, Edit, lay_out, of_lab
from grader.lab import Lab, load_lab
from grader.sandbox.confine import TierName

FOLDER = Path(__file__).parent
ROOT = FOLDER.parent.parent
_HARMLESS = "static int breach(void)\n{\n    return 1;\n}"


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Frame(_Strict):
    """The honest solution of one lab around a breach, and the tests that judge it."""

    base: str
    tests: tuple[str, ...]
    edits: tuple[Edit, ...]


class Described(_Strict):
    """attack.yaml. Points are those of `tests`; without any the frame's tests judge."""

    what: str
    boundary: Literal["TB1", "TB2", "TB3", "TB4", "TB5", "TB6", "TB7", "TB8", "TB9"]
    defence: str
    lab: str = "gemm_cpu"
    max_score: float = Field(default=0, ge=0)
    tests: tuple[str, ...] = ()
    tiers: tuple[TierName, ...] = ("A", "B", "C")
    timed: bool = False
    """Goes through real duels, and so runs alone."""
    always: bool = True
    """False: only `make attacks` runs it, since it takes long."""
    never: tuple[str, ...] = ()
    """Words that no student may be shown because of it."""
    says: str = ""
    """What the student is told, a regular expression."""
    base: str = "."
    edits: tuple[Edit, ...] = ()
    cheat: str = ""
    beside: dict[str, str] = {}
    """More files of the hand-in, by name."""


@dataclass(frozen=True)
class Places:
    """What a source may name by @WORD@: a file that it must not read or change, the result's file, a port that somebody
    listens on, and a word that no build has seen."""

    canary: Path
    result: Path
    port: int
    nonce: str

    def put_into(self, text: str) -> str:
        words = {"CANARY": self.canary, "RESULT": self.result, "PORT": self.port, "NONCE": self.nonce}
        return re.sub(r"@([A-Z]+)@", lambda match: str(words[match.group(1)]), text)


@dataclass(frozen=True)
class Attack:
    """One attack of the catalogue: the folder's name is its number and what it does."""

    name: str
    said: Described
    folder: Path

    @property
    def id(self) -> str:
        return self.name.partition("_")[0]

    @property
    def lab(self) -> Lab:
        return lab(self.said.lab)

    @property
    def tests(self) -> tuple[str, ...]:
        return self.said.tests or self._frames_tests

    @property
    def twins_tests(self) -> tuple[str, ...]:
        """Those of correctness where the attack is timed."""
        return self._frames_tests if self.said.timed else self.tests

    @property
    def _frames_tests(self) -> tuple[str, ...]:
        frame = frames().get(self.said.lab)
        return frame.tests if frame else ()  # all

    @property
    def submission(self) -> Candidate:
        """What is handed in."""
        if self.said.cheat:
            return next(
                item for item in of_lab(self.lab) if item.kind == "cheat" and item.name == self.said.cheat
            )
        if self.said.edits:
            return Candidate("cheat", self.name, self.lab.solution / self.said.base, self.said.edits)
        return framed(self.said.lab, self.name, (self.folder / "breach.c").read_text())

    @property
    def twin(self) -> Candidate:
        """The honest one: what is left without the attack, or its look-alike."""
        look_alike = self.folder / "twin.c"
        if look_alike.is_file():
            return framed(self.said.lab, self.name, look_alike.read_text())
        if self.said.cheat or self.said.edits:
            honest = self.submission.folder if self.submission.edits else self.lab.solution
            return Candidate("solution", str(honest.relative_to(self.lab.solution)), honest)
        return framed(self.said.lab, "harmless", _HARMLESS)


def framed(lab_id: str, name: str, breach: str) -> Candidate:
    """The lab's honest solution with this code in it, asked before each answer."""
    frame = frames()[lab_id]
    edits = tuple(replace_in(edit, breach.rstrip()) for edit in frame.edits)
    return Candidate("cheat", name, lab(lab_id).solution / frame.base, edits)


def replace_in(edit: Edit, breach: str) -> Edit:
    return Edit(file=edit.file, old=edit.old, new=edit.new.replace("@BREACH@", breach))


def hand_in(candidate: Candidate, lab_: Lab, parent: Path, places: Places, beside: Mapping[str, str]) -> Path:
    """The submission's folder, made below `parent`. Raises BadCandidate when an edit does not fit."""
    edits = tuple(
        Edit(file=item.file, old=item.old, new=places.put_into(item.new)) for item in candidate.edits
    )
    folder = lay_out(replace(candidate, name=candidate.name.replace("/", "-"), edits=edits), lab_, parent)
    for name, content in beside.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(places.put_into(content))
    return folder


@functools.cache
def frames() -> Mapping[str, Frame]:
    told = yaml.safe_load((FOLDER / "frames.yaml").read_text())
    return {lab_id: Frame.model_validate(frame) for lab_id, frame in told.items()}


@functools.cache
def lab(lab_id: str) -> Lab:
    return load_lab(lab_id, ROOT)


@functools.cache
def attacks() -> tuple[Attack, ...]:
    """All of them, the timed ones last, each kind by number. Raises ValueError for a folder that says it wrongly."""
    found = []
    for path in FOLDER.glob("*/attack.yaml"):
        said = Described.model_validate(yaml.safe_load(path.read_text()))
        found.append(Attack(path.parent.name, said, path.parent))
    return tuple(sorted(found, key=lambda attack: (attack.said.timed, *_number(attack.name))))


def _number(name: str) -> tuple[str, int, str]:
    match = re.fullmatch(r"([A-Z])(\d+)_\w+", name)
    if match is None:
        raise ValueError(f"tests/attacks/{name}: a folder is called like R8_writes_to_the_grader")
    return match.group(1), int(match.group(2)), name
