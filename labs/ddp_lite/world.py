"""Ranks that run the submission, as a test speaks to them: one call here is one call on every rank."""

from __future__ import annotations

import errno
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from grader.runner.channel import Value
from grader.runner.group import Answer, GroupFailed
from grader.testing import CheckFailed, Ranks, check

Floats = npt.NDArray[np.float32]

SUM, MEAN, MAX = 0, 1, 2
SHORT, AGAIN, INTERRUPTED, WAKES, MASKED = 1, 2, 4, 8, 16
"""Weather on the transport; see driver.h."""

REASONS = {
    errno.ETIMEDOUT: "A rank waited for bytes that nobody sent. Does each receive what its peer sends, in that order?",
    errno.EPIPE: "A rank took another one for gone. Only a recv that answers 0 and a send that answers -EPIPE say so.",
    errno.EPROTO: "All ranks called the same, with fitting arguments, and yet your headers differ: in which field?",
    errno.EINVAL: "These arguments make sense. Which of your checks is too strict?",
    errno.EBUSY: "No ddp_grad_ready is waiting for its ddp_sync here. What does ddp_sync set back?",
    errno.EAGAIN: "-EAGAIN is between you and the transport: wait, and try again.",
    errno.EINTR: "-EINTR is between you and the transport: try again at once.",
}
"""What is behind most answers that should have been 0, by errno."""

SHAPE = np.dtype([("n", "<u8"), ("requires_grad", "<i4"), ("tied_to", "<i4")])


def answer(value: Value) -> str:
    """An answer as C programmers read it: '-EPIPE', '0'."""
    if isinstance(value, int) and -200 < value < 0:
        return f"-{errno.errorcode.get(-value, value)}"
    return str(value)


