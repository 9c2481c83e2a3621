"""What was handed in: finds each student's submission of each lab, and says what it did not recognise.

A cohort is a folder, or the archive of one, in one of the layouts of `layouts`. Each entry is a folder, a git clone, a
zip or tar, or files. Whoever handed in anything is found: what cannot be taken has its reason, and counts for nobody
else. Everything that is laid out lies below one folder for work, in places whose names are made by `names`.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

from grader.batch import archives, clones, layouts, names
from grader.batch.archives import NotTaken
from grader.batch.course import Course
from grader.batch.layouts import Entry
from grader.batch.roster import Roster
from grader.lab import Lab

STUDENTS_WORD = "The time is that of the last commit, as the student's own machine told it."


@dataclass(frozen=True)
class Found:
    """One student's submission of one lab. `at`: when it was handed in, ISO 8601 in UTC; '' when nobody knows.
    `notes` are for the student and staff; without `taken` the folder holds none of the lab's files."""

    student: str
    lab: str
    folder: Path
    at: str = ""
    notes: tuple[str, ...] = ()
    taken: bool = True


@dataclass(frozen=True)
class Unknown:
    """Something that is no submission, and why; `students`: whose it is, where that is known."""

    name: str
    reason: str
    students: tuple[str, ...] = ()


@dataclass(frozen=True)
class Cohort:
    """Everything that was handed in, and the layout in which it came, in words."""

    layout: str = ""
    found: list[Found] = field(default_factory=list)
    unknown: list[Unknown] = field(default_factory=list)


@dataclass(frozen=True)
class _Laid:
    """An entry as a folder."""

    folder: Path
    at: str = ""
    notes: tuple[str, ...] = ()


def cohort(
    folder: Path, labs: Sequence[Lab], work: Path, roster: Roster | None = None, course: Course | None = None
) -> Cohort:
    """Look through `folder` (or an archive of one); what must be unpacked or renamed is laid out below `work`.

    Raises OSError when it cannot be read, NotTaken when it is an archive that cannot be unpacked.
    """
    if not folder.is_dir() and archives.ending(folder.name):
        folder = archives.unpacked(folder, work / "export", work, archives.OF_CLASS)
    layout = layouts.recognised(folder, roster or Roster())
    result = Cohort(layout.words)
    result.unknown.extend(Unknown(name, reason) for name, reason in layout.passed_over)
    for entry in layout.entries:
        _look(entry, labs, course or Course(), folder, work, result)
    return _one_each(result)


def _look(entry: Entry, labs: Sequence[Lab], course: Course, top: Path, work: Path, result: Cohort) -> None:
    """Add what one entry holds to the result."""
    try:
        laid = _laid_out(entry, labs, top, work)
        found = list(_found(entry, laid, labs, course, work))
        wanted = ", ".join(source.path for lab in labs for source in lab.sources)
        here, reason = _names_in(laid.folder), f"holds none of the files that are asked for: {wanted}"
    except NotTaken as error:
        place = names.emptied(work / "none" / names.folder_of(f"{entry.students[0]} {entry.shown}"), work)
        laid, found, here, reason = _Laid(place, entry.at, entry.notes), [], [], str(error)
    else:
        if found or _is_empty(entry.path):
            result.found.extend(found)
            result.unknown.extend([] if found else [Unknown(entry.shown, "is empty")])
            return
    known = entry.students if len(labs) != 1 else ()
    result.unknown.append(Unknown(entry.shown, reason + _how_to_take(entry, here, labs), known))
    if len(labs) == 1:
        held = f"it holds {', '.join(here[:5])}" if here else f"it {reason}"
        notes = (*laid.notes, f"What was handed in ({entry.shown}) could not be taken: {held}.")
        at = laid.at or layouts.told_in(entry.told, course.zone(labs[0].id))
        result.found.extend(
            Found(student, labs[0].id, laid.folder, at, notes, taken=False) for student in entry.students
        )


def _found(entry: Entry, laid: _Laid, labs: Sequence[Lab], course: Course, work: Path) -> Iterator[Found]:
    """Each student's submission of each lab that the entry's folder holds."""
    for student in entry.students:
        for lab in labs:
            place = _renamed(laid.folder, lab, course.plan(lab.id).take.get(student, {}), student, work)
            at = laid.at or layouts.told_in(entry.told, course.zone(lab.id))
            for inside in _places(place, lab):
                yield Found(student, lab.id, inside, at, laid.notes)


def _is_empty(path: Path) -> bool:
    """Is it a folder with nothing in it? Then nothing was handed in; an archive of nothing was."""
    return path.is_dir() and not any(not item.name.startswith(".") for item in path.iterdir())


def _how_to_take(entry: Entry, here: Sequence[str], labs: Sequence[Lab]) -> str:
    """What staff can write into course.yaml to take a file of another name, where there is one of the right kind."""
    for lab in labs:
        for source in lab.sources:
            same = [
                name
                for name in here
                if PurePosixPath(name).suffix.lower() == PurePosixPath(source.path).suffix
            ]
            if len(same) == 1:
                rule = f'{{{lab.id}: {{take: {{"{entry.students[0]}": {{"{same[0]}": {source.path}}}}}}}}}'
                return f". It holds {same[0]}; to take that as {source.path}, write into course.yaml: labs: {rule}"
    return f". It holds {', '.join(here[:5])}" if here else ""


