"""Each limit of a lab ends what runs into it, and is told by its name."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from grader.runner.host import Guest, GuestFailed
from grader.runner.programs import Ended, ProgramRunner, Run
from grader.sandbox import cgroup
from grader.sandbox.confine import Tier
from grader.testing.checks import CheckFailed
from grader.testing.program import Program
from tests.conftest import tier_of
from tests.fixtures import programs_lab
from tests.fixtures.tiny import leaving_nothing
from tests.runner.conftest import allowing

in_groups = pytest.mark.skipif(
    not cgroup.available(),
    reason="no control group can be made here: limits hold for each process by itself",
)


@pytest.fixture(scope="module", params=["A", "C"])
def confined(request: pytest.FixtureRequest) -> Tier:
    """With namespaces, and without."""
    return tier_of(request.param, 806)


@pytest.fixture
def program(confined: Tier) -> Iterator[Program]:
    path, spec = programs_lab.furnished(confined)
    small = replace(spec, cpu_s=1, file_mib=3, resident_mib=200, processes=40)
    own = Program(lambda: ProgramRunner(confined, small), [path])
    yield own
    own.close()


class TestOfALibrary:
    @pytest.mark.parametrize(
        ("deed", "limits", "words"),
        [
            (
                11,
                {"memory_mib": 256},
                r"wanted more than 256 MiB of memory, was refused, and crashed: SIGSEGV",
            ),
            (73, {"file_mib": 3}, r"wrote a file of more than 3 MiB$"),
            (30, {"cpu_s": 1}, r"used more than 1 s of CPU time"),
            (40, {"output_kib": 8}, r"printed more than 8 KiB$"),
            (31, {"call_s": 0.2}, r"did not return within 0\.2 s$"),
        ],
        ids=["memory", "file", "CPU time", "output", "time"],
    )
    def test_it_is_told(self, confined: Tier, hostile_spec, act, deed: int, limits, words: str) -> None:
        with leaving_nothing(), Guest(confined, allowing(hostile_spec, **limits)) as guest:
            with pytest.raises(GuestFailed, match=words):
                act(guest, deed)

    @in_groups
    def test_memory_that_it_really_uses(self, confined: Tier, hostile_spec, act) -> None:
        """Where addresses cannot be limited: sanitizers, GPUs."""
        limited = allowing(hostile_spec, memory_mib=None, resident_mib=100)
        with leaving_nothing(), Guest(confined, limited) as guest:
            with pytest.raises(GuestFailed, match=r"used more than 100 MiB of memory$"):
                act(guest, 74)

    def test_a_crash_long_after_a_refusal_is_just_a_crash(self, confined: Tier, hostile_spec, act) -> None:
        with Guest(confined, hostile_spec) as guest:
            with pytest.raises(GuestFailed, match=r"^crashed: SIGSEGV"):
                act(guest, 7)


class TestOfAProgram:
    @pytest.mark.parametrize(
        ("deed", "timeout_s", "words"),
        [
            (("write", "4"), 60.0, "wrote a file of more than 3 MiB"),
            (("spend",), 60.0, "used more than 1 s of CPU time"),
            (("flood",), 60.0, "printed more than 16 KiB"),
            (("sleep", "60"), 0.5, "did not end within 0.5 s"),
        ],
        ids=["file", "CPU time", "output", "time"],
    )
    def test_it_is_told(self, program: Program, deed: tuple[str, ...], timeout_s: float, words: str) -> None:
        with pytest.raises(CheckFailed, match=words):
            program.run(*deed, output_kib=16, timeout_s=timeout_s)

    @in_groups
    @pytest.mark.parametrize(
        ("deed", "words"),
        [
            (("use", "80"), "used more than 200 MiB of memory, all its processes together"),
            (("bomb",), "started more than 40 processes"),
        ],
        ids=["memory", "processes"],
    )
    def test_limits_on_all_its_processes(self, program: Program, deed: tuple[str, ...], words: str) -> None:
        with pytest.raises(CheckFailed, match=words):
            program.run(*deed, timeout_s=1.5)

    def test_the_next_run_is_not_blamed_for_the_last_one(self, program: Program) -> None:
        for deed in (("bomb",), ("use", "80"), ("write", "4")):
            program.attempt(program.command(*deed, timeout_s=0.5))
            ended: Ended = program.run("say", "fine", timeout_s=60.0)
            assert (ended.stdout, ended.over) == (b"fine", "")

    def test_within_the_limits_nothing_is_said(self, program: Program) -> None:
        assert program.run("write", "3", timeout_s=60.0).status == 0


def test_without_control_groups_a_fork_bomb_ends_all_the_same(
    confined: Tier, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cgroup, "make", lambda memory_mib, tasks: None)
    path, spec = programs_lab.furnished(confined)
    with leaving_nothing(), ProgramRunner(confined, spec) as runner:
        assert runner.run(Run((path, "bomb"), timeout_s=0.3)).timed_out
        assert runner.run(Run((path, "say", "alive"))).stdout == b"alive"