class World:
    """`count` ranks with a context each. Calls fail the test when a rank crashes, hangs, or answers an error."""

    def __init__(self, ranks: Ranks, count: int) -> None:
        self.ranks = ranks
        self.count = count
        self._contexts: tuple[Value, ...] = ()
        self._opened = False

    def open(self, weather: int, seed: int, timeout_ms: int, own: bool = False) -> None:
        """Make the contexts, over the grader's wires or over the submission's own transport."""
        case = f"{self.count} ranks" + (", your own transport" if own else "")
        self._opened = True
        if own:
            self.run("drive_own", lambda rank: (0, ".", rank, self.count, timeout_ms), case)
        else:
            self.run(
                "drive_open",
                lambda rank: (
                    0,
                    rank,
                    self.count,
                    self.ranks.descriptors(rank),
                    weather,
                    seed + rank,
                    timeout_ms,
                ),
                case,
            )
        self._contexts = self.ranks.call("drive_ddp", lambda rank: (0,), case=case)
        self.ranks.sent()

    def close(self) -> None:
        """Destroy the contexts of those that still live. What comes of it is not this test's fact."""
        if self._opened and not self.ranks.killed:
            fates = self.ranks.fates([("drive_close", lambda rank: (0,))])
            if any(isinstance(fate, GroupFailed) for fate in fates.values()):
                self.ranks.close()
        self._opened = False

    # --- Calls in general -----------------------------------------------------------------------------------------

    def run(
        self,
        function: str,
        arguments: Callable[[int], tuple[Any, ...]],
        case: str,
        timeout_s: float | None = None,
    ) -> None:
        """Call a function that must answer 0 on every rank."""
        statuses = self.ranks.call(function, arguments, case=case, timeout_s=timeout_s)
        require(statuses, case)

    def ddp(
        self,
        function: str,
        arguments: Callable[[int], tuple[Any, ...]],
        case: str,
        timeout_s: float | None = None,
    ) -> None:
        """Call `ddp_<function>(context, ...)`, which must answer 0 on every rank."""
        self.run(f"ddp_{function}", lambda rank: (self._contexts[rank], *arguments(rank)), case, timeout_s)

    def answers(
        self,
        function: str,
        arguments: Callable[[int], tuple[Any, ...]],
        case: str,
        *,
        only: Collection[int] | None = None,
        kill_after_s: Mapping[int, float] | None = None,
        timeout_s: float | None = None,
    ) -> dict[int, str]:
        """What `ddp_<function>` answers on each rank, in words; a killed rank is left out.

        Raises CheckFailed when a rank that nobody killed crashes or does not return.
        """
        fates = self.ranks.fates(
            [(f"ddp_{function}", lambda rank: (self._contexts[rank], *arguments(rank)))],
            only=only,
            kill_after_s=kill_after_s,
            case=case,
            timeout_s=timeout_s,
        )
        return {rank: told(fate, rank, case) for rank, fate in fates.items() if rank not in self.ranks.killed}

    def one_broadcasts(self, given: Sequence[Floats], case: str) -> dict[int, str]:
        """Rank 0 calls ddp_allreduce_f32 while the others call ddp_broadcast; what they answer."""
        fates = self.ranks.fates(
            [
                (
                    "ddp_allreduce_f32",
                    lambda rank: (self._contexts[0], given[0], given[0].size, SUM) if rank == 0 else None,
                ),
                (
                    "ddp_broadcast",
                    lambda rank: (self._contexts[rank], given[rank], given[rank].nbytes, 0) if rank else None,
                ),
            ],
            case=case,
        )
        return {rank: told(fate, rank, case) for rank, fate in fates.items()}

    # --- Collectives ----------------------------------------------------------------------------------------------

    def allreduce(
        self, given: Sequence[Floats], op: int, case: str, timeout_s: float | None = None
    ) -> list[Floats]:
        """What every rank has afterwards; `given` is not changed."""
        after = [array.copy() for array in given]
        self.ddp("allreduce_f32", lambda rank: (after[rank], after[rank].size, op), case, timeout_s)
        return after

    def broadcast(self, given: Sequence[npt.NDArray[Any]], root: int, case: str) -> list[npt.NDArray[Any]]:
        """What every rank has afterwards."""
        after = [array.copy() for array in given]
        self.ddp("broadcast", lambda rank: (after[rank], after[rank].nbytes, root), case)
        return after

    def reduce_scatter(self, given: Sequence[Floats], case: str) -> list[Floats]:
        """Each rank's part of the sum."""
        parts = [np.full(array.size // self.count, np.nan, np.float32) for array in given]
        self.ddp("reduce_scatter_f32", lambda rank: (given[rank], parts[rank], parts[rank].size), case)
        return parts

    def allgather(self, given: Sequence[Floats], case: str) -> list[Floats]:
        """All parts in a row, on every rank."""
        rows = [np.full(array.size * self.count, np.nan, np.float32) for array in given]
        self.ddp("allgather_f32", lambda rank: (given[rank], rows[rank], given[rank].size), case)
        return rows

    # --- A model --------------------------------------------------------------------------------------------------

    def register(self, shape: npt.NDArray[Any], data: Sequence[Floats], bucket_bytes: int, case: str) -> None:
        """Make the model on every rank and register it; `data[rank]` are its first values there."""
        self.run("drive_register", lambda rank: (0, shape, len(shape), bucket_bytes, data[rank]), case)
        self._floats = int(shape["n"].sum())

    def data(self) -> list[Floats]:
        """The parameters' values on every rank."""
        return self._fetch("drive_data")

    def grads(self) -> list[Floats]:
        """The gradients on every rank."""
        return self._fetch("drive_grads")

    def fill_grads(self, value: float = 0.0) -> None:
        """Set every gradient."""
        self.ranks.call("drive_fill_grads", lambda rank: (0, value))

    def backward(
        self, grads: Sequence[Floats], orders: Sequence[npt.NDArray[np.uint32]], case: str, nap_us: int = 0
    ) -> None:
        """Add to the gradients of each rank in its order, and tell ddp_grad_ready."""
        self.run(
            "drive_backward", lambda rank: (0, grads[rank], orders[rank], len(orders[rank]), nap_us), case
        )

    def sync(self, case: str) -> None:
        """ddp_sync on every rank."""
        self.ddp("sync", lambda rank: (), case)

    def step(
        self,
        grads: Sequence[Floats],
        orders: Sequence[npt.NDArray[np.uint32]],
        case: str,
        nap_us: int = 0,
        timeout_s: float | None = None,
    ) -> float:
        """Backward and sync without a stop in between; wall seconds until the last rank is done."""
        values = self.ranks.calls(
            [
                (
                    "drive_backward",
                    lambda rank: (0, grads[rank], orders[rank], len(orders[rank]), nap_us),
                ),
                ("ddp_sync", lambda rank: (self._contexts[rank],)),
            ],
            case=case,
            timeout_s=timeout_s,
        )
        require([item for each in values for item in each], case)
        return max(timing.wall_s for timing in self.ranks.timings.values())

    def _fetch(self, function: str) -> list[Floats]:
        rows = [np.full(self._floats, np.nan, np.float32) for _ in range(self.count)]
        self.ranks.call(function, lambda rank: (0, rows[rank]))
        return rows


def require(statuses: Sequence[Value], case: str) -> None:
    """Every rank must have answered 0."""
    if -errno.ENOSYS in statuses:
        raise CheckFailed(
            "a function that this needs is not written yet: it answered -ENOSYS",
            case=case,
            why="Start in ddp.c with ddp_create and ddp_allreduce_f32; gathering at rank 0 will do at first.",
        )
    wrong = [rank for rank, status in enumerate(statuses) if status != 0]
    if wrong:
        raise CheckFailed(
            "a call that must work did not",
            case=case,
            expected="0 on every rank",
            got=", ".join(answer(status) for status in statuses),
            why=next((REASONS[-item] for item in statuses if isinstance(item, int) and -item in REASONS), ""),
        )


def told(fate: Answer | GroupFailed, rank: int, case: str) -> str:
    """The answer of one rank; a rank that crashed or hangs fails the test."""
    if isinstance(fate, Answer):
        return answer(fate.values[0])
    if fate.kind == "hung":
        raise CheckFailed(
            f"rank {rank} did not return",
            case=case,
            why="Every wait needs an end: the transport's wait answers 0 when the time is over.",
        )
    raise CheckFailed(f"rank {rank} {fate.summary}", case=case)


def orders(*parameters: Sequence[int]) -> list[npt.NDArray[np.uint32]]:
    """One order for each rank."""
    return [np.array(order, np.uint32) for order in parameters]


def shape_of(*items: int | tuple[int, int] | tuple[int, int, int]) -> npt.NDArray[Any]:
    """`shape_of(100, (50, 0), (100, 1, 0))`: floats, and perhaps requires_grad, and perhaps what it is tied to."""
    full = [(item, 1, -1) if isinstance(item, int) else (*item, -1)[:3] for item in items]
    return np.array(full, SHAPE)


def all_zero(answers: Mapping[int, str]) -> bool:
    """Did every rank answer 0?"""
    return all(value == "0" for value in answers.values())


def must_fail(answers: Mapping[int, str], allowed: Collection[str], case: str, why: str = "") -> None:
    """Every rank answers one of these errors."""
    wrong = {rank: value for rank, value in answers.items() if value not in allowed}
    check(
        not wrong,
        "a rank answered something else",
        case=case,
        expected=" or ".join(allowed),
        got=", ".join(f"rank {rank}: {value}" for rank, value in sorted(wrong.items())),
        why=why,
    )
