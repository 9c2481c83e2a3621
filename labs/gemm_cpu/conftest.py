"""Fixtures of this lab: `gemm` runs a problem and checks its answer, `blocking` is what the submission reports."""

from __future__ import annotations

import errno
from collections.abc import Callable

import pytest

from grader.runner.arena import Edge
from grader.testing import CheckFailed, Library, check
from labs.gemm_cpu.oracle import Blocking, Problem, reported_blocking

Gemm = Callable[..., None]


@pytest.fixture
def gemm(library: Library) -> Gemm:
    """`gemm(problem)` calls gemm_f32 (or gemm_f32_mt with `threads`) and verifies C.

    `roughly`: for tests of another fact than the numbers. A few wrong elements cost their points where numbers are
    tested, and not here again; a function that multiplies nothing shows no fact at all.
    """

    def multiply(
        problem: Problem, threads: int | None = None, edge: Edge = "end", why: str = "", roughly: bool = False
    ) -> None:
        name, extra = ("gemm_f32", ()) if threads is None else ("gemm_f32_mt", (threads,))
        label = problem.label + ("" if threads is None else f" nthreads={threads}")
        status = library.call(name, *problem.arguments, *extra, case=label, edge=edge)
        if status == -errno.ENOSYS:
            raise CheckFailed(
                f"{name} is not written yet: it returned -ENOSYS",
                case=label,
                why="Start with three loops in gemm.c; correct first, fast later.",
            )
        check(status == 0, f"{name} refused a correct call", case=label, expected=0, got=status)
        if roughly:
            problem.verify_most()
        else:
            problem.verify(why)

    return multiply


@pytest.fixture
def blocking(library: Library) -> Blocking:
    """(mr, nr, mc, kc, nc) as the submission reports them."""
    reported = reported_blocking(library)
    if reported is None:
        raise CheckFailed("the building blocks are not written yet: gemm_get_blocking reports mr = 0")
    return reported
