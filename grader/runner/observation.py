"""What a runner does, seen from outside: its mappings, descriptors, memory and system calls, as the kernel tells them.

Nothing here asks the runner itself. `/proc` and `strace` need the right to look into it, which root and the parent
of a process have on most machines; where they are refused, Unobservable says so.
"""

from __future__ import annotations

import collections
import contextlib
import os
import re
import select
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

_ATTACH_S = 10.0
_MAX_LOG = 64 << 20
MARK = "getppid"
"""The system call that `guest_mark` makes; nobody else has a reason to."""
_LINE = re.compile(r"^(?P<thread>\d{1,9})\s+(?:(?P<name>\w+)\(|<\.\.\. )(?P<rest>.*)$", re.MULTILINE)
_CUT_SHORT = re.compile(r" = \? ERESTART(?:SYS|NOINTR|NOHAND) \([^()]*\)$")


class Unobservable(Exception):
    """This machine does not let the grader look; the message says what would help."""


@dataclass(frozen=True)
class Mapping:
    """One line of proc_pid_maps(5): addresses start .. end, permissions such as 'r--s', and the file."""

    start: int
    end: int
    permissions: str
    path: str


def mappings(pid: int) -> list[Mapping]:
    """The address space of a process. Raises Unobservable when it may not be read."""
    with _looking_into(pid):
        text = Path(f"/proc/{pid}/maps").read_bytes().decode("utf-8", "replace")
    found = []
    # Not splitlines: of all the ends of lines the kernel escapes this one only in names.
    for line in text.removesuffix("\n").split("\n"):
        place, permissions, _, _, _, *path = line.split(maxsplit=5)
        start, _, end = place.partition("-")
        found.append(Mapping(int(start, 16), int(end, 16), permissions, path[0] if path else ""))
    return found


def descriptors(pid: int) -> dict[int, str]:
    """Open descriptors of a process, and what each is open on. Raises Unobservable when they may not be read."""
    folder = Path(f"/proc/{pid}/fd")
    found = {}
    with _looking_into(pid):
        for entry in folder.iterdir():
            with contextlib.suppress(FileNotFoundError):
                found[int(entry.name)] = os.fspath(entry.readlink())
    return found


def resident_mib(pid: int) -> float:
    """Memory that a process really has in MiB, pages of mapped files included (proc_pid_statm(5))."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / (1 << 20)


@contextlib.contextmanager
def _looking_into(pid: int) -> Iterator[None]:
    try:
        yield
    except PermissionError as error:
        raise Unobservable(f"needs the right to look into process {pid}: grade as root") from error


@dataclass
class Traced:
    """System calls by name, there when the `with` has ended: those between the first and the last mark, and without
    regard to marks those of every program that was executed, by process, in the order in which they appeared."""

    counts: collections.Counter[str] = field(default_factory=collections.Counter)
    processes: dict[int, collections.Counter[str]] = field(default_factory=dict)


@contextlib.contextmanager
def tracing(pid: int) -> Iterator[Traced]:
    """Count the system calls of a process and its threads with `strace`, started here and attached from outside.

    Raises Unobservable when there is no strace or it may not attach. The process stays as it was, stopped or not.
    """
    program = shutil.which("strace")
    if program is None:
        raise Unobservable("needs strace: apt-get install strace")
    traced = Traced()
    with tempfile.NamedTemporaryFile(prefix="grader-strace-") as log:
        command = [program, "-f", "-s", "0", "-e", "signal=none", "-o", log.name, "-p", str(pid)]
        tracer = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env={"PATH": "/usr/bin:/bin", "LC_ALL": "C"},
            start_new_session=True,
        )
        try:
            _wait_until_attached(tracer)
            yield traced
        finally:
            tracer.send_signal(signal.SIGINT)  # it lets go and ends
            try:
                tracer.communicate(timeout=_ATTACH_S)
            except subprocess.TimeoutExpired:
                tracer.kill()
                tracer.communicate()
        text = log.read(_MAX_LOG).decode("utf-8", "replace")
        traced.counts = count(text)
        traced.processes = by_process(text)


def count(log: str) -> collections.Counter[str]:
    """Calls by name between the first and the last MARK of a log of `strace -f -o`. Pure."""
    names = [name for _, name in _calls(log)]
    marks = [index for index, name in enumerate(names) if name == MARK]
    between = names[marks[0] + 1 : marks[-1]] if len(marks) > 1 else []
    return collections.Counter(name for name in between if name != MARK)


def by_process(log: str) -> dict[int, collections.Counter[str]]:
    """Calls by name for every process of a log of `strace -f -o` that executes a program, until it executes another;
    in the order in which they appeared. Pure."""
    found: dict[int, collections.Counter[str]] = {}
    done: set[int] = set()
    for pid, name in _calls(log):
        if name == "execve" and pid in found:
            done.add(pid)
        elif name == "execve":
            found[pid] = collections.Counter()
        elif pid in found and pid not in done:
            found[pid][name] += 1
    return found


def _calls(log: str) -> list[tuple[int, str]]:
    """The thread and the name of every call, in the order in which they began.

    A call that another thread interrupts is 'unfinished' first and 'resumed' later. One that a signal cuts short is
    begun again by the kernel and counts once: a tracer makes signals arrive that would have been ignored.
    """
    calls: list[tuple[int, str] | None] = []
    latest: dict[int, int] = {}
    for line in _LINE.finditer(log):
        thread, name = int(line["thread"]), line["name"]
        if name:
            latest[thread] = len(calls)
            calls.append((thread, name))
        if thread in latest and _CUT_SHORT.search(line["rest"]):
            calls[latest[thread]] = None
    return [call for call in calls if call is not None]


def _wait_until_attached(tracer: subprocess.Popen[bytes]) -> None:
    assert tracer.stderr is not None
    said, deadline = b"", time.monotonic() + _ATTACH_S
    while b"attached" not in said:
        ready, _, _ = select.select([tracer.stderr], [], [], max(0.0, deadline - time.monotonic()))
        piece = os.read(tracer.stderr.fileno(), 4096) if ready else b""
        if not piece:
            words = said.decode("utf-8", "replace").strip() or "no answer"
            raise Unobservable(f"strace may not watch a runner here ({words}): grade as root")
        said += piece
