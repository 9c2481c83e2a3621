"""A lab: its contract as validated plain data, and where its files lie.

The only I/O is reading the lab's own files. Whatever is wrong with a contract is told at once, each problem
with file, line, dotted field and what to do, in one `ContractError`; nothing else is raised for a bad file.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Literal

from pydantic import Field, ValidationError

from grader.contract import document
from grader.contract.consistency import contradictions
from grader.contract.document import is_file
from grader.contract.model import ID, TIERS, Build, Contract, Duel, Interface, Reference, Rung, Source, Tier
from grader.contract.problems import MAX_PROBLEMS, ContractError, Problem, explained, nearest, relative, shown
from grader.contract.worth import points_of_tests

__all__ = [
    "FILE",
    "TIERS",
    "Build",
    "Contract",
    "ContractError",
    "Duel",
    "Interface",
    "Lab",
    "Problem",
    "Reference",
    "Rung",
    "Source",
    "Tier",
    "list_labs",
    "load_lab",
]

FILE = "lab.yaml"

# What the folder of a lab holds beside what judges; these do not enter the digest.
_NOT_JUDGING = {"mutants", "cheats", "__pycache__"}


class Lab(Contract):
    """A contract, and where its files lie. Made by `load_lab`."""

    root: Path = Field(description="The course: the folder that holds labs/, starter/ and solutions_hidden/")
    folder: Path = Field(description="labs/<id>")

    @property
    def starter(self) -> Path:
        """What a student receives: starter/<id>."""
        return self.root / "starter" / self.id

    @property
    def solution(self) -> Path:
        """The full-credit solution: solutions_hidden/<id>. Rungs lie below it."""
        return self.root / "solutions_hidden" / self.id

    @property
    def header_path(self) -> Path:
        """The header that submissions and the grader share."""
        return self.starter / self.interface.header

    @property
    def language(self) -> Literal["c", "cuda"]:
        """'cuda' where a submission has a .cu file, else 'c'."""
        return "cuda" if any(source.language == "cuda" for source in self.sources) else "c"

    @property
    def reference_path(self) -> Path | None:
        """The reference's source, or None where the lab has no reference, or a program for one."""
        source = self.reference.source if self.reference else None
        return self.folder / source if source else None

    @property
    def glue_paths(self) -> tuple[Path, ...]:
        """Staff sources that are linked into every build."""
        return tuple(self.folder / name for name in self.build.glue)

    @property
    def fault_paths(self) -> tuple[Path, ...]:
        """Staff sources that are linked into the "faults" build only."""
        return tuple(self.folder / name for name in self.build.faults)

    @property
    def main_path(self) -> Path | None:
        """Staff's source with the `main` of the executable, or None where the lab has no executable."""
        return self.folder / self.build.program.main if self.build.program else None

    @property
    def helper_paths(self) -> tuple[Path, ...]:
        """Staff's sources of the helper programs."""
        return tuple(self.folder / name for name in self.sandbox.helpers)

    @property
    def max_points(self) -> float:
        """The sum over all categories."""
        return sum(self.points.values())

    def maximum(self, practice: bool) -> float:
        """What a complete run can reach, whoever hands in what: all points, or in practice those of its tests."""
        if not practice:
            return self.max_points
        return max(0.0, self.max_points - points_of_tests(self.folder / "test_hidden.py"))

    def test_files(self, practice: bool) -> list[Path]:
        """The test modules to run, in order; practice leaves out the hidden ones.

        Raises ContractError when one is missing: without the hidden tests a grade means nothing.
        """
        names = ["test_public.py"] + ([] if practice else ["test_hidden.py"])
        if self.duels or is_file(self.folder / "test_performance.py"):
            names.append("test_performance.py")
        missing = [name for name in names if not is_file(self.folder / name)]
        if missing:
            advice = "write it" if practice else "write it, or grade in practice mode without hidden tests"
            file = relative(self.folder / FILE, self.root)
            raise ContractError(file, [Problem(0, "", f"{name} is missing; {advice}") for name in missing])
        return [self.folder / name for name in names]

    @property
    def digest(self) -> str:
        """SHA-256 (hex) over what judges: the header and every file in labs/<id>, read now.

        Left out: mutants/, cheats/, Python's caches, and names that begin with a dot. Raises ContractError
        when a file cannot be read.
        """
        total = hashlib.sha256()
        try:
            header = (f"starter/{self.interface.header}", self.header_path)
            for name, path in [header, *_judging_files(self.folder)]:
                content = hashlib.sha256(path.read_bytes()).hexdigest()
                total.update(json.dumps([name, content]).encode() + b"\n")
        except OSError as error:
            file = relative(self.folder / FILE, self.root)
            raise ContractError(file, [Problem(0, "", f"cannot read a file of the lab: {error}")]) from error
        return total.hexdigest()


def _judging_files(folder: Path) -> list[tuple[str, Path]]:
    """(name below the folder, path) of the files that judge, sorted by name."""
    found = []
    for parent, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if name not in _NOT_JUDGING and not name.startswith(".")]
        for name in names:
            path = Path(parent) / name
            if not name.startswith(".") and is_file(path):
                found.append((path.relative_to(folder).as_posix(), path))
    return sorted(found)


def list_labs(root: Path) -> list[str]:
    """The ids of the labs in `root`/labs, sorted: folders with a proper name that hold a lab.yaml."""
    try:
        names = sorted(entry.name for entry in (root / "labs").iterdir())
    except OSError:
        return []
    return [name for name in names if re.fullmatch(ID, name) and is_file(root / "labs" / name / FILE)]


def load_lab(lab: str | Path, root: Path) -> Lab:
    """Load and validate a lab, by its id or by the path of its folder or its lab.yaml.

    Raises ContractError listing every problem: no such lab (the message names those that exist), a file that
    is not proper YAML, unknown, missing or wrong fields, names that do not fit together, missing files.
    """
    root = root.resolve()
    folder = _lab_folder(lab, root)
    path = folder / FILE
    file = relative(path, root)
    written = document.read(path, file)
    contract, found = None, []
    try:
        contract = Contract.model_validate(written.tree)
    except ValidationError as error:
        found += [explained(details, Contract) for details in error.errors()[:MAX_PROBLEMS]]
    found += islice(contradictions(written.tree, folder, root), MAX_PROBLEMS)
    problems = [*written.problems, *(written.problem(where, text) for where, text in found)]
    if contract is None or problems:
        raise ContractError(file, problems)
    values = {name: getattr(contract, name) for name in Contract.model_fields}
    values["schema"] = values.pop("schema_version")
    return Lab(**values, root=root, folder=folder)


def _lab_folder(lab: str | Path, root: Path) -> Path:
    text = str(lab)
    folder = root / "labs" / text if re.fullmatch(ID, text) else Path(text)
    if folder.name == FILE:
        folder = folder.parent
    if is_file(folder / FILE):
        return folder.resolve()
    labs = list_labs(root)
    near = nearest(PurePosixPath(text).name, labs)
    advice = f"The labs here are: {', '.join(labs)}" if labs else f"{root / 'labs'} holds no labs"
    raise ContractError(shown(text)[1:-1], [Problem(0, "", f"no such lab{near or '.'} {advice}")])
