"""Submissions that do what they should not: each gets a failure in words, and leaves nothing behind."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass, replace

import numpy as np
import pytest

from grader.runner.host import Guest, GuestFailed
from tests.conftest import needs, tier_of
from tests.fixtures import tiny
from tests.runner.conftest import allowing

pytestmark = needs("tier A")

TOLD = [
    (7, "a wild pointer", "crashed", "SIGSEGV"),
    (11, "memory without end", "greedy", "wanted more than 1024 MiB of memory.*NULL"),
    (20, "_exit(0)", "exited", r"ended the process \(exit status 0\) instead of returning"),
    (21, "exit(3)", "exited", "exit status 3"),
    (22, "abort()", "crashed", "SIGABRT"),
    (24, "SIGKILL for itself", "crashed", "SIGKILL"),
    (25, "SIGSTOP for itself", "hung", "did not return"),
    (26, "SIGTERM for itself", "crashed", "SIGTERM"),
    (27, "longjmp out", "crashed", "SIGSEGV"),
    (28, "an end of the main thread only", "exited", "instead of returning"),
    (29, "pthread_exit", "exited", "instead of returning"),
    (30, "a loop without end", "hung", "did not return within 0.4 s"),
    (31, "a sleep without end", "hung", "did not return within 0.4 s"),
    (37, "loops in several threads", "hung", "did not return"),
    (40, "output without end", "flooded", "printed more than 64 KiB"),
    (41, "errors without end", "flooded", "printed more than 64 KiB"),
    (50, "closing the channel", "exited", "instead of returning"),
    (51, "nonsense to the grader", "forged", "wrote to the grader's channel"),
    (52, "an answer before the answer", "forged", "an answer that nobody asked for"),
    (53, "an answer by a thread, and no end", "forged", "an answer that nobody asked for"),
    (54, "descriptors for the grader", "forged", "wrote to the grader's channel"),
    (55, "a shut channel", "exited", "instead of returning"),
    (56, "an empty frame", "forged", "an empty frame"),
    (57, "a word about a crash that never was", "crashed", "SIGSEGV"),
    (58, "answers without end", "forged", "an answer that nobody asked for"),
    (62, "giving up its CPU time", "crashed", "SIG"),
    (65, "a crash in another thread", "crashed", "SIGSEGV"),
    (67, "an exception in the interpreter", "crashed", "damaged the process it runs in"),
]


@pytest.mark.parametrize(
    ("deed", "kind", "words"), [(n, k, w) for n, _, k, w in TOLD], ids=[name for _, name, *_ in TOLD]
)
def test_a_deed_is_told_and_leaves_nothing(tier, hostile_spec, act, deed: int, kind: str, words: str) -> None:
    with tiny.leaving_nothing():
        with Guest(tier, allowing(hostile_spec, call_s=0.4 if kind == "hung" else 20.0)) as guest:
            with pytest.raises(GuestFailed, match=words) as failed:
                act(guest, deed)
            assert failed.value.kind == kind
            assert len(failed.value.output) <= 64 << 10
        with Guest(tier, hostile_spec) as next_guest:
            assert act(next_guest, 0)[0] == 0


@pytest.mark.parametrize(
    ("deed", "kind", "words"),
    [item[:1] + item[2:] for item in TOLD if item[0] in (11, 24, 25, 28, 30, 41, 50, 53, 56, 65)],
    ids=[name for deed, name, *_ in TOLD if deed in (11, 24, 25, 28, 30, 41, 50, 53, 56, 65)],
)
def test_it_is_told_without_namespaces_too(hostile_spec, act, deed: int, kind: str, words: str) -> None:
    tier = tier_of("C", 805)
    with tiny.leaving_nothing():
        with Guest(tier, allowing(hostile_spec, call_s=0.4 if kind == "hung" else 20.0)) as guest:
            with pytest.raises(GuestFailed, match=words) as failed:
                act(guest, deed)
            assert failed.value.kind == kind


POINTLESS = [
    (23, 0, "killing its parents"),
    (43, 0, "closing its output"),
    (60, 1, "fork: EPERM"),
    (61, 0, "raising its limits"),
    (66, 0, "ignoring signals"),
]


@pytest.mark.parametrize(
    ("deed", "answer"), [(n, a) for n, a, _ in POINTLESS], ids=[name for *_, name in POINTLESS]
)
def test_a_deed_without_effect(hostile: Guest, act, deed: int, answer: int) -> None:
    for _ in range(2):
        assert act(hostile, deed)[0] == answer
    assert act(hostile, 0)[0] == 0


def test_threads_end_somewhere(hostile: Guest, act) -> None:
    started, _ = act(hostile, 64)
    assert 5 < started < 24
    assert act(hostile, 0)[0] == 0


def test_a_guest_without_room_for_anything(tier, hostile_spec, act) -> None:
    with tiny.leaving_nothing(), Guest(tier, hostile_spec) as guest, pytest.raises(GuestFailed) as failed:
        for _ in range(5):
            act(guest, 63)
    assert failed.value.kind in ("crashed", "exited")


@pytest.mark.parametrize(
    ("deed", "kinds"), [(71, {"crashed", "exited"}), (72, {"exited"})], ids=["crashes", "exits"]
)
def test_a_thread_that_ends_it_all_about_when_the_call_returns(
    tier, hostile_spec, act, deed: int, kinds: set[str]
) -> None:
    """Now or at the next call, with or without a last word; and it is never taken for a forgery."""
    for _ in range(5):
        with tiny.leaving_nothing(), Guest(tier, hostile_spec) as guest, pytest.raises(GuestFailed) as failed:
            for _ in range(3):
                act(guest, deed)
        assert failed.value.kind in kinds


def test_an_early_answer_gains_nothing(hostile: Guest, act) -> None:
    """A thread reads the frame and answers with the right token: then the output is not there yet, or it was paid."""
    act(hostile, 68)
    try:
        for _ in range(30):
            output = np.zeros(8, np.float32)
            _, timing = act(hostile, 69, output=output)
            assert output[0] == 0 or timing.cpu_s > 0.019
    except GuestFailed as failed:
        assert failed.kind == "forged"  # the late, honest answer is one that nobody asked for


def test_descriptors_that_it_sends_are_not_taken(tier, hostile_spec, act) -> None:
    with Guest(tier, hostile_spec) as guest:
        guest.wait_until_ready()
        before = tiny.open_descriptors()
        with pytest.raises(GuestFailed):
            act(guest, 54)
        assert tiny.open_descriptors() == before


def test_killed_while_it_is_frozen(hostile: Guest, act) -> None:
    """As the kernel does when memory runs out."""
    act(hostile, 0)
    os.kill(hostile.pid, 9)
    assert tiny.eventually(lambda: hostile._process.poll() is not None)
    with pytest.raises(GuestFailed, match="was killed: SIGKILL"):
        act(hostile, 0)


def test_one_that_closes_the_channel_and_stays(tier, act) -> None:
    code = """#include <unistd.h>
    #include "tiny.h"
    int tiny_act(int what, const float *in, float *out, size_t n) {
        (void)what, (void)in, (void)out, (void)n;
        for (int fd = 3; fd <= 64; fd++) close(fd);
        for (;;) pause(); }"""
    with tiny.leaving_nothing(), tiny.guest(tier, tiny.source(code)) as guest:
        with pytest.raises(GuestFailed, match="closed its channel to the grader") as failed:
            act(guest, 0)
        assert failed.value.kind == "exited"


def test_one_that_was_stopped_on_its_way_out(hostile: Guest, act) -> None:
    """The grader's stop came when it was about to end: it must be let go to say how it ended."""
    act(hostile, 0)
    hostile._channel.shutdown(socket.SHUT_WR)  # what makes it end; but it is stopped
    with pytest.raises(GuestFailed) as failed:
        raise hostile._ended("")
    assert failed.value.kind == "exited"
    assert "status 0" in failed.value.summary


