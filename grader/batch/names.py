"""Folders named after people and things from outside: whatever a name holds, it is one part of a path below ours."""

from __future__ import annotations

import hashlib
import re
import shutil
from pathlib import Path

_PLAIN = re.compile(r"[A-Za-z0-9@_][A-Za-z0-9@._-]{0,79}")


class Outside(ValueError):
    """A folder that was to be emptied does not lie where everything of ours lies."""


def folder_of(name: str) -> str:
    """A folder's name for any text, safe on any file system and different for different texts."""
    if _PLAIN.fullmatch(name) and not name.endswith("."):
        return name
    plain = re.sub(r"[^A-Za-z0-9._-]+", "_", name).strip("._-")[:40] or "student"
    return f"{plain}-{hashlib.sha256(name.encode('utf-8', 'surrogatepass')).hexdigest()[:8]}"


def emptied(place: Path, below: Path) -> Path:
    """An empty folder at `place`; what was there is removed. Raises Outside unless it lies below `below`, OSError."""
    below.mkdir(parents=True, exist_ok=True)
    top = below.resolve()
    parent = (
        place.parent.resolve()
    )  # the last part is not followed: a link there is removed, not what it leads to
    if (
        place.name in ("", "..")
        or not (parent / place.name).is_relative_to(top)
        or parent / place.name == top
    ):
        raise Outside(f"{place} does not lie below {below}; nothing was removed")
    if place.is_symlink():
        place.unlink()
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    return place
