"""Intake: copies the files that a lab names out of a submission's folder, and nothing else.

The folder is hostile. Every file is reached by name through directory descriptors that follow no link below
the folder; it must be a regular file with one name and a bounded size, of plain UTF-8 text. Two harmless
habits of editors are undone, with a note: CRLF line ends become LF, and a byte order mark at the start goes.
"""

from __future__ import annotations

import bisect
import contextlib
import difflib
import hashlib
import json
import os
import re
import stat
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path, PurePosixPath

from grader.lab import Lab, Source

MAX_NAMES = 20  # names of files shown in one message
MAX_LISTED = 1000  # names read from a folder
MAX_CHARACTERS = 5  # bad characters told per file

_FOLDER_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NONBLOCK
# O_NONBLOCK: a FIFO opens at once instead of waiting for a writer.
_FILE_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC

# Printed as nothing although Unicode does not call them format characters: they make two names look like one.
_INVISIBLE = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u3164\uffa0")
# Controls and separators besides tab and line feed, format characters (bidi, zero width), halves of pairs.
_REFUSED_CATEGORIES = frozenset(("Cc", "Cf", "Cs", "Zl", "Zp"))
_CONTROL_NAMES = {
    0: "NUL",
    8: "BACKSPACE",
    11: "VERTICAL TAB",
    12: "FORM FEED",
    13: "CARRIAGE RETURN",
    27: "ESCAPE",
}


_PLACE = re.compile(r"(?P<file>[A-Za-z0-9_][A-Za-z0-9_./+-]{0,159}):(?P<line>\d{1,7})\b")


@dataclass(frozen=True)
class Submission:
    """One student's files for one lab, as they will be built.

    `files` maps the path that the lab names to its bytes: UTF-8, LF line ends, no byte order mark. `digest`
    is the SHA-256 (hex) over paths and bytes; equal files give equal digests whatever the folder is called.
    `notes` are sentences for the report, such as which files were left out; free of control characters.
    """

    name: str
    files: Mapping[str, bytes]
    digest: str
    notes: list[str]

    def lines_around(self, place: str, each_way: int = 4) -> str:
        """The lines around the first place in its files that the text names ('gemm.c:42'), numbered; the line itself
        is marked with '>'. Empty when the text names none."""
        for match in _PLACE.finditer(place):
            lines = self.files.get(match["file"], b"").decode("utf-8", "replace").split("\n")
            number = int(match["line"])
            if 1 <= number <= len(lines):
                first, last = max(1, number - each_way), min(len(lines), number + each_way)
                width = len(str(last))
                return "\n".join(
                    f"{'>' if here == number else ' '} {here:{width}}  {lines[here - 1]}".rstrip()
                    for here in range(first, last + 1)
                )
        return ""


class Refused(ValueError):
    """A folder that cannot be taken; `problems` are sentences for the student, one per thing to correct."""

    def __init__(self, problems: list[str]) -> None:
        self.problems = problems
        super().__init__("\n".join(problems))

    def __reduce__(self) -> tuple[type[Refused], tuple[list[str]]]:
        # Exceptions are rebuilt from their arguments when they come back from a worker process.
        return type(self), (self.problems,)


class _Problem(Exception):
    """One reason to refuse one file."""


def take(folder: Path, lab: Lab) -> Submission:
    """Take the lab's files from `folder`. Raises Refused with every problem, and nothing else."""
    files: dict[str, bytes] = {}
    problems: list[str] = []
    notes: list[str] = []
    with _open_submission(folder, lab) as root:
        for source in lab.sources:
            try:
                data = _read(root, source)
                files[source.path], file_notes = _clean_text(source.path, data)
            except _Problem as problem:
                problems.append(str(problem))
            else:
                notes += file_notes
        if problems:
            raise Refused(problems)
        notes += _left_out(root, lab)
    return Submission(name=_folder_name(folder), files=files, digest=_digest(files), notes=notes)


def _digest(files: Mapping[str, bytes]) -> str:
    parts = [[path, hashlib.sha256(data).hexdigest()] for path, data in sorted(files.items())]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


# --- The folder -----------------------------------------------------------------------------------


@contextlib.contextmanager
def _open_submission(folder: Path, lab: Lab) -> Iterator[int]:
    shown = _shown(str(folder), 200)
    wanted = ", ".join(source.path for source in lab.sources)
    try:
        descriptor = os.open(folder, _FOLDER_FLAGS)
    except FileNotFoundError:
        raise Refused([f"There is no folder {shown}. Give the folder that holds {wanted}."]) from None
    except NotADirectoryError:
        raise Refused([_not_a_folder(folder, shown, wanted, lab)]) from None
    except PermissionError:
        raise Refused([f"The folder {shown} cannot be read; check its permissions (chmod u+rx)."]) from None
    except (OSError, ValueError) as error:  # ValueError: a NUL or half a character in the name
        reason = getattr(error, "strerror", None) or "its name is not a proper path"
        raise Refused([f"The folder {shown} cannot be opened: {reason}."]) from None
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _not_a_folder(folder: Path, shown: str, wanted: str, lab: Lab) -> str:
    if len(lab.sources) == 1 and folder.name == lab.sources[0].path:
        return (
            f"{shown} is the file itself; give the folder that it lies in: {_shown(str(folder.parent), 200)}"
        )
    return f"{shown} is not a folder. Put {wanted} into a folder, and give that folder."


