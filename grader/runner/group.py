"""A group of runners of one build: each in its own sandbox; thawed, called and frozen together.

The ranks of a group can meet in two ways: over the wires of a relay (`relay.py`), and in a folder that all of them may
write, by files or by sockets, and in which they start. A rank can be killed in the middle of a call. Nothing outlives
the group: its processes end with it or with the grader, and its folder is removed then, also when the grader is killed.

`stage`, `write`, `read_back` and `needed_bytes` do for a group what those of `invoke.py` do for one runner, so that a
group can fight a duel.
"""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from grader import cache
from grader.runner import invoke
from grader.runner.arena import Edge
from grader.runner.channel import Call, Value, Window
from grader.runner.host import Guest, GuestFailed, GuestSpec, Timing
from grader.runner.invoke import Invocation
from grader.runner.relay import PLAIN, Relay, Wire
from grader.sandbox.confine import Tier, hand_over
from grader.toolchain.interface import Interface

_MEMORY = Path("/dev/shm")


@dataclass(frozen=True)
class Together:
    """One call on every rank: the function, and the arguments by rank. None for a rank that is not called."""

    function: str
    arguments: tuple[tuple[object, ...] | None, ...]


@dataclass(frozen=True)
class Answer:
    """What one rank returned, and what it cost; wall time is from the common start to its own answer."""

    values: tuple[Value, ...]
    timing: Timing


@dataclass(frozen=True)
class StagedTogether:
    """Calls of every rank whose arrays have their places."""

    ranks: tuple[invoke.Staged, ...]

    @property
    def calls(self) -> tuple[tuple[Call, ...], ...]:
        return tuple(staged.calls for staged in self.ranks)

    @property
    def windows(self) -> tuple[tuple[Window, ...], ...]:
        return tuple(staged.windows for staged in self.ranks)


