"""The trusted side of a runner: starts a guest in the sandbox, freezes it, calls it, and times it with its own clock.

Between calls the guest is stopped with all its threads, so that no thread of it can look at inputs before the clock
runs or finish an output after it stopped. CPU time is the kernel's count for the whole process, read while it is
stopped; the guest reports no time and its answers are never evidence.
"""

from __future__ import annotations

import array
import contextlib
import ctypes
import os
import resource
import secrets
import select
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from grader import cache
from grader.runner import channel, runtime
from grader.runner.arena import SharedMemory
from grader.runner.channel import Call, Crash, Value, Window
from grader.sandbox import cgroup
from grader.sandbox.cgroup import Group
from grader.sandbox.confine import (
    Confinement,
    Tier,
    end,
    fixed_addresses_allowed,
    hand_over,
    is_off_core,
    is_stopped,
    start,
    task_limit,
)
from grader.sandbox.seccomp import Policy
from grader.trouble import CannotWork

START_S = 20.0
"""A guest that has not said hello by then was stopped by its own code (a constructor), or the machine is stuck."""

_STOPPED_NS = 1_000_000
"""CPU time that a stopped guest may seem to use: the kernel's last steps of stopping it."""

_UNSEEN_NS = 20_000_000
"""The same where we cannot see whether its threads have left their cores: until then the kernel counts by ticks."""

_LEAVING_S = 0.02
"""A thread that has not left its core by then is one that we cannot see leave."""

_UNLIMITED = 4 << 20
"""More tasks than there are pids (PID_MAX_LIMIT, linux/threads.h)."""

_STACK_SIGNAL, _TGKILL, _MAX_STACKS = 43, 234, 64
"""Asks a thread where it is (guest_support.c); the call that signals one thread (asm/unistd_64.h); threads asked."""

SANITIZED = ("asan", "tsan")
"""Variants whose runtime needs its own places in the address space, and may not get them."""

_STARTS = 24
"""Of a runner with a sanitizer: if one in four dies, all do once in 4^24 (10^14) times; if one in two, in 10^7."""

_SANITIZERS = {"asan": "AddressSanitizer", "tsan": "ThreadSanitizer"}


def cure(variant: str) -> str:
    """What to do where this variant's sanitizer dies before it has loaded anything."""
    if resource.getrlimit(resource.RLIMIT_AS)[0] != resource.RLIM_INFINITY:
        how = "this shell limits addresses, of which it reserves many TiB: ulimit -v unlimited in a new shell"
    elif fixed_addresses_allowed():
        how = "use another compiler (CC=gcc)"
    else:
        how = "sudo sysctl -w vm.mmap_rnd_bits=28"
    return f"{_SANITIZERS[variant]} does not start here: {how}"


UNLIMITED_ADDRESSES_MIB = 4096
"""Memory of a guest whose addresses cannot be limited: sanitizers and valgrind reserve more than there is."""

FailureKind = Literal["crashed", "greedy", "hung", "exited", "flooded", "forged", "broken"]


@dataclass(frozen=True)
class GuestLimits:
    """Limits of one guest: seconds per call, MiB of addresses and of memory (None: not limited), KiB printed, tasks
    (0: not limited), seconds of CPU time in its life, MiB of one file."""

    call_s: float = 10.0
    memory_mib: int | None = 4096
    resident_mib: int | None = None
    """Memory that it really has; needs a control group, and is for those whose addresses cannot be limited."""
    output_kib: int = 256
    tasks: int = 72
    cpu_s: int = 600
    file_mib: int = 64


