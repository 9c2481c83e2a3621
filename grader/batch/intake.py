"""What was handed in: finds each student's submission of each lab, and says what it did not recognise.

A cohort is a folder, or the archive of one, in one of the layouts of `layouts`. Each entry is a folder, a git clone, a
zip or tar, or, where one lab of one file is asked for, a file. What is not in one list is in the other.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from grader.batch import archives, clones, layouts
from grader.batch.archives import NotTaken
from grader.batch.layouts import Entry
from grader.batch.roster import Roster
from grader.lab import Lab


@dataclass(frozen=True)
class Found:
    """One student's submission of one lab. `at`: when it was handed in, ISO 8601 in UTC; '' when nobody knows."""

    student: str
    lab: str
    folder: Path
    at: str = ""


@dataclass(frozen=True)
class Unknown:
    """Something that is no submission, and why."""

    name: str
    reason: str


@dataclass(frozen=True)
class Cohort:
    """Everything that was handed in, and the layout in which it came, in words."""

    layout: str = ""
    found: list[Found] = field(default_factory=list)
    unknown: list[Unknown] = field(default_factory=list)


def cohort(folder: Path, labs: Sequence[Lab], work: Path, roster: Roster | None = None) -> Cohort:
    """Look through `folder` (or an archive of one); archives and single files are laid out below `work`.

    Raises OSError when it cannot be read, NotTaken when it is an archive that cannot be unpacked.
    """
    if not folder.is_dir() and archives.ending(folder.name):
        folder = archives.unpacked(folder, work / "export", archives.OF_CLASS)
    layout = layouts.recognised(folder, roster or Roster())
    result = Cohort(layout.words)
    result.unknown.extend(Unknown(name, reason) for name, reason in layout.passed_over)
    for entry in layout.entries:
        try:
            place = _laid_out(entry, labs, work)
        except NotTaken as reason:
            result.unknown.append(Unknown(entry.shown, str(reason)))
            continue
        at = entry.at or clones.committed_at(place)
        found = [
            Found(student, lab.id, inside, at)
            for lab in labs
            for inside in _places(place, lab)
            for student in entry.students
        ]
        result.found.extend(found)
        if not found:
            wanted = ", ".join(source.path for lab in labs for source in lab.sources)
            reason_why = f"holds none of the files that are asked for: {wanted}"
            result.unknown.append(Unknown(entry.shown, reason_why))
    return _one_each(result)


def _one_each(cohort_: Cohort) -> Cohort:
    """The newest submission of each student and lab; the others are listed."""
    newest: dict[tuple[str, str], Found] = {}
    for item in cohort_.found:
        pair = (item.student, item.lab)
        other = newest.get(pair)
        if other is not None and (older := min(item, other, key=lambda one: one.at)):
            reason = f"{item.student} handed in {item.lab} more than once; the newest counts"
            cohort_.unknown.append(Unknown(str(older.folder.name), reason))
            item = other if older is item else item
        newest[pair] = item
    return Cohort(cohort_.layout, list(newest.values()), cohort_.unknown)


def _laid_out(entry: Entry, labs: Sequence[Lab], work: Path) -> Path:
    """The folder with the files of an entry. Raises NotTaken."""
    path = entry.path
    if path.is_symlink():
        raise NotTaken("is a link; hand in the files themselves")
    if path.is_dir():
        inside = [item for item in sorted(path.iterdir()) if not item.name.startswith(".")]
        if len(inside) == 1 and inside[0].is_file() and archives.ending(inside[0].name):
            return _unpacked(inside[0], entry, work)  # the one file of an export's folder
        return path
    if not path.is_file():
        raise NotTaken("is no regular file")
    if archives.ending(path.name):
        return _unpacked(path, entry, work)
    sources = [source.path for lab in labs for source in lab.sources]
    if len(sources) == 1 and path.suffix == PurePosixPath(sources[0]).suffix:
        place = work / "files" / entry.students[0]
        (place / sources[0]).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, place / sources[0])
        return place
    raise NotTaken("is neither a folder nor an archive that is known (zip, tar)")


def _unpacked(archive: Path, entry: Entry, work: Path) -> Path:
    if archive.is_symlink():
        raise NotTaken("is a link; hand in the files themselves")
    return archives.unpacked(archive, work / "archives" / entry.students[0])


def _places(folder: Path, lab: Lab) -> Iterator[Path]:
    """Where this lab's files lie: in starter/<lab>, <lab>, or right there; also one level down."""
    below = [path for path in sorted(folder.iterdir()) if path.is_dir() and not path.is_symlink()]
    below = [path for path in below if not path.name.startswith(".")]
    tops = [folder, *(below if len(below) == 1 else [])]
    for place in [place for top in tops for place in (top / "starter" / lab.id, top / lab.id, top)]:
        if _has_no_link(place, folder) and any((place / source.path).is_file() for source in lab.sources):
            yield place
            return


def _has_no_link(place: Path, folder: Path) -> bool:
    """Is every folder on the way down a real one? A link could lead to the solution."""
    return place.resolve() == folder.resolve() / place.relative_to(folder)
