"""Programs run in a sandbox, one after another, each in a fresh folder, and what came of each as seen from outside.

A sandbox is started once; in it a small server (`serve.c`) starts the programs, so that thousands of runs cost
thousands of forks and not thousands of sandboxes. When a program has ended, whatever it left behind is killed. The
server is as untrusted as the programs are: its answers are compared with what is expected, and time is what the
grader's clock and the kernel's count for the server's ended children say.

A frame to the server: its length, nine numbers (see `_encode`), then texts. An answer: its length, five numbers (see
`_decode`), three texts, and files. Numbers have four bytes, texts their length before them.

`needed_bytes`, `stage`, `write` and `read_back` do for runs what those of `invoke.py` do for calls, so that programs
can fight a duel.
"""

from __future__ import annotations

import array
import contextlib
import os
import pty
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, Literal

from grader import cache
from grader.runner.host import GuestFailed, Timing
from grader.sandbox import cgroup
from grader.sandbox.confine import Confinement, Tier, end, hand_over, start, task_limit
from grader.trouble import CannotWork

FOLDER = "/tmp/work"
"""Where programs run, as they see it. Without namespaces of their own it lies elsewhere, and outputs are translated."""

START_S = 20.0
_GRACE_S = 10.0
"""Beyond a run's own limit: the server must have answered by then, or it is dead or stopped."""

_SPARE_TASKS = 32
"""So much higher is the limit of each process than that of the group, which can tell that it was reached."""

_STDIN: Mapping[str, int] = {"empty": 0, "file": 1, "pipe": 2, "closed": 3, "terminal": 4}
_TIMED_OUT, _FLOODED, _NOT_STARTED, _STOPPED = 1, 2, 4, 8
_MAX_ANSWER, _MOST_LEFT = 256 << 20, 512
_TICK_NS = 1_000_000_000 // os.sysconf("SC_CLK_TCK")

Stdin = Literal["empty", "file", "pipe", "closed"]


