"""The shapes in which a class's work arrives: whose each entry of a folder is, and when it was handed in.

Known are the exports of Canvas, Gradescope and Moodle, the downloads of `gh classroom` and of Classroom 50, and a
folder with an entry for each student. The first that fits is taken; entries that do not fit it are passed over with a
reason.
"""

from __future__ import annotations

import contextlib
import csv
import datetime
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from grader.batch import archives
from grader.batch.roster import Roster

_MOODLE = re.compile(r"(?P<name>.+)_(?P<number>\d+)_(assignsubmission_)?file_?(?P<rest>.*)", re.DOTALL)
_SCORES = {"username", "submission_tag"}


@dataclass(frozen=True)
class Entry:
    """One submission: a folder, an archive, a file or several, and whose it is (a group's are several)."""

    students: tuple[str, ...]
    path: Path
    at: str = ""
    told: str = ""
    """When, in words without a time zone, where `at` is not known."""
    files: tuple[tuple[str, Path], ...] = ()
    """(name, file) where a layout spreads a submission's files over its folder; `path` is the first of them."""
    notes: tuple[str, ...] = ()

    @property
    def shown(self) -> str:
        return self.path.name


@dataclass(frozen=True)
class Layout:
    """What was recognised, in words; its entries; and (name, reason) of what is none."""

    words: str
    entries: tuple[Entry, ...]
    passed_over: tuple[tuple[str, str], ...] = ()


def recognised(folder: Path, roster: Roster) -> Layout:
    """The layout of a folder. Raises OSError when it cannot be read."""
    names = _visible(folder)
    if len(names) == 1 and names[0].is_dir() and not names[0].is_symlink():
        inner = _known(names[0], roster)
        if inner is not None:
            return inner
    return _known(folder, roster) or _folders(folder, roster)


def _known(folder: Path, roster: Roster) -> Layout | None:
    kinds: tuple[Callable[[Path, Roster], Layout | None], ...] = (
        _gradescope,
        _classroom50,
        _canvas,
        _moodle,
        _gh,
    )
    return next((layout for kind in kinds if (layout := kind(folder, roster)) is not None), None)


def _visible(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if not path.name.startswith("."))


# --- Gradescope: submission_metadata.yml beside a folder for each submission ------------------------------------------


def _gradescope(folder: Path, roster: Roster) -> Layout | None:
    file = folder / "submission_metadata.yml"
    if not file.is_file():
        return None
    try:
        told = yaml.load(file.read_text(encoding="utf-8"), _Plain)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise OSError(f"{file} is no YAML: {str(error).splitlines()[0]}") from error
    entries, others = [], []
    for path in _visible(folder):
        if path == file:
            continue
        about = told.get(path.name) if isinstance(told, dict) else None
        told_people = about.get(":submitters") if isinstance(about, dict) else None
        people = (
            [person for person in told_people if isinstance(person, dict)]
            if isinstance(told_people, list)
            else []
        )
        names = [roster.student_of(*_told_of(person)) for person in people]
        if not names or not isinstance(about, dict):
            others.append((path.name, "submission_metadata.yml does not say whose it is"))
        else:
            entries.append(Entry(tuple(names), path, _utc(about.get(":created_at"))))
    return Layout("Gradescope export", tuple(entries), tuple(others))


def _told_of(person: dict[str, Any]) -> Iterator[str]:
    """What identifies a submitter, the best first."""
    for field in (":email", ":sid", ":name"):
        if person.get(field):
            yield str(person[field])


class _Plain(yaml.SafeLoader):
    """YAML of Ruby: objects with a tag are read as what they are made of."""


def _untagged(loader: yaml.SafeLoader, suffix: str, node: yaml.Node) -> Any:
    if isinstance(node, yaml.MappingNode):
        return loader.construct_mapping(node, deep=True)
    if isinstance(node, yaml.SequenceNode):
        return loader.construct_sequence(node, deep=True)
    return loader.construct_scalar(node) if isinstance(node, yaml.ScalarNode) else None