@dataclass(frozen=True)
class GuestSpec:
    """What to start: the folder of the lab's module `_lab`, that of the submission's library, and how."""

    module: Path
    library: Path
    functions: tuple[str, ...]
    variant: str = "release"
    read_only: tuple[Path, ...] = ()
    environment: tuple[tuple[str, str], ...] = ()
    library_path: tuple[Path, ...] = ()
    """Folders where the loader looks for further libraries; they, or the files in them, must be in `read_only`."""
    devices: tuple[Path, ...] = ()
    """Nodes of /dev that it may use."""
    prefix: tuple[str, ...] = ()
    """Command before the guest's, e.g. valgrind's."""
    pass_fds: tuple[int, ...] = ()
    """Descriptors for the prefix's command only; the guest closes them before it loads the build."""
    kept_fds: tuple[int, ...] = ()
    """Descriptors that the build may use, under the same numbers."""
    writable: tuple[Path, ...] = ()
    working_directory: Path = Path("/")
    policy: Policy = "threads"
    arena_bytes: tuple[int, int] = (1 << 24, 1 << 24)
    limits: GuestLimits = GuestLimits()


@dataclass(frozen=True)
class Timing:
    """What one batch of calls cost: CPU seconds of all the guest's threads, and wall seconds."""

    cpu_s: float
    wall_s: float


@dataclass(frozen=True)
class Pending:
    """A batch that was sent and not yet answered."""

    token: int
    calls: int
    cpu_before_ns: int


class CannotStart(CannotWork):
    """A runner did not get as far as loading the submission: the grader's or the machine's fault, nobody else's."""


class GuestFailed(Exception):
    """The guest could not finish a call. `output` is what it printed, as bytes, cut to the limit."""

    def __init__(
        self,
        kind: FailureKind,
        summary: str,
        *,
        output: bytes = b"",
        crash: Crash | None = None,
        cpu_s: float = 0.0,
    ) -> None:
        super().__init__(summary)
        self.kind: FailureKind = kind
        self.summary = summary
        self.output = output
        self.crash = crash
        self.cpu_s = cpu_s