class SharedFolder:
    """A folder that the ranks of a group may write. It goes when it is closed, or when the grader dies."""

    def __init__(self, tier: Tier) -> None:
        self.path = _in_memory() or cache.scratch_folder()
        hand_over(tier, self.path)
        # Waits for the grader's end of the pipe to close, whatever closes it; a killed rank may still be writing.
        script = 'read _; while [ -e "$0" ]; do rm -rf -- "$0" || sleep 0.1; done'
        self._janitor = subprocess.Popen(
            ["sh", "-c", script, str(self.path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def close(self) -> None:
        """Remove it. May be called twice."""
        shutil.rmtree(self.path, ignore_errors=True)
        if self._janitor.stdin and not self._janitor.stdin.closed:
            self._janitor.stdin.close()
            self._janitor.wait()


def _in_memory() -> Path | None:
    """A new folder in memory: what ranks map from a file there, no disk slows down."""
    if not os.access(_MEMORY, os.W_OK | os.X_OK):
        return None
    return Path(tempfile.mkdtemp(dir=_MEMORY, prefix="grader-"))


class GroupFailed(GuestFailed):
    """The failure of one rank; `rank` says whose."""

    def __init__(self, rank: int, failure: GuestFailed) -> None:
        super().__init__(
            failure.kind,
            f"{failure.summary} (rank {rank})",
            output=failure.output,
            crash=failure.crash,
            cpu_s=failure.cpu_s,
        )
        self.rank = rank


class Group:
    """`world` running guests of one build. Use as a context manager; after a failure `close` is all that is left.

    `cut` maps a rank to the bytes after which it is killed. `folder` None: the group makes its own.
    Raises OSError or RuntimeError when the guests cannot be launched.
    """

    def __init__(
        self,
        tier: Tier,
        spec: GuestSpec,
        world: int,
        wire: Wire | None = PLAIN,
        cut: Mapping[int, int] | None = None,
        folder: SharedFolder | None = None,
    ) -> None:
        self.guests: list[Guest] = []
        self.killed: set[int] = set()
        self.relay: Relay | None = None
        with contextlib.ExitStack() as undo:
            undo.callback(self.close)
            self._own_folder = folder is None
            self.folder = SharedFolder(tier) if folder is None else folder
            if wire is not None:
                self.relay = Relay(world, wire, cut, self.kill)
            self.descriptors = [self.relay.descriptors(rank) if self.relay else () for rank in range(world)]
            for kept in self.descriptors:
                self.guests.append(Guest(tier, _of_rank(spec, world, self.folder.path, kept)))
            if self.relay:
                self.relay.start()
            undo.pop_all()

    def __enter__(self) -> Group:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def wait_until_ready(self) -> None:
        """Wait until every guest has loaded the build, and freeze them. Raises GroupFailed or RuntimeError."""
        for rank, guest in enumerate(self.guests):
            try:
                guest.wait_until_ready()
            except GuestFailed as failure:
                raise GroupFailed(rank, failure) from failure

    def call(
        self,
        calls: Sequence[Sequence[Call]],
        windows: Sequence[Sequence[Window]] | None = None,
        *,
        timeout_s: float | None = None,
        cpu_limit_s: float | None = None,
    ) -> tuple[tuple[tuple[Value, ...], ...], Timing]:
        """Thaw, execute every rank's batch, freeze; values by rank, CPU time of all, wall time to the last answer.

        No calls at all only open the windows; no rank may use more than `cpu_limit_s`. Raises GroupFailed for the
        rank that failed: a crash before a hang, and of those that hang the one that used the CPU most.
        """
        answers = self.each(calls or [()] * len(self.guests), windows, timeout_s, cpu_limit_s)
        failures = [failure for failure in answers if isinstance(failure, GroupFailed)]
        if failures:  # the others may only have waited for it
            raise min(failures, key=lambda failure: (failure.kind == "hung", -failure.cpu_s))
        good = [answer for answer in answers if isinstance(answer, Answer)]
        cpu_s = sum(answer.timing.cpu_s for answer in good)
        return tuple(answer.values for answer in good), Timing(
            cpu_s, max(answer.timing.wall_s for answer in good)
        )

    def each(
        self,
        calls: Sequence[Sequence[Call] | None],
        windows: Sequence[Sequence[Window]] | None = None,
        timeout_s: float | None = None,
        cpu_limit_s: float | None = None,
        kill_after_s: Mapping[int, float] | None = None,
    ) -> list[Answer | GroupFailed | None]:
        """Like `call`, but tells every rank's fate. Ranks whose calls are None stay frozen and answer None.

        All ranks have one deadline. A rank may be killed `kill_after_s` after the start.
        """
        self.wait_until_ready()
        limit = self.guests[0].spec.limits.call_s if timeout_s is None else timeout_s
        taking_part = [rank for rank, batch in enumerate(calls) if batch is not None]
        fates: list[Answer | GroupFailed | None] = [None] * len(self.guests)
        pending = {}
        for rank in taking_part:
            try:
                pending[rank] = self.guests[rank].begin(calls[rank] or (), windows[rank] if windows else None)
            except GuestFailed as failure:
                fates[rank] = GroupFailed(rank, failure)
        start = time.perf_counter_ns()
        for rank in pending:
            with contextlib.suppress(GuestFailed):  # it is heard when its channel is read
                self.guests[rank].thaw()
        frames = self._listen(list(pending), fates, limit, cpu_limit_s, dict(kill_after_s or {}))
        for rank in frames:
            with contextlib.suppress(GuestFailed):
                if frames[rank][0][:1] != b"X":
                    self.guests[rank].freeze()
        for rank, (frame, arrived_ns) in frames.items():
            try:
                fates[rank] = Answer(*self.guests[rank].settle(pending[rank], frame, arrived_ns - start))
            except GuestFailed as failure:
                fates[rank] = GroupFailed(rank, failure)
        return fates

    def _listen(
        self,
        waiting: list[int],
        fates: list[Answer | GroupFailed | None],
        limit: float,
        cpu_limit_s: float | None,
        kills: dict[int, float],
    ) -> dict[int, tuple[bytes, int]]:
        """The frames that arrive until everybody has answered or failed, with their times; failures go to `fates`."""
        poll, places = select.poll(), {}
        for rank in waiting:
            for kind, fd in enumerate(self.guests[rank].watched()):
                poll.register(fd, select.POLLIN)
                places[fd] = (rank, kind)
        frames: dict[int, tuple[bytes, int]] = {}
        begun, cpu_before = time.monotonic(), self._cpu_ns(waiting)
        open_ranks = set(waiting)
        while open_ranks:
            passed = time.monotonic() - begun
            used_up = cpu_limit_s is not None and any(
                now - before > cpu_limit_s * 1e9
                for now, before in zip(self._cpu_ns(waiting), cpu_before, strict=True)
            )
            if passed >= limit or used_up:
                for rank in sorted(open_ranks):
                    fates[rank] = GroupFailed(rank, self.guests[rank].hung(limit))
                break
            for rank in [rank for rank, after_s in kills.items() if after_s <= passed]:
                del kills[rank]
                self.kill(rank)
            pause = min([limit - passed, 0.25, *(max(0.0, after_s - passed) for after_s in kills.values())])
            for fd, event in poll.poll(pause * 1000):
                rank, kind = places[fd]
                try:
                    if kind == 0:
                        poll.unregister(fd)
                        open_ranks.discard(rank)
                        frames[rank] = (self.guests[rank].answer(), time.perf_counter_ns())
                    elif event & select.POLLIN:
                        self.guests[rank].take_output()
                    else:
                        poll.unregister(fd)
                except GuestFailed as failure:
                    open_ranks.discard(rank)
                    frames.pop(rank, None)
                    fates[rank] = GroupFailed(rank, failure)
        return frames

    def kill(self, rank: int) -> None:
        """Kill one rank; the others go on. Its wires end."""
        if rank in self.killed:
            return
        self.killed.add(rank)
        if self.guests[rank].pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.guests[rank].pid, signal.SIGKILL)
        if self.relay:
            self.relay.cut(rank)

    def cpu_ns(self) -> int:
        """CPU time of all ranks so far, in ns."""
        return sum(guest.cpu_ns() for guest in self.guests)

    def pin(self, cores: set[int]) -> None:
        """Let all ranks run on these cores only."""
        for guest in self.guests:
            guest.pin(cores)

    def spread(self, cores: Sequence[int]) -> None:
        """Give each rank one of these cores; the first ranks share them with others when there are fewer."""
        for rank, guest in enumerate(self.guests):
            guest.pin({cores[rank % len(cores)]})

    def close(self) -> None:
        """Kill every rank, end the wires, remove the folder. May be called twice."""
        for guest in self.guests:
            guest.close()
        if self.relay:
            self.relay.close()
        if self._own_folder and hasattr(self, "folder"):
            self.folder.close()

    def _cpu_ns(self, ranks: Sequence[int]) -> list[int]:
        """CPU time of each of these ranks so far, in ns; 0 for one that is gone."""
        used = [0] * len(ranks)
        for place, rank in enumerate(ranks):
            with contextlib.suppress(OSError):
                used[place] = time.clock_gettime_ns((~self.guests[rank].pid << 3) | 2)
        return used


def _of_rank(spec: GuestSpec, world: int, folder: Path, descriptors: tuple[int, ...]) -> GuestSpec:
    """All ranks are one user's, so that the limit on tasks is a limit for all of them together."""
    kept = tuple(fd for fd in descriptors if fd >= 0)
    tasks = spec.limits.tasks and spec.limits.tasks + 4 * world
    return replace(
        spec,
        kept_fds=kept,
        writable=(*spec.writable, folder),
        working_directory=folder,
        policy="peers",
        limits=replace(spec.limits, tasks=tasks),
    )


# --- Arrays of all ranks ----------------------------------------------------------------------------------------


def of_rank(invocations: Sequence[Together], rank: int) -> list[Invocation]:
    """The calls of one rank."""
    return [
        Invocation(item.function, arguments)
        for item in invocations
        if (arguments := item.arguments[rank]) is not None
    ]


def needed_bytes(interface: Interface, invocations: Sequence[Together]) -> tuple[int, int]:
    """Room that the arrays of these calls take in the arenas of the rank that needs most, in bytes."""
    world = max((len(item.arguments) for item in invocations), default=0)
    rooms = [invoke.needed_bytes(interface, of_rank(invocations, rank)) for rank in range(world)]
    return max((room[0] for room in rooms), default=0), max((room[1] for room in rooms), default=0)


def stage(
    group: Group,
    interface: Interface,
    invocations: Sequence[Together],
    edge: Edge = "end",
    skew: Callable[[], int] = lambda: 0,
    first_page: int = 0,
) -> StagedTogether:
    """Give every array of every rank its place; see `invoke.stage`."""
    return StagedTogether(
        tuple(
            invoke.stage(guest, interface, of_rank(invocations, rank), edge, skew, first_page)
            for rank, guest in enumerate(group.guests)
        )
    )


def write(group: Group, interface: Interface, staged: StagedTogether) -> None:
    """Put the arrays' contents in place. The group must be frozen."""
    for guest, part in zip(group.guests, staged.ranks, strict=True):
        invoke.write(guest, interface, part)


def read_back(group: Group, interface: Interface, staged: StagedTogether) -> None:
    """Copy the outputs back. The group must be frozen. Raises Damage when a rank wrote outside its arrays."""
    for guest, part in zip(group.guests, staged.ranks, strict=True):
        invoke.read_back(guest, interface, part)
