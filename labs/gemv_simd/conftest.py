"""Fixtures of this lab: `gemv` runs a problem, plain or transposed, and checks its answer."""

from __future__ import annotations

import errno
from collections.abc import Callable

import pytest

from grader.runner.arena import Edge
from grader.testing import CheckFailed, Library, check
from labs.gemv_simd.oracle import Problem

Gemv = Callable[..., None]


@pytest.fixture
def gemv(library: Library) -> Gemv:
    """`gemv(problem)` calls gemv_f32, or gemv_t_f32 when the problem is transposed, and verifies y."""

    def multiply(problem: Problem, edge: Edge = "end", why: str = "") -> None:
        status = library.call(problem.function, *problem.arguments, case=problem.label, edge=edge)
        if status == -errno.ENOSYS:
            raise CheckFailed(
                f"{problem.function} is not written yet: it returned -ENOSYS",
                case=problem.label,
                why="Start with two loops in gemv.c; correct first, fast later.",
            )
        accepted = f"{problem.function} refused a correct call"
        check(status == 0, accepted, case=problem.label, expected=0, got=status)
        problem.verify(why)

    return multiply