class Guest:
    """One running guest. Use as a context manager; after GuestFailed it is dead and `close` is all that is left.

    One with a sanitizer is waited for, and launched again when it dies before it loads the submission: where the kernel
    draws addresses from a wide range (vm.mmap_rnd_bits=32) and forbids to ask for fixed ones, gcc 12's AddressSanitizer
    does so in 18 to 25 % of starts. Raises OSError or RuntimeError when it cannot be launched, CannotStart when it
    never stands.
    """

    def __init__(self, tier: Tier, spec: GuestSpec) -> None:
        self.spec = spec
        self.pid = 0
        self.launches = 0
        """How often it had to be launched until it stood."""
        self.addresses = (0, 0)
        self._started = self._greeted = False
        self._cpu_at_call_s = 0.0
        self._cpu_when_stopped_ns = 0
        self._shows_cores = True
        self._output = bytearray()
        with contextlib.ExitStack() as undo:
            self.inputs = SharedMemory(0, spec.arena_bytes[0])
            undo.callback(self.inputs.close)
            self.outputs = SharedMemory(1, spec.arena_bytes[1])
            undo.callback(self.outputs.close)
            self._scratch = None if tier.has_namespaces else cache.scratch_folder()
            undo.callback(self._remove_scratch)
            if self._scratch is not None:
                hand_over(tier, self._scratch)
                spec = _with_tmp(spec, self._scratch)
            resident = spec.limits.resident_mib
            self._group = cgroup.make(resident, _UNLIMITED) if resident is not None else None
            undo.callback(self._remove_group)
            for more_starts in reversed(range(_STARTS if spec.variant in SANITIZED else 1)):
                self.launches += 1
                launched = _launch(tier, spec, self.inputs, self.outputs, self._group)
                self._process, self._channel, self._printed = launched
                if spec.variant not in SANITIZED or self._stands(more_starts):
                    break
                self._close_process()
                self.pid = 0
                self._output.clear()
            undo.pop_all()

    def _stands(self, more_starts: int) -> bool:
        """Is it about to load the submission? Raises CannotStart when it is not, and no more starts are left."""
        try:
            self.wait_until_started()
        except CannotStart as error:
            if more_starts:
                return False
            self._close_process()
            raise CannotStart(f"{error}: {cure(self.spec.variant)}") from error
        return True

    def wait_until_started(self) -> None:
        """Wait until it is about to load the submission. Raises CannotStart when it does not come that far."""
        if self._started:
            return
        try:
            started = self._receive(time.monotonic() + START_S, "before it loaded the submission")
        except GuestFailed as failure:
            said = failure.output.decode("utf-8", "replace").strip()[-1000:]
            raise CannotStart(f"the sandbox could not start a runner, which {failure}: {said}") from failure
        if started != channel.STARTED or not self.pid:
            raise CannotStart(
                f"a runner began with {started!r}: is the runtime in the cache of another version?"
            )
        self._started = True

    def __enter__(self) -> Guest:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def wait_until_ready(self) -> None:
        """Wait for the guest's hello and freeze it; the first call does this by itself.

        Raises GuestFailed when a constructor of the build crashes, exits or hangs, CannotStart when the guest
        did not get as far as loading the build: that is the grader's or the machine's fault.
        """
        if self._greeted:
            return
        self.wait_until_started()
        frame = self._receive(time.monotonic() + START_S, "while it was loaded")
        try:
            crash = channel.decode(frame, 0) if frame[:1] == b"X" else None
            if isinstance(crash, Crash):
                raise self._crashed(crash, "while it was loaded")
            self.addresses = channel.decode_hello(frame)
        except channel.ProtocolError as error:
            raise self._failure("forged", f"wrote to the grader's channel: {error}") from error
        self._greeted = True
        self.freeze()

    def call(
        self,
        calls: Sequence[Call],
        windows: Sequence[Window] | None = None,
        *,
        timeout_s: float | None = None,
        cpu_limit_s: float | None = None,
    ) -> tuple[tuple[Value, ...], Timing]:
        """Thaw, execute the batch, freeze again. The arrays must be in place; snapshot the outputs afterwards.

        Raises GuestFailed when the guest crashes, hangs, exits, floods its output or forges an answer.
        """
        pending = self.begin(calls, windows)
        limit = self.spec.limits.call_s if timeout_s is None else timeout_s
        before = time.perf_counter_ns()
        self.thaw()
        cpu_deadline = None if cpu_limit_s is None else pending.cpu_before_ns + int(cpu_limit_s * 1e9)
        answer = self._receive(time.monotonic() + limit, "", limit, cpu_deadline)
        return self.settle(pending, answer, time.perf_counter_ns() - before)

    def begin(self, calls: Sequence[Call], windows: Sequence[Window] | None = None) -> Pending:
        """First part of `call`: send the batch to the frozen guest. `thaw`, an answer and `settle` must follow."""
        self.wait_until_ready()
        token = secrets.randbits(64)
        frame = channel.encode_batch(token, windows, calls)
        cpu_before = self.cpu_ns()
        self._cpu_at_call_s = cpu_before * 1e-9
        if cpu_before > self._cpu_when_stopped_ns + (_STOPPED_NS if self._shows_cores else _UNSEEN_NS):
            if self._pending():  # it did not run: it is dying
                raise self._gone()
            raise self._failure("forged", "went on running while the grader had stopped it")
        self._send(frame)
        return Pending(token, len(calls), cpu_before)

    def settle(self, pending: Pending, answer: bytes, wall_ns: int) -> tuple[tuple[Value, ...], Timing]:
        """Last part of `call`: freeze the guest, and turn its answer into values and what they cost."""
        if answer[:1] != b"X":  # a crashing guest cannot be stopped any more
            self.freeze()
        cpu_ns = self.cpu_ns() - pending.cpu_before_ns if answer[:1] != b"X" else 0
        values = self._check(answer, pending.token, pending.calls, cpu_ns * 1e-9)
        return values, Timing(cpu_ns * 1e-9, wall_ns * 1e-9)

    def watched(self) -> tuple[int, int]:
        """The descriptors on which a thawed guest is heard: its answer, and what it prints."""
        return self._channel.fileno(), self._printed

    def answer(self) -> bytes:
        """The frame that has arrived. Raises GuestFailed when the guest is gone instead."""
        return self._frame("")

    def take_output(self) -> None:
        """Keep what the guest has printed meanwhile. Raises GuestFailed when it is too much."""
        self._drain()

    def hung(self, limit: float) -> GuestFailed:
        """The failure of a guest that did not answer in time; it is dead afterwards."""
        return self._hung(limit, "")

    def cpu_ns(self) -> int:
        """CPU time of all threads of the guest so far, in ns, as the kernel counts it (CPUCLOCK_SCHED of its pid)."""
        try:
            return time.clock_gettime_ns((~self.pid << 3) | 2)
        except OSError as error:
            raise self._gone() from error

    def busy_s(self) -> float:
        """Seconds that the guest's threads have been on a core or in line for one (sched-stats of the kernel's manual).

        Unlike CPU time it does not shrink on a busy machine: who spins for a second is busy for a second.
        """
        busy_ns = 0
        for task in Path(f"/proc/{self.pid}/task").iterdir():
            with contextlib.suppress(ProcessLookupError, FileNotFoundError):
                on_core_ns, in_line_ns, _ = (task / "schedstat").read_text().split()
                busy_ns += int(on_core_ns) + int(in_line_ns)
        return busy_ns * 1e-9

    def freeze(self) -> None:
        """Stop every thread of the guest and wait until all of them have stopped and left their cores."""
        deadline = time.monotonic() + 5.0
        try:
            os.kill(self.pid, signal.SIGSTOP)
            while not _all(is_stopped, self.pid):
                if time.monotonic() > deadline:
                    raise self._failure("hung", "could not be stopped")
                os.sched_yield()
            stopped = time.monotonic()
            while self._shows_cores and not _all(is_off_core, self.pid):
                self._shows_cores = time.monotonic() < stopped + _LEAVING_S
                os.sched_yield()
        except (ProcessLookupError, FileNotFoundError) as error:
            raise self._gone() from error
        self._cpu_when_stopped_ns = self.cpu_ns()

    def thaw(self) -> None:
        """Let a frozen guest run."""
        try:
            os.kill(self.pid, signal.SIGCONT)
        except ProcessLookupError as error:
            raise self._gone() from error

    def pin(self, cores: set[int]) -> None:
        """Let the guest's threads run on these cores only; threads that it starts later inherit it."""
        for task in Path(f"/proc/{self.pid}/task").iterdir():
            with contextlib.suppress(ProcessLookupError):
                os.sched_setaffinity(int(task.name), cores)

    def memory_mib(self) -> float:
        """Address space of the guest in MiB (proc_pid_statm(5))."""
        pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[0])
        return pages * os.sysconf("SC_PAGE_SIZE") / (1 << 20)

    def printed(self) -> bytes:
        """Everything the guest has printed so far, cut to the limit."""
        with contextlib.suppress(GuestFailed):
            self._drain()
        return bytes(self._output)

    def finish(self, timeout_s: float) -> bytes:
        """Close the channel, let the guest end by itself (tools that report at exit), and return what it printed."""
        self._channel.close()
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGCONT)
        deadline = time.monotonic() + timeout_s
        while self._process.poll() is None and time.monotonic() < deadline:
            with contextlib.suppress(GuestFailed):
                self._drain()
            time.sleep(0.005)
        return self.printed()

    def close(self) -> None:
        """Kill the guest with everything it started, and release its memory. May be called twice."""
        if self._printed >= 0:
            self._close_process()
            self.inputs.close()
            self.outputs.close()
        self._remove_group()
        self._remove_scratch()

    def _close_process(self) -> None:
        if self._process.poll() is None:
            end(self._process)  # the sandbox dies with its launcher, and everything in it
            if self.pid:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(self.pid, signal.SIGKILL)
            self._process.wait()
        self._channel.close()
        os.close(self._printed)
        self._printed = -1

    def _check(self, frame: bytes, token: int, calls: int, cpu_s: float) -> tuple[Value, ...]:
        """Turn an answer into values, or into the failure that it shows."""
        try:
            answer = channel.decode(frame, calls)
        except channel.ProtocolError as error:
            raise self._failure("forged", f"wrote to the grader's channel: {error}") from error
        if isinstance(answer, Crash):
            raise self._crashed(answer, "", cpu_s)
        if answer.token != token:
            raise self._failure("forged", "wrote to the grader's channel: an answer that nobody asked for")
        if self._pending():
            raise self._after_the_answer()
        if answer.failed:
            # `invoke.py` has checked the arguments, so that it is the submission's doing, not the lab's.
            words = (
                "damaged the process it runs in (out of memory, or it overwrote memory that is not its own)"
            )
            raise self._failure("crashed", words, cpu_s=cpu_s)
        return answer.values

    def _gone(self) -> GuestFailed:
        """It ended while no answer was awaited; what it left in the channel says how."""
        return self._after_the_answer() if self._pending() else self._ended("")

    def _after_the_answer(self) -> GuestFailed:
        """What else came before it was stopped: its own thread crashed or ended the process, or a forgery."""
        frame = self._frame("")
        with contextlib.suppress(channel.ProtocolError):
            crash = channel.decode(frame, 0)
            if isinstance(crash, Crash):
                return self._crashed(crash, "after it returned")
        return self._failure("forged", "wrote to the grader's channel: an answer that nobody asked for")

    def _send(self, frame: bytes) -> None:
        try:
            self._channel.send(frame)
        except OSError as error:
            raise self._gone() from error

    def _receive(
        self, deadline: float, moment: str, limit: float = START_S, cpu_deadline_ns: int | None = None
    ) -> bytes:
        """The next frame, until a moment of wall time and perhaps an amount of CPU time."""
        poll = select.poll()
        poll.register(self._channel, select.POLLIN)
        poll.register(self._printed, select.POLLIN)
        while True:
            remaining = deadline - time.monotonic()
            if remaining <= 0 or (cpu_deadline_ns is not None and self._used_up(cpu_deadline_ns)):
                raise self._hung(limit, moment)
            for fd, event in poll.poll(min(remaining, 0.25) * 1000):
                if fd == self._channel.fileno():
                    return self._frame(moment)
                if event & select.POLLIN:
                    self._drain()
                else:
                    poll.unregister(self._printed)

    def _used_up(self, cpu_deadline_ns: int) -> bool:
        """Is its CPU time over? Not when it is gone: what it left in the channel says how."""
        with contextlib.suppress(OSError):
            return time.clock_gettime_ns((~self.pid << 3) | 2) > cpu_deadline_ns
        return False

    def _frame(self, moment: str) -> bytes:
        """Take one frame; the first one also tells the guest's pid, attested by the kernel."""
        space = socket.CMSG_SPACE(12)
        try:
            data, ancillary, _, _ = self._channel.recvmsg(channel.MAX_FRAME, space, socket.MSG_CMSG_CLOEXEC)
        except OSError:
            data, ancillary = b"", []
        if not data:
            if self._process.poll() is None and not self._hung_up():
                raise self._failure("forged", "wrote to the grader's channel: an empty frame")
            raise self._ended(moment)
        if not self.pid:
            for level, kind, body in ancillary:
                if level == socket.SOL_SOCKET and kind == socket.SCM_CREDENTIALS:
                    self.pid = array.array("i", body)[0]
        return data

    def _pending(self) -> bool:
        poll = select.poll()
        poll.register(self._channel, select.POLLIN)
        return any(event & select.POLLIN for _, event in poll.poll(0))

    def _hung_up(self) -> bool:
        poll = select.poll()
        poll.register(self._channel, 0)
        return any(event & select.POLLHUP for _, event in poll.poll(0))

    def _drain(self) -> None:
        """Take what the guest printed; more than the limit is a failure of its own."""
        while True:
            try:
                piece = os.read(self._printed, 1 << 16)
            except BlockingIOError:
                return
            if not piece:
                return
            limit = self.spec.limits.output_kib << 10
            self._output += piece[: limit - len(self._output)] if len(self._output) < limit else b""
            if len(self._output) >= limit:
                raise self._failure("flooded", f"printed more than {self.spec.limits.output_kib} KiB")

    def _ended(self, moment: str) -> GuestFailed:
        """The channel closed: the guest is gone. Its exit status is hearsay and only helps to say how."""
        with contextlib.suppress(ProcessLookupError):
            if self.pid:
                os.kill(self.pid, signal.SIGCONT)  # it may have been stopped on its way out
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=2.0)
        status = self._process.returncode
        words = f" {moment}" if moment else ""
        if self._group is not None and self._group.memory_kills():
            return self._failure(
                "greedy", f"used more than {self.spec.limits.resident_mib} MiB of memory{words}"
            )
        if status is None:
            return self._failure("exited", f"closed its channel to the grader{words} instead of returning")
        if status is not None and (status < 0 or status > 128):
            number = -status if status < 0 else status - 128
            return self._failure(
                "crashed", self._limit_words(number) or f"was killed{words}: {_signal_name(number)}"
            )
        return self._failure(
            "exited", f"ended the process{words} (exit status {status}) instead of returning"
        )

    def _crashed(self, crash: Crash, moment: str, cpu_s: float = 0.0) -> GuestFailed:
        """The failure that a word about a crash shows; one that followed a limit of the lab names the limit."""
        words = f"crashed{' ' if moment else ''}{moment}: {_signal_name(crash.signal)}"
        memory = self.spec.limits.memory_mib
        if crash.refused_memory and memory is not None and self.spec.variant != "faults":
            words = f"wanted more than {memory} MiB of memory, was refused, and {words}"
            return self._failure("greedy", words, crash, cpu_s)
        return self._failure("crashed", self._limit_words(crash.signal) or words, crash, cpu_s)

    def _limit_words(self, number: int) -> str:
        """What this signal says about a limit of the lab; '' for the others."""
        if number == signal.SIGXFSZ:
            return f"wrote a file of more than {self.spec.limits.file_mib} MiB"
        if number == signal.SIGXCPU:
            return f"used more than {self.spec.limits.cpu_s} s of CPU time in all calls together"
        return ""

    def _remove_group(self) -> None:
        if self._group is not None:
            self._group.remove()

    def _remove_scratch(self) -> None:
        if self._scratch is not None:
            shutil.rmtree(self._scratch, ignore_errors=True)

    def _hung(self, limit: float, moment: str) -> GuestFailed:
        cpu_s = 0.0
        with contextlib.suppress(OSError):
            cpu_s = time.clock_gettime_ns((~self.pid << 3) | 2) * 1e-9 if self.pid else 0.0
        cpu_s -= self._cpu_at_call_s
        self._ask_for_stacks()
        words = f" {moment}" if moment else ""
        return self._failure("hung", f"did not return within {limit:g} s{words}", cpu_s=cpu_s)

    def _ask_for_stacks(self) -> None:
        """Let every thread print where it is, and give them a moment: a help for people, never evidence."""
        if not self._greeted or self.spec.prefix:
            return
        with contextlib.suppress(OSError):
            threads = sorted(int(task.name) for task in Path(f"/proc/{self.pid}/task").iterdir())
            for thread in threads[:_MAX_STACKS]:
                ctypes.CDLL(None).syscall(_TGKILL, self.pid, thread, _STACK_SIGNAL)
        deadline, before = time.monotonic() + 0.5, -1
        while len(self._output) != before and time.monotonic() < deadline:
            before = len(self._output)
            time.sleep(0.05)
            with contextlib.suppress(GuestFailed):
                self._drain()

    def _failure(
        self, kind: FailureKind, summary: str, crash: Crash | None = None, cpu_s: float = 0.0
    ) -> GuestFailed:
        """Stop everything, so that what the guest printed last is here too."""
        if self._process.poll() is None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(timeout=0.3 if kind in ("crashed", "greedy", "exited") else 0.0)
        output = bytes(self._output) if kind == "flooded" else self.printed()
        end(self._process)
        return GuestFailed(kind, summary, output=output, crash=crash, cpu_s=cpu_s)


