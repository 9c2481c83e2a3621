"""`grader handout`: what students receive, as a folder that becomes their template repository.

What goes in is listed, not what stays out: a file that nobody thought of is not handed out.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import grader
from grader.lab import Lab

_TEMPLATES = Path(__file__).parent / "templates" / "handout"
_LAB_FILES = ("README.md", "conftest.py", "oracle.py", "test_public.py", "test_performance.py", "hints.yaml")
_PACKAGE_ENDINGS = (".py", ".c", ".h", ".cuh", ".yaml", ".j2", ".css", ".js", ".json")
_RUNGS = re.compile(r"(?m)^(?:#.*\n)*rungs:.*\n(?:[ \t]+.*\n|[ \t]*\n)*")
_DEVELOPERS = ("hypothesis", "jsonschema", "mypy", "ruff", "types-pyyaml")


class NotEmpty(FileExistsError):
    """The folder to write to holds something already."""


def handout(labs: Sequence[Lab], folder: Path) -> list[Path]:
    """Write the handout of `labs`, which share a course, to `folder`; the files written, relative to it, sorted.

    Raises NotEmpty when the folder holds anything, so that nobody's work is overwritten, and OSError when a file
    cannot be read or written.
    """
    if folder.exists() and any(folder.iterdir()):
        raise NotEmpty(f"{folder} is not empty; name a new folder")
    root = labs[0].root
    for source, target in [*course_files(root), *(pair for lab in labs for pair in _of_lab(lab))]:
        (folder / target).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(source, folder / target)
    for lab in labs:
        contract = folder / "labs" / lab.id / "lab.yaml"
        contract.write_text(_RUNGS.sub("", contract.read_text(encoding="utf-8")), encoding="utf-8")
    requirements = folder / "requirements.txt"
    lines = requirements.read_text(encoding="utf-8").splitlines(keepends=True)
    unwanted = [f"{name}==" for name in _DEVELOPERS]
    if not any(lab.language == "cuda" for lab in labs):
        unwanted.append("nvidia-")  # CUDA's compiler, 105 MB
    kept = [line for line in lines if not line.lower().startswith(tuple(unwanted))]
    requirements.write_text("".join(line for line in kept if not line.startswith("#")), encoding="utf-8")
    for template in sorted(path for path in _TEMPLATES.rglob("*") if path.is_file()):
        target = folder / template.relative_to(_TEMPLATES)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(_filled(template.read_text(encoding="utf-8"), labs), encoding="utf-8")
    return sorted(path.relative_to(folder) for path in folder.rglob("*") if path.is_file())


def course_files(root: Path) -> Iterator[tuple[Path, Path]]:
    """(file, its place in the handout) of what all labs need: the grader, less authors' tools, and its set-up."""
    for name in ("requirements.txt", "packages.apt", "scripts/setup"):
        yield root / name, Path(name)
    package = Path(grader.__file__).parent
    for path in sorted(package.rglob("*")):
        below = path.relative_to(package)
        if path.suffix in _PACKAGE_ENDINGS and "authoring" not in below.parts:
            yield path, Path("grader") / below


def _of_lab(lab: Lab) -> Iterator[tuple[Path, Path]]:
    place = Path("labs") / lab.id
    yield lab.folder / "lab.yaml", place / "lab.yaml"
    names = [name for name in _LAB_FILES if (lab.folder / name).is_file()]
    single = [path for path in (lab.reference_path, lab.main_path) if path]
    staff = [*lab.glue_paths, *lab.fault_paths, *lab.helper_paths, *single]
    headers = [path.with_suffix(".h") for path in staff if path.with_suffix(".h").is_file()]
    for path in [*(lab.folder / name for name in names), *staff, *headers, *_other_modules(lab)]:
        yield path, place / path.name
    for path in sorted(lab.starter.rglob("*")):
        if path.is_file() and path.suffix not in (".o", ".so"):
            yield path, Path("starter") / lab.id / path.relative_to(lab.starter)


def _other_modules(lab: Lab) -> list[Path]:
    """Modules of the lab that its public files import: `from labs.<id>.loader import …`, and what those import."""
    found: dict[str, Path] = {}
    waiting = [lab.folder / name for name in _LAB_FILES if name.endswith(".py")]
    while waiting:
        path = waiting.pop()
        text = path.read_text(encoding="utf-8") if path.is_file() else ""
        wanted = re.findall(rf"labs\.{lab.id}\.(\w+)", text)
        wanted += [
            name
            for names in re.findall(rf"from labs\.{lab.id} import ([\w, ]+)", text)
            for name in re.split(r", *", names)
        ]
        for name in wanted:
            module = lab.folder / f"{name}.py"
            if name not in found and not name.startswith("test_") and module.is_file():
                found[name] = module
                waiting.append(module)
    return [path for path in found.values() if path.name not in _LAB_FILES]


def _filled(text: str, labs: Sequence[Lab]) -> str:
    fields = {
        "@LAB@": labs[0].id,
        "@LABS@": ", ".join(lab.id for lab in labs),
        "@NAME@": " and ".join(lab.id for lab in labs),
        "@TITLES@": ", ".join(lab.title for lab in labs),
        "@FOLDERS@": ", ".join(f"`starter/{lab.id}/{lab.sources[0].path}`" for lab in labs),
    }
    for field, value in fields.items():
        text = text.replace(field, value)
    return text
