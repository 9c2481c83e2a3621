"""Every order gets one answer, whatever becomes of who works on it."""

from __future__ import annotations

import concurrent.futures
import os
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grader.batch.orders import Answer, Order, Terms
from grader.batch.scheduler import Hands, answers

ORDERS = [Order(f"k{number}", "lab", "", "", Terms()) for number in range(12)]


def doc(order):
    return Answer(order.key, f"document of {order.key}")


def fatal(order):
    if order.key == "k3":
        os._exit(1)
    return doc(order)


@pytest.mark.parametrize("at_once", [1, 3, 50])
def test_all_are_answered_once(at_once):
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        found = list(answers(ORDERS, Hands(pool, doc, at_once)))
    assert sorted(item.key for item in found) == sorted(order.key for order in ORDERS)
    assert all(item.document for item in found)


def test_only_a_few_are_under_way_at_a_time():
    """Or the memory of a long batch would grow with it."""
    running, most = [0], [0]
    lock = threading.Lock()

    class Counting(concurrent.futures.ThreadPoolExecutor):
        def submit(self, task, order):
            with lock:
                running[0] += 1
                most[0] = max(most[0], running[0])
            return super().submit(task, order)

    with Counting(2) as pool:
        for _ in answers(ORDERS, Hands(pool, doc, 3)):
            running[0] -= 1
    assert most[0] == 3


def test_a_broken_pool_ends_as_answers():
    """ProcessPoolExecutor never works again after one of its processes died."""
    with concurrent.futures.ProcessPoolExecutor(1) as pool:
        found = {item.key: item for item in answers(ORDERS, Hands(pool, fatal, 1))}
    assert len(found) == len(ORDERS)
    assert found["k0"].document
    assert not found["k3"].document and "Broken" in found["k3"].reason
    assert all(item.document or item.reason for item in found.values())


def test_when_no_answer_will_come_any_more_it_says_so():
    """What an executor does whose messenger has died: it waits for ever."""

    class Mute(concurrent.futures.Executor):
        def submit(self, task, order):
            return concurrent.futures.Future()

    found = list(answers(ORDERS, Hands(Mute(), doc, 2, lambda: "the messenger died"), 0.01))
    assert [item.reason for item in found] == ["the messenger died"] * len(ORDERS)


@settings(deadline=None, max_examples=30)
@given(st.lists(st.sampled_from(["fine", "raises", "cancelled", "refused"]), max_size=8), st.integers(1, 4))
def test_any_mixture_of_fates_gives_each_order_one_answer(fates, at_once):
    class Fateful(concurrent.futures.Executor):
        def submit(self, task, order):
            future = concurrent.futures.Future()
            fate = fates[int(order.key)]
            if fate == "refused":
                raise RuntimeError("no more")
            if fate == "raises":
                future.set_exception(OSError("the node is gone"))
            elif fate == "cancelled":
                future.cancel()
            else:
                future.set_result(doc(order))
            return future

    orders = [Order(str(number), "lab", "", "", Terms()) for number in range(len(fates))]
    found = {item.key: item for item in answers(orders, Hands(Fateful(), doc, at_once), 0.01)}
    assert {int(key): bool(item.document) for key, item in found.items()} == {
        number: fate == "fine" for number, fate in enumerate(fates)
    }
    assert all(item.document or item.reason for item in found.values())
