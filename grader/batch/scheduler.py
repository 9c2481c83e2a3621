"""Who works on what: every key that has no result is graded once, each in a process of its own, a few at a time.

The core knows only `concurrent.futures.Executor`. A submission can end its own grading process and nothing else: what
fails without a result is tried again, and then reported as not graded, never as zero.
"""

from __future__ import annotations

import concurrent.futures
import os
import queue
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import grader
from grader import result
from grader.batch.intake import Found
from grader.grading import grader_digest
from grader.lab import Lab
from grader.result import Result
from grader.submission import Refused, take
from grader.timing import fitness
from grader.toolchain import build, cache

ATTEMPTS, TRIAL_S = 2, 3600.0
"""How often a grading that ends without a result is tried, and the seconds after which it is stopped."""


@dataclass(frozen=True)
class Terms:
    """How everything is graded. Timed tests need the machine alone, so `slots` above 1 asks for `duels` False."""

    practice: bool = False
    duels: bool = True
    slots: int = 1


@dataclass(frozen=True)
class Job:
    """One submission to grade, for all who handed it in."""

    key: str
    lab: str
    folder: Path
    owners: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Done:
    """A job with its result, or with the reason why there is none."""

    job: Job
    result: Result | None
    reason: str = ""


def jobs(found: Sequence[Found], labs: Mapping[str, Lab], terms: Terms) -> list[Job]:
    """One job for each different submission, in the order in which they were found."""
    by_key: dict[str, list[Found]] = {}
    for item in found:
        by_key.setdefault(key_of(item, labs[item.lab], terms), []).append(item)
    return [
        Job(key, same[0].lab, same[0].folder, tuple((item.student, item.lab) for item in same))
        for key, same in by_key.items()
    ]


def key_of(item: Found, lab: Lab, terms: Terms) -> str:
    """The hash of all that decides a result: submission, lab, grader, compiler, kind of machine, terms."""
    try:
        digest = take(item.folder, lab).digest
    except Refused as refused:
        digest = f"refused: {refused}"
    info = fitness.cpu_info()
    machine = f"{info.name}, {info.cores} cores"
    how = f"practice={terms.practice} duels={terms.duels}"
    return cache.key("batch 1", digest, lab.id, lab.digest, grader_digest(), build.compiler(), machine, how)


def graded(
    todo: Sequence[Job], root: Path, terms: Terms, executor: concurrent.futures.Executor | None = None
) -> Iterator[Done]:
    """Grade the jobs and yield each as it ends. `executor` None: threads of this process, one for each slot."""
    slots: queue.SimpleQueue[int] = queue.SimpleQueue()
    for slot in range(terms.slots):
        slots.put(slot)
    own = executor or concurrent.futures.ThreadPoolExecutor(terms.slots)
    with tempfile.TemporaryDirectory(prefix="grader-batch-") as scratch:
        try:
            waiting = [own.submit(_grade, job, root, terms, slots, Path(scratch)) for job in todo]
            for future in concurrent.futures.as_completed(waiting):
                yield future.result()
        finally:
            own.shutdown(wait=True, cancel_futures=True)


def _grade(job: Job, root: Path, terms: Terms, slots: queue.SimpleQueue[int], scratch: Path) -> Done:
    slot = slots.get()
    try:
        reasons = []
        for number in range(ATTEMPTS):
            document = scratch / f"{job.key}-{number}.json"
            reason = _run(_command(job, root, terms, slot, document))
            if not reason:
                return Done(job, result.read(document))
            reasons.append(reason)
        return Done(job, None, reasons[-1])
    except ValueError as error:  # a result that cannot be read
        return Done(job, None, str(error))
    finally:
        slots.put(slot)


def _command(job: Job, root: Path, terms: Terms, slot: int, document: Path) -> list[str]:
    command = [sys.executable, "-m", "grader", "grade", "--no-history", "--submission", str(job.folder)]
    command += ["--json", str(document), "--slot", str(slot), "--root", str(root)]
    command += ["--practice"] if terms.practice else []
    command += [] if terms.duels else ["--no-duels"]
    return [*command, "--", job.lab]


def _run(command: Sequence[str]) -> str:
    """Run one grading; '' when it wrote a result, else why not."""
    environment = {**os.environ, "PYTHONPATH": str(Path(grader.__file__).parent.parent)}
    try:
        answer = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=TRIAL_S)
    except subprocess.TimeoutExpired:
        return f"no result after {TRIAL_S:.0f} s"
    return (
        "" if answer.returncode == 0 else f"exit status {answer.returncode}: {answer.stderr.strip()[-300:]}"
    )
