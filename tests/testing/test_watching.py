"""Calls under compute-sanitizer, with a runner that stands in for one on a GPU."""

from __future__ import annotations

from pathlib import Path

import pytest

from grader.runner import invoke
from grader.runner.host import GuestFailed, GuestLimits, GuestSpec
from grader.runner.invoke import Invocation
from grader.testing import watching
from grader.testing.checks import CheckFailed, NotJudged
from grader.testing.watching import Watcher
from grader.toolchain import compute_sanitizer
from grader.toolchain.interface import Interface

RACE = """\
========= COMPUTE-SANITIZER
========= Error: Race reported between Write access at sum+0x1f0 in redtr.cu:12
=========     and Read access at sum+0x2a0 in redtr.cu:14 [4 hazards]
=========
========= RACECHECK SUMMARY: 1 hazard displayed (1 error, 0 warnings)
"""


class StandIn:
    """A runner whose calls hang, after the tool has said this."""

    def __init__(self, spec: GuestSpec, said: str) -> None:
        self.spec, self.said = spec, said

    def __enter__(self) -> StandIn:
        return self

    def __exit__(self, *_: object) -> None: ...


@pytest.fixture
def waited(monkeypatch) -> list[float]:
    """The time limits of all calls so far; each of them is used up."""
    limits: list[float] = []

    def hang(guest: StandIn, interface: Interface, invocations: object, edge: str, timeout_s: float) -> None:
        limits.append(timeout_s)
        raise GuestFailed("hung", f"did not return within {timeout_s:g} s", output=guest.said.encode())

    monkeypatch.setattr(compute_sanitizer, "find", lambda: Path("/bin/true"))
    monkeypatch.setattr(invoke, "run", hang)
    monkeypatch.setattr(invoke, "needed_bytes", lambda *_: (4096, 4096))
    monkeypatch.setattr(watching.runtime, "needs", lambda program: ())
    return limits


def watcher(said: str = "") -> Watcher:
    spec = GuestSpec(Path("/m"), Path("/l"), ("sum",), GuestLimits(1.0))
    return Watcher(lambda spec: StandIn(spec, said), spec, Interface("", None, {}), ("redtr.cu",))


def test_who_hangs_under_one_tool_gets_less_time_under_the_next(waited):
    watch = watcher()
    for tool in ("memcheck", "racecheck"):
        with pytest.raises(NotJudged, match="could not watch: did not return within"):
            watch(tool, [Invocation("sum", ())])
    assert waited[1] < waited[0]


def test_a_finding_counts_although_the_kernel_hangs(waited):
    with pytest.raises(CheckFailed) as failed:
        watcher(RACE)("racecheck", [Invocation("sum", ())])
    assert "redtr.cu" in failed.value.where
