"""Performance: duels with dash at the same scripts, and system calls per line, which no noisy neighbour changes."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from grader.runner.programs import Ended, Run
from grader.scoring import linear_credit
from grader.testing import Program, category, check, points
from grader.timing.duel import Case, Task

pytestmark = category("performance")

Script = Callable[[np.random.Generator], tuple[bytes, bytes]]
"""Draws a script and says what it must print."""


@pytest.fixture
def against_dash(program, model):
    """`against_dash("programs", script, work)`: a case in which both run a script that is drawn anew for every run."""

    def make(name: str, script: Script, work: float, warm_up: bool = False) -> Case:
        def tasks(rng: np.random.Generator) -> tuple[Task, Task]:
            return _task(program, *script(rng)), _task(model("dash"), *script(rng))

        return Case(name, tasks, work=work, warm_up=warm_up)

    return make


def _task(program: Program, script: bytes, expected: bytes) -> Task:
    def verify(ended: Sequence[Ended]) -> None:
        got = ended[0].stdout
        check(
            got == expected,
            "other output",
            expected=expected.decode(),
            got=got.decode("utf-8", "replace")[-200:],
        )

    return Task((Run((*program.argv, "script"), files={"script": script}, timeout_s=30.0),), verify)


@points(6)
def test_starting_programs(duel, against_dash):
    """Programs one by one and in pipelines of three: what it costs to make a process."""
    duel("spawn", [against_dash("programs", _programs, 500), against_dash("pipelines", _pipelines, 160)])


@points(2)
def test_bytes_through_pipes(duel, against_dash):
    """The shell connects programs and then gets out of the way: no byte passes through its hands."""
    duel("throughput", [against_dash("cat", _throughput, 1024 << 20)])


def _programs(rng: np.random.Generator) -> tuple[bytes, bytes]:
    statuses = rng.integers(0, 100, size=500)
    lines = [b"ends %d" % status for status in statuses]
    return b"\n".join([*lines, b"args $?", b""]), b"[%d]\n1\n" % statuses[-1]


def _pipelines(rng: np.random.Generator) -> tuple[bytes, bytes]:
    statuses = rng.integers(0, 100, size=(160, 3))
    lines = [b"ends %d | ends %d | ends %d" % tuple(row) for row in statuses]
    return b"\n".join([*lines, b"args $?", b""]), b"[%d]\n1\n" % statuses[-1, -1]


def _throughput(rng: np.random.Generator) -> tuple[bytes, bytes]:
    mib = int(rng.integers(1000, 1048))
    return b"bytes %d | cat | bytes\n" % mib, b"%d\n" % (mib << 20)


@points(3)
def test_one_process_for_each_program(program, award):
    """No process in between: neither for a pipeline nor for a redirection."""
    script = b"ends 0 | ends 0 | ends 0\nends 0 >f\nends 0 && ends 0\n" * 20 + b"cd .\npwd >f\n" * 20
    counts = program.traced("s", files={"s": script})
    made = sum(counts[name] for name in ("clone", "clone3", "fork", "vfork")) / 120
    award(linear_credit(made, full_at=1.0, zero_at=2.0), f"{made:.2f} processes for each program")


@points(2)
def test_few_system_calls_for_a_program(program, award):
    """Make a process, wait for it: what else is there to do?"""
    counts = program.traced("s", files={"s": b"ends 0\n" * 200})
    each = sum(counts.values()) / 200
    award(
        linear_credit(each, full_at=5, zero_at=16), f"{each:.1f} system calls of the shell for each program"
    )


@points(2)
def test_few_system_calls_for_a_builtin(program, award):
    """A line that starts no program needs none; a script is read in blocks, not byte by byte."""
    counts = program.traced("s", files={"s": b": a 'b c' $V1\n" * 2000})
    each = sum(counts.values()) / 2000
    award(linear_credit(each, full_at=0.2, zero_at=4.0), f"{each:.2f} system calls for each line")