@dataclass(frozen=True)
class Greeting:
    deed: str
    kind: str
    words: str


@pytest.mark.parametrize(
    "greeting",
    [
        Greeting("exit", "exited", r"ended the process while it was loaded \(exit status 0\)"),
        Greeting("crash", "crashed", "was killed while it was loaded: SIGSEGV"),
        Greeting("kill", "crashed", "was killed while it was loaded: SIGKILL"),
        Greeting("hang", "hung", "did not return within .* while it was loaded"),
        Greeting("stop", "hung", "while it was loaded"),
        Greeting("print", "flooded", "printed more than"),
        Greeting("close", "exited", "while it was loaded"),
    ],
    ids=lambda greeting: greeting.deed,
)
def test_a_constructor(tier, greeting_spec, monkeypatch, greeting: Greeting) -> None:
    monkeypatch.setattr("grader.runner.host.START_S", 1.0 if greeting.kind == "hung" else 20.0)
    spec = replace(greeting_spec, environment=(("DEED", greeting.deed),))
    with tiny.leaving_nothing(), Guest(tier, spec) as guest:
        with pytest.raises(GuestFailed, match=greeting.words) as failed:
            guest.wait_until_ready()
        assert failed.value.kind == greeting.kind


def test_a_constructor_that_does_nothing_is_fine(tier, greeting_spec, act) -> None:
    with Guest(tier, greeting_spec) as guest:
        assert act(guest, 0)[0] == 0
