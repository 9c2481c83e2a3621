"""A duel on a GPU is judged only when its clock was the same for both sides, and not held back."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pytest

from grader.timing.duel import Case, Task
from grader.timing.gpu_clocks import Clocks, Reading, reader

POWER, HOT, IDLE = 0x4, 0x20, 0x1


def fought(readings: Iterable[Reading | None]) -> Clocks:
    """Ten rounds, in which the clock reads this: the submission's, the reference's, in turn."""
    clocks, left = Clocks(iter(readings).__next__), []

    def tasks(rng: np.random.Generator) -> tuple[Task, Task]:
        return Task((), lambda values: left.append(values)), Task((), lambda values: left.append(values))

    case = clocks.watching(Case("one", tasks, 1.0))
    for _ in range(10):
        for task in case.tasks(np.random.default_rng(1)):
            task.verify((0,))
    assert left == [(0,)] * 20  # the case's own check is still made
    return clocks


@pytest.mark.parametrize(
    "ours, theirs",
    [
        (Reading(1980, 0), Reading(1980, 0)),
        (Reading(1980, 0), Reading(1935, 0)),
        (Reading(1980, 0), Reading(1500, POWER)),  # its own draw
        (Reading(345, IDLE), Reading(1980, 0)),  # between two calls
    ],
)
def test_equal_clocks_are_judged(ours: Reading, theirs: Reading) -> None:
    assert fought([ours, theirs] * 10).disturbed() == ""


def test_a_clock_that_differs_between_the_sides_is_told() -> None:
    told = fought([Reading(1980, 0), Reading(1500, 0)] * 10).disturbed()
    assert "1980 MHz for the submission, 1500 MHz for the reference" in told


def test_a_gpu_that_is_too_hot_is_told() -> None:
    assert "too hot" in fought([Reading(1200, HOT), Reading(1200, HOT)] * 10).disturbed()


def test_one_hot_moment_of_twenty_is_not_enough() -> None:
    assert fought([Reading(1980, HOT), *[Reading(1980, 0)] * 19]).disturbed() == ""


def test_a_clock_that_cannot_be_read_says_nothing() -> None:
    assert fought([None] * 20).disturbed() == ""


def test_a_gpu_that_the_driver_does_not_know_has_no_clock() -> None:
    assert reader("GPU-none")() is None
