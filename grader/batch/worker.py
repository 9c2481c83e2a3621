"""A process that grades what it is told, one submission after the other, each in a fork of its own.

It reads an order per line, and writes an event per line: `running` with what happens now, then `done` with the result
document, or `lost` with the reason. It has imported everything before the first order, so that a submission costs no
start of an interpreter; and a submission that brings its grading process down ends a fork and nothing else.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import gc
import io
import json
import os
import signal
import sys
import tempfile
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import IO, NoReturn

import _cffi_backend  # noqa: F401 - what a lab's module needs, and its tests
import numpy.random  # noqa: F401
import pytest

from grader import cc, grading
from grader.batch import machine
from grader.batch.orders import Order
from grader.grading import Options
from grader.lab import Lab, load_lab
from grader.result import TestResult
from grader.runner import runtime
from grader.sandbox.probe import best_tier
from grader.toolchain import module

WAITING = "waiting for the machine"
"""What a worker says while others are timed: the only state that may last for any time."""

_PR_SET_PDEATHSIG = 1


class Teller:
    """Writes events, and is the listener of a grading."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream

    def tell(self, event: str, text: str) -> None:
        """One line, at once."""
        self._stream.write(json.dumps([event, text]) + "\n")
        self._stream.flush()

    def start(self, total: int) -> None:
        """A grading begins."""

    def running(self, name: str) -> None:
        """A test runs."""
        self.tell("running", name)

    def finished(self, test: TestResult) -> None:
        """A test has ended."""

    def phase(self, text: str) -> None:
        """Something else than a test runs."""
        self.tell("running", text)


def serve(orders: IO[str], events: IO[str]) -> None:
    """Carry out all orders. Dies with its parent, and takes what it grades with it."""
    die_with_parent(os.getppid())
    teller = Teller(events)
    _warm_up()
    with contextlib.ExitStack() as held:
        slot = -1
        for line in orders:
            order = Order.of_json(line)
            if slot < 0:
                first = order.terms.first_slot
                numbers = range(first, first + order.terms.slots)
                teller.tell("running", WAITING)  # another batch may have them all
                slot = held.enter_context(machine.locks().one_of("slot", numbers))
                best_tier(slot)
            with contextlib.suppress(Exception):  # the fork runs into the same, and says what it is
                _prepare(order.lab, order.root)
            reason = _in_a_fork(order, slot, teller)
            if reason:
                teller.tell("lost", reason)


def _warm_up() -> None:
    """Do once what every fork would do: find the compiler, hash the grader, load pytest's plugins (0.15 s)."""
    cc.find()
    grading.grader_digest()
    with tempfile.TemporaryDirectory() as empty, contextlib.redirect_stdout(io.StringIO()):
        folders = (f"--rootdir={empty}", f"--benchmark-storage=file://{empty}", empty)
        pytest.main(["-c", os.devnull, "-p", "no:cacheprovider", "-q", *folders])
    # What is here now stays: forks need neither look through it for garbage nor copy its pages when they do.
    gc.collect()
    gc.freeze()


def die_with_parent(parent: int) -> None:
    """Ask the kernel to kill this process when its parent is gone; die now when it is gone already."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGKILL)


def _in_a_fork(order: Order, slot: int, teller: Teller) -> str:
    """Grade; '' when a result was told, else why there is none."""
    told, tell = os.pipe()
    worker, child = os.getpid(), os.fork()
    if child == 0:
        os.close(told)
        _grade_and_exit(order, slot, teller, tell, worker)
    os.close(tell)
    with os.fdopen(told, "rb") as pipe:
        reason = pipe.read().decode("utf-8", "replace")  # until the fork has ended, however it does
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return f"the grading process was killed by signal {os.WTERMSIG(status)}"
    if os.WEXITSTATUS(status) != 0:
        return reason or f"the grading process ended with exit status {os.WEXITSTATUS(status)}"
    return ""


def _grade_and_exit(order: Order, slot: int, teller: Teller, tell: int, worker: int) -> NoReturn:
    """The fork's whole life. It must not run what its parent has prepared for its own end."""
    status = 1
    try:
        die_with_parent(worker)
        document = _grade(order, slot, teller)
        teller.tell("done", document)
        status = 0
    except BaseException as error:
        last = traceback.extract_tb(error.__traceback__)[-1]
        words = f"{error} ({type(error).__name__} at {Path(last.filename).name}:{last.lineno})"
        os.write(tell, words.encode("utf-8", "replace")[:2000])
    finally:
        os._exit(status)


def _grade(order: Order, slot: int, teller: Teller) -> str:
    """The result document of an order, as JSON text."""
    lab, locks = _lab(order.lab, order.root), machine.locks()
    teller.tell("running", WAITING)
    with _gpu(lab, locks), locks.shared() as floor:

        @contextlib.contextmanager
        def alone() -> Iterator[None]:
            teller.tell("running", WAITING)
            with floor.alone():
                teller.tell("running", "timing")
                yield

        mode: grading.Mode = "practice" if order.terms.practice else "official"
        options = Options(mode, performance=order.terms.duels, slot=slot, alone=alone)
        result = grading.grade(lab, Path(order.folder), options, teller).result
        if result.lab_errors:
            raise grading.LabBroken("; ".join(result.lab_errors))
        return result.to_json()


@functools.lru_cache(maxsize=32)
def _prepare(name: str, root: str) -> None:
    """What every fork would do again for a lab (half the CPU time of a quick grading): read its contract and its
    declarations, and look for what a runner needs."""
    module.for_submissions(_lab(name, root))
    runtime.prepare()
    gc.freeze()


@functools.lru_cache(maxsize=32)
def _lab(name: str, root: str) -> Lab:
    return load_lab(name, Path(root))


@contextlib.contextmanager
def _gpu(lab: Lab, locks: machine.Locks) -> Iterator[None]:
    """One submission per GPU, unless a cluster has given this job its own."""
    count = machine.gpus()
    if not lab.hardware.gpu or not count or "CUDA_VISIBLE_DEVICES" in os.environ:
        yield
        return
    with locks.one_of("gpu", range(count)) as number:
        os.environ["CUDA_VISIBLE_DEVICES"] = str(number)
        try:
            yield
        finally:
            del os.environ["CUDA_VISIBLE_DEVICES"]


def main() -> None:
    """Orders on standard input, events on what was standard output; nothing else is printed there."""
    events = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    serve(sys.stdin, events)


if __name__ == "__main__":
    main()