def _with_tmp(spec: GuestSpec, folder: Path) -> GuestSpec:
    """With a folder in place of the /tmp that namespaces bring; valgrind, for one, does not run without."""
    environment = (("TMPDIR", str(folder)), *spec.environment)
    return replace(spec, writable=(*spec.writable, folder), environment=environment)


def _launch(
    tier: Tier, spec: GuestSpec, inputs: SharedMemory, outputs: SharedMemory, group: Group | None
) -> tuple[subprocess.Popen[bytes], socket.socket, int]:
    files = runtime.prepare()
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    read_end, write_end = os.pipe2(os.O_CLOEXEC)
    try:
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        os.set_blocking(read_end, False)
        fds = (theirs.fileno(), inputs.fd, outputs.fd)
        arguments = [
            str(spec.module),
            str(fds[0]),
            str(fds[1]),
            str(inputs.size),
            str(fds[2]),
            str(outputs.size),
        ]
        watch, kept = "0" if spec.prefix else "1", ",".join(map(str, spec.kept_fds))
        command = files.command(
            *arguments, str(task_limit(tier, spec.limits.tasks)), watch, kept, *spec.functions
        )
        confinement = Confinement(
            read_only=(*files.read_only, spec.module, spec.library, *spec.read_only),
            environment={
                **files.environment(spec.library, *spec.library_path),
                **_sanitizer_environment(files, spec.variant),
                **dict(spec.environment),
            },
            writable=spec.writable,
            devices=spec.devices,
            working_directory=spec.working_directory,
            policy=spec.policy,
            cpu_s=spec.limits.cpu_s,
            memory_mib=spec.limits.memory_mib,
            file_mib=spec.limits.file_mib,
            fixed_addresses=spec.variant in SANITIZED,
            group=group,
        )
        launched = start(
            tier,
            confinement,
            [*spec.prefix, *command],
            stdout=write_end,
            stderr=write_end,
            pass_fds=(*fds, *spec.pass_fds, *spec.kept_fds),
        )
    except BaseException:
        ours.close()
        os.close(read_end)
        raise
    finally:
        theirs.close()
        os.close(write_end)
    return launched, ours, read_end


