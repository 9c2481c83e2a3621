"""A sanitizer that dies before it has loaded anything says nothing about a submission."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

import pytest

from grader.runner import host
from grader.runner.host import CannotStart, Guest
from grader.runner.runtime import Runtime
from grader.sandbox import confine
from grader.sandbox.confine import Tier
from grader.testing.subject import Subject
from tests.conftest import needs
from tests.fixtures import tiny

pytestmark = needs("gcc", "tier A")


@pytest.fixture
def subject(tier: Tier) -> Iterator[Subject]:
    subject = Subject(tiny.lab(), tiny.source(), tier)
    yield subject
    subject.close()


@pytest.fixture
def dies(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[int], bool]], list[bool]]:
    """`dies(when)`: the runner's start of this number dies before its main; gives what came of all starts."""

    def imitate(when: Callable[[int], bool]) -> list[bool]:
        starts: list[bool] = []
        original = Runtime.command

        def command(self: Runtime, *arguments: str) -> list[str]:
            starts.append(when(len(starts)))
            return ["/nonexistent/python"] if starts[-1] else original(self, *arguments)

        monkeypatch.setattr(Runtime, "command", command)
        return starts

    return imitate


@pytest.mark.parametrize("variant", ["asan", "tsan"])
def test_one_that_dies_is_started_again(subject: Subject, dies, variant: str) -> None:
    starts = dies(lambda number: number < 3)
    with subject.start(variant, 4096, 4096) as guest:
        guest.wait_until_ready()
    assert starts == [True, True, True, False]


def test_one_death_in_four_is_never_seen(subject: Subject, dies) -> None:
    chance = random.Random(1)
    starts = dies(lambda number: chance.random() < 0.25)
    for _ in range(8):
        with subject.start("asan", 4096, 4096) as guest:
            guest.wait_until_ready()
    assert 8 == starts.count(False) < len(starts)


def test_one_that_never_stands_is_the_machines_fault(subject: Subject, dies, monkeypatch) -> None:
    monkeypatch.setattr(host, "_STARTS", 3)
    starts = dies(lambda number: True)
    with pytest.raises(CannotStart, match=r"AddressSanitizer does not start here: "):
        subject.start("asan", 4096, 4096)
    assert len(starts) == 3


def test_the_deaths_that_are_survived_are_rarer_than_one_in_a_million() -> None:
    assert 0.25**host._STARTS < 1e-14 and 0.5**host._STARTS < 1e-6


def test_what_dies_without_a_sanitizer_is_started_once(subject: Subject, dies) -> None:
    starts = dies(lambda number: True)
    with subject.start("release", 4096, 4096) as guest:
        with pytest.raises(CannotStart):
            guest.wait_until_ready()
    assert len(starts) == 1


def test_the_submissions_own_death_is_not_tried_again(tier, dies) -> None:
    code = "__attribute__((constructor)) static void leave(void)\n{\n    _Exit(7);\n}\n"
    subject = Subject(tiny.lab(), tiny.source("#include <stdlib.h>\n" + code), tier)
    starts = dies(lambda number: False)
    try:
        with subject.start("asan", 4096, 4096) as guest:
            with pytest.raises(host.GuestFailed, match="while it was loaded"):
                guest.wait_until_ready()
    finally:
        subject.close()
    assert starts == [False]


@pytest.mark.parametrize("variant", ["asan", "tsan"])
def test_addresses_are_fixed_where_the_kernel_allows_it(subject: Subject, variant: str) -> None:
    if not confine.fixed_addresses_allowed():
        pytest.skip("personality(2) is refused here, as by Docker's default filter")
    addresses = set()
    for _ in range(3):
        with subject.start(variant, 4096, 4096) as guest:
            guest.wait_until_ready()
            addresses.add(guest.addresses)
    assert len(addresses) == 1


def test_a_guest_is_closed_twice_without_harm(subject: Subject) -> None:
    guest: Guest = subject.start("asan", 4096, 4096)
    guest.close()
    guest.close()