def _folder_name(folder: Path) -> str:
    """The last part of the folder's path, also for `.`; students' names are often not ASCII, and are kept."""
    name = folder.name
    if name in ("", ".."):
        with contextlib.suppress(OSError):  # the working directory may be gone
            name = folder.resolve().name
    return _shown(name, 100) or "submission"


# --- One file -------------------------------------------------------------------------------------


def _read(root: int, source: Source) -> bytes:
    """The bytes of one file. Raises _Problem saying why it cannot be taken."""
    *folders, name = source.path.split("/")
    with contextlib.ExitStack() as opened:
        current, so_far = root, ""
        for part in folders:
            so_far += part
            _check_kind(current, part, so_far, root, source, want_folder=True)
            current = _open(current, part, _FOLDER_FLAGS | os.O_NOFOLLOW, so_far)
            opened.callback(os.close, current)
            so_far += "/"
        _check_kind(current, name, source.path, root, source, want_folder=False)
        descriptor = _open(current, name, _FILE_FLAGS, source.path)
        opened.callback(os.close, descriptor)
        return _read_regular(descriptor, source)


def _check_kind(parent: int, name: str, shown: str, root: int, source: Source, *, want_folder: bool) -> None:
    """Say kindly what stands in the way. What decides is the check of the opened file, later."""
    try:
        mode = os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode
    except FileNotFoundError:
        raise _Problem(_missing(root, source.path)) from None
    except OSError as error:
        raise _Problem(f"{shown} cannot be read: {error.strerror}.") from None
    if want_folder and not stat.S_ISDIR(mode):
        raise _Problem(f"{shown} is {_kind(mode)}, but must be a folder that holds {source.path}.")
    if not want_folder and not stat.S_ISREG(mode):
        raise _Problem(f"{shown} is {_kind(mode)}; hand in the file itself.")


def _kind(mode: int) -> str:
    kinds = {
        stat.S_IFLNK: "a symbolic link",
        stat.S_IFDIR: "a folder",
        stat.S_IFIFO: "a named pipe (FIFO)",
        stat.S_IFSOCK: "a socket",
        stat.S_IFCHR: "a device",
        stat.S_IFBLK: "a device",
        stat.S_IFREG: "a file",
    }
    return kinds.get(stat.S_IFMT(mode), "something unusual")


def _open(parent: int, name: str, flags: int, shown: str) -> int:
    try:
        return os.open(name, flags, dir_fd=parent)
    except PermissionError:
        raise _Problem(f"{shown} cannot be read; check its permissions (chmod u+r).") from None
    except OSError as error:
        raise _Problem(f"{shown} cannot be opened: {error.strerror}.") from None


def _read_regular(descriptor: int, source: Source) -> bytes:
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        raise _Problem(f"{source.path} is {_kind(status.st_mode)}; hand in the file itself.")
    if status.st_nlink != 1:
        raise _Problem(
            f"{source.path} is a hard link ({status.st_nlink} names for one file); hand in a copy "
            f"(cp {source.path} copy && mv copy {source.path})."
        )
    if status.st_size > source.max_bytes:
        raise _Problem(_too_big(source, f"{status.st_size:,} bytes"))
    try:
        with open(descriptor, "rb", closefd=False) as stream:
            data = stream.read(source.max_bytes + 1)
    except OSError as error:
        raise _Problem(f"{source.path} cannot be read: {error.strerror}.") from None
    if len(data) > source.max_bytes:  # it grew, or lied about its size
        raise _Problem(_too_big(source, f"more than {source.max_bytes:,} bytes"))
    return data


def _too_big(source: Source, size: str) -> str:
    return (
        f"{source.path} is too big: {size}, and the limit is {source.max_bytes:,}. "
        "Hand in the source as you wrote it, without tables or generated code."
    )


# --- What a folder holds --------------------------------------------------------------------------


def _names(descriptor: int) -> list[tuple[str, bool]]:
    """(name, is a folder) of at most MAX_LISTED entries, sorted; nothing where it cannot be listed."""
    try:
        with os.scandir(descriptor) as entries:
            return sorted(
                (entry.name, entry.is_dir(follow_symlinks=False)) for entry in islice(entries, MAX_LISTED)
            )
    except OSError:
        return []


def _missing(root: int, path: str) -> str:
    entries = _names(root)
    if not entries:
        return f"{path} is missing; the folder looks empty."
    text = (
        f"{path} is missing; the folder holds: {_listed([name + '/' * is_dir for name, is_dir in entries])}."
    )
    deeper = next((name for name, is_dir in entries if is_dir and _exists(root, f"{name}/{path}")), None)
    if deeper is not None:
        return f"{text} It lies in {_shown(deeper)}/: hand in that folder, or move its files up."
    near = _nearest(PurePosixPath(path).name, [name for name, is_dir in entries if not is_dir])
    if near is None:
        return text
    wanted = PurePosixPath(path).name
    same = near.lower() == wanted.lower()
    text += f" Rename {_shown(near)} to {wanted}." if same else f" Did you mean {_shown(near)}?"
    strange = [character for character in near if not " " <= character <= "~"]
    if strange:
        text += f" That name holds {_character_name(strange[0])}; rename it with plain letters."
    return text


