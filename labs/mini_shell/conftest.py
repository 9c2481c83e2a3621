"""Fixtures of this lab: `shell` runs scripts with the submission, `agree` compares them with the real shells."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from grader.testing import Program, check

Agree = Callable[..., None]


@pytest.fixture
def agree(program: Program, model: Callable[[str], Program]) -> Agree:
    """`agree("echo hi | cat")`: output and exit status as dash, bash and busybox have them, where those agree."""

    def compare(script: str) -> None:
        answers = [model(name).run("-c", script) for name in ("dash", "bash", "busybox")]
        ours = program.run("-c", script)
        check(ours.stdout == answers[0].stdout, "other output", case=script, expected=answers[0].stdout, got=ours.stdout)

    return compare
