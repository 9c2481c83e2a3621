"""Performance, which here is agreement: the submission and the grader measure the same thing in turn."""

from __future__ import annotations

from collections.abc import Sequence

from grader.runner.channel import Value
from grader.runner.invoke import Invocation
from grader.testing import category, check, points
from grader.timing.duel import Case, Task
from labs.microbench.oracle import REPS

pytestmark = category("performance")

SIZES = [8 << 10, 24 << 10, 128 << 10, 256 << 10, 4 << 20, 16 << 20]
LINE = 64
MIN_NS = 200_000
"""Short repetitions: on a busy machine most of them are then not interrupted, and the median is one of those."""


@points(14)
def test_latencies_agree_with_the_graders_own(duel, library):
    """The same random rings, measured by you and by the grader in turn: from the first cache to memory."""
    duel("latency", [latency(library, size) for size in SIZES])


def latency(library, size: int) -> Case:
    """ns per load in a random ring of `size` bytes, by both sides."""

    def task() -> Task:
        stat = library.struct("mb_stat")

        def verify(values: Sequence[Value]) -> None:
            check(values[0] == 0, "mb_chase failed", expected=0, got=values[0])
            check(
                stat.reps == REPS and stat.iters > 0, "reps or iters is wrong", expected=REPS, got=stat.reps
            )

        call = Invocation("mb_chase", (size, LINE, 1, MIN_NS, stat))
        return Task((call,), verify, value=lambda values: float(stat.median))

    name = f"{size >> 10} KiB" if size < 1 << 20 else f"{size >> 20} MiB"
    return Case(name, lambda rng: (task(), task()), work=1.0, warm_up=False)