_Plain.add_multi_constructor("!", _untagged)


# --- Classroom 50: scores.csv beside a clone for each student ---------------------------------------------------------


def _classroom50(folder: Path, roster: Roster) -> Layout | None:
    file = folder / "scores.csv"
    if not file.is_file():
        return None
    try:
        with file.open(encoding="utf-8-sig", newline="") as stream:
            rows = list(csv.DictReader(stream, restval=""))
    except (UnicodeDecodeError, csv.Error) as error:
        raise OSError(f"{file} is no CSV: {error}") from error
    if not rows or not set(rows[0]) >= _SCORES:
        return None
    at: dict[str, str] = {}
    for row in rows:  # the newest submission of each comes first
        at.setdefault(row["username"].strip(), row.get("datetime") or "")
    entries, others = [], []
    for path in _visible(folder):
        if path.is_dir() and not path.is_symlink():
            name = _ends_with(path.name, [*at, *roster.usernames])
            if name is None:
                others.append((path.name, "no student of scores.csv or of the roster is in its name"))
            else:
                entries.append(Entry((roster.student_of(name),), path, _utc(at.get(name))))
        elif path != file:
            others.append((path.name, "is no clone of a student"))
    return Layout("Classroom 50 download", tuple(entries), tuple(others))


def _ends_with(folder: str, names: list[str]) -> str | None:
    """The longest of the names that the folder's name ends with, after a hyphen."""
    fitting = [name for name in names if name and folder.lower().endswith(f"-{name.lower()}")]
    return max(fitting, key=len, default=None)


# --- Moodle: "Ada Lovelace_17_assignsubmission_file_", a folder or the beginning of a file's name ---------------------


def _moodle(folder: Path, roster: Roster) -> Layout | None:
    paths = _visible(folder)
    found = {path: match for path in paths if (match := _MOODLE.fullmatch(path.name))}
    if not found or 2 * len(found) < len(paths):
        return None
    entries, others = [], []
    for path in paths:
        match = found.get(path)
        if match is None:
            others.append(
                (path.name, "Moodle's exports name each entry 'Full name_number_assignsubmission_file_'")
            )
            continue
        participant = f"Participant {match['number']}"
        student = roster.student_of(participant, match["number"], match["name"])
        if student == participant and not roster.has(participant):
            student = f"{match['name']} {match['number']}"
        # An export does not say when (its files' times are those of the export); the grading worksheet does.
        row = next((item.row for item in roster.students if item.id == student), {})
        entries.append(Entry((student,), path, told=row.get("last modified (submission)", "").strip(" -")))
    return Layout("Moodle export", tuple(entries), tuple(others))


# --- Canvas: "lovelaceada_LATE_101_4567_gemm.c", all files of all students side by side ------------------------------
# By its exporter (canvas-lms, lib/content_zipper.rb): the sortable name in lower case without its punctuation, LATE
# where it was, the user's id, the attachment's id, the file's name. Anonymous: "LATE_anon_x7Yz3_4567_gemm.c".

_CANVAS = re.compile(
    r"(?P<who>(?:\w*?_)??)(?P<late>LATE_)?(?:(?P<user>\d+)|(?P<anonymous>anon_[A-Za-z0-9]+))_"
    r"(?:(?P<attachment>\d+)_(?P<file>.+)|(?P<typed>text|link)\.html)",
    re.DOTALL,
)
_AGAIN = re.compile(r"-\d{1,3}(?=(\.[^.]*)?$)")