def _sanitizer_environment(files: runtime.Runtime, variant: str) -> dict[str, str]:
    """Sanitizers in a Python process: loaded first; Python's leaks and our signal handler are not their business."""
    if variant not in SANITIZED:
        return {}
    if variant not in files.preload:
        raise CannotStart(f"the compiler here has no library for the {variant} build: {cure(variant)}")
    common = "handle_segv=0:handle_sigbus=0:handle_abort=0:handle_sigfpe=0:handle_sigill=0:exitcode=99"
    common += f":hard_rss_limit_mb={UNLIMITED_ADDRESSES_MIB}"
    return {
        "LD_PRELOAD": files.preload[variant],
        "ASAN_OPTIONS": f"detect_leaks=0:abort_on_error=0:allocator_may_return_null=1:{common}",
        "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1:exitcode=99",
        "TSAN_OPTIONS": f"halt_on_error=0:report_thread_leaks=1:{common}",
    }


def _all(holds: Callable[[int, int], bool], pid: int) -> bool:
    """Does it hold for every thread of the process?"""
    for task in os.listdir(f"/proc/{pid}/task"):  # noqa: PTH208 - called in a tight loop
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            if not holds(pid, int(task)):
                return False
    return True


def _signal_name(number: int) -> str:
    """'SIGSEGV (it touched memory that is not its own)'."""
    meanings = {
        "SIGSEGV": "it touched memory that is not its own",
        "SIGBUS": "it touched memory that does not exist, or a misaligned address",
        "SIGFPE": "an integer division by zero, or an overflow in a division",
        "SIGILL": "an instruction that this CPU does not have",
        "SIGABRT": "it called abort(), an assert failed, or the heap is damaged",
        "SIGKILL": "killed from outside, e.g. out of memory",
        "SIGXCPU": "out of CPU time",
        "SIGXFSZ": "it wrote a file larger than allowed",
    }
    try:
        name = signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
    return f"{name} ({meanings[name]})" if name in meanings else name
