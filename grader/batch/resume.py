"""Going on where a class stopped: what has a result keeps it; what waited for the machine is tried again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from grader.batch import plan
from grader.batch.plan import Job
from grader.batch.store import Store


def left(jobs: Sequence[Job], store: Store, run: int) -> tuple[list[Job], int]:
    """What is still to be graded, and how many of it were graded before and could not be judged in full.

    The owners of all else have their attempt afterwards. A result stays as it is: grading it again is a repetition.
    """
    todo, again = [], 0
    for job in jobs:
        if job.files:
            store.keep_files(job.pieces.submission, job.files)
        newest = store.newest_like(job.pieces)
        if job.pieces.again and store.has(job.key):  # this repetition was asked for, and is there
            store.own(job.key, job.owners, run)
        elif job.pieces.again or newest is None:
            todo.append(job)
        elif newest[2]:
            pieces = replace(job.pieces, again=newest[1] + 1)
            todo.append(replace(job, key=plan.key_of(pieces), pieces=pieces))
            again += 1
        else:
            store.own(newest[0], job.owners, run)
    return todo, again