def _exists(root: int, path: str) -> bool:
    try:
        return stat.S_ISREG(os.stat(path, dir_fd=root, follow_symlinks=False).st_mode)
    except OSError:
        return False


def _nearest(wanted: str, names: list[str]) -> str | None:
    """The name that is most likely meant: another case, another ending, a slip, a look-alike letter."""
    names = [name for name in names if len(name) <= 80]
    lower, stem = wanted.lower(), PurePosixPath(wanted).stem.lower()
    for name in names:
        if unicodedata.normalize("NFKC", name).lower() == lower:
            return name
    for name in names:
        if name.lower().split(".")[0] == stem and name.lower().endswith((".c", ".cpp", ".cc", ".cu", ".txt")):
            return name
    near = difflib.get_close_matches(wanted, names, n=1, cutoff=0.7)
    return near[0] if near else None


def _left_out(root: int, lab: Lab) -> list[str]:
    """A note on files that the lab does not name; its header, a Makefile and dot files are no surprise."""
    taken = {source.path.split("/")[0] for source in lab.sources}
    expected = {lab.interface.header, "Makefile", *_handed_out(lab)}
    others = [
        name + "/" * is_dir
        for name, is_dir in _names(root)
        if name not in taken and name not in expected and not name.startswith(".")
    ]
    if not others:
        return []
    wanted = ", ".join(source.path for source in lab.sources)
    return [f"Only {wanted} {'is' if len(lab.sources) == 1 else 'are'} taken; left out: {_listed(others)}."]


def _handed_out(lab: Lab) -> list[str]:
    """What the course itself has put beside the student's files, such as a main.c."""
    return [path.name for path in lab.starter.iterdir()] if lab.starter.is_dir() else []


def _listed(names: list[str]) -> str:
    text = ", ".join(_shown(name) for name in names[:MAX_NAMES])
    return text if len(names) <= MAX_NAMES else f"{text} and {len(names) - MAX_NAMES} more"


# --- Text -----------------------------------------------------------------------------------------


def _clean_text(path: str, data: bytes) -> tuple[bytes, list[str]]:
    """The file as it will be built, and notes. Raises _Problem naming bad characters by line and column."""
    notes = []
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise _Problem(f"{path} is UTF-16 text; save it as UTF-8.")
    if data.startswith(b"\xef\xbb\xbf"):
        data = data[3:]
        notes.append(f"{path}: the byte order mark at its start was removed.")
    if b"\r\n" in data:
        data = data.replace(b"\r\n", b"\n")
        notes.append(f"{path}: Windows line ends (CRLF) were changed to LF.")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        # Compilers take any bytes in a comment, and an umlaut of an old editor is no reason to lose a lab.
        line = data.count(b"\n", 0, error.start) + 1
        notes.append(f"{path}:{line}: not UTF-8 text, so it was read as Latin-1; save it as UTF-8.")
        text = data.decode("latin-1")
        data = text.encode("utf-8")
    bad = [match.start() for match in re.finditer(r"[^\t\n -~]", text) if _is_refused(match.group())]
    if bad:
        raise _Problem(_bad_characters(path, text, bad))
    return data, notes


def _is_refused(character: str) -> bool:
    return unicodedata.category(character) in _REFUSED_CATEGORIES or character in _INVISIBLE


def _bad_characters(path: str, text: str, positions: list[int]) -> str:
    starts = [0, *(match.end() for match in re.finditer("\n", text))]
    lines = []
    for position in positions[:MAX_CHARACTERS]:
        line = bisect.bisect_right(starts, position)
        lines.append(f"{path}:{line}:{position - starts[line - 1] + 1}: {_character_name(text[position])}")
    more = f" (and {len(positions) - MAX_CHARACTERS} more)" if len(positions) > MAX_CHARACTERS else ""
    return (
        f"{'; '.join(lines)}{more}: invisible and control characters can make code look other than it is. "
        "Delete them, or write them as escapes such as \\x1b in a string."
    )


def _character_name(character: str) -> str:
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # how Python shows a byte of a file name that is not UTF-8
        return f"the byte 0x{code - 0xDC00:02X}"
    name = unicodedata.name(character, _CONTROL_NAMES.get(code, "a control character"))
    return f"U+{code:04X} {name}"


def _shown(text: str, limit: int = 60) -> str:
    """A name for people: what is invisible or not UTF-8 as an escape, long names cut."""
    shown = "".join(_escape(character) for character in text[: limit + 1])
    return shown if len(text) <= limit else shown[: limit - 3] + "..."


def _escape(character: str) -> str:
    if character.isprintable() and character not in _INVISIBLE:
        return character
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:
        return f"\\x{code - 0xDC00:02x}"
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
