"""Where the threads of a hanging runner were: reading what they printed, and a real deadlock."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grader.runner import invoke
from grader.runner.host import Guest, GuestFailed
from grader.runner.invoke import Invocation
from grader.sandbox.confine import Tier
from grader.toolchain import module, stacks
from grader.toolchain.stacks import Frame
from tests.conftest import needs
from tests.fixtures import tiny

LIBRARY = module.LIBRARY
PRINTED = f"""before
==stack== 11 0 _lab.so 0x1200 report_stack
==stack== 11 1 libc.so.6 0x3c050 ?
==stack== 11 2 libc.so.6 0x89000 pthread_cond_wait
==stack== 11 3 {LIBRARY} 0x1500 work
==stack== 12 0 _lab.so 0x1200 report_stack
==stack== 12 1 libc.so.6 0x89000 pthread_cond_wait
==stack== 12 2 {LIBRARY} 0x1500 work
==stack== 13 0 {LIBRARY} 0x1700 ?
after
"""

DEADLOCK = """
#include <pthread.h>
#include <stddef.h>
static pthread_mutex_t one = PTHREAD_MUTEX_INITIALIZER;
static void *wait_here(void *unused)
{
    pthread_mutex_lock(&one);
    return unused;
}
int tiny_act(int deed, const float *input, float *output, size_t count)
{
    (void)deed, (void)input, (void)output, (void)count;
    pthread_t thread;
    pthread_mutex_lock(&one);
    pthread_create(&thread, NULL, wait_here, NULL);
    pthread_join(thread, NULL);
    return 0;
}
"""


def test_frames_are_told_from_what_was_printed() -> None:
    rest, found = stacks.split(PRINTED)
    assert rest == "before\nafter\n"
    assert list(found) == [11, 12, 13]
    assert found[12][-1] == Frame(LIBRARY, 0x1500, "work")


def test_threads_at_the_same_place_share_a_line() -> None:
    _, found = stacks.split(PRINTED)
    text = stacks.render(found, LIBRARY, {0x1500: "work (tpool.c:88)"})
    assert "threads 1, 2: pthread_cond_wait < work (tpool.c:88)" in text
    assert "thread 3: a function without a name" in text


def test_threads_outside_the_submission_are_left_out() -> None:
    outside = {1: [Frame("libc.so.6", 5, "read"), Frame("python3.11", 9, "main")]}
    assert stacks.render(outside, LIBRARY, {}) == ""


def test_inlined_functions_are_named_as_well() -> None:
    lines = [
        "0x00000000000014ff",
        "wait_finished",
        "tpool.c:80",
        "tpool_wait",
        "tpool.c:91 (discriminator 2)",
    ]
    lines += ["0x0000000000001fff", "??", "??:?"]
    assert stacks.read_places(lines) == {0x1500: "wait_finished (tpool.c:80) < tpool_wait (tpool.c:91)"}


@given(st.text() | st.text(alphabet="=stack 0123456789x\n?"))
def test_any_text_is_read(text: str) -> None:
    rest, found = stacks.split(text)
    assert len(rest) <= len(text)
    assert isinstance(stacks.render(found, LIBRARY, {}), str)
    stacks.read_places(text.splitlines())


@given(st.lists(st.integers(0, 10**9), max_size=200))
def test_no_more_threads_are_kept_than_are_shown(threads: list[int]) -> None:
    _, found = stacks.split("".join(f"==stack== {number} 0 a 0x1\n" for number in threads))
    assert len(found) <= 64


@needs("addr2line")
def test_a_deadlock_ends_with_the_stack_of_every_thread(tier: Tier) -> None:
    spec = tiny.spec(tier, tiny.source(DEADLOCK))
    call = [Invocation("tiny_act", (0, None, None, 0))]
    with Guest(tier, spec) as guest, pytest.raises(GuestFailed, match="did not return") as failed:
        invoke.run(guest, tiny.interface(), call, timeout_s=1.0)
    text = failed.value.output.decode()
    _, where = stacks.explained(tier, text, Path(spec.library, LIBRARY))
    assert "wait_here (tiny.c:8)" in where
    assert "tiny_act (tiny.c:17)" in where


def test_a_call_that_takes_long_and_is_not_asked_prints_nothing(tier: Tier) -> None:
    with Guest(tier, tiny.spec(tier, tiny.source())) as guest:
        invoke.run(guest, tiny.interface(), [Invocation("tiny_add", (1, 2))], timeout_s=None)
        assert guest.printed() == b""
