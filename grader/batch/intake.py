"""What was handed in: finds each student's submission of each lab in a folder, and says what it did not recognise.

Understood: a folder for each student (also a git clone), a zip or tar of one, and, where one lab of one file is asked
for, files named by student. Archives come from students: only regular files below the archive are taken, and not more
than a submission can hold.
"""

from __future__ import annotations

import contextlib
import shutil
import stat
import tarfile
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO

from grader.lab import Lab

MOST_FILES, MOST_BYTES = 2000, 64 << 20
"""Entries of an archive that are looked at, and bytes that are taken out of it."""

_ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.xz")


@dataclass(frozen=True)
class Found:
    """One student's submission of one lab."""

    student: str
    lab: str
    folder: Path


@dataclass(frozen=True)
class Unknown:
    """Something that is no submission, and why."""

    name: str
    reason: str


@dataclass(frozen=True)
class Cohort:
    """Everything in the folder. What is not in one list is in the other."""

    found: list[Found] = field(default_factory=list)
    unknown: list[Unknown] = field(default_factory=list)


def cohort(folder: Path, labs: Sequence[Lab], work: Path) -> Cohort:
    """Look through `folder`; archives and single files are laid out below `work`.

    Raises OSError when the folder cannot be read.
    """
    result = Cohort()
    for entry in sorted(folder.iterdir()):
        if entry.name.startswith("."):
            continue
        try:
            student, place = _laid_out(entry, labs, work)
        except _NotTaken as reason:
            result.unknown.append(Unknown(entry.name, str(reason)))
            continue
        found = [Found(student, lab.id, inside) for lab in labs for inside in _places(place, lab)]
        result.found.extend(found)
        if not found:
            wanted = ", ".join(source.path for lab in labs for source in lab.sources)
            result.unknown.append(
                Unknown(entry.name, f"holds none of the files that are asked for: {wanted}")
            )
    return result


class _NotTaken(Exception):
    """Why an entry is no submission."""


def _laid_out(entry: Path, labs: Sequence[Lab], work: Path) -> tuple[str, Path]:
    """(student, folder with the files) of an entry."""
    if entry.is_symlink():
        raise _NotTaken("is a link; hand in the files themselves")
    if entry.is_dir():
        return entry.name, entry
    if not entry.is_file():
        raise _NotTaken("is no regular file")
    ending = next(
        (item for item in sorted(_ARCHIVES, key=len, reverse=True) if entry.name.lower().endswith(item)), ""
    )
    if ending:
        student = entry.name[: -len(ending)]
        return student, _unpacked(entry, work / "archives" / student)
    sources = [source.path for lab in labs for source in lab.sources]
    if len(sources) == 1 and entry.suffix == PurePosixPath(sources[0]).suffix:
        place = work / "files" / entry.stem
        (place / sources[0]).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(entry, place / sources[0])
        return entry.stem, place
    raise _NotTaken("is neither a folder nor an archive that is known (zip, tar)")


def _places(folder: Path, lab: Lab) -> Iterator[Path]:
    """Where this lab's files lie: in starter/<lab>, <lab>, or right there; also one level down."""
    below = [path for path in sorted(folder.iterdir()) if path.is_dir() and not path.is_symlink()]
    tops = [folder, *(below if len(below) == 1 else [])]
    for place in [place for top in tops for place in (top / "starter" / lab.id, top / lab.id, top)]:
        if any((place / source.path).is_file() for source in lab.sources):
            yield place
            return


# --- Archives -----------------------------------------------------------------------------------------------------


def _unpacked(archive: Path, place: Path) -> Path:
    """The archive's regular files below `place`, made anew. Raises _NotTaken for one that is damaged or too much."""
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    taken = 0
    try:
        for name, size, content in _members(archive):
            taken += size
            if taken > MOST_BYTES:
                raise _NotTaken(f"holds more than {MOST_BYTES >> 20} MiB")
            target = place / name
            target.parent.mkdir(parents=True, exist_ok=True)
            with content, target.open("wb") as file:
                if _copied(content, file, size) != size:
                    raise _NotTaken("holds more than it says")
    except (
        zipfile.BadZipFile,
        tarfile.TarError,
        OSError,
        EOFError,
        ValueError,
        RuntimeError,
        NotImplementedError,
    ) as error:
        raise _NotTaken(f"cannot be unpacked: {error}") from error
    return place


def _copied(content: IO[bytes], file: IO[bytes], size: int) -> int:
    """Copy at most one byte more than it should hold; the number of bytes read."""
    total = 0
    while piece := content.read(min(1 << 16, size + 1 - total)):
        total += len(piece)
        file.write(piece)
    return total


def _members(archive: Path) -> Iterator[tuple[PurePosixPath, int, IO[bytes]]]:
    """(name, size, content) of every regular file with a harmless name. Links, devices and the like are passed over."""
    if archive.name.lower().endswith(".zip"):
        with zipfile.ZipFile(archive) as source:
            for item in source.infolist()[:MOST_FILES]:
                kind = stat.S_IFMT(item.external_attr >> 16)
                name = _harmless(item.filename)
                if name and not item.is_dir() and kind in (0, stat.S_IFREG):
                    yield name, item.file_size, source.open(item)
        return
    with tarfile.open(archive) as bundle:
        for number, member in enumerate(bundle):
            if number >= MOST_FILES:
                return
            content = bundle.extractfile(member) if member.isreg() else None
            name = _harmless(member.name)
            if name and content is not None:
                yield name, member.size, content


def _harmless(name: str) -> PurePosixPath | None:
    """The path, when it stays below the archive's folder and is no hidden or generated one."""
    with contextlib.suppress(ValueError):
        path = PurePosixPath(name.replace("\\", "/"))
        parts = path.parts
        if parts and not path.is_absolute() and not any(part in ("..", "") or "\0" in part for part in parts):
            hidden = any(part.startswith(".") or part == "__MACOSX" for part in parts)
            return None if hidden or len(str(path)) > 400 else path
    return None
