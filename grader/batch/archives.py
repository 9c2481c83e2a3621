"""Archives that people hand in: only regular files below the folder are taken out, and not more than is sensible."""

from __future__ import annotations

import bz2
import contextlib
import gzip
import io
import lzma
import stat
import tarfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from grader.batch import names

ENDINGS = (".tar.gz", ".tar.xz", ".tgz", ".tar", ".zip")


class NotTaken(Exception):
    """Why something that was handed in is no submission."""


@dataclass(frozen=True)
class Most:
    """Entries of an archive that are looked at, and bytes that are taken out of it."""

    files: int
    bytes: int


OF_STUDENT, OF_CLASS = Most(2000, 64 << 20), Most(500_000, 8 << 30)


def ending(name: str) -> str:
    """'.zip' or the like when it is the name of an archive, else ''."""
    return next((item for item in ENDINGS if name.lower().endswith(item)), "")


def unpacked(archive: Path, place: Path, work: Path, most: Most | None = None) -> Path:
    """The archive's regular files in `place`, which lies below `work` and is made anew.

    Raises NotTaken for an archive that is damaged or too much, names.Outside.
    """
    most = most or OF_STUDENT
    names.emptied(place, work)
    taken = 0
    try:
        for name, size, content in _members(archive, most):
            taken += size
            if taken > most.bytes:
                raise NotTaken(f"holds more than {most.bytes >> 20} MiB")
            target = place / name
            target.parent.mkdir(parents=True, exist_ok=True)
            with content, target.open("wb") as file:
                if _copied(content, file, size) != size:
                    raise NotTaken("holds more than it says")
    except NotTaken:
        raise
    except Exception as error:  # both libraries let through whatever a damaged archive makes them run into
        raise NotTaken(f"cannot be unpacked: {error}") from error
    return place


def _copied(content: IO[bytes], file: IO[bytes], size: int) -> int:
    """Copy at most one byte more than it should hold; the number of bytes read."""
    total = 0
    while piece := content.read(min(1 << 16, size + 1 - total)):
        total += len(piece)
        file.write(piece)
    return total


def _members(archive: Path, most: Most) -> Iterator[tuple[PurePosixPath, int, IO[bytes]]]:
    """(name, size, content) of every regular file with a harmless name. Links, devices and the like are passed over."""
    if archive.name.lower().endswith(".zip"):
        with zipfile.ZipFile(archive) as source:
            for item in source.infolist()[: most.files]:
                kind = stat.S_IFMT(item.external_attr >> 16)
                name = _harmless(item.filename)
                if name and not item.is_dir() and kind in (0, stat.S_IFREG):
                    yield name, item.file_size, source.open(item)
        return
    limit = 2 * most.bytes
    with _decompressed(archive) as stream, tarfile.open(fileobj=_Bounded(stream, limit), mode="r:") as bundle:
        for number, member in enumerate(bundle):
            if number >= most.files:
                return
            content = bundle.extractfile(member) if member.isreg() else None
            name = _harmless(member.name)
            if name and content is not None:
                yield name, member.size, content


def _decompressed(archive: Path) -> io.BufferedIOBase:
    """A tar's bytes. Its first bytes say how it is packed: browsers rename what they unpack on the way."""
    with archive.open("rb") as file:
        begins = file.read(6)
    if begins.startswith(b"\x1f\x8b"):
        return gzip.open(archive)
    if begins.startswith(b"\xfd7zXZ"):
        return lzma.open(archive)
    return bz2.open(archive) if begins.startswith(b"BZh") else archive.open("rb")


class _Bounded(io.BufferedIOBase):
    """A stream that ends in NotTaken at a limit: what headers say may be gigabytes, of zeros in a small file."""

    def __init__(self, stream: io.BufferedIOBase, limit: int) -> None:
        self._stream, self._limit = stream, limit

    def read(self, size: int | None = -1, /) -> bytes:
        self._check(self._stream.tell() + (size or 0))
        return self._stream.read(size)

    def seek(self, position: int, whence: int = 0, /) -> int:
        self._check(position)
        return self._stream.seek(position, whence)

    def tell(self) -> int:
        return self._stream.tell()

    def _check(self, position: int) -> None:
        if position > self._limit:
            raise NotTaken(f"holds more than {self._limit >> 20} MiB")


def _harmless(name: str) -> PurePosixPath | None:
    """The path, when it stays below the archive's folder and is no hidden or generated one."""
    with contextlib.suppress(ValueError):
        path = PurePosixPath(name.replace("\\", "/"))
        parts = path.parts
        if parts and not path.is_absolute() and not any(part in ("..", "") or "\0" in part for part in parts):
            hidden = any(part.startswith(".") or part == "__MACOSX" for part in parts)
            return None if hidden or len(str(path)) > 400 else path
    return None
