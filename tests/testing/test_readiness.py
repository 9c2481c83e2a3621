"""What this machine can do is found out by doing it, as grading does."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import pytest

from grader.batch import plan
from grader.runner import host
from grader.sandbox.confine import Tier
from grader.sandbox.probe import best_tier
from grader.testing import readiness, simulation
from grader.toolchain import probe
from tests.conftest import needs
from tests.fixtures import tiny

pytestmark = needs("gcc", "tier A")


@pytest.fixture(scope="module")
def tier() -> Tier:
    return best_tier()


@pytest.fixture
def dies(monkeypatch: pytest.MonkeyPatch) -> Any:
    """`dies(share)`: so many starts of runners die before they have loaded anything."""

    def imitate(share: float) -> None:
        chance, launch = random.Random(2), host._launch

        def imitated(tier: Any, spec: host.GuestSpec, *rest: Any) -> Any:
            unlucky = chance.random() < share
            return launch(tier, replace(spec, prefix=("/nonexistent",)) if unlucky else spec, *rest)

        monkeypatch.setattr(host, "_launch", imitated)

    return imitate


def test_a_machine_in_order_is_ready(tier: Tier) -> None:
    assert readiness.compiler(tiny.lab(), tier) == ""
    assert readiness.sanitizer(tiny.lab(), tier, "asan", 2) == ("", 0)
    assert readiness.sanitizer(tiny.lab(), tier, "tsan", 2) == ("", 0)


def test_starts_that_die_are_counted_and_survived(tier: Tier, dies) -> None:
    dies(0.5)
    reason, died = readiness.sanitizer(tiny.lab(), tier, "asan", 4)
    assert (reason, died > 0) == ("", True)


def test_a_sanitizer_that_never_starts_is_told_with_the_cure(tier: Tier, dies, monkeypatch) -> None:
    monkeypatch.setattr(host, "_STARTS", 3)
    dies(1.0)
    reason, _ = readiness.sanitizer(tiny.lab(), tier, "tsan", 2)
    assert "ThreadSanitizer does not start here: " in reason


def test_what_the_compiler_refuses_is_told_in_the_probes_words(tier: Tier, monkeypatch) -> None:
    monkeypatch.setattr(probe, "why_not", lambda tier, lab, variant: f"no {variant}: install it")
    assert readiness.sanitizer(tiny.lab(), tier, "asan") == ("no asan: install it", 0)
    assert readiness.compiler(tiny.lab(), tier) == "no release: install it"


@needs("valgrind")
def test_valgrind_starts_a_runner(tier: Tier) -> None:
    assert readiness.valgrind(tiny.lab(), tier) == ""


@needs("valgrind")
def test_a_valgrind_that_starts_nothing_is_told(tier: Tier, monkeypatch) -> None:
    """Found beside the system, installed in part, or stopped by the sandbox: its file is there, and no more."""
    monkeypatch.setattr(simulation, "_TOOLS", ())
    assert "could not start a runner" in readiness.valgrind(tiny.lab(), tier)


@needs("valgrind")
def test_what_a_machine_lacks_is_in_the_key_of_a_batch(tier: Tier, monkeypatch) -> None:
    """A machine that is mended is another one: what could not be judged is graded again."""
    with monkeypatch.context() as broken:
        broken.setattr(readiness, "_still", lambda trial, lab, tier: "needs valgrind: install it")
        less = plan.here([tiny.lab()])
    whole = plan.here([tiny.lab()])
    assert less.machine == f"{whole.machine}, without valgrind"
    assert whole == plan.here()
