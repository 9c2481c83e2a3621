"""Guests of the tiny lab, honest and hostile."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import pytest

from grader.runner import invoke
from grader.runner.arena import Edge
from grader.runner.channel import Value
from grader.runner.host import Guest, GuestSpec, Timing
from grader.runner.invoke import Invocation
from grader.sandbox.confine import Tier
from grader.sandbox.probe import best_tier
from grader.toolchain.interface import Interface
from tests.fixtures import tiny


@pytest.fixture(scope="session")
def tier() -> Tier:
    return best_tier()


@pytest.fixture(scope="session")
def interface() -> Interface:
    return tiny.interface()


@pytest.fixture(scope="session")
def honest_spec(tier: Tier) -> GuestSpec:
    return tiny.spec(tier, tiny.source())


@pytest.fixture(scope="session")
def hostile_spec(tier: Tier) -> GuestSpec:
    return tiny.spec(tier, tiny.source(tiny.DEEDS.read_text()))


@pytest.fixture(scope="session")
def greeting_spec(tier: Tier) -> GuestSpec:
    return tiny.spec(tier, tiny.source((tiny.FIXTURES / "hostile" / "greeter.c").read_text()))


@pytest.fixture
def honest(tier: Tier, honest_spec: GuestSpec) -> Iterator[Guest]:
    with Guest(tier, honest_spec) as guest:
        yield guest


@pytest.fixture
def hostile(tier: Tier, hostile_spec: GuestSpec) -> Iterator[Guest]:
    with Guest(tier, hostile_spec) as guest:
        yield guest


Act = Callable[..., tuple[Value, Timing]]


@pytest.fixture(scope="session")
def act(interface: Interface) -> Act:
    """`act(guest, deed)`: one call of tiny_act(deed, input, output, count); answers its value and its cost."""

    def run(
        guest: Guest,
        deed: int,
        count: int = 8,
        *,
        edge: Edge = "end",
        timeout_s: float | None = None,
        given: bytes | None = None,
        output: np.ndarray | None = None,
    ) -> tuple[Value, Timing]:
        floats = np.ones(count, np.float32) if given is None else np.frombuffer(given, np.float32).copy()
        into = np.zeros(count, np.float32) if output is None else output
        call = Invocation("tiny_act", (deed, floats, into, floats.size))
        values, timing = invoke.run(guest, interface, [call], edge=edge, timeout_s=timeout_s)
        return values[0], timing

    return run


def allowing(spec: GuestSpec, **limits: object) -> GuestSpec:
    """The same guest with other limits."""
    return replace(spec, limits=replace(spec.limits, **limits))  # type: ignore[arg-type]