def _names_in(folder: Path) -> list[str]:
    """Regular files of a folder and below, by name, at most a few dozen."""
    found = (path for path in sorted(folder.rglob("*")) if path.is_file() and not path.is_symlink())
    shown = (path.relative_to(folder).as_posix() for path in found)
    return [
        name for name, _ in zip((one for one in shown if not one.startswith(".")), range(40), strict=False)
    ]


def _one_each(cohort_: Cohort) -> Cohort:
    """The newest submission of each student and lab that can be taken; the others are listed."""
    newest: dict[tuple[str, str], Found] = {}
    for item in cohort_.found:
        pair = (item.student, item.lab)
        other = newest.get(pair)
        if other is not None:
            older = min(item, other, key=lambda one: (one.taken, one.at))
            counts = "the newest counts" if older.taken else "the one that can be taken counts"
            reason = f"{item.student} handed in {item.lab} more than once; {counts}"
            cohort_.unknown.append(Unknown(str(older.folder.name), reason))
            item = other if older is item else item
            item = replace(item, notes=(*item.notes, f"Handed in more than once: {counts}."))
        newest[pair] = item
    return Cohort(cohort_.layout, list(newest.values()), cohort_.unknown)


def _laid_out(entry: Entry, labs: Sequence[Lab], top: Path, work: Path) -> _Laid:
    """The folder with the files of an entry, when they came, and what is to be said of them. Raises NotTaken."""
    place = names.folder_of(f"{entry.students[0]} {entry.shown}")
    if entry.files:
        return _Laid(_gathered(entry, work / "files" / place, work), entry.at, entry.notes)
    path = entry.path
    if path.is_symlink():
        raise NotTaken("is a link; hand in the files themselves")
    if path.is_dir():
        inside = [item for item in sorted(path.iterdir()) if not item.name.startswith(".")]
        if len(inside) == 1 and inside[0].is_file() and archives.ending(inside[0].name):
            # The one file of an export's folder.
            return _Laid(_unpacked(inside[0], work / "archives" / place, work), entry.at, entry.notes)
        if not entry.at and clones.is_clone(path):
            return _of_clone(entry, work / "commits" / place, top, work)
        return _Laid(path, entry.at, entry.notes)
    if not path.is_file():
        raise NotTaken("is no regular file")
    if archives.ending(path.name):
        return _Laid(_unpacked(path, work / "archives" / place, work), entry.at, entry.notes)
    sources = [source.path for lab in labs for source in lab.sources]
    if len(sources) == 1 and path.suffix == PurePosixPath(sources[0]).suffix:
        target = names.emptied(work / "files" / place, work)
        (target / sources[0]).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target / sources[0])
        return _Laid(target, entry.at, entry.notes)
    raise NotTaken("is neither a folder nor an archive that is known (zip, tar)")


def _of_clone(entry: Entry, place: Path, top: Path, work: Path) -> _Laid:
    """The files of the commit that says when: what was changed after it was not handed in then."""
    try:
        commit, links = clones.committed(entry.path, top, place, work)
    except clones.NotRead as reason:
        return _Laid(entry.path, "", (*entry.notes, f"When it was handed in is not known: {reason}."))
    left = (f"Links in the commit are left out: {', '.join(links[:5])}.",) if links else ()
    return _Laid(place, commit.at, (*entry.notes, STUDENTS_WORD, *left))


def _gathered(entry: Entry, place: Path, work: Path) -> Path:
    """The files of an entry under their own names in one folder; a single archive is unpacked."""
    if len(entry.files) == 1 and archives.ending(entry.files[0][0]):
        return _unpacked(entry.files[0][1], place, work)
    names.emptied(place, work)
    for name, path in entry.files:
        if path.is_symlink() or not path.is_file() or PurePosixPath(name).name != name:
            raise NotTaken(f"{name} is no regular file")
        shutil.copyfile(path, place / name)
    return place


def _unpacked(archive: Path, place: Path, work: Path) -> Path:
    if archive.is_symlink():
        raise NotTaken("is a link; hand in the files themselves")
    return archives.unpacked(archive, place, work)


def _renamed(folder: Path, lab: Lab, rules: Mapping[str, str], student: str, work: Path) -> Path:
    """The folder, or where staff say so a copy of it with files under the names that the lab asks for."""
    wanted = {source.path for source in lab.sources}
    taken = {
        new: folder / old
        for old, new in rules.items()
        if new in wanted and _is_below(folder / old, folder) and (folder / old).is_file()
    }
    if not taken:
        return folder
    place = names.emptied(work / "taken" / names.folder_of(f"{student} {lab.id}"), work)
    for name in wanted:
        source = taken.get(name, folder / name)
        if _is_below(source, folder) and source.is_file():
            (place / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, place / name)
    return place


def _is_below(path: Path, folder: Path) -> bool:
    """Does it lie in the folder, with no link on the way?"""
    return ".." not in path.parts and path.resolve() == folder.resolve() / path.relative_to(folder)


def _places(folder: Path, lab: Lab) -> Iterator[Path]:
    """Where this lab's files lie: in starter/<lab>, <lab>, or right there; also one level down."""
    below = [path for path in sorted(folder.iterdir()) if path.is_dir() and not path.is_symlink()]
    below = [path for path in below if not path.name.startswith(".")]
    tops = [folder, *(below if len(below) == 1 else [])]
    for place in [place for top in tops for place in (top / "starter" / lab.id, top / lab.id, top)]:
        if _is_below(place, folder) and any((place / source.path).is_file() for source in lab.sources):
            yield place
            return
