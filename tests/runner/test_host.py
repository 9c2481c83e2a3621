"""Calling, stopping and timing an honest guest."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from grader.runner import host, invoke, runtime
from grader.runner.channel import Call
from grader.runner.host import Guest, GuestFailed
from grader.runner.invoke import Invocation
from grader.sandbox import launcher
from tests.conftest import needs, tier_of
from tests.fixtures import tiny
from tests.runner.conftest import allowing

BURN, TWO_THREADS, SPIN_BEHIND, NO_MORE = 33, 34, 32, 0


def test_a_call_works(honest: Guest, interface) -> None:
    values, timing = invoke.run(honest, interface, [Invocation("tiny_add", (20, 22))], timeout_s=None)
    assert values == (42,)
    assert timing.cpu_s > 0 and timing.wall_s > 0


def test_the_pid_is_the_guests_own(honest: Guest) -> None:
    honest.wait_until_ready()
    assert b"guest.py" in Path(f"/proc/{honest.pid}/cmdline").read_bytes()
    assert honest.pid in {pid for pid, _ in tiny.descendants()}


def test_between_calls_every_thread_stands_still(hostile: Guest, act) -> None:
    """A thread that spins for ever uses no CPU time while the guest is frozen."""
    act(hostile, SPIN_BEHIND)
    assert len(list(Path(f"/proc/{hostile.pid}/task").iterdir())) == 2
    before = hostile.cpu_ns()
    time.sleep(0.05)
    assert hostile.cpu_ns() == before
    act(hostile, BURN, 20)
    assert hostile.cpu_ns() > before


def test_cpu_time_is_that_of_all_threads(hostile: Guest, act) -> None:
    _, timing = act(hostile, TWO_THREADS)  # two threads, 100 ms each
    assert timing.cpu_s > 0.19
    _, timing = act(hostile, BURN, 50)
    assert timing.cpu_s > 0.045
    assert timing.wall_s > 0.045


def test_a_thread_left_behind_is_paid_for(hostile: Guest, act) -> None:
    act(hostile, SPIN_BEHIND)
    _, timing = act(hostile, BURN, 100)
    assert timing.cpu_s > 0.099  # its own, and the other's where there is a second core


@pytest.mark.parametrize("deed", [35, 36], ids=["a timer", "a descriptor"])
def test_nothing_wakes_a_stopped_guest(hostile: Guest, act, deed: int) -> None:
    act(hostile, SPIN_BEHIND)
    assert act(hostile, deed)[0] == 1  # EPERM
    before = hostile.cpu_ns()
    time.sleep(0.05)
    assert hostile.cpu_ns() == before


def test_a_guest_that_ran_while_it_was_stopped_is_found_out(hostile: Guest, act) -> None:
    act(hostile, SPIN_BEHIND)
    os.kill(hostile.pid, signal.SIGCONT)  # as if it had found a way
    assert tiny.eventually(lambda: hostile.cpu_ns() > hostile._cpu_when_stopped_ns + 2_000_000)
    os.kill(hostile.pid, signal.SIGSTOP)
    with pytest.raises(GuestFailed, match="went on running") as failed:
        act(hostile, NO_MORE)
    assert failed.value.kind == "forged"


class StillOnItsCore:
    """A guest that is marked as stopped, and seen to leave its core at the look of this number."""

    def __init__(self, guest: Guest, monkeypatch, at: float) -> None:
        self.at, self.looks, self.clock = at, 0, guest.cpu_ns
        monkeypatch.setattr(host, "is_off_core", self.is_off_core)
        monkeypatch.setattr(guest, "cpu_ns", self.cpu_ns)

    def is_off_core(self, pid: int, task: int) -> bool:
        self.looks += 1
        return self.looks >= self.at

    def cpu_ns(self) -> int:
        """The kernel adds what it has used since the last tick when it leaves."""
        return self.clock() + (8_000_000 if self.looks >= self.at else 0)


def test_what_a_guest_uses_until_it_has_left_its_core_is_not_held_against_it(
    hostile, act, monkeypatch
) -> None:
    act(hostile, NO_MORE)
    late = StillOnItsCore(hostile, monkeypatch, at=3)
    hostile.freeze()
    assert late.looks == 3
    act(hostile, NO_MORE)


def test_where_cores_are_not_shown_a_few_ticks_are_not_held_against_it(hostile, act, monkeypatch) -> None:
    act(hostile, NO_MORE)
    late = StillOnItsCore(hostile, monkeypatch, at=float("inf"))
    hostile.freeze()
    looked = late.looks
    late.at = looked  # it leaves now
    act(hostile, NO_MORE)
    assert late.looks == looked, "what is not shown is not asked for again"


def test_a_hang_says_how_much_it_worked(hostile_spec, tier, act) -> None:
    """On a machine that others load, a second on the clock may be a small share of a core: one that spins is given time
    until it has worked longer than one that sleeps ever does."""

    def worked_s(deed: int, call_s: float) -> float:
        with Guest(tier, allowing(hostile_spec, call_s=call_s)) as guest:
            with pytest.raises(GuestFailed, match=rf"did not return within {call_s:g} s") as failed:
                act(guest, deed)
            assert failed.value.kind == "hung"
            return failed.value.cpu_s

    assert any(worked_s(30, call_s) > 0.1 for call_s in (0.5, 2.0, 8.0))
    assert worked_s(31, 0.5) < 0.1


def test_a_limit_of_cpu_time_ends_a_call_early(hostile: Guest) -> None:
    hostile.wait_until_ready()
    spin = Call(hostile.spec.functions.index("tiny_act"), (30, None, None, 0))
    with pytest.raises(GuestFailed) as failed:
        hostile.call([spin], timeout_s=60.0, cpu_limit_s=0.05)
    assert failed.value.kind == "hung" and 0.05 < failed.value.cpu_s < 30


def test_a_call_may_have_its_own_patience(hostile: Guest, act) -> None:
    with pytest.raises(GuestFailed, match=r"within 0\.3 s"):
        act(hostile, 31, timeout_s=0.3)


def test_what_it_prints_is_kept(hostile: Guest, act) -> None:
    act(hostile, 42)
    act(hostile, 42)
    assert hostile.printed() == b"a word\na word\n"


def test_it_can_be_pinned_to_a_core(hostile: Guest, act) -> None:
    act(hostile, SPIN_BEHIND)
    core = min(os.sched_getaffinity(0))
    hostile.pin({core})
    for task in Path(f"/proc/{hostile.pid}/task").iterdir():
        assert os.sched_getaffinity(int(task.name)) == {core}
    assert act(hostile, NO_MORE)[0] == 0


def test_it_ends_by_itself_when_it_is_asked_to(honest: Guest) -> None:
    honest.wait_until_ready()
    honest.finish(10.0)
    assert honest._process.poll() == 0


def test_closing_twice_is_fine(tier, honest_spec) -> None:
    with tiny.leaving_nothing():
        guest = Guest(tier, honest_spec)
        guest.close()
        guest.close()


def test_a_guest_that_was_never_called_leaves_nothing(tier, honest_spec) -> None:
    with tiny.leaving_nothing():
        for _ in range(3):
            Guest(tier, honest_spec).close()


def test_a_hundred_calls_leave_nothing(tier, honest_spec, interface) -> None:
    with tiny.leaving_nothing(), Guest(tier, honest_spec) as guest:
        for number in range(100):
            values, _ = invoke.run(guest, interface, [Invocation("tiny_add", (number, 1))], timeout_s=None)
            assert values == (number + 1,)


class TestNotTheSubmissionsFault:
    """What fails before the submission is loaded is told as the grader's or the machine's own trouble."""

    def test_a_sandbox_that_cannot_start(self, tier, honest_spec) -> None:
        with tiny.leaving_nothing(), Guest(tier, replace(honest_spec, library=Path("/nonexistent"))) as guest:
            with pytest.raises(RuntimeError, match=r"could not start a runner.*nonexistent"):
                guest.wait_until_ready()

    def test_a_sandbox_that_is_not_installed(self, tier, honest_spec, monkeypatch) -> None:
        runtime.prepare()  # compiled
        monkeypatch.setenv("PATH", "/nonexistent")
        with tiny.leaving_nothing(), Guest(replace(tier, name="A"), honest_spec) as guest:
            with pytest.raises(RuntimeError, match=r"could not start a runner.*launch: bwrap: No such file"):
                guest.wait_until_ready()

    def test_a_launcher_that_is_not_there(self, tier, honest_spec, monkeypatch) -> None:
        gone = Path("/nonexistent/launch")
        monkeypatch.setattr(launcher, "programs", lambda: launcher.Programs(gone, gone))
        with tiny.leaving_nothing(), pytest.raises(OSError, match="nonexistent"):
            Guest(tier, honest_spec)

    def test_too_little_memory_to_start(self, tier, honest_spec) -> None:
        with tiny.leaving_nothing(), Guest(tier, allowing(honest_spec, memory_mib=8)) as guest:
            with pytest.raises(RuntimeError, match="could not start a runner"):
                guest.wait_until_ready()

    def test_no_arena_can_be_made(self, tier, honest_spec) -> None:
        with tiny.leaving_nothing(), pytest.raises((OSError, ValueError, OverflowError)):
            Guest(tier, replace(honest_spec, arena_bytes=(1 << 16, 1 << 62)))

    def test_a_variant_that_the_compiler_cannot_make(self, tier, honest_spec, monkeypatch) -> None:
        from grader.runner import runtime

        without = replace(runtime.prepare(), preload={})
        monkeypatch.setattr(runtime, "prepare", lambda: without)
        with tiny.leaving_nothing(), pytest.raises(RuntimeError, match="no library for the asan build"):
            Guest(tier, replace(honest_spec, variant="asan"))


GRADER = """
import sys
sys.path.insert(0, {root!r})
from grader.runner import invoke
from grader.runner.host import Guest
from grader.runner.invoke import Invocation
from grader.sandbox import probe
from tests.fixtures import tiny
import numpy as np
tier = probe.best_tier(804)
guest = Guest(tier, tiny.spec(tier, tiny.source(tiny.DEEDS.read_text())))
guest.wait_until_ready()
print("ready", guest.pid, flush=True)
one = np.ones(1, np.float32)
if sys.argv[1] == "calling":
    invoke.run(guest, tiny.interface(), [Invocation("tiny_act", (30, one, one, 1))], timeout_s=600)
