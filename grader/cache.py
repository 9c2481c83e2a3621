"""The content-addressed store of what the grader has built: one folder per key, appearing whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import functools
import hashlib
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

from grader.trouble import CannotWork

Piece = bytes | str

CURE = "export GRADER_CACHE=/a/folder/of/yours"


def key(*pieces: Piece) -> str:
    """A key over all pieces, each framed by its length so that no two lists of pieces collide."""
    digest = hashlib.sha256()
    for piece in pieces:
        data = piece.encode("utf-8", "surrogateescape") if isinstance(piece, str) else piece
        digest.update(len(data).to_bytes(8, "little") + data)
    return digest.hexdigest()[:40]


def stamp(paths: Iterable[Path]) -> str:
    """Identity of large installed files by path, size and time of change, without reading them."""
    return "\n".join(f"{path}:{path.stat().st_size}:{path.stat().st_mtime_ns}" for path in sorted(paths))


@functools.lru_cache(maxsize=1)
def root() -> Path:
    """The store's folder: $GRADER_CACHE, else /var/cache/grader for root, else ~/.cache/grader.

    Root's store must be reachable by the unprivileged user of the sandbox, which root's home is not. Raises CannotWork
    where no file can be made there, or none of it executed.
    """
    named = os.environ.get("GRADER_CACHE")
    if named:
        folder = Path(named).resolve()
    elif os.geteuid() == 0:
        folder = Path("/var/cache/grader")
    else:
        folder = Path(os.environ.get("XDG_CACHE_HOME") or _home() / ".cache") / "grader"
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o755)
        open_to_all(folder)
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".tried.") as file:
            file.write(b"#!/bin/sh\n")
            file.flush()
            os.fchmod(file.fileno(), 0o755)
            executable = not os.statvfs(folder).f_flag & os.ST_NOEXEC
    except OSError as error:
        raise CannotWork(f"what is built cannot be kept in {folder} ({error.strerror}): {CURE}") from error
    if not executable:
        raise CannotWork(f"{folder} is mounted noexec, so nothing that is built there can run: {CURE}")
    return folder


def _home() -> Path:
    try:
        return Path.home()
    except RuntimeError as error:  # neither $HOME nor a line in /etc/passwd
        raise CannotWork(f"this user has no home to keep what is built: {CURE}") from error


def fetch(kind: str, name: str, build: Callable[[Path], None]) -> Path:
    """The folder `kind/name`, built by `build(empty folder)` the first time. Safe with several graders at once.

    Whatever `build` raises leaves nothing behind. Raises CannotWork when the disk is full, OSError when the folder does
    not allow it.
    """
    place = root() / kind / name
    if place.is_dir():
        return place
    place.parent.mkdir(parents=True, exist_ok=True, mode=0o755)
    open_to_all(place.parent)
    scratch = Path(tempfile.mkdtemp(dir=place.parent, prefix=f".{name[:12]}."))
    try:
        build(scratch)
        for path in (scratch, *scratch.rglob("*")):
            open_to_all(path)
        try:
            scratch.rename(place)
        except OSError:  # perhaps somebody else was faster: theirs is as good
            if not place.is_dir():
                raise
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise CannotWork(f"no space left where what is built is kept: rm -r {root()}, or {CURE}") from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return place


def open_to_all(path: Path) -> Path:
    """Make a file or folder readable by the sandbox's user, whatever the umask of whoever runs the grader."""
    mode = path.lstat().st_mode
    wanted = mode | (0o555 if stat.S_ISDIR(mode) else 0o555 if mode & 0o100 else 0o444)
    if wanted != mode and not stat.S_ISLNK(mode):
        # Of a folder that is somebody else's, who may have opened it in another way.
        with contextlib.suppress(PermissionError):
            path.chmod(stat.S_IMODE(wanted))
    return path


def scratch_folder() -> Path:
    """A new folder that the sandbox's user can be given; the caller removes it.

    Its name says which process made it. What a killed grader leaves behind goes when the next one begins.
    """
    _sweep_once()
    maker = f"{_namespace()}-{os.getpid()}-{_started(os.getpid())}"
    return Path(tempfile.mkdtemp(dir=_scratch_root(), prefix=f"grader-{maker}-"))


def sweep() -> None:
    """Remove the scratch folders of graders that are gone."""
    for folder in _scratch_root().glob("grader-*"):
        maker = re.fullmatch(r"grader-(\d+)-([1-9]\d*)-([1-9]\d*)-[a-z0-9_]+", folder.name)
        if maker is None or int(maker[1]) != _namespace() or folder.is_symlink():
            continue  # another container's processes cannot be seen from here
        if _started(int(maker[2])) != int(maker[3]):
            shutil.rmtree(folder, ignore_errors=True)


@functools.lru_cache(maxsize=1)
def _sweep_once() -> None:
    sweep()


def _namespace() -> int:
    """The number of this process's pid namespace (pid_namespaces(7))."""
    return Path("/proc/self/ns/pid").stat().st_ino


def _started(pid: int) -> int:
    """When the process began, in ticks since boot (field 22 of proc_pid_stat(5)); 0 when there is none."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        return int(Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[19])
    return 0


@functools.lru_cache(maxsize=1)
def _scratch_root() -> Path:
    """The first usual place for temporary files that everybody may enter."""
    for folder in (Path(tempfile.gettempdir()), Path("/tmp"), Path("/var/tmp")):
        entered = all(parent.stat().st_mode & 0o001 for parent in (folder, *folder.parents))
        if entered and os.access(folder, os.W_OK):
            return folder
    return Path(tempfile.gettempdir())
