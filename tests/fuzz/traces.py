"""What strace, the kernel and valgrind say of a submission's process: counts, or the documented error."""

from __future__ import annotations

from grader.runner import observation
from grader.testing import simulation
from grader.testing.checks import NotJudged
from tests.fuzz.inputs import text


def one_input(data: bytes) -> None:
    """All of it is the log."""
    log = text(data)
    calls = observation.count(log)
    assert all(number > 0 for number in calls.values())
    observation.by_process(log)
    try:
        counts = simulation.parse(log)
    except NotJudged:
        return
    assert counts.instructions >= 0