sys.stdin.read()
"""


@pytest.mark.parametrize("moment", ["calling", "frozen"])
def test_a_guest_dies_with_a_killed_grader(moment: str) -> None:
    root = str(tiny.FIXTURES.parents[1])
    command = [sys.executable, "-c", GRADER.format(root=root), moment]
    grading = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert grading.stdout
    word, pid = grading.stdout.readline().split()
    assert word == b"ready" and Path(f"/proc/{int(pid)}").exists()
    grading.kill()
    grading.communicate(timeout=30)
    assert tiny.eventually(lambda: not Path(f"/proc/{int(pid)}").exists())


@pytest.mark.parametrize("name", ["B", "C", "D"])
def test_other_tiers_can_hold_a_guest_too(name: str, hostile_spec, act) -> None:
    tier = tier_of(name, 805)  # a user of its own
    with tiny.leaving_nothing(), Guest(tier, allowing(hostile_spec, call_s=2.0)) as guest:
        assert act(guest, 0)[0] == 0
        act(guest, SPIN_BEHIND)
        before = guest.cpu_ns()
        time.sleep(0.02)
        assert guest.cpu_ns() == before
        with pytest.raises(GuestFailed, match="instead of returning"):
            act(guest, 20)


@needs("valgrind")
def test_without_namespaces_a_runner_has_a_folder_in_place_of_tmp(hostile_spec, act) -> None:
    """Without one, valgrind does not start."""
    tier = tier_of("C", 805)
    valgrind = Path("/usr/bin/valgrind")
    parts = (Path("/usr/bin"), Path("/usr/lib"), Path("/usr/libexec/valgrind"))
    watched = replace(
        hostile_spec,
        prefix=(str(valgrind), "--tool=none", "-q", "--vgdb=no"),
        read_only=tuple(path for path in parts if path.exists()),
        limits=replace(hostile_spec.limits, memory_mib=None, tasks=0),
    )
    with tiny.leaving_nothing(), Guest(tier, watched) as guest:
        assert act(guest, 0)[0] == 0
        folder = guest._scratch
        assert folder is not None and folder.is_dir()
    assert not folder.exists()


@pytest.mark.parametrize("variant", ["asan", "tsan", "faults"])
def test_every_variant_can_be_called(tier, interface, variant) -> None:
    with tiny.leaving_nothing(), tiny.guest(tier, tiny.source(), variant) as guest:
        assert invoke.run(guest, interface, [Invocation("tiny_add", (1, 2))], timeout_s=None)[0] == (3,)
        stack = invoke.run(guest, interface, [Invocation("tiny_stack_new", (2,))], timeout_s=None)[0][0]
        count, live, peak = invoke.run(
            guest,
            interface,
            [Invocation(name, ()) for name in ("guest_allocations", "guest_live_bytes", "guest_peak_bytes")],
            timeout_s=None,
        )[0]
        assert stack is not None
        assert (count, live > 0, peak >= live) == (1, True, True) if variant == "faults" else count == -1


def test_the_nth_allocation_fails_on_demand(tier, interface) -> None:
    with tiny.guest(tier, tiny.source(), "faults") as guest:
        calls = [Invocation("guest_fail_allocation", (1,)), *[Invocation("tiny_stack_new", (2,))] * 3]
        _, first, second, third = invoke.run(guest, interface, calls, timeout_s=None)[0]
        assert second is None and first is not None and third is not None


def test_asan_finds_what_guard_pages_cannot(tier, act) -> None:
    code = """#include <stdlib.h>
    #include "tiny.h"
    int tiny_act(int what, const float *in, float *out, size_t n) {
        (void)in, (void)out; volatile char *p = malloc(n); p[n] = (char)what; free((void *)p); return 0; }"""
    with tiny.guest(tier, tiny.source(code), "asan") as guest, pytest.raises(GuestFailed) as failed:
        act(guest, 1)
    assert b"heap-buffer-overflow" in failed.value.output


def test_tsan_finds_a_race(tier, act) -> None:
    code = """#include <pthread.h>
    #include "tiny.h"
    static int shared;
    static void *add(void *u) { shared++; return u; }
    int tiny_act(int what, const float *in, float *out, size_t n) {
        (void)in, (void)out, (void)n; pthread_t t; pthread_create(&t, NULL, add, NULL); shared += what;
        pthread_join(t, NULL); return 0; }"""
    with tiny.guest(tier, tiny.source(code), "tsan") as guest:
        act(guest, 1)
        assert b"data race" in guest.printed()


def test_errno_holds_something_else_before_a_call(tier, act) -> None:
    """Who answers -errno must have asked for it: what an earlier call left there is no answer, and neither is 0."""
    code = (
        "#include <errno.h>\n#include <stddef.h>\n"
        "int tiny_act(int what, const float *input, float *output, size_t count)\n"
        "{\n    (void)what, (void)input, (void)output, (void)count;\n"
        "    int before = errno;\n    errno = ENOENT;\n    return before;\n}\n"
    )
    with Guest(tier, tiny.spec(tier, tiny.source(code))) as guest:
        assert [act(guest, 0)[0] for _ in range(2)] == [33, 33]  # EDOM
