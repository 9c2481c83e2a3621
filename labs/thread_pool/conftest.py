"""The fixture of this lab: `play` plays a scene of driver.h with the submission."""

from __future__ import annotations

import errno
from collections.abc import Callable

import pytest

from grader.testing import CheckFailed, Library, check
from labs.thread_pool.oracle import answer

Play = Callable[..., None]


@pytest.fixture
def play(library: Library) -> Play:
    """`play("drive_tasks", 2, 0, 1, 0, 100, slots, case="2 workers")` plays a scene, in which no call may fail."""

    def scene(name: str, *arguments: object, case: str = "", timeout_s: float | None = None) -> None:
        status = library.call(name, *arguments, case=case, timeout_s=timeout_s)
        if status == -errno.ENOSYS:
            raise CheckFailed(
                "a function that this needs is not written yet: it answered -ENOSYS",
                case=case,
                why="Start in tpool.c with tpool_create, tpool_submit, tpool_wait and tpool_destroy.",
            )
        check(status == 0, "a call that must work did not", case=case, expected=0, got=answer(status))

    return scene
