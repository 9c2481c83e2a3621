"""Several runners of a submission that talk to each other: `ranks(4).call("f", arguments_of_rank)`."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from grader.runner import group, invoke
from grader.runner.arena import Edge
from grader.runner.channel import Value
from grader.runner.group import Answer, Group, GroupFailed, Together
from grader.runner.host import GuestFailed, Timing
from grader.runner.relay import Wire as Wire
from grader.testing.checks import CheckFailed
from grader.toolchain.interface import Interface

Arguments = Callable[[int], "tuple[object, ...] | None"]
"""What a function is given on a rank; None when that rank does not call it."""


class Ranks:
    """Runners of one variant, started by the first call. A failure becomes CheckFailed that names the rank."""

    def __init__(
        self,
        start: Callable[[int, int], Group],
        interface: Interface,
        explain: Callable[[GuestFailed, str, str], Exception],
    ) -> None:
        self._start = start
        self._interface = interface
        self._explain = explain
        self._group: Group | None = None
        self._counted: npt.NDArray[np.int64] | None = None
        self.timings: dict[int, Timing] = {}
        """What the last call cost each rank that answered, by the grader's clocks."""

    @property
    def world(self) -> int:
        """How many there are."""
        return len(self._running().guests)

    @property
    def folder(self) -> Path:
        """The folder that all ranks may write; it is their working directory."""
        return self._running().folder.path

    def descriptors(self, rank: int) -> npt.NDArray[np.int32]:
        """A rank's end of its wires, by peer; -1 for itself."""
        return np.array(self._running().descriptors[rank], np.int32)

    def call(
        self,
        function: str,
        arguments: Arguments,
        *,
        case: str = "",
        edge: Edge = "end",
        timeout_s: float | None = None,
    ) -> tuple[Value, ...]:
        """Call one function on all ranks at the same time; what each of them returned, by rank."""
        return tuple(
            values[0]
            for values in self.calls([(function, arguments)], case=case, edge=edge, timeout_s=timeout_s)
        )

    def calls(
        self,
        sequence: Sequence[tuple[str, Arguments]],
        *,
        case: str = "",
        edge: Edge = "end",
        timeout_s: float | None = None,
    ) -> tuple[tuple[Value, ...], ...]:
        """Several calls in a row on every rank, without a stop in between; values by rank."""
        fates = self.fates(sequence, case=case, edge=edge, timeout_s=timeout_s)
        failures = [fate for fate in fates.values() if isinstance(fate, GroupFailed)]
        if failures:
            self.close()
            first = min(failures, key=lambda failure: failure.kind == "hung")
            raise self._explain(first, sequence[0][0], case) from None
        return tuple(fate.values for fate in fates.values() if isinstance(fate, Answer))

    def fates(
        self,
        sequence: Sequence[tuple[str, Arguments]],
        *,
        only: Collection[int] | None = None,
        kill_after_s: Mapping[int, float] | None = None,
        case: str = "",
        edge: Edge = "end",
        timeout_s: float | None = None,
    ) -> dict[int, Answer | GroupFailed]:
        """Like `calls`, but no failure is raised, some ranks may stay frozen and some may be killed in the middle."""
        running = self._running()
        everybody = range(len(running.guests))
        invocations = [
            Together(
                function,
                tuple(arguments(rank) if only is None or rank in only else None for rank in everybody),
            )
            for function, arguments in sequence
        ]
        running = self._running(group.needed_bytes(self._interface, invocations))
        try:
            running.wait_until_ready()
            staged = group.stage(running, self._interface, invocations, edge)
            group.write(running, self._interface, staged)
            calls = [staged.calls[rank] if only is None or rank in only else None for rank in everybody]
            answers = running.each(calls, staged.windows, timeout_s, kill_after_s=kill_after_s)
        except GuestFailed as failure:
            self.close()
            raise self._explain(failure, sequence[0][0], case) from None
        for rank, answer in enumerate(answers):
            if isinstance(answer, Answer):
                try:
                    invoke.read_back(running.guests[rank], self._interface, staged.ranks[rank])
                except invoke.Damage as damage:
                    self.close()
                    words = f"{sequence[-1][0]} {damage} (rank {rank})"
                    raise CheckFailed(words, case=case) from None
            elif isinstance(answer, GroupFailed) and answer.crash is not None:
                answers[rank] = GroupFailed(
                    rank, invoke.explained(answer, running.guests[rank], staged.ranks[rank])
                )
        self.timings = {
            rank: answer.timing for rank, answer in enumerate(answers) if isinstance(answer, Answer)
        }
        return {rank: answer for rank, answer in enumerate(answers) if answer is not None}

    @property
    def killed(self) -> set[int]:
        """The ranks that the grader has killed."""
        return self._group.killed if self._group else set()

    def sent(self) -> npt.NDArray[np.int64]:
        """Bytes that each rank has written to its wire to each peer since the last `sent`; shape (world, world)."""
        relay = self._running().relay
        assert relay is not None
        now = relay.sent.copy()
        before = self._counted if self._counted is not None else np.zeros_like(now)
        self._counted = now
        since: npt.NDArray[np.int64] = now - before
        return since

    def quiet(self) -> bool:
        """Has everything that was sent been read? Wires with leftovers are not for the next test."""
        if self._group is None:
            return True
        relay = self._group.relay
        return not self.killed and (relay is None or relay.quiet())

    def descriptors_open(self, rank: int) -> int:
        """How many descriptors a rank has open, as the kernel counts."""
        return len(os.listdir(f"/proc/{self._running().guests[rank].pid}/fd"))  # noqa: PTH208

    def threads(self, rank: int) -> int:
        """How many threads a rank has."""
        return len(os.listdir(f"/proc/{self._running().guests[rank].pid}/task"))  # noqa: PTH208

    def busy_s(self, rank: int) -> float:
        """Seconds that a rank has been on a core or in line for one: waiting by looking again and again counts."""
        return self._running().guests[rank].busy_s()

    def memory_mib(self, rank: int) -> float:
        """Address space of a rank in MiB."""
        return self._running().guests[rank].memory_mib()

    def close(self) -> None:
        """Kill them all; the next call starts new ones."""
        if self._group is not None:
            self._group.close()
            self._group, self._counted = None, None

    def _running(self, room: tuple[int, int] = (0, 0)) -> Group:
        if self._group and any(
            room[0] > guest.inputs.size or room[1] > guest.outputs.size for guest in self._group.guests
        ):
            raise MemoryError(f"the calls need arenas of {room} bytes; open these ranks with room for them")
        if self._group is None:
            self._group = self._start(*room)
        return self._group
