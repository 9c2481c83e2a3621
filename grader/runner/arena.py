"""Arenas: the shared memory through which arrays reach a guest, and where in it each array is placed.

Two sealed memfds per guest. The grader alone can write the input arena (F_SEAL_FUTURE_WRITE), so a student's write
to a `const` array faults; neither can be resized. Arrays lie in windows of whole pages with closed pages between.
"""

from __future__ import annotations

import contextlib
import fcntl
import mmap
import os
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from grader.runner.channel import Arena, Pointer, Window

PAGE = mmap.PAGESIZE
_F_ADD_SEALS = 1033
_SEAL_SEAL, _SEAL_SHRINK, _SEAL_GROW, _SEAL_FUTURE_WRITE = 1, 2, 4, 16

Edge = Literal["end", "start", "inside"]
"""Where in its window an array lies: against the closed page after it, before it, or aligned and inside."""


@dataclass(frozen=True)
class Block:
    """One array's place: `offset` and `nbytes` in its arena, inside `window`."""

    arena: Arena
    offset: int
    nbytes: int
    window: Window

    @property
    def pointer(self) -> Pointer:
        return Pointer(self.arena, self.offset)


class SharedMemory:
    """One memfd mapped by the grader. Close it when the guest is gone."""

    def __init__(self, arena: Arena, size: int) -> None:
        self.arena: Arena = arena
        self.size = -(-size // PAGE) * PAGE
        self.fd = os.memfd_create(f"arena{arena}", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        try:
            os.ftruncate(self.fd, self.size)
            self._map = mmap.mmap(self.fd, self.size)
            seals = _SEAL_SEAL | _SEAL_SHRINK | _SEAL_GROW | (_SEAL_FUTURE_WRITE if arena == 0 else 0)
            fcntl.fcntl(self.fd, _F_ADD_SEALS, seals)
        except BaseException:
            os.close(self.fd)
            raise

    def bytes_of(self, offset: int, nbytes: int) -> npt.NDArray[np.uint8]:
        """A writable view of the arena's bytes, shape (nbytes,)."""
        return np.frombuffer(self._map, dtype=np.uint8, count=nbytes, offset=offset)

    def close(self) -> None:
        """Unmap and close. A view that a test still holds keeps the mapping alive until it goes too."""
        os.close(self.fd)
        with contextlib.suppress(BufferError):
            self._map.close()


class Placer:
    """Places arrays one after the other in an arena, with a closed page between neighbours."""

    def __init__(self, arena: Arena, size: int, first_page: int = 0) -> None:
        self._arena: Arena = arena
        self._size = size
        self._next = first_page * PAGE

    def place(self, nbytes: int, edge: Edge, skew: int = 0) -> Block:
        """A block of `nbytes`; `skew` bytes further in, for "inside" (a multiple of the wanted alignment).

        Raises MemoryError when the arena is full.
        """
        room = nbytes + (skew if edge == "inside" else 0)
        length = max(PAGE, -(-room // PAGE) * PAGE)
        start = self._next
        if start + length > self._size:
            raise MemoryError(f"an arena of {self._size} bytes is too small for this call's arrays")
        self._next = start + length + PAGE
        offset = {"end": start + length - nbytes, "start": start, "inside": start + skew}[edge]
        return Block(self._arena, offset, nbytes, Window(self._arena, start, length))
