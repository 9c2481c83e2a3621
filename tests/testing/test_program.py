"""The `program` and `model` of a lab's tests: verdicts about what a program does."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from grader.runner.programs import Run
from grader.sandbox.probe import best_tier
from grader.testing.checks import CheckFailed, NotJudged
from grader.testing.program import Program
from grader.testing.subject import Subject, reference_of
from grader.timing.duel import Case, Rules, Task, fight
from grader.toolchain import probe
from tests.conftest import needs
from tests.fixtures import programs_lab
from tests.fixtures.tiny import leaving_nothing


@pytest.fixture(scope="module")
def subject() -> Iterator[Subject]:
    subject = Subject(programs_lab.lab(), programs_lab.source(), best_tier())
    yield subject
    subject.close()


@pytest.fixture
def program(subject: Subject) -> Program:
    return subject.program()


def failure(program: Program, *arguments: str, **how: object) -> CheckFailed:
    with pytest.raises(CheckFailed) as caught:
        program.run(*arguments, **how)
    return caught.value


def test_a_run(program: Program) -> None:
    assert program.run("say", "hi").stdout == b"hi"
    assert program.run("end", "3").status == 3


def test_one_sandbox_serves_many_runs(program: Program) -> None:
    runner = program.start()
    program.run("say", "hi")
    assert program.start() is runner


def test_a_hang_is_a_failure_and_the_next_one_is_told_sooner(subject: Subject) -> None:
    own = Program(subject.program()._launch, subject.program().argv)
    first = failure(own, "sleep", "60", timeout_s=0.4)
    assert first.summary == "did not end within 0.4 s" and first.case == "deeds sleep 60"
    assert failure(own, "sleep", "60", timeout_s=0.4).summary == "did not end within 0.2 s"
    own.close()


def test_who_only_waited_may_try_again_with_more_time(subject: Subject) -> None:
    own = Program(subject.program()._launch, subject.program().argv)
    assert own.run("sleep", "1", timeout_s=0.5).status == 0  # 0.5 s are too few, 2.5 s are not
    own.close()


def test_a_flood_is_a_failure(program: Program) -> None:
    assert failure(program, "flood", output_kib=4, case="a test").summary == "printed more than 4 KiB"


def test_who_kills_everybody_fails_and_the_next_run_has_a_new_sandbox(program: Program) -> None:
    assert "ended the sandbox's server" in failure(program, "kill").summary
    assert program.run("say", "alive").stdout == b"alive"


def test_who_goes_on_breaking_sandboxes_is_not_run_any_more(subject: Subject) -> None:
    own = Program(subject.program()._launch, subject.program().argv)
    summaries = [failure(own, "kill").summary for _ in range(5)]
    assert ["not run" in summary for summary in summaries] == [False, False, False, True, True]
    own.close()


def test_a_sanitizers_finding_names_the_line(subject: Subject) -> None:
    found = failure(subject.program("asan"), "overflow", "9")
    assert found.where.startswith("deeds.c:") and "watched this run" in found.why


def test_calls_fail_in_the_faults_build(subject: Subject) -> None:
    assert subject.program("faults").run("say", "hi").status == 7


def test_a_terminal(program: Program) -> None:
    with program.terminal("copy") as terminal:
        terminal.line("hello")
        terminal.expect(r"hello\s+hello", "what it copies")
        with pytest.raises(CheckFailed, match="a reason did not come") as caught:
            terminal.expect("something else", "a reason", timeout_s=0.1)
        assert "hello" in caught.value.got
        terminal.send("\x04")
        assert terminal.wait().status == 0


@needs("strace")
def test_system_calls_are_counted_from_outside(program: Program) -> None:
    counts = program.traced("end", "0")
    assert counts["exit_group"] == 1 and counts["write"] == 0
    assert program.traced("say", "hi")["write"] == 1


def test_a_model_is_run_like_the_submission(subject: Subject) -> None:
    dash = subject.model("dash")
    assert dash.run("-c", "echo hi").stdout == b"hi\n"
    assert subject.model("dash") is dash


def test_a_model_that_is_not_installed_leaves_the_test_not_judged(subject: Subject) -> None:
    with pytest.raises(NotJudged, match="apt-get install nobody"):
        subject.model("nobody")


def test_a_model_that_hangs_judges_nobody(subject: Subject) -> None:
    with pytest.raises(NotJudged, match="did not end within"):
        subject.model("dash").run("-c", "while :; do :; done", timeout_s=0.2)


def test_a_lab_without_an_executable_has_no_program(subject: Subject) -> None:
    build = subject.lab.build.model_copy(update={"program": None})
    sandbox = subject.lab.model_copy(update={"build": build})
    other = Subject(sandbox, programs_lab.source(), best_tier())
    with pytest.raises(RuntimeError, match="has no executable"):
        other.program()
    other.close()


def test_programs_fight_a_duel(subject: Subject) -> None:
    """Both sides are timed by the same clock, and what came of each run is verified."""
    seen: list[bytes] = []

    def tasks(rng: np.random.Generator) -> tuple[Task, Task]:
        word = str(rng.integers(1000))
        ours = Run((*subject.program().argv, "say", word))
        theirs = Run((*subject.model("dash").argv, "-c", f"echo {word}"))
        return Task((ours,), lambda ended: seen.append(ended[0].stdout)), Task((theirs,), lambda ended: None)

    reference = reference_of(subject.lab, subject.tier)
    assert (reference.name, reference.isa, reference.bandwidth) == ("dash", "", None)
    rules = Rules({"pass": 1e-6}, "wall", cap_s=5.0)
    with leaving_nothing():
        outcome = fight(
            subject.side(), reference.side, [Case("say", tasks, work=1)], rules, np.random.default_rng(1)
        )
    assert outcome.rounds > 0 or outcome.verdict == "not_judged"
    assert seen and all(word.isdigit() for word in seen)


def test_with_a_sanitizer_it_lies_where_the_sanitizers_heap_never_is(subject: Subject) -> None:
    """Where the kernel draws the place of an executable, one start in four would die before main."""
    executable = subject.built("asan").program
    assert executable is not None
    with executable.open("rb") as file:
        kind = int.from_bytes(file.read(18)[16:], "little")
    assert kind == 2, "ET_EXEC: its addresses are the linker's, not the kernel's"


def test_a_sanitizer_that_dies_here_is_not_the_programs_fault(monkeypatch) -> None:
    """Where staff's own program dies in its start, nobody's is judged."""
    monkeypatch.setattr(probe, "stand_in", lambda *ignored: Path("/usr/bin/false"))
    subject = Subject(programs_lab.lab(), programs_lab.source(), best_tier())
    try:
        with pytest.raises(NotJudged, match="AddressSanitizer does not start here: "):
            subject.program("asan")
    finally:
        subject.close()
