"""What is seen of a process from outside."""

from __future__ import annotations

import mmap
import os
import subprocess
import sys

import pytest

from grader.runner import invoke, observation
from grader.runner.invoke import Invocation
from grader.runner.observation import Unobservable
from tests.conftest import needs
from tests.fixtures import tiny

LOG = """\
71 recvfrom(4, ""..., 131072, 0, NULL, NULL) = 40
71 write(2, ""..., 3) = 3
71 getppid() = 0
71 openat(AT_FDCWD, ""..., O_RDONLY) = 5
72 futex(0x7f, FUTEX_WAIT_PRIVATE, 2, NULL <unfinished ...>
71 close(5) = 0
72 <... futex resumed>) = 0
71 openat(AT_FDCWD, ""..., O_RDONLY) = -1 ENOENT (No such file or directory)
71 getppid() = 0
71 sendto(4, ""..., 16, 0, NULL, 0) = 16
"""


def test_calls_are_counted_between_the_marks() -> None:
    assert observation.count(LOG) == {"openat": 2, "futex": 1, "close": 1}


@pytest.mark.parametrize("log", ["", "71 getppid() = 0\n", "71 open(", "getppid(\n" * 9, "\0\n\n7 (\n"])
def test_a_log_without_two_marks_counts_nothing(log: str) -> None:
    assert not observation.count(log)


def test_mappings_and_descriptors_are_those_of_the_process(tmp_path) -> None:
    path = tmp_path / "a file with spaces"
    path.write_bytes(bytes(3 * mmap.PAGESIZE))
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ):
        found = [item for item in observation.mappings(os.getpid()) if item.path == str(path)]
        assert [item.end - item.start for item in found] == [3 * mmap.PAGESIZE]
        assert found[0].permissions.startswith("r-")
        assert str(path) in observation.descriptors(os.getpid()).values()
    assert str(path) not in observation.descriptors(os.getpid()).values()


@pytest.mark.parametrize("separator", ["\n", "\r", "\f", "\v", "\x1c", "\x85", "\u2028"])
def test_a_mapped_file_whose_name_holds_the_end_of_a_line_is_one_mapping(separator) -> None:
    file = os.memfd_create(f"a{separator}b")
    os.truncate(file, mmap.PAGESIZE)
    before = len(observation.mappings(os.getpid()))
    with mmap.mmap(file, mmap.PAGESIZE):
        found = observation.mappings(os.getpid())
    os.close(file)
    assert len(found) == before + 1
    assert [item.path for item in found if "memfd:a" in item.path and "b (deleted)" in item.path]


def test_memory_counts_when_it_is_touched() -> None:
    before = observation.resident_mib(os.getpid())
    with mmap.mmap(-1, 64 << 20) as memory:
        assert observation.resident_mib(os.getpid()) - before < 32
        memory.write(bytes(64 << 20))
        assert observation.resident_mib(os.getpid()) - before > 48


def test_calls_are_counted_for_every_program_that_is_executed() -> None:
    log = (
        '7 write(1, ""..., 1) = 1\n8 setsid() = 8\n8 execve(""..., [...], ...) = 0\n8 brk(NULL) = 0x1\n'
        '8 wait4(-1, <unfinished ...>\n9 dup2(3, 1) = 1\n9 execve(""..., [...], ...) = 0\n9 brk(NULL) = 0x1\n'
        '8 <... wait4 resumed>...) = 9\n8 brk(NULL) = 0x2\n8 execve(""..., [...], ...) = 0\n8 close(1) = 0\n'
    )
    assert observation.by_process(log) == {8: {"brk": 2, "wait4": 1}, 9: {"brk": 1}}


def test_a_call_that_the_kernel_begins_again_counts_once() -> None:
    """Under a tracer the end of a child interrupts its parent, also one that ignores it, and the call is restarted."""
    log = (
        "71 getppid() = 0\n"
        "71 vfork( <unfinished ...>\n"
        "72 +++ exited with 1 +++\n"
        "71 <... vfork resumed>) = ? ERESTARTNOINTR (To be restarted)\n"
        "71 vfork( <unfinished ...>\n"
        "71 <... vfork resumed>) = 73\n"
        "71 wait4(-1, NULL, 0, NULL) = ? ERESTARTSYS (To be restarted if SA_RESTART is set)\n"
        "71 wait4(-1, NULL, 0, NULL) = 73\n"
        '71 openat(AT_FDCWD, " = ? ERESTARTNOINTR (To be restarted)", O_RDONLY) = 5\n'
        "71 getppid() = 0\n"
    )
    assert observation.count(log) == {"vfork": 1, "wait4": 1, "openat": 1}
    program = '71 execve(""..., [...], ...) = 0\n' + log
    assert observation.by_process(program) == {71: {"getppid": 2, "vfork": 1, "wait4": 1, "openat": 1}}


@needs("strace")
def test_the_calls_of_a_stopped_guest_are_traced(honest) -> None:
    honest.wait_until_ready()
    marks = [Invocation("guest_mark", ()), Invocation("guest_mark", ())]
    for _ in range(2):  # it goes on as before
        with observation.tracing(honest.pid) as traced:
            invoke.run(honest, tiny.interface(), marks, timeout_s=None)
        honest.freeze()
        assert sum(traced.counts.values()) < 4
    values, _ = invoke.run(honest, tiny.interface(), [Invocation("tiny_add", (2, 3))], timeout_s=None)
    assert values == (5,)


def test_without_strace_the_command_that_installs_it_is_named(monkeypatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(Unobservable, match="apt-get install strace"), observation.tracing(os.getpid()):
        pass


@needs("strace")
def test_a_process_that_is_gone_cannot_be_watched() -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    with pytest.raises(Unobservable, match="strace may not watch"), observation.tracing(gone.pid):
        pass