@dataclass(frozen=True)
class ProgramSpec:
    """What a sandbox for programs holds. Paths are the same inside and outside.

    `path` is the PATH of every program; of the folders in it only what `read_only` names is there.
    """

    server: Path
    read_only: tuple[Path, ...]
    path: str
    symlinks: tuple[tuple[str, str], ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    memory_mib: int | None = 4096
    """Addresses of one process; None: not limited."""
    resident_mib: int = 4096
    """Memory of all processes together, where a control group can be made."""
    processes: int = 256
    cpu_s: int = 600
    """CPU time of one process."""
    file_mib: int = 64
    fixed_addresses: bool = False
    """For programs with a sanitizer inside."""


@dataclass(frozen=True)
class Run:
    """One run of a program: its command line (argv[0] is a path), what it finds, and when it is stopped.

    `files` maps names in the working folder to contents, `executable` names those that may be executed. `linger_s` is
    how long what still runs in the background may go on after the program has ended.
    """

    argv: tuple[str | bytes, ...]
    stdin: bytes = b""
    stdin_kind: Stdin = "empty"
    files: Mapping[str, bytes] = field(default_factory=dict)
    executable: frozenset[str] = frozenset()
    environment: Mapping[str, str] = field(default_factory=dict)
    timeout_s: float = 5.0
    linger_s: float = 0.0
    output_kib: int = 256
    descriptors: int = 0
    """Descriptors that it may have open; 0: as many as the sandbox allows."""
    processes: int = 0
    """Processes that the sandbox's user may have; 0: as many as the spec says."""


@dataclass(frozen=True)
class Ended:
    """What came of a run. `status` as a shell tells it: the exit status, or 128 + the signal that ended it."""

    status: int
    stdout: bytes
    stderr: bytes
    files: Mapping[str, bytes]
    """The regular files in the working folder afterwards, up to 64, up to a MiB of each."""
    left: tuple[str, ...]
    """Names of the processes that still ran when it had ended and `linger_s` was over."""
    unburied: int
    """Ended processes that nobody had waited for."""
    wall_s: float
    timed_out: bool = False
    flooded: bool = False
    stopped: bool = False
    cpu_s: float = 0.0
    """CPU time of the program and everything it started, as the kernel counts it, in steps of a clock tick."""
    signal: int = 0
    """The signal that ended it; 0 when it ended by itself."""
    over: str = ""
    """The limit of the lab that it ran into, in words: 'wrote a file of more than 64 MiB'. Also one of its processes
    that was killed for the memory of all of them, or not started because there were too many."""


class ProgramRunner:
    """A running sandbox for programs. Use as a context manager.

    Raises OSError or RuntimeError when it cannot be started. After GuestFailed it is dead.
    """

    def __init__(self, tier: Tier, spec: ProgramSpec) -> None:
        self.spec = spec
        self._others = task_limit(tier, 1) - 1
        self._isolated = tier.has_namespaces
        self._errors: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed by `close`
        self._scratch = None if self._isolated else cache.scratch_folder()
        if self._scratch is not None:
            hand_over(tier, self._scratch)
        self.folder = FOLDER if self._scratch is None else str(self._scratch / "work")
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self._channel = ours
        self.pid = 0
        self._group = cgroup.make(spec.resident_mib, spec.processes)
        self._told = (0, 0)
        command = [str(spec.server), str(theirs.fileno()), self.folder, "1" if self._isolated else "0"]
        confinement = Confinement(
            read_only=(spec.server, *spec.read_only),
            writable=(self._scratch,) if self._scratch is not None else (),
            symlinks=spec.symlinks,
            environment={"PATH": spec.path},
            policy="processes",
            tmp_mib=256,
            cpu_s=spec.cpu_s,
            memory_mib=spec.memory_mib,
            file_mib=spec.file_mib,
            fixed_addresses=spec.fixed_addresses,
            group=self._group,
        )
        try:
            self._process = start(
                tier,
                confinement,
                command,
                stdout=subprocess.DEVNULL,
                stderr=self._errors,
                pass_fds=[theirs.fileno()],
            )
        except BaseException:
            self._channel.close()
            self._errors.close()
            self._remove_group()
            raise
        finally:
            theirs.close()

    def __enter__(self) -> ProgramRunner:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def wait_until_ready(self) -> None:
        """Wait for the server's hello; the first run does this by itself. Raises RuntimeError when it does not come."""
        if self.pid:
            return
        self._channel.settimeout(START_S)
        try:
            hello, ancillary, _, _ = self._channel.recvmsg(1, socket.CMSG_SPACE(12), socket.MSG_CMSG_CLOEXEC)
        except OSError:
            hello, ancillary = b"", []
        credentials = [body for _, kind, body in ancillary if kind == socket.SCM_CREDENTIALS]
        if hello != b"H" or not credentials:
            said = self._said()
            self.close()
            raise CannotWork(f"the sandbox could not start the server of programs: {said}")
        self.pid = array.array("i", credentials[0])[0]

    def run(self, run: Run) -> Ended:
        """One run, from its start to its end. Raises GuestFailed when the server is gone or does not answer."""
        before = self._begin(run, None)
        return self._settle(run, before)

    def stop(self) -> None:
        """Tell the server to end the program that a `session` runs."""
        with contextlib.suppress(OSError):
            self._channel.send(b"K")

    @contextlib.contextmanager
    def session(self, run: Run) -> Iterator[Session]:
        """A run on a terminal of its own: the program's standard input, output and error, and its controlling terminal.

        When the `with` ends, the program is stopped unless it has ended by itself.
        """
        ours, theirs = pty.openpty()
        try:
            before = self._begin(run, theirs)
            os.close(theirs)
            theirs = -1
            session = Session(ours, lambda: self._settle(run, before), self.stop)
            try:
                yield session
            finally:
                session.close()
        finally:
            for fd in (ours, theirs):
                if fd >= 0:
                    os.close(fd)

    def call(
        self,
        calls: Sequence[Run],
        windows: object = None,
        *,
        timeout_s: float | None = None,
        cpu_limit_s: float | None = None,
    ) -> tuple[tuple[Ended, ...], Timing]:
        """Runs for a duel: all of them in turn, what came of each, and what they cost together.

        Raises GuestFailed ("hung") when one is stopped for its time, or all of them used more than `cpu_limit_s`.
        """
        ended = []
        begun, cpu_before = time.perf_counter_ns(), self.cpu_ns() if calls else 0
        for run in calls:
            ended.append(self.run(run if timeout_s is None else _patient(run, timeout_s)))
            cpu_s = (self.cpu_ns() - cpu_before) * 1e-9
            if ended[-1].timed_out or (cpu_limit_s is not None and cpu_s > cpu_limit_s):
                raise GuestFailed("hung", "did not end in time", output=ended[-1].stderr, cpu_s=cpu_s)
        wall_s = (time.perf_counter_ns() - begun) * 1e-9
        return tuple(ended), Timing((self.cpu_ns() - cpu_before) * 1e-9 if calls else 0.0, wall_s)

    def cpu_ns(self) -> int:
        """CPU time of the server and of all its ended children with theirs, in ns, by ticks (proc_pid_stat(5))."""
        self.wait_until_ready()
        try:
            fields = Path(f"/proc/{self.pid}/stat").read_bytes().rpartition(b")")[2].split()
        except OSError as error:
            raise self._gone() from error
        return sum(map(int, fields[11:15])) * _TICK_NS

    def pin(self, cores: set[int]) -> None:
        """Let the server and the programs that it starts from now on run on these cores only."""
        self.wait_until_ready()
        with contextlib.suppress(ProcessLookupError):
            os.sched_setaffinity(self.pid, cores)

    def close(self) -> None:
        """Kill the sandbox with everything in it. May be called twice."""
        if self._process.poll() is None:
            self._channel.close()
            end(self._process)
            self._process.wait()
        self._channel.close()
        self._errors.close()
        self._remove_group()
        if self._scratch is not None:
            shutil.rmtree(self._scratch, ignore_errors=True)

    def _begin(self, run: Run, terminal: int | None) -> int:
        self.wait_until_ready()
        before = self.cpu_ns()
        environment = {"PATH": self.spec.path, "HOME": self.folder, "LC_ALL": "C"}
        frame = _encode(
            run,
            {**environment, **self.spec.environment, **run.environment},
            "terminal" if terminal is not None else run.stdin_kind,
            (run.processes or self.spec.processes + (_SPARE_TASKS if self._group else 0)) + self._others,
        )
        self._channel.settimeout(START_S)
        rights = (
            [] if terminal is None else [(socket.SOL_SOCKET, socket.SCM_RIGHTS, struct.pack("<i", terminal))]
        )
        try:
            sent = self._channel.sendmsg([frame], rights)
            self._channel.sendall(frame[sent:])
        except OSError as error:
            raise self._gone() from error
        return before

    def _settle(self, run: Run, cpu_before: int) -> Ended:
        deadline = time.monotonic() + run.timeout_s + run.linger_s + _GRACE_S
        (length,) = struct.unpack("<I", self._receive(4, deadline))
        if length > _MAX_ANSWER:
            raise self._failure("forged", "wrote to the grader's channel: an answer that is too long")
        body = self._receive(length, deadline)
        cpu_s = (self.cpu_ns() - cpu_before) * 1e-9
        try:
            ended = _decode(body, self.folder, cpu_s)
            return replace(ended, over=self._over(ended))
        except (struct.error, ValueError) as error:
            raise self._failure("forged", f"wrote to the grader's channel: {error}") from error

    def _over(self, ended: Ended) -> str:
        """The limit that this run ran into; of several the first that matters."""
        seen = (self._group.memory_kills(), self._group.refused_tasks()) if self._group else (0, 0)
        before, self._told = self._told, seen
        if seen[0] > before[0]:
            return f"used more than {self.spec.resident_mib} MiB of memory, all its processes together"
        if seen[1] > before[1]:
            return f"started more than {self.spec.processes} processes"
        if ended.signal == signal.SIGXFSZ:
            return f"wrote a file of more than {self.spec.file_mib} MiB"
        if ended.signal == signal.SIGXCPU:
            return f"used more than {self.spec.cpu_s} s of CPU time"
        return ""

    def _remove_group(self) -> None:
        if self._group is not None:
            self._group.remove()

    def _receive(self, length: int, deadline: float) -> bytes:
        data = bytearray()
        while len(data) < length:
            self._channel.settimeout(max(0.001, deadline - time.monotonic()))
            try:
                piece = self._channel.recv(min(length - len(data), 1 << 20))
            except TimeoutError as error:
                raise self._failure("hung", "stopped the sandbox's server") from error
            except OSError:
                piece = b""
            if not piece:
                raise self._gone()
            data += piece
        return bytes(data)

    def _gone(self) -> GuestFailed:
        return self._failure("exited", "ended the sandbox's server (a signal to every process there is?)")

    def _failure(self, kind: Literal["exited", "hung", "forged"], words: str) -> GuestFailed:
        said = self._said()
        self.close()
        return GuestFailed(kind, words, output=said.encode())

    def _said(self) -> str:
        """What the launcher or the server printed, for the message."""
        self._errors.seek(0)
        return self._errors.read(2000).decode("utf-8", "replace").strip()


class Session:
    """A program on a terminal; `fd` is the other side of it. `wait` gives what came of it."""

    def __init__(self, fd: int, settle: Callable[[], Ended], stop: Callable[[], None]) -> None:
        self.fd = fd
        self._settle = settle
        self._stop = stop
        self._ended: Ended | None = None

    def wait(self) -> Ended:
        """Wait for the program's end, by itself or at its time limit. Raises GuestFailed like `ProgramRunner.run`."""
        if self._ended is None:
            self._ended = self._settle()
        return self._ended

    def close(self) -> None:
        """Stop the program if it still runs."""
        if self._ended is None:
            self._stop()
            with contextlib.suppress(GuestFailed):
                self.wait()


def _patient(run: Run, timeout_s: float) -> Run:
    return run if run.timeout_s >= timeout_s else Run(**{**run.__dict__, "timeout_s": timeout_s})


def _encode(run: Run, environment: Mapping[str, str], stdin_kind: str, processes: int) -> bytes:
    """A run as the server reads it, its length before it. Texts have a length and end with a NUL besides."""
    words = [_bytes(word) for word in run.argv]
    variables = [_bytes(f"{name}={value}") for name, value in environment.items()]
    numbers = (
        *(int(run.timeout_s * 1000), int(run.linger_s * 1000), run.output_kib << 10),
        *(processes, run.descriptors, _STDIN[stdin_kind]),
        *(len(words), len(variables), len(run.files)),
    )
    body = struct.pack("<9I", *numbers) + b"".join(map(_text, (run.stdin, *words, *variables)))
    for name, data in run.files.items():
        mode = 0o40755 if name.endswith("/") else 0o755 if name in run.executable else 0o644
        body += _text(_bytes(name.rstrip("/"))) + struct.pack("<I", mode) + _text(data)
    return struct.pack("<I", len(body)) + body


def _decode(body: bytes, folder: str, cpu_s: float) -> Ended:
    """The server's answer. Raises struct.error or ValueError for anything that is none."""
    status, flags, left, unburied, wall_us = struct.unpack_from("<5I", body)
    if flags & _NOT_STARTED:
        raise ValueError("a program could not be started")
    if status > 0xFFFF or left > _MOST_LEFT:
        raise ValueError("numbers that no kernel gives")
    position = 20
    texts = []

    def text() -> bytes:
        nonlocal position
        (length,) = struct.unpack_from("<I", body, position)
        position += 4 + length
        if position > len(body):
            raise ValueError("a cut answer")
        return body[position - length : position]

    texts = [text() for _ in range(3)]
    (count,) = struct.unpack_from("<I", body, position)
    position += 4
    files = {text().decode("utf-8", "surrogateescape"): text() for _ in range(min(count, 64))}
    if folder != FOLDER:
        texts = [item.replace(folder.encode(), FOLDER.encode()) for item in texts]
    names = texts[2].decode("utf-8", "replace").split("\n")[:-1]
    return Ended(
        status=os.waitstatus_to_exitcode(status) if os.WIFEXITED(status) else 128 + os.WTERMSIG(status),
        stdout=texts[0],
        stderr=texts[1],
        files=files,
        left=tuple(names) + ("?",) * max(0, left - len(names)),
        unburied=unburied,
        wall_s=wall_us * 1e-6,
        timed_out=bool(flags & _TIMED_OUT),
        flooded=bool(flags & _FLOODED),
        stopped=bool(flags & _STOPPED),
        cpu_s=cpu_s,
        signal=os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0,
    )


def _bytes(text: str | bytes) -> bytes:
    return text.encode("utf-8", "surrogateescape") if isinstance(text, str) else text


def _text(data: bytes) -> bytes:
    return struct.pack("<I", len(data)) + data + b"\0"


# --- Runs in a duel ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class StagedRuns:
    """Runs that are ready: nothing has to be laid out beforehand."""

    calls: tuple[Run, ...]
    windows: tuple[object, ...] = ()


def needed_bytes(interface: object, runs: Sequence[Run]) -> tuple[int, int]:
    """Runs need no room in arenas."""
    return 0, 0


def stage(
    runner: ProgramRunner,
    interface: object,
    runs: Sequence[Run],
    edge: str = "end",
    skew: Callable[[], int] = lambda: 0,
    first_page: int = 0,
) -> StagedRuns:
    """The runs as they are."""
    return StagedRuns(tuple(runs))


def write(runner: ProgramRunner, interface: object, staged: StagedRuns) -> None:
    """Nothing: a run brings its files along."""


def read_back(runner: ProgramRunner, interface: object, staged: StagedRuns) -> None:
    """Nothing: outputs are in what came of a run."""
