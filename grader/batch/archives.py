"""Archives that people hand in: only regular files below the folder are taken out, and not more than is sensible."""

from __future__ import annotations

import bz2
import contextlib
import gzip
import lzma
import shutil
import stat
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any

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


def unpacked(archive: Path, place: Path, most: Most | None = None) -> Path:
    """The archive's regular files below `place`, made anew. Raises NotTaken for one that is damaged or too much."""
    most = most or OF_STUDENT
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
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
    except Exception as error:  # a damaged archive makes its decoders raise whatever they like
        raise NotTaken(f"cannot be unpacked: {error or type(error).__name__}") from error
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
    with _uncompressed(archive, most.bytes) as plain, tarfile.open(fileobj=plain, mode="r:") as bundle:
        for number, member in enumerate(bundle):
            if number >= most.files:
                return
            content = bundle.extractfile(member) if member.isreg() else None
            name = _harmless(member.name)
            if name and content is not None:
                yield name, member.size, content


_COMPRESSED: dict[bytes, Callable[..., Any]] = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ\0": lzma.open}
"""How files begin, and what reads them."""


@contextlib.contextmanager
def _uncompressed(archive: Path, most: int) -> Iterator[IO[bytes]]:
    """The tar itself, in a file of its own when it came compressed: then no header can claim more than is there."""
    with archive.open("rb") as stream, tempfile.TemporaryFile() as plain:
        begin = stream.read(8)
        reads = next((reads for magic, reads in _COMPRESSED.items() if begin.startswith(magic)), None)
        stream.seek(0)
        if reads is None:
            yield stream
            return
        if _copied(reads(stream), plain, 2 * most) > 2 * most:  # with its headers
            raise NotTaken(f"holds more than {most >> 20} MiB")
        plain.seek(0)
        yield plain


def _harmless(name: str) -> PurePosixPath | None:
    """The path, when it stays below the archive's folder and is no hidden or generated one."""
    with contextlib.suppress(ValueError):
        path = PurePosixPath(name.replace("\\", "/"))
        parts = path.parts
        if parts and not path.is_absolute() and not any(part in ("..", "") or "\0" in part for part in parts):
            hidden = any(part.startswith(".") or part == "__MACOSX" for part in parts)
            return None if hidden or len(str(path)) > 400 else path
    return None
