"""What a process finds when it is really inside."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

import grader
from grader import cache
from grader.sandbox import confine
from grader.sandbox import probe as tiers
from grader.sandbox.confine import FIRST_SANDBOX_UID, Confinement, Tier, start
from tests.conftest import needs
from tests.fixtures.tiny import eventually, leaving_nothing, sandboxed

IS_ROOT = os.geteuid() == 0
CHECKOUT = Path(grader.__file__).parents[1]
FORBIDDEN = """fork, clone, socket inet, socket unix, socket netlink, socketpair, ptrace, process_vm_readv, pidfd_open,
 unshare user, unshare mount, setns, clone new user, userfaultfd, io_uring_setup, bpf, perf_event_open, keyctl, add_key,
 personality, mount, chroot, sethostname, open_by_handle_at, mknod, TIOCSTI, PR_SET_TSC, F_SETSIG, timer_create"""


def tier_b() -> Tier:
    return next(tier for tier in tiers._candidates(0) if tier.name == "B")


def tier_d() -> Tier:
    return next(tier for tier in tiers._candidates(0) if tier.name == "D")


@needs("tier A")
class TestTierA:
    def test_forbidden_calls_fail_and_threads_work(self, probe) -> None:
        found = probe("calls")
        for name in FORBIDDEN.replace("\n", "").split(", "):
            assert found[name.strip()] == str(errno.EPERM), name
        assert found["clone3"] == found["a call of the future"] == str(errno.ENOSYS)
        assert found["thread"] == found["personality query"] == "0"
        assert found["high priority"] != "0"

    def test_with_processes_allowed_the_rest_stays_forbidden(self, probe) -> None:
        found = probe("calls", policy="processes")
        assert found["fork"] == found["clone"] == found["thread"] == found["timer_create"] == "0"
        for name in (
            "socket inet",
            "ptrace",
            "unshare user",
            "clone new user",
            "mount",
            "personality",
            "keyctl",
        ):
            assert found[name] == str(errno.EPERM), name

    def test_the_32_bit_interface_is_closed(self, probe) -> None:
        assert probe("x32").status == 128 + signal.SIGSYS

    def test_it_is_nobody(self, probe, tier) -> None:
        found = probe("identity")
        wanted = FIRST_SANDBOX_UID if IS_ROOT else os.getuid()
        assert int(found["uid"]) == int(found["gid"]) == wanted or not IS_ROOT
        assert found["uid"] != "0"
        for line in (
            "CapEff:\t0000000000000000",
            "CapBnd:\t0000000000000000",
            "NoNewPrivs:\t1",
            "Seccomp:\t2",
        ):
            assert line in found.text
        assert probe("calls")["setuid root"] != "0"

    def test_it_sees_no_other_process_and_no_network(self, probe) -> None:
        found = probe("identity")
        assert [name for name in found["ls /proc"].split() if name.isdigit()] == [
            "1",
            "2",
        ]  # bwrap's and its own
        devices = [
            line
            for line in found.text.splitlines()
            if line.startswith("/proc/net/dev:") and line.count(":") > 1
        ]
        assert all(" lo:" in line for line in devices)

    def test_it_inherits_no_descriptor_but_the_named_ones(self, probe) -> None:
        with tempfile.TemporaryFile() as file:
            root = os.open("/", os.O_RDONLY)
            os.set_inheritable(root, True)
            os.set_inheritable(file.fileno(), True)
            try:
                assert probe("identity").all("descriptor") == ["0", "1", "2"]
                assert probe(f"via:{root}")[f"via:{root}"] == str(errno.EBADF)
                named = probe("identity", pass_fds=(file.fileno(),)).all("descriptor")
                assert named == ["0", "1", "2", str(file.fileno())]
            finally:
                os.close(root)

    def test_the_hosts_files_are_not_there(self, probe, folder) -> None:
        found = probe("ls:/")
        assert set(found["ls /"].split()) <= {
            "bin",
            "lib",
            "lib32",
            "lib64",
            "libx32",
            "sbin",
            "usr",
            "proc",
            "dev",
            "tmp",
        }
        paths = [
            "/etc/passwd",
            "/root",
            "/home",
            "/var",
            "/sys",
            "/run",
            str(CHECKOUT),
            __file__,
            str(cache.root()),
        ]
        found = probe(*(f"read:{path}" for path in paths))
        for path in paths:
            assert found[f"read:{path}"] == str(errno.ENOENT), path

    def test_only_tmp_and_shared_memory_can_be_written(self, probe, folder) -> None:
        places = ["/", "/usr", "/usr/bin", "/dev", "/proc", str(folder)]
        found = probe(*(f"create:{place}/new" for place in places), "create:/tmp/new", "create:/dev/shm/new")
        for place in places:
            assert found[f"create:{place}/new"] != "0", place
        assert found["create:/tmp/new"] == found["create:/dev/shm/new"] == "0"

    def test_they_are_small(self, probe) -> None:
        for place in ("/tmp", "/dev/shm"):
            assert 0 < int(probe(f"fill:{place}", tmp_mib=2)[f"filled {place}"]) <= 2 << 20

    def test_kernel_settings_cannot_be_written(self, probe) -> None:
        settings = [
            "kernel/core_pattern",
            "kernel/hostname",
            "vm/overcommit_memory",
            "kernel/randomize_va_space",
        ]
        found = probe(*(f"write:/proc/sys/{name}" for name in settings), "write:/proc/sysrq-trigger")
        for name in settings:
            assert found[f"write:/proc/sys/{name}"] in (
                str(errno.EACCES),
                str(errno.EROFS),
                str(errno.EPERM),
            ), name
        assert found["write:/proc/sysrq-trigger"] != "0"

    def test_a_compiler_has_no_proc(self, probe) -> None:
        found = probe("read:/proc/self/status", "read:/dev/fd/0", "read:/dev/null", proc=False)
        assert found["read:/proc/self/status"] == found["read:/dev/fd/0"] == str(errno.ENOENT)
        assert found["read:/dev/null"] == "0"

    def test_limits_hold_inside(self, probe) -> None:
        found = probe("identity", "allocate", cpu_s=7, memory_mib=256, file_mib=3)
        limits = {name: int(found[f"limit {name}"]) for name in ("as", "cpu", "fsize", "core", "nofile")}
        assert limits == {"as": 256 << 20, "cpu": 7, "fsize": 3 << 20, "core": 0, "nofile": 256}
        assert found["allocate"] == str(errno.ENOMEM)
        assert probe("allocate", memory_mib=None)["allocate"] == "0"

    def test_cpu_time_ends(self, probe) -> None:
        assert probe("spin", cpu_s=1).status == 128 + signal.SIGKILL

    def test_a_file_ends(self, probe, folder) -> None:
        assert int(probe("fill:/tmp", file_mib=1, tmp_mib=200)["filled /tmp"]) == 64 << 20  # 64 files of it

    def test_the_environment_is_what_was_said(self, tier, confinement) -> None:
        process = start(tier, confinement, ["/usr/bin/env"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        names = {line.partition("=")[0] for line in process.communicate(timeout=30)[0].decode().splitlines()}
        assert names <= {"PATH", "PWD", "SHLVL", "_"}

    def test_standard_input_is_empty(self, tier, confinement) -> None:
        process = start(
            tier, confinement, ["/usr/bin/wc", "-c"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        assert process.communicate(timeout=30)[0].strip() == b"0"

    def test_a_daemon_of_it_ends_with_it(self, tier, folder, confinement) -> None:
        with leaving_nothing():
            processes = Confinement(**{**vars(confinement), "policy": "processes"})
            process = start(
                tier,
                processes,
                [str(folder / "probe"), "family"],
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
            )
            assert process.stdout and process.stdout.readline() == b"family\n"
            confine.end(process)
            process.communicate(timeout=30)


GRADER = """
import subprocess, sys
from pathlib import Path
from dataclasses import replace
from grader.sandbox import probe
from grader.sandbox.confine import Confinement, start
name, slot, program = sys.argv[1:]
tier = next(t for t in probe._candidates(int(slot)) if t.name == name)
inside = Confinement(read_only=(*probe.SYSTEM, Path(program).parent), symlinks=probe.SYSTEM_LINKS, policy="processes")
process = start(tier, inside, [program, "spin" if name == "D" else "family"], stdout=subprocess.PIPE, stderr=2)
print(process.stdout.readline().decode(), flush=True)
process.wait()
"""


def works(tier: Tier) -> bool:
    return tier.name == "D" or tiers._works(tier)


@pytest.mark.skipif(
    not IS_ROOT, reason="it tells the sandbox's processes by their user, which only root can choose"
)
@pytest.mark.parametrize("name", ["A", "B", "D"])
def test_a_grader_killed_without_warning_leaves_no_process(name: str, folder: Path) -> None:
    slot = {"A": 801, "B": 802, "D": 803}[name]
    if not works(next(tier for tier in tiers._candidates(slot) if tier.name == name)):
        pytest.fail(f"root has tier {name} on every machine with user namespaces")
    command = [sys.executable, "-c", GRADER, name, str(slot), str(folder / "probe")]
    grading = subprocess.Popen(command, stdout=subprocess.PIPE, cwd=CHECKOUT)
    assert grading.stdout and grading.stdout.readline().strip() in (b"family", b"spinning")
    assert sandboxed(FIRST_SANDBOX_UID + slot)
    grading.kill()
    grading.communicate(timeout=30)
    assert eventually(lambda: not sandboxed(FIRST_SANDBOX_UID + slot))


@needs("bwrap")
@pytest.mark.skipif(not IS_ROOT, reason="tier B is root's")
class TestTierB:
    def test_it_is_an_ordinary_user_without_capabilities(self, probe) -> None:
        found = probe("identity", tier=tier_b())
        assert int(found["uid"]) == int(found["gid"]) == FIRST_SANDBOX_UID
        assert found["groups"] == "0"
        for line in (
            "CapEff:\t0000000000000000",
            "CapBnd:\t0000000000000000",
            "NoNewPrivs:\t1",
            "Seccomp:\t2",
        ):
            assert line in found.text
        assert found.all("descriptor") == ["0", "1", "2"]

    def test_forbidden_calls_fail(self, probe) -> None:
        found = probe("calls", tier=tier_b())
        for name in (
            "fork",
            "socket inet",
            "ptrace",
            "unshare user",
            "mount",
            "keyctl",
            "setuid root",
            "timer_create",
        ):
            assert found[name] == str(errno.EPERM), name
        assert found["thread"] == "0"

    def test_host_files_and_kernel_settings_are_out_of_reach(self, probe, folder) -> None:
        found = probe(
            "read:/etc/passwd",
            f"read:{CHECKOUT}",
            "write:/proc/sys/kernel/core_pattern",
            f"create:{folder}/new",
            "create:/usr/new",
            "create:/tmp/new",
            "fill:/dev/shm",
            tier=tier_b(),
            tmp_mib=1,
        )
        assert found["read:/etc/passwd"] == found[f"read:{CHECKOUT}"] == str(errno.ENOENT)
        assert found["write:/proc/sys/kernel/core_pattern"] != "0"
        assert found[f"create:{folder}/new"] != "0" and found["create:/usr/new"] != "0"
        assert found["create:/tmp/new"] == "0"
        assert int(found["filled /dev/shm"]) <= 1 << 20


class TestTierD:
    def test_it_runs_with_limits(self, probe) -> None:
        found = probe("identity", "allocate", tier=tier_d(), memory_mib=256, cpu_s=9)
        assert found["limit as"] == str(256 << 20) and found["limit cpu"] == "9"
        assert found["allocate"] == str(errno.ENOMEM)
        assert found.all("descriptor") == ["0", "1", "2"]

    @pytest.mark.skipif(not IS_ROOT, reason="only root can become somebody else")
    def test_root_gives_itself_up(self, probe) -> None:
        found = probe("identity", "write:/etc/passwd", tier=tier_d())
        assert int(found["uid"]) == FIRST_SANDBOX_UID and found["groups"] == "0"
        assert found["write:/etc/passwd"] == str(errno.EACCES)

    def test_children_in_its_group_end_with_it(self, folder, confinement) -> None:
        with leaving_nothing():
            command = ["sh", "-c", "sleep 1000 & echo started; wait"]
            process = start(tier_d(), confinement, command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            assert process.stdout and process.stdout.readline() == b"started\n"
            confine.end(process)
            process.communicate(timeout=30)


NOT_ROOT = """
import os, subprocess, sys
from pathlib import Path
from grader.sandbox import probe
from grader.sandbox.confine import Confinement, start
tier = probe.best_tier()
inside = Confinement(read_only=(*probe.SYSTEM, Path(sys.argv[1]).parent), symlinks=probe.SYSTEM_LINKS)
process = start(tier, inside, [sys.argv[1], "identity", "read:/etc/passwd"], stdout=subprocess.PIPE, stderr=2)
print(tier.name, tier.drop_to_uid)
print(process.communicate(timeout=30)[0].decode())
"""


@needs("tier A")
@pytest.mark.skipif(not IS_ROOT, reason="everybody else proves it with every other test")
def test_an_ordinary_user_gets_tier_a_too(folder: Path) -> None:
    """With a system's Python where there is one; here: the grader's own, copied with what it needs."""
    from grader.runner import runtime

    python = runtime.prepare().python
    package = folder / "package"
    shutil.copytree(CHECKOUT / "grader" / "sandbox", package / "grader" / "sandbox", dirs_exist_ok=True)
    (package / "grader" / "__init__.py").write_text("")
    library = Path(os.__file__).parent
    environment = {
        "PYTHONPATH": f"{package}:{folder / 'stdlib'}:{folder / 'stdlib' / 'lib-dynload'}",
        "PATH": os.environ["PATH"],
    }
    ignored = shutil.ignore_patterns(
        "site-packages", "test", "__pycache__", "idlelib", "ensurepip", "config-*", "tkinter"
    )
    shutil.copytree(library, folder / "stdlib", ignore=ignored, dirs_exist_ok=True)
    environment["PYTHONHOME"] = str(python.parents[1])
    environment["LD_LIBRARY_PATH"] = str(python.parents[1] / "lib")
    answer = subprocess.run(
        [str(python), "-S", "-c", NOT_ROOT, str(folder / "probe")],
        user=65534,
        group=65534,
        extra_groups=[],
        env=environment,
        cwd="/",
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert answer.stdout.startswith("A None\n"), answer.stderr
    assert "uid=65534" in answer.stdout and "read:/etc/passwd=2" in answer.stdout
    assert "CapEff:\t0000000000000000" in answer.stdout


@needs("tier A")
@pytest.mark.skipif(
    not IS_ROOT, reason="it tells the sandbox's processes by their user, which only root can choose"
)
def test_one_that_is_ended_while_it_starts_leaves_no_process(folder: Path, confinement: Confinement) -> None:
    """bwrap's child waits for its parent at first, and would wait for ever when only the parent is killed."""
    tier = tiers.best_tier(808)
    for step in range(60):
        command = [str(folder / "probe"), "spin"]
        process = start(tier, confinement, command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(step * 0.0002)
        confine.end(process)
        process.wait(timeout=30)
    assert eventually(lambda: not sandboxed(FIRST_SANDBOX_UID + 808), 10.0)
