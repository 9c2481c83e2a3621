"""Programs in a sandbox, seen from outside: what comes of them, what they find, and what they leave behind."""

from __future__ import annotations

import contextlib
import ctypes
import os
import platform
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from grader.runner import programs
from grader.runner.host import GuestFailed
from grader.runner.programs import FOLDER, Ended, ProgramRunner, Run, StagedRuns, needed_bytes, stage
from grader.sandbox.confine import Tier
from grader.sandbox.probe import best_tier
from tests.conftest import tier_of
from tests.fixtures import programs_lab
from tests.fixtures.tiny import descendants, eventually, leaving_nothing, sandboxed

Does = Callable[..., Ended]


@pytest.fixture(scope="module")
def furnished(tier: Tier):
    return programs_lab.furnished(tier)


@pytest.fixture(scope="module")
def runner(tier: Tier, furnished) -> Iterator[ProgramRunner]:
    with ProgramRunner(tier, furnished[1]) as running:
        yield running


@pytest.fixture
def does(runner: ProgramRunner, furnished) -> Does:
    """`does("say", "hi")`: what came of the program with these arguments."""
    return lambda *arguments, **how: runner.run(Run((furnished[0], *arguments), **how))


@contextlib.contextmanager
def ignoring(*numbers: int) -> Iterator[None]:
    """Ignore signals, also those that the C library keeps for itself (so by the system call, sigaction(2))."""
    action, old = (ctypes.c_ulong * 4)(signal.SIG_IGN), [(ctypes.c_ulong * 4)() for _ in numbers]
    call = ctypes.CDLL(None).syscall
    rt_sigaction = {"x86_64": 13, "aarch64": 134}[platform.machine()]
    for number, before in zip(numbers, old, strict=True):
        assert call(rt_sigaction, number, action, before, 8) == 0
    yield
    for number, before in zip(numbers, old, strict=True):
        assert call(rt_sigaction, number, before, None, 8) == 0


class TestWhatComesOfIt:
    def test_output_and_status(self, does: Does) -> None:
        ended = does("say", "hi")
        assert (ended.status, ended.stdout, ended.stderr) == (0, b"hi", b"")
        assert does("complain", "oh").stderr == b"oh"
        assert does("end", "7").status == 7
        assert does("die", "9").status == 137
        assert not (ended.timed_out or ended.flooded or ended.stopped or ended.left or ended.unburied)

    def test_any_bytes(self, does: Does) -> None:
        given = bytes(range(1, 256))
        assert does("say", given).stdout == given
        assert (
            does("copy", stdin=bytes(range(256)) * 300, stdin_kind="pipe").stdout == bytes(range(256)) * 300
        )

    def test_a_program_that_does_not_end_is_stopped(self, does: Does) -> None:
        ended = does("sleep", "60", timeout_s=0.2)
        assert ended.timed_out and ended.wall_s >= 0.2

    def test_one_that_prints_endlessly_too(self, does: Does) -> None:
        ended = does("flood", output_kib=16)
        assert ended.flooded and len(ended.stdout) == 16 << 10

    def test_what_cannot_be_executed(self, runner: ProgramRunner) -> None:
        assert runner.run(Run(("/nonexistent",))).status == 72

    def test_processor_time_is_that_of_all_its_processes(self, does: Does) -> None:
        assert does("burn").cpu_s > 0.05 > does("sleep", "0").cpu_s


