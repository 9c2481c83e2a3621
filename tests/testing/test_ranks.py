"""Ranks, as a lab's tests use them: arguments by rank, verdicts that name the rank, counted bytes."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from grader.runner.group import Answer, Group
from grader.runner.relay import Wire
from grader.sandbox.probe import best_tier
from grader.testing import CheckFailed, Library, Ranks
from tests.fixtures import tiny
from tests.runner.test_group import PEER


@pytest.fixture(scope="module")
def made() -> Iterator[Ranks]:
    tier = best_tier()
    spec = tiny.spec(tier, tiny.source(PEER))
    library = Library(lambda inputs, outputs: pytest.fail("nobody calls it"), tiny.interface(), ("tiny.c",))
    ranks = Ranks(lambda *room: Group(tier, spec, 2, Wire()), tiny.interface(), library.explain)
    yield ranks
    ranks.close()


def whats(*numbers: int | None):
    """`tiny_act` with another first argument on each rank."""
    return lambda rank: (
        None if numbers[rank] is None else (numbers[rank], np.ones(1, np.float32), np.zeros(1, np.float32), 1)
    )


def test_each_rank_has_its_own_arguments(made) -> None:
    assert made.call("tiny_add", lambda rank: (rank, 10)) == (10, 11)
    assert made.world == 2


def test_outputs_come_back_by_rank(made) -> None:
    given = [np.full(3, 5.0 + rank, np.float32) for rank in range(2)]
    after = [np.zeros(3, np.float32) for _ in range(2)]
    made.call("tiny_act", lambda rank: (0, given[rank], after[rank], 3))
    assert [array[0] for array in after] == [6.0, 7.0]


def test_bytes_are_counted_since_the_last_look(made) -> None:
    made.sent()
    made.call("tiny_act", whats(1000 + int(made.descriptors(0)[1]), 2000 + int(made.descriptors(1)[0])))
    assert made.sent().tolist() == [[0, 1], [0, 0]]
    assert made.sent().sum() == 0
    assert made.quiet()


def test_a_rank_may_be_left_out(made) -> None:
    fates = made.fates([("tiny_act", whats(0, 0))], only=[1])
    assert list(fates) == [1] and isinstance(fates[1], Answer)
    assert made.call("tiny_add", lambda rank: (rank, 1)) == (1, 2)


def test_who_looks_again_and_again_is_busy_and_who_sleeps_is_not(made) -> None:
    """Also where others use the cores: waiting in line for one counts, and CPU time would shrink."""
    before = [made.busy_s(rank) for rank in range(2)]
    made.call("tiny_act", whats(5, 6))
    spins, sleeps = (made.busy_s(rank) - before[rank] for rank in range(2))
    assert spins > 0.15 > sleeps


def test_a_hanging_rank_is_named(made) -> None:
    with pytest.raises(CheckFailed, match=r"did not return within 0.3 s \(rank 1\)"):
        made.call("tiny_act", whats(0, 1), timeout_s=0.3)
    assert made.call("tiny_add", lambda rank: (rank, 2)) == (2, 3)  # new ones


def test_a_killed_rank_is_no_failure_of_the_others(made) -> None:
    fates = made.fates([("tiny_act", whats(1, 0))], kill_after_s={0: 0.05})
    assert isinstance(fates[1], Answer) and made.killed == {0}
    assert not made.quiet()
    made.close()
