"""Who may use this machine: correctness beside others, timed tests alone, one submission per sandbox user and GPU.

File locks (flock(2)) in a folder of this machine's memory, so that they hold between processes of one batch, between
two batches and between the jobs of a cluster that share a node; the kernel opens them when their owner dies.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from grader.trouble import CannotWork

_LOOK_AGAIN_S = 0.05


class NoPlace(CannotWork):
    """The locks cannot be kept on this machine; the message says why."""


@dataclass(frozen=True)
class Locks:
    """The locks in one folder: `gate` lets one through at a time, `floor` is held by all who work."""

    folder: Path

    @contextlib.contextmanager
    def shared(self) -> Iterator[Floor]:
        """Work beside others. Waits while somebody has, or waits for, the machine alone."""
        with _opened(self.folder / "gate") as gate, _opened(self.folder / "floor") as floor:
            with _locked(gate):
                fcntl.flock(floor, fcntl.LOCK_SH)
            yield Floor(gate, floor)

    @contextlib.contextmanager
    def one_of(self, name: str, numbers: range) -> Iterator[int]:
        """The first of these numbers that nobody on this machine holds; waits for one when all are taken."""
        while True:
            for number in numbers:
                with _opened(self.folder / f"{name}-{number}") as file:
                    if _taken(file):
                        yield number
                        return
            time.sleep(_LOOK_AGAIN_S)


@dataclass(frozen=True)
class Floor:
    """A place beside others, which can be exchanged for the machine alone and back."""

    gate: int
    floor: int

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Nobody else works meanwhile. New ones wait at the gate; those at work come to their end first."""
        # The own place is given up before waiting: two who both want to be alone would wait for each other.
        fcntl.flock(self.floor, fcntl.LOCK_UN)
        with _locked(self.gate):
            fcntl.flock(self.floor, fcntl.LOCK_EX)
            try:
                yield
            finally:
                fcntl.flock(self.floor, fcntl.LOCK_SH)


def locks() -> Locks:
    """The locks of this user on this machine. Raises NoPlace when their folder belongs to somebody else."""
    memory = Path("/dev/shm")  # never on a network, unlike a home or a cache
    parent = memory if os.access(memory, os.W_OK) else Path(tempfile.gettempdir())
    folder = parent / f"grading-{os.getuid()}"
    with contextlib.suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
        raise NoPlace(f"{folder} belongs to somebody else; remove it, the grader keeps its locks there")
    return Locks(folder)


def gpus() -> int:
    """NVIDIA GPUs that the driver shows."""
    with contextlib.suppress(OSError):
        return sum(1 for _ in Path("/proc/driver/nvidia/gpus").iterdir())
    return 0


@contextlib.contextmanager
def _opened(file: Path) -> Iterator[int]:
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _locked(descriptor: int) -> Iterator[None]:
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    try:
        yield
    finally:
        fcntl.flock(descriptor, fcntl.LOCK_UN)


def _taken(descriptor: int) -> bool:
    with contextlib.suppress(BlockingIOError):
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    return False