def _canvas(folder: Path, roster: Roster) -> Layout | None:
    paths = _visible(folder)
    found = {path: match for path in paths if (match := _CANVAS.fullmatch(path.name))}
    if not found or 2 * len(found) < len(paths) or any(path.is_dir() for path in found):
        return None
    others = [
        (path.name, "Canvas names each file 'name_user id_attachment id_file'")
        for path in paths
        if path not in found
    ]
    of_user: dict[str, list[tuple[Path, re.Match[str]]]] = {}
    for path, match in found.items():
        of_user.setdefault(match["user"] or match["anonymous"], []).append((path, match))
    entries = []
    for user, items in of_user.items():
        name = items[0][1]["who"].strip("_")
        student = roster.student_of(f"{name}_{user}" if name else user, user)
        late = any(match["late"] for _, match in items)
        note = "Canvas marks it LATE and does not say by how much; nothing was taken off for it here"
        files = _newest_of_each(items)
        entries.append(Entry((student,), items[0][0], files=files, notes=(note,) if late else ()))
    return Layout("Canvas submissions", tuple(entries), tuple(others))


def _newest_of_each(items: list[tuple[Path, re.Match[str]]]) -> tuple[tuple[str, Path], ...]:
    """(name, file): of a name that came again, as 'gemm-1.c', the newest, which has the highest attachment id."""
    newest: dict[str, Path] = {}
    for path, match in sorted(items, key=lambda item: int(item[1]["attachment"] or 0)):
        name = match["file"] or f"{match['typed']}.html"
        newest[_AGAIN.sub("", name)] = path
    return tuple(newest.items())


# --- gh classroom: <assignment>-submissions/<assignment>-<user> -------------------------------------------------------


def _gh(folder: Path, roster: Roster) -> Layout | None:
    if not folder.name.endswith("-submissions"):
        return None
    slug = folder.name.removesuffix("-submissions").lower() + "-"
    entries, others = [], []
    for path in _visible(folder):
        if path.is_dir() and path.name.lower().startswith(slug) and len(path.name) > len(slug):
            entries.append(Entry((roster.student_of(path.name[len(slug) :]),), path))
        else:
            others.append((path.name, f"its name does not begin with the assignment, {slug!r}"))
    return Layout("gh classroom download", tuple(entries), tuple(others)) if entries else None


# --- A folder, clone, archive or file for each student ----------------------------------------------------------------


def _folders(folder: Path, roster: Roster) -> Layout:
    entries = []
    for path in _visible(folder):
        name = path.name
        if not path.is_dir():
            name = name[: -len(ending)] if (ending := archives.ending(name)) else path.stem
        known = roster.student_of(name)
        if path.is_dir() and known == name and not roster.has(name):
            known = roster.student_of(_ends_with(name, roster.usernames) or name)
        entries.append(Entry((known,), path))
    clones = sum((entry.path / ".git").exists() for entry in entries)
    words = "folder for each student"
    if clones:
        words = f"git clones ({clones} of {len(entries)} entries)"
    elif entries and not any(entry.path.is_dir() for entry in entries):
        words = "file or archive for each student"
    return Layout(words, tuple(entries))


_MOODLES = ("%A, %d %B %Y, %I:%M %p", "%A, %B %d, %Y, %I:%M %p", "%A, %d %B %Y, %H:%M", "%d %B %Y, %I:%M %p")


def told_in(words: str, zone: datetime.tzinfo | None) -> str:
    """ISO 8601 in UTC of Moodle's 'Friday, 20 November 2026, 11:59 PM' in a time zone; '' where it cannot be said."""
    for form in _MOODLES if zone is not None else ():
        with contextlib.suppress(ValueError):
            return _utc(datetime.datetime.strptime(" ".join(words.split()), form).replace(tzinfo=zone))
    return ""


def _utc(moment: object) -> str:
    """ISO 8601 in UTC of a time stamp or text; '' for anything else."""
    if isinstance(moment, str):
        try:
            moment = datetime.datetime.fromisoformat(moment.strip().replace("Z", "+00:00"))
        except ValueError:
            return ""
    if not isinstance(moment, datetime.datetime):
        return ""
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=datetime.timezone.utc)
    return moment.astimezone(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
