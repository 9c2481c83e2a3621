"""A worker may die, hang or talk nonsense: every order gets an answer, and the next one a worker."""

from __future__ import annotations

import sys
import threading
import time

import pytest

from grader.batch.orders import Answer, Order, Terms
from grader.batch.slot import ATTEMPTS, Slot
from grader.batch.worker import WAITING
from tests.fixtures.tiny import descendants, eventually

ORDER = Order("k1", "gemm_cpu", "/nowhere", "/nowhere", Terms())


@pytest.fixture
def slot(tmp_path):
    """`slot("…")`: a slot whose worker runs this code for each order; `tell(event, text)` and `life` are at hand.

    `life` is 1 in the first worker, 2 in the one that replaces it.
    """
    opened = []

    def make(code, told=lambda key, what: None, silence_s=20.0):
        script = tmp_path / "worker.py"
        body = "\n".join("    " + line for line in code.splitlines())
        script.write_text(
            "import json, os, sys, time, pathlib\n"
            f"lives = pathlib.Path({str(tmp_path / 'lives')!r}); lives.touch()\n"
            "lives.write_text(lives.read_text() + 'x'); life = len(lives.read_text())\n"
            "def tell(event, text): print(json.dumps([event, text]), flush=True)\n"
            f"for number, order in enumerate(sys.stdin, 1):\n{body}\n"
        )
        opened.append(Slot(told, (sys.executable, str(script)), silence_s))
        return opened[-1]

    yield make
    for item in opened:
        item.__exit__(None, None, None)
    assert eventually(lambda: not [name for _, name in descendants() if "worker" in name])


def test_the_document_comes_back_and_what_happens_is_told(slot):
    told = []
    answer = slot(
        "tell('running', 'beta zero'); tell('done', 'doc')", lambda *words: told.append(words)
    ).grade(ORDER)
    assert answer == Answer("k1", "doc")
    assert told == [("k1", "beta zero")]


def test_one_worker_does_one_order_after_the_other(slot):
    two = slot("tell('done', f'{life}.{number}')")
    assert [two.grade(ORDER).document for _ in range(3)] == ["1.1", "1.2", "1.3"]


def test_a_worker_that_dies_is_replaced_and_the_order_tried_again(slot):
    two = slot("os._exit(9) if life == 1 else tell('done', 'second life')")
    assert two.grade(ORDER).document == "second life"


def test_an_order_that_always_kills_its_worker_is_answered_and_the_next_one_is_graded(slot):
    two = slot("os.kill(os.getpid(), 9) if '\"bad\"' in order else tell('done', 'good')")
    bad = two.grade(Order("bad", "x", "", "", Terms()))
    assert bad.document == "" and "exit status -9" in bad.reason
    assert two.grade(ORDER).document == "good"


def test_the_last_words_of_a_worker_are_the_reason(slot):
    assert "no such lab" in slot("raise SystemExit('no such lab')").grade(ORDER).reason


def test_a_lost_fork_is_tried_again_by_the_same_worker(slot):
    two = slot("tell('lost', 'signal 11') if number == 1 else tell('done', f'{life}.{number}')")
    assert two.grade(ORDER).document == "1.2"


def test_it_is_tried_so_often_and_no_more(slot):
    two = slot("tell('lost', f'attempt {number}')")
    assert two.grade(ORDER) == Answer("k1", "", f"attempt {ATTEMPTS}")


def test_silence_has_an_end(slot):
    began = time.monotonic()
    answer = slot("time.sleep(60)", silence_s=0.2).grade(ORDER)
    assert "not a word for" in answer.reason
    assert time.monotonic() - began < 50


def test_half_a_line_costs_the_worker(slot):
    """A fork was killed while it wrote, and its worker goes on behind what is there."""
    half = """sys.stdout.write('["running", "al') if life == 1 else None; tell('done', f'{life}')"""
    assert slot(half).grade(ORDER).document == "2"
    assert "cannot be read" in slot("print('null', flush=True)").grade(ORDER).reason


def test_waiting_for_the_machine_is_no_silence(slot):
    two = slot(f"tell('running', {WAITING!r}); time.sleep(1); tell('done', 'doc')", silence_s=0.2)
    assert two.grade(ORDER).document == "doc"


def test_a_stopped_slot_answers_at_once(slot):
    two = slot("tell('running', 'long'); time.sleep(60)", lambda *_: started.set())
    started, answers = threading.Event(), []
    thread = threading.Thread(target=lambda: answers.append(two.grade(ORDER)))
    thread.start()
    assert started.wait(20)
    two.stop()
    thread.join(20)
    assert answers[0].document == ""


def test_an_order_survives_the_journey():
    order = Order("k", "lab", "/a b", "/ä", Terms(practice=True, slots=3, first_slot=90))
    assert Order.of_json(order.to_json()) == order
