"""Contestants for duels: guests of the lab in `tests/testing/steps.py`."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from grader.lab import Lab
from grader.runner.host import Guest
from grader.timing.duel import Side
from tests.testing import steps


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    return steps.course(tmp_path_factory.mktemp("course"))


class Corner:
    """A contestant that counts the processes started for it."""

    def __init__(self, side: Side) -> None:
        self.started: list[Guest] = []
        self._real = side
        self.side = Side(self._start, side.interface)

    def _start(self, inputs: int, outputs: int) -> Guest:
        self.started.append(self._real.start(inputs, outputs))
        return self.started[-1]


@pytest.fixture
def corner(lab: Lab) -> Iterator[Callable[[str], Corner]]:
    """`corner(steps.source(2.0))`: a submission that needs twice the reference's steps."""
    subjects = []

    def enter(code: str) -> Corner:
        subjects.append(steps.subject(lab, code))
        return Corner(subjects[-1].side())

    yield enter
    for subject in subjects:
        subject.close()
