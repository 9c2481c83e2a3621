"""A whole conversation with a guest that says anything: values, GuestFailed, or RuntimeError before it loads the build.

The guest is a child that only sleeps, so that it can be frozen and thawed; what it says has been put into its socket
before. Half of the batches' tokens are known to it, so that it gets further than a guess would.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from unittest import mock

from grader.runner import channel, host
from grader.runner.channel import Call, Handle, Pointer, Window
from grader.runner.host import Guest, GuestFailed, GuestLimits, GuestSpec
from tests.fuzz.inputs import Bytes

TOKEN = int.from_bytes(b"a token!", "little")
_ROUNDS, _FRAMES = 3, 6
_CALLS = (Call(0, (1, -2, 0.5, None, Pointer(1, 64), Handle(3))), Call(1, ()))


class _Launched:
    """Stands for the launcher's process: alive until the grader ends it, or gone with any exit status."""

    def __init__(self, status: int | None) -> None:
        self.returncode = status

    def poll(self) -> int | None:
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        if self.returncode is None:
            raise subprocess.TimeoutExpired("launcher", timeout or 0.0)
        return self.returncode


@contextlib.contextmanager
def _sleeper() -> Iterator[int]:
    """A child that does nothing until it is killed."""
    pid = os.fork()
    if pid == 0:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        while True:
            signal.pause()
    try:
        yield pid
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def _guest(pid: int, status: int | None) -> tuple[Guest, socket.socket, int]:
    """A guest whose process is a stand-in, the guest's end of its channel, and that of what it prints."""
    guest = Guest.__new__(Guest)
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    read_end, write_end = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    functions = ("first", "second")
    guest.spec = GuestSpec(
        module=host.Path("/m"),
        library=host.Path("/l"),
        functions=functions,
        limits=GuestLimits(0.01, output_kib=1),
    )
    guest._output = bytearray()
    guest._process, guest._channel, guest._printed = _Launched(status), ours, read_end  # type: ignore[assignment]
    guest.pid, guest.addresses = pid, (0, 0)
    guest._started = guest._greeted = False
    guest._cpu_at_call_s, guest._cpu_when_stopped_ns = 0.0, 0
    guest._group, guest._scratch, guest._shows_cores = None, None, True
    return guest, theirs, write_end


def _talk(source: Bytes, pid: int) -> None:
    options = source.number()
    guest, theirs, write_end = _guest(pid, source.number() - 128 if options & 1 else None)
    with contextlib.ExitStack() as undo:
        undo.callback(guest._channel.close)
        undo.callback(theirs.close)
        undo.callback(os.close, write_end)
        undo.callback(os.close, guest._printed)
        with contextlib.suppress(BlockingIOError):
            os.write(write_end, source.piece()[:4096])
        for _ in range(_FRAMES):
            if source:
                theirs.send(source.piece()[: channel.MAX_FRAME])
        if options & 2:
            theirs.close()
        if options & 4:
            guest._started = guest._greeted = True
        for _ in range(_ROUNDS):
            calls = _CALLS[: source.number() % 3]
            try:
                values, timing = guest.call(calls, [Window(1, 0, 4096)] if options & 8 else None)
            except GuestFailed as failure:
                assert failure.summary and failure.kind in ("crashed", "hung", "exited", "flooded", "forged")
                assert len(failure.output) <= 1024
                return
            except RuntimeError:
                assert not guest._greeted
                return
            assert len(values) == len(calls) and timing.wall_s >= 0.0


def one_input(data: bytes) -> None:
    """One byte of options, what it prints, then its frames, each with its length."""
    with contextlib.ExitStack() as undo:
        pid = undo.enter_context(_sleeper())
        undo.enter_context(mock.patch.object(host, "START_S", 0.01))
        undo.enter_context(mock.patch.object(host, "end", _end))
        undo.enter_context(mock.patch.object(host.Guest, "_ask_for_stacks", lambda guest: None))
        undo.enter_context(mock.patch.object(host.secrets, "randbits", lambda bits: TOKEN))
        # What it costs to freeze a forked fuzzer is not the stopped guest's own work.
        undo.enter_context(mock.patch.object(host, "_STOPPED_NS", 10**9))
        _talk(Bytes(data), pid)


def _end(process: _Launched) -> None:
    if process.returncode is None:
        process.returncode = -9