class TestWhatItFinds:
    def test_standard_input(self, does: Does) -> None:
        assert does("copy").stdout == b""
        for kind in ("file", "pipe"):
            assert does("copy", stdin=b"in", stdin_kind=kind).stdout == b"in"
        assert does("copy", stdin_kind="closed").status == 8

    def test_three_descriptors_and_no_other(self, does: Does) -> None:
        assert does("descriptors").stdout.split() == [b"0", b"1", b"2"]
        assert does("descriptors", stdin_kind="closed").stdout.split() == [b"1", b"2"]

    def test_its_environment(self, does: Does, furnished) -> None:
        assert does("show", "PATH").stdout.decode() == furnished[1].path
        assert does("show", "HOME").stdout.decode() == FOLDER
        assert does("show", "GRADER_CACHE").stdout == b"(none)"
        assert does("show", "X", environment={"X": "y"}).stdout == b"y"

    def test_files_in_a_fresh_folder(self, does: Does) -> None:
        files = {"a": b"1", "d/": b"", "p": b"#!/bin/cat\nme\n"}
        ended = does("remember", "b", files=files, executable=frozenset({"p"}))
        assert ended.stdout == b"new"
        assert ended.files == {"a": b"1", "b": b"", "p": files["p"]}
        assert does("run", "./p", files=files, executable=frozenset({"p"})).stdout == files["p"]
        assert does("run", "./a", files=files).status == 127

    def test_nothing_that_an_earlier_run_wanted_to_remember(self, does: Does) -> None:
        for place in ("b", "/tmp/b", "/dev/shm/b", f"{FOLDER}/b"):
            assert [does("remember", place).stdout for _ in range(2)] == [b"new", b"new"], place

    def test_the_programs_of_the_lab_and_no_shell(self, does: Does, furnished) -> None:
        assert does("run", "/usr/bin/true").status == 0
        assert does("run", "/bin/cat", "a", files={"a": b"x"}).stdout == b"x"
        helper = furnished[1].path.partition(":")[0] + "/helper"
        assert does("run", helper).stdout == b"I help\n"
        for shell in (
            "/bin/sh",
            "/usr/bin/dash",
            "/usr/bin/bash",
            "/usr/bin/busybox",
            "/usr/bin/env",
            "/usr/bin/python3",
        ):
            assert does("run", shell, "-c", "exit 5").status == 127, shell

    def test_the_servers_channel_is_out_of_reach(self, does: Does) -> None:
        assert does("server").stdout == b"closed"

    def test_signals_as_they_are_at_boot(self, tier: Tier, furnished) -> None:
        """Whatever the grader was started by ignores, e.g. nohup; make's children even ignore signals 32 and 33."""
        with ignoring(signal.SIGHUP, signal.SIGINT, 32), ProgramRunner(tier, furnished[1]) as runner:
            status = runner.run(Run((furnished[0], "file", "/proc/self/status"))).stdout.decode()
        assert re.findall(r"Sig(?:Ign|Blk):\s*(\w+)", status) == ["0" * 16] * 2

    def test_limits(self, does: Does) -> None:
        assert does("say", "x", descriptors=4).stdout == b"x"
        assert does("say", "x", descriptors=3).status == 127  # not even its library can be opened
        assert does("leave", processes=1).left == ()


class TestWhatItLeaves:
    def test_processes_are_named_and_killed(self, does: Does, tier: Tier) -> None:
        uid = tier.drop_to_uid or os.getuid()
        before = len(sandboxed(uid))
        for deed in ("leave", "hide"):
            ended = does(deed, linger_s=0.1)
            assert ended.left == ("deeds",), deed
            assert eventually(lambda: len(sandboxed(uid)) <= before)

    def test_those_that_nobody_waited_for_are_counted(self, does: Does) -> None:
        assert does("orphan").unburied == 1

    def test_what_runs_in_the_background_may_be_given_time(self, does: Does) -> None:
        assert does("later").stdout == b"now "
        assert does("later", linger_s=5.0).stdout == b"now later"

    def test_a_fork_bomb_ends_with_its_time(self, does: Does) -> None:
        assert does("bomb", timeout_s=0.3).timed_out
        assert does("say", "alive").stdout == b"alive"


