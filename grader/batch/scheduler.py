"""Hands out the work and takes the answers as they come, whoever does it: the core knows only
`concurrent.futures.Executor`. Whatever happens to a worker, every order gets one answer."""

from __future__ import annotations

import concurrent.futures
import contextlib
import os
import queue
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from grader.batch.orders import Answer, Order, Terms
from grader.batch.slot import COMMAND, Slot, Told, silent
from grader.batch.worker import die_with_parent


def _no_trouble() -> str:
    return ""


@dataclass(frozen=True)
class Hands:
    """Who does the work. `task` runs on the executor; `trouble` says why no answer will come any more, or ''."""

    executor: concurrent.futures.Executor
    task: Callable[[Order], Answer]
    at_once: int
    trouble: Callable[[], str] = _no_trouble


def answers(orders: Sequence[Order], hands: Hands, look_s: float = 1.0) -> Iterator[Answer]:
    """Carry out the orders; each answer as it comes. Only a few are under way at a time, so memory stays flat.
    Every `look_s` seconds without one it looks whether any can still come.

    An order that the executor loses is answered with the reason. Never raises for what happens to an order.
    """
    waiting = list(reversed(orders))
    running: dict[concurrent.futures.Future[Answer], Order] = {}
    try:
        while waiting or running:
            while waiting and len(running) < hands.at_once:
                order = waiting.pop()
                try:
                    running[hands.executor.submit(hands.task, order)] = order
                except RuntimeError as error:  # BrokenExecutor, or shut down
                    yield Answer(order.key, "", f"nobody took it: {error}")
            concurrent.futures.wait(running, look_s, concurrent.futures.FIRST_COMPLETED)
            done = [future for future in running if future.done()]  # also those cancelled and told nobody
            for future in done:
                yield _answer(future, running.pop(future))
            if not done and (trouble := hands.trouble()):
                for order in [*running.values(), *reversed(waiting)]:
                    yield Answer(order.key, "", trouble)
                running.clear()
                waiting.clear()
    finally:
        for future in running:
            future.cancel()


def _answer(future: concurrent.futures.Future[Answer], order: Order) -> Answer:
    try:
        return future.result()
    except (Exception, concurrent.futures.CancelledError) as error:  # the executor's, not the submission's
        return Answer(order.key, "", f"{type(error).__name__}: {error}"[:300])


@contextlib.contextmanager
def local(terms: Terms, told: Told = silent, command: Sequence[str] = COMMAND) -> Iterator[Hands]:
    """This machine: a worker process for each slot. At the end, and after Ctrl-C, all of them are gone."""
    slots = [Slot(told, command) for _ in range(terms.slots)]
    free: queue.SimpleQueue[Slot] = queue.SimpleQueue()
    for slot in slots:
        free.put(slot)

    def grade(order: Order) -> Answer:
        slot = free.get()
        try:
            return slot.grade(order)
        finally:
            free.put(slot)

    with contextlib.ExitStack() as all_slots:
        for slot in slots:
            all_slots.enter_context(slot)
        executor = concurrent.futures.ThreadPoolExecutor(terms.slots)
        try:
            yield Hands(executor, grade, terms.slots + 1)
        finally:
            for slot in slots:
                slot.stop()
            executor.shutdown(wait=True, cancel_futures=True)


def grade_alone(order: Order) -> Answer:
    """One order in a worker of its own: what an executor of processes or of a cluster runs in one of its processes.

    That process dies with whoever started it; a worker that Parsl has started anew would outlive it for ever.
    """
    die_with_parent(os.getppid())
    with Slot() as slot:
        return slot.grade(order)
