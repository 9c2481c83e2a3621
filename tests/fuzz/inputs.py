"""What the fuzz targets share: reading a fuzzer's bytes as text, numbers and choices."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

REPEATED = 1 << 16
"""Characters to which some inputs are repeated: what takes time by the square shows at this length."""


class Bytes:
    """A fuzzer's bytes, taken from the front. When they are used up, zeros and nothing follow."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def __bool__(self) -> bool:
        return bool(self._data)

    def take(self, count: int) -> bytes:
        """Up to `count` bytes."""
        taken, self._data = self._data[:count], self._data[count:]
        return taken

    def number(self, size: int = 1) -> int:
        """A number of `size` bytes, little endian."""
        return int.from_bytes(self.take(size), "little")

    def piece(self) -> bytes:
        """Some bytes with their length before them (two bytes)."""
        return self.take(self.number(2))

    def rest(self) -> bytes:
        """All that is left."""
        return self.take(len(self._data))


def text(data: bytes) -> str:
    """Text as tools' output is read. When the first byte is '*' the rest is repeated, up to REPEATED characters."""
    if data[:1] != b"*":
        return data.decode("utf-8", "replace")
    found = data[1:].decode("utf-8", "replace")
    return found * (REPEATED // len(found)) if found else ""


def folder() -> tempfile.TemporaryDirectory[str]:
    """A new folder, in memory where there is one."""
    memory = "/dev/shm"
    return tempfile.TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else None)


def file(place: str, name: str, data: bytes) -> Path:
    """A file in it."""
    path = Path(place, name)
    path.write_bytes(data)
    return path