class TestTheEndOfASandbox:
    def test_nothing_is_left(self, tier: Tier, furnished) -> None:
        with leaving_nothing():
            with ProgramRunner(tier, furnished[1]) as own:
                own.run(Run((furnished[0], "leave")))

    def test_who_kills_everybody_ends_the_sandbox(self, tier: Tier, furnished) -> None:
        with leaving_nothing(), ProgramRunner(tier, furnished[1]) as own:
            with pytest.raises(GuestFailed, match="ended the sandbox's server"):
                own.run(Run((furnished[0], "kill")))

    def test_who_stops_the_server_is_not_waited_for_ever(self, tier: Tier, furnished, monkeypatch) -> None:
        monkeypatch.setattr(programs, "_GRACE_S", 0.2)
        with leaving_nothing(), ProgramRunner(tier, furnished[1]) as own:
            with pytest.raises(GuestFailed, match="stopped the sandbox's server"):
                own.run(Run((furnished[0], "stop"), timeout_s=0.2))

    def test_it_ends_with_the_grader(self, tier: Tier, furnished, tmp_path: Path) -> None:
        """Also when the grader is killed in the middle of a run."""
        uid = tier.drop_to_uid or os.getuid()
        before = set(sandboxed(uid))
        script = (
            "import sys\n"
            "from tests.fixtures import programs_lab\n"
            "from grader.runner.programs import ProgramRunner, Run\n"
            "from grader.sandbox.probe import best_tier\n"
            "program, spec = programs_lab.furnished(best_tier())\n"
            "runner = ProgramRunner(best_tier(), spec)\n"
            "runner.wait_until_ready()\n"
            "print('ready', flush=True)\n"
            "runner.run(Run((program, 'hide'), linger_s=50, timeout_s=60))\n"
        )
        grader = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
        assert grader.stdout is not None and grader.stdout.readline() == "ready\n"
        assert eventually(lambda: len(set(sandboxed(uid)) - before) >= 3)
        grader.send_signal(signal.SIGKILL)
        grader.wait()
        grader.stdout.close()
        assert eventually(lambda: set(sandboxed(uid)) <= before)

    @pytest.mark.parametrize("name", ["B", "C", "D"])
    def test_in_other_tiers(self, furnished, name: str) -> None:
        """Without namespaces what is left behind is found by its parent, and outputs name the usual folder."""
        with leaving_nothing(), ProgramRunner(tier_of(name, 807), furnished[1]) as own:
            assert own.run(Run((furnished[0], "show", "HOME"))).stdout.decode() == FOLDER
            assert own.run(Run((furnished[0], "hide"), linger_s=0.1)).left == ("deeds",)
            assert own.run(Run((furnished[0], "copy"), stdin=b"in", stdin_kind="file")).stdout == b"in"
            assert own.run(Run((furnished[0], "bomb"), timeout_s=0.2)).timed_out
            folder = Path(own.folder)
        assert own.folder == FOLDER or not folder.parent.exists()

    @pytest.mark.parametrize("name", ["A", "C", "D"])
    def test_a_fork_bomb_ends_with_its_sandbox(self, furnished, name: str) -> None:
        path, spec = furnished
        with leaving_nothing(), ProgramRunner(tier_of(name, 807), replace(spec, processes=60)) as own:
            own._begin(Run((path, "bomb"), timeout_s=60.0), None)
            assert eventually(lambda: len(descendants()) > 30)


class TestATerminal:
    def test_it_is_the_programs_own(self, runner: ProgramRunner, furnished) -> None:
        with runner.session(Run((furnished[0], "terminal"))) as session:
            assert session.wait().status == 0
            assert os.read(session.fd, 100) == b"a terminal\r\n"

    def test_keys_become_signals(self, runner: ProgramRunner, furnished) -> None:
        with runner.session(Run((furnished[0], "copy"), timeout_s=20)) as session:
            os.write(session.fd, b"line\r")
            seen = b""
            while seen.count(b"line") < 2:  # the echo, and the copy
                seen += os.read(session.fd, 100)
            os.write(session.fd, b"\x03")
            assert session.wait().status == 128 + signal.SIGINT

    def test_it_ends_with_its_block(self, runner: ProgramRunner, furnished) -> None:
        with leaving_nothing():
            with (
                contextlib.suppress(KeyError),
                runner.session(Run((furnished[0], "sleep", "60"), timeout_s=60)),
            ):
                raise KeyError
        assert runner.run(Run((furnished[0], "say", "alive"))).stdout == b"alive"


def test_runs_for_a_duel(runner: ProgramRunner, furnished) -> None:
    runs = [Run((furnished[0], "say", word)) for word in ("a", "b")]
    assert needed_bytes(None, runs) == (0, 0)
    assert stage(runner, None, runs) == StagedRuns(tuple(runs))
    ended, timing = runner.call(runs)
    assert [item.stdout for item in ended] == [b"a", b"b"]
    assert timing.wall_s > 0
    assert runner.call([])[0] == ()
    with pytest.raises(GuestFailed, match="did not end in time") as failed:
        runner.call([Run((furnished[0], "sleep", "60"), timeout_s=0.2)])
    assert failed.value.kind == "hung"
    with pytest.raises(GuestFailed, match="did not end in time"):
        runner.call([Run((furnished[0], "burn"))], cpu_limit_s=0.001)


def test_a_sandbox_that_cannot_start_says_why(furnished) -> None:
    spec = replace(furnished[1], server=Path("/nonexistent/serve"))
    with (
        leaving_nothing(),
        pytest.raises(RuntimeError, match=r"could not start the server of programs: .*nonexistent"),
    ):
        ProgramRunner(best_tier(), spec).wait_until_ready()
