"""Correctness beside others, timed tests alone: whoever times has the machine, and nobody waits for ever."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from grader.batch import machine
from grader.batch.machine import Locks, NoPlace
from tests.fixtures.tiny import eventually


@pytest.fixture
def locks(tmp_path):
    return Locks(tmp_path)


def in_thread(work):
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


def test_many_work_beside_each_other(locks):
    inside = threading.Barrier(3)

    def work():
        with locks.shared():
            inside.wait(20)  # breaks when one of the three cannot come in

    threads = [in_thread(work) for _ in range(3)]
    for thread in threads:
        thread.join(20)
    assert not inside.broken


def test_who_is_alone_is_alone(locks):
    """Eight workers, each alone for a moment again and again: never two at a time, nobody at work beside them."""
    working, alone, wrong = [0], [0], []
    count = threading.Lock()

    def add(counter, number):
        with count:
            counter[0] += number
            return counter[0]

    def work():
        for _ in range(5):
            with locks.shared() as floor:
                add(working, 1)
                if alone[0]:
                    wrong.append("somebody works while another is alone")
                add(working, -1)  # alone() gives the place up
                with floor.alone():
                    if add(alone, 1) > 1 or working[0]:
                        wrong.append("not alone")
                    time.sleep(0.001)
                    add(alone, -1)
                add(working, 1)
                add(working, -1)

    threads = [in_thread(work) for _ in range(8)]
    for thread in threads:
        thread.join(60)
    assert not any(thread.is_alive() for thread in threads)
    assert wrong == []


def test_new_ones_wait_behind_somebody_who_wants_to_be_alone(locks):
    """Or a busy batch would never let a timed test begin."""
    order = []
    first_may_end = threading.Event()

    def works():
        with locks.shared():
            order.append("works")
            first_may_end.wait(20)

    def wants_alone():
        with locks.shared() as floor, floor.alone():
            order.append("alone")

    def comes_later():
        with locks.shared():
            order.append("later")

    threads = [in_thread(works)]
    assert eventually(lambda: order == ["works"])
    threads.append(in_thread(wants_alone))
    time.sleep(0.2)
    threads.append(in_thread(comes_later))
    time.sleep(0.2)
    assert order == ["works"]
    first_may_end.set()
    for thread in threads:
        thread.join(20)
    assert order == ["works", "alone", "later"]


def test_a_killed_owner_gives_everything_back(locks):
    code = (
        "import sys, pathlib, time; from grader.batch.machine import Locks\n"
        "locks = Locks(pathlib.Path(sys.argv[1]))\n"
        "with locks.one_of('slot', range(1)), locks.shared() as floor, floor.alone():\n"
        "    print('alone', flush=True); time.sleep(60)"
    )
    owner = subprocess.Popen(
        [sys.executable, "-c", code, str(locks.folder)],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": "."},
    )
    assert owner.stdout is not None and owner.stdout.readline() == b"alone\n"
    owner.send_signal(signal.SIGKILL)
    owner.wait()
    owner.stdout.close()
    with locks.one_of("slot", range(1)) as number, locks.shared() as floor, floor.alone():
        assert number == 0


def test_each_gets_a_number_of_its_own_and_the_third_waits(locks):
    with locks.one_of("slot", range(7, 9)) as one, locks.one_of("slot", range(7, 9)) as two:
        assert {one, two} == {7, 8}
        got = []

        def third():
            with locks.one_of("slot", range(7, 9)) as number:
                got.append(number)

        thread = in_thread(third)
        time.sleep(0.2)
        assert got == []
    thread.join(20)
    assert got == [7]


def test_a_folder_of_somebody_else_is_refused(tmp_path, monkeypatch):
    (tmp_path / f"grading-{os.getuid()}").write_text("not a folder")
    monkeypatch.setattr(machine, "Path", lambda _: tmp_path)
    with pytest.raises(NoPlace, match="somebody else"):
        machine.locks()
