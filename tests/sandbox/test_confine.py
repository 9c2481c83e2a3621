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
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

import grader
from grader import cache
from grader.sandbox import confine
from grader.sandbox import probe as tiers
from grader.sandbox.confine import FIRST_SANDBOX_UID, Confinement, Tier, start
from tests.conftest import needs, tier_of
from tests.fixtures.tiny import eventually, leaving_nothing, sandboxed

IS_ROOT = os.geteuid() == 0
CHECKOUT = Path(grader.__file__).parents[1]
FORBIDDEN = """fork, clone, socket inet, socket unix, socket netlink, socketpair, ptrace, process_vm_readv, pidfd_open,
 unshare user, unshare mount, setns, clone new user, userfaultfd, io_uring_setup, bpf, perf_event_open, keyctl, add_key,
 personality, mount, chroot, sethostname, open_by_handle_at, mknod, TIOCSTI, PR_SET_TSC, F_SETSIG, timer_create"""


GONE = {str(errno.ENOENT), str(errno.EACCES)}
"""A file outside: not there, or not to be opened."""


def candidate(name: str, slot: int = 0) -> Tier:
    return next(tier for tier in tiers._candidates(slot) if tier.name == name)


@pytest.fixture(params=["A", "B", "C"])
def isolated(request: pytest.FixtureRequest) -> Tier:
    """Every tier that isolates."""
    return tier_of(request.param)


@pytest.fixture
def own(isolated: Tier) -> Iterator[Path]:
    """A folder that the sandbox may write."""
    folder = cache.scratch_folder()
    confine.hand_over(isolated, folder)
    yield folder
    shutil.rmtree(folder)


class TestEveryTierThatIsolates:
    def test_forbidden_calls_fail_and_threads_work(self, probe, isolated) -> None:
        found = probe("calls", tier=isolated)
        for name in FORBIDDEN.replace("\n", "").split(", "):
            assert found[name.strip()] == str(errno.EPERM), name
        assert found["clone3"] == found["a call of the future"] == str(errno.ENOSYS)
        assert found["thread"] == found["personality query"] == "0"
        assert found["high priority"] != "0" and found["setuid root"] != "0"

    def test_with_processes_allowed_the_rest_stays_forbidden(self, probe, isolated) -> None:
        found = probe("calls", tier=isolated, policy="processes")
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

    def test_peers_have_sockets_of_the_file_system_and_no_others(self, probe, isolated) -> None:
        found = probe("calls", tier=isolated, policy="peers")
        assert found["socket unix"] == found["socketpair"] == "0"
        assert found["socket inet"] == found["socket netlink"] == str(errno.EPERM)

    def test_the_32_bit_interface_is_closed(self, probe, isolated) -> None:
        assert probe("x32", tier=isolated).status == 128 + signal.SIGSYS

    def test_it_is_nobody(self, probe, isolated) -> None:
        found = probe("identity", tier=isolated)
        wanted = FIRST_SANDBOX_UID if IS_ROOT else os.getuid()
        assert int(found["uid"]) == int(found["gid"]) == wanted or not IS_ROOT
        assert found["uid"] != "0"
        assert found["groups"] == "0" or not IS_ROOT
        for line in (
            "CapInh:\t0000000000000000",
            "CapEff:\t0000000000000000",
            "CapBnd:\t0000000000000000",
            "NoNewPrivs:\t1",
            "Seccomp:\t2",
        ):
            assert line in found.text or (line.startswith("CapBnd") and not IS_ROOT)

    def test_it_inherits_no_descriptor_but_the_named_ones(self, probe, isolated) -> None:
        with tempfile.TemporaryFile() as file:
            root = os.open("/", os.O_RDONLY)
            os.set_inheritable(root, True)
            os.set_inheritable(file.fileno(), True)
            try:
                assert probe("identity", tier=isolated).all("descriptor") == ["0", "1", "2"]
                assert probe(f"via:{root}", tier=isolated)[f"via:{root}"] == str(errno.EBADF)
                named = probe("identity", tier=isolated, pass_fds=(file.fileno(),)).all("descriptor")
                assert named == ["0", "1", "2", str(file.fileno())]
            finally:
                os.close(root)

    def test_the_machines_files_cannot_be_opened(self, probe, isolated) -> None:
        paths = ["/etc/passwd", "/root", "/home", "/var/log", "/sys", "/run", str(CHECKOUT), __file__]
        paths.append(str(cache.root() / "runtime"))
        found = probe(*(f"read:{path}" for path in paths), tier=isolated)
        for path in paths:
            assert found[f"read:{path}"] in GONE, path

    def test_only_folders_of_its_own_can_be_written(self, probe, isolated, folder, own) -> None:
        places = ["/", "/usr", "/usr/bin", "/dev", "/proc", "/var/tmp", str(folder)]
        shared = ["/tmp", "/dev/shm"]
        paths = [f"create:{place}/new" for place in (*places, *shared, str(own))]
        found = probe(*paths, "write:/etc/passwd", tier=isolated, writable=(own,))
        for place in places:
            assert found[f"create:{place}/new"] != "0", place
        for place in shared:
            assert (found[f"create:{place}/new"] == "0") == isolated.has_namespaces, place
        assert found[f"create:{own}/new"] == "0" and (own / "new").exists()
        assert found["write:/etc/passwd"] in GONE

    def test_kernel_settings_cannot_be_written(self, probe, isolated) -> None:
        settings = [
            "kernel/core_pattern",
            "kernel/hostname",
            "vm/overcommit_memory",
            "kernel/randomize_va_space",
        ]
        paths = [f"write:/proc/sys/{name}" for name in settings]
        found = probe(*paths, "write:/proc/sysrq-trigger", tier=isolated)
        for path in paths:
            assert found[path] in (str(errno.EACCES), str(errno.EROFS), str(errno.EPERM)), path
        assert found["write:/proc/sysrq-trigger"] != "0"

    def test_a_compiler_has_no_proc(self, probe, isolated) -> None:
        paths = ["read:/proc/self/status", "read:/dev/fd/0", "read:/dev/null"]
        found = probe(*paths, tier=isolated, proc=False)
        assert found["read:/proc/self/status"] in GONE
        assert found["read:/dev/fd/0"] in GONE or not isolated.has_namespaces
        assert found["read:/dev/null"] == "0"

    def test_limits_hold_inside(self, probe, isolated) -> None:
        found = probe("identity", "allocate", tier=isolated, cpu_s=7, memory_mib=256, file_mib=3)
        limits = {name: int(found[f"limit {name}"]) for name in ("as", "cpu", "fsize", "core", "nofile")}
        assert limits == {"as": 256 << 20, "cpu": 7 + 1, "fsize": 3 << 20, "core": 0, "nofile": 256}
        assert found["allocate"] == str(errno.ENOMEM)
        assert probe("allocate", tier=isolated, memory_mib=None)["allocate"] == "0"

    def test_cpu_time_ends(self, probe, isolated) -> None:
        assert probe("spin", tier=isolated, cpu_s=1).status == 128 + signal.SIGXCPU

    def test_a_file_ends(self, probe, isolated, own) -> None:
        found = probe(f"fill:{own}", tier=isolated, file_mib=1, writable=(own,))
        assert int(found[f"filled {own}"]) == 64 << 20  # 64 files of it

    def test_it_cannot_disturb_another_process(self, probe, isolated) -> None:
        """The grader, and a process of the sandbox's own user, as another of its sandboxes would be."""
        uid = isolated.drop_to_uid
        with subprocess.Popen(["sleep", "100"], user=uid, group=uid) as other:
            for pid in (os.getpid(), other.pid):
                found = probe(f"disturb:{pid}", tier=isolated)
                for name in (
                    *("kill", "tgkill", "setpriority", "sched_setscheduler", "sched_setaffinity", "prlimit"),
                    *("environ", "mem", "maps", "fd"),
                ):
                    assert found[name] != "0", (name, pid)
            other.kill()

    def test_the_environment_is_what_was_said(self, isolated, confinement) -> None:
        process = start(
            isolated, confinement, ["/usr/bin/env"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        names = {line.partition("=")[0] for line in process.communicate(timeout=30)[0].decode().splitlines()}
        assert "PATH" in names and names <= {"PATH", "PWD", "SHLVL", "_"}

    def test_standard_input_is_empty(self, isolated, confinement) -> None:
        process = start(
            isolated, confinement, ["/usr/bin/wc", "-c"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        assert process.communicate(timeout=30)[0].strip() == b"0"

    @pytest.mark.parametrize("ended", [True, False], ids=["ended", "that ends"])
    def test_what_it_leaves_behind_ends_with_it(self, isolated, folder, confinement, ended: bool) -> None:
        """A child in a session of its own that ignores signals, of a process that is ended or ends by itself."""
        command = [str(folder / "probe"), "family" if ended else "orphan"]
        with leaving_nothing():
            process = start(
                isolated,
                replace(confinement, policy="processes"),
                command,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
            )
            assert process.stdout and process.stdout.readline() == b"family\n"
            if ended:
                confine.end(process)
            process.communicate(timeout=30)

    def test_the_status_is_the_commands(self, isolated, confinement) -> None:
        for script, status in (("exit 7", 7), ("kill -9 $$", 128 + signal.SIGKILL)):
            process = start(
                isolated, confinement, ["sh", "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE
            )
            process.communicate(timeout=30)
            assert process.returncode == status


@needs("tier A")
class TestNamespaces:
    """What only tiers A and B have."""

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

    def test_the_machines_files_are_not_there(self, probe) -> None:
        found = probe("ls:/", "read:/etc/passwd")
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
        assert found["read:/etc/passwd"] == str(errno.ENOENT)

    def test_tmp_and_shared_memory_are_small(self, probe) -> None:
        for place in ("/tmp", "/dev/shm"):
            assert 0 < int(probe(f"fill:{place}", tmp_mib=2)[f"filled {place}"]) <= 2 << 20


class TestTierC:
    def test_what_all_processes_of_the_machine_share_is_closed(self, probe) -> None:
        found = probe("shared", tier=candidate("C"))
        for name in ("shmget", "semget", "msgget", "mq_open"):
            assert found[name] == str(errno.EPERM), name

    def test_files_keep_their_attributes(self, probe, folder) -> None:
        deed = f"chmod:{folder}"
        assert probe(deed, tier=candidate("C"))[deed] == str(errno.EPERM)

    def test_a_file_among_forbidden_ones_can_be_allowed(self, probe, folder) -> None:
        shown = folder / "shown"
        shown.mkdir(exist_ok=True)
        for name in ("this", "that"):
            (shown / name).write_text("x")
        allowed = (Path("/usr"), folder / "probe", shown / "this")
        found = probe(f"read:{shown}/this", f"read:{shown}/that", tier=candidate("C"), read_only=allowed)
        assert (found[f"read:{shown}/this"], found[f"read:{shown}/that"]) == ("0", str(errno.EACCES))

    def test_a_path_that_is_not_there_is_named(self, probe, folder) -> None:
        found = probe("identity", tier=candidate("C"), writable=(folder / "missing",))
        assert found.status == 125 and f"launch: {folder}/missing: No such file" in found.text

    @pytest.mark.skipif(not IS_ROOT, reason="only root can become somebody else")
    def test_the_reference_is_another_user(self) -> None:
        users = [candidate("C", slot).drop_to_uid for slot in range(200)]
        references = [confine.beside(candidate("C", slot)).drop_to_uid for slot in range(200)]
        assert len({*users, *references}) == 400
        assert confine.beside(candidate("A")) == candidate("A")


GRADER = """
import subprocess, sys
from pathlib import Path
from dataclasses import replace
from grader.sandbox import probe
from grader.sandbox.confine import Confinement, start
name, slot, program = sys.argv[1:]
tier = next(t for t in probe._candidates(int(slot)) if t.name == name)
inside = Confinement(read_only=(*probe.SYSTEM, Path(program).parent), symlinks=probe.SYSTEM_LINKS, policy="processes")
process = start(tier, inside, [program, "family"], stdout=subprocess.PIPE, stderr=2)
print(process.stdout.readline().decode(), flush=True)
process.wait()
"""


def works(tier: Tier) -> bool:
    return tier.name == "D" or tiers._works(tier)


@pytest.mark.skipif(
    not IS_ROOT, reason="it tells the sandbox's processes by their user, which only root can choose"
)
@pytest.mark.parametrize("name", ["A", "B", "C", "D"])
def test_a_grader_killed_without_warning_leaves_no_process(name: str, folder: Path) -> None:
    slot = {"A": 801, "B": 802, "C": 803, "D": 804}[name]
    if not works(next(tier for tier in tiers._candidates(slot) if tier.name == name)):
        pytest.fail(f"root has tier {name} on every machine with user namespaces")
    command = [sys.executable, "-c", GRADER, name, str(slot), str(folder / "probe")]
    grading = subprocess.Popen(command, stdout=subprocess.PIPE, cwd=CHECKOUT)
    assert grading.stdout and grading.stdout.readline().strip() == b"family"
    assert sandboxed(FIRST_SANDBOX_UID + slot)
    grading.kill()
    grading.communicate(timeout=30)
    assert eventually(lambda: not sandboxed(FIRST_SANDBOX_UID + slot))


class TestTierD:
    def test_it_runs_with_limits(self, probe) -> None:
        found = probe("identity", "allocate", tier=candidate("D"), memory_mib=256, cpu_s=9)
        assert found["limit as"] == str(256 << 20) and found["limit cpu"] == "10"
        assert found["allocate"] == str(errno.ENOMEM)
        assert found.all("descriptor") == ["0", "1", "2"]

    @pytest.mark.skipif(not IS_ROOT, reason="only root can become somebody else")
    def test_root_gives_itself_up(self, probe) -> None:
        found = probe("identity", "write:/etc/passwd", tier=candidate("D"))
        assert int(found["uid"]) == FIRST_SANDBOX_UID and found["groups"] == "0"
        assert found["write:/etc/passwd"] == str(errno.EACCES)

    def test_children_in_its_group_end_with_it(self, folder, confinement) -> None:
        with leaving_nothing():
            command = ["sh", "-c", "sleep 1000 & echo started; wait"]
            process = start(
                candidate("D"), confinement, command, stdout=subprocess.PIPE, stderr=subprocess.PIPE
            )
            assert process.stdout and process.stdout.readline() == b"started\n"
            confine.end(process)
            process.communicate(timeout=30)


NOT_ROOT = """
import os, subprocess, sys
from pathlib import Path
from grader.sandbox import probe
from grader.sandbox.confine import Confinement, end, start
print(probe.best_tier().name)
tier = next(tier for tier in probe._candidates(0) if tier.name == sys.argv[1])
print("holds" if probe._works(tier) else probe.broken_promises(tier))
inside = Confinement(read_only=(*probe.SYSTEM, Path(sys.argv[2]).parent), symlinks=probe.SYSTEM_LINKS)
command = [sys.argv[2], "identity", "read:/etc/passwd", f"disturb:{os.getpid()}"]
process = start(tier, inside, command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
print(tier.drop_to_uid)
print(process.communicate(timeout=30)[0].decode())
"""


@pytest.fixture(scope="module")
def ordinary(folder: Path) -> Callable[[str], str]:
    """`ordinary("A")`: what an ordinary user of this machine finds in a tier. The user has a copy of the package."""
    from grader.runner import runtime

    python = runtime.prepare().python
    package, store = folder / "package", folder / "store"
    shutil.copytree(CHECKOUT / "grader" / "sandbox", package / "grader" / "sandbox", dirs_exist_ok=True)
    for module in ("cache.py", "cc.py", "trouble.py"):
        shutil.copy(CHECKOUT / "grader" / module, package / "grader" / module)
    (package / "grader" / "__init__.py").write_text("")
    store.mkdir(exist_ok=True)
    os.chown(store, 65534, 65534)
    ignored = shutil.ignore_patterns(
        "site-packages", "test", "__pycache__", "idlelib", "ensurepip", "config-*", "tkinter"
    )
    shutil.copytree(Path(os.__file__).parent, folder / "stdlib", ignore=ignored, dirs_exist_ok=True)
    environment = {
        "PYTHONPATH": f"{package}:{folder / 'stdlib'}:{folder / 'stdlib' / 'lib-dynload'}",
        "PYTHONHOME": str(python.parents[1]),
        "LD_LIBRARY_PATH": str(python.parents[1] / "lib"),
        "GRADER_CACHE": str(store),
        "PATH": os.environ["PATH"],
    }

    def find(name: str) -> str:
        answer = subprocess.run(
            [str(python), "-S", "-c", NOT_ROOT, name, str(folder / "probe")],
            user=65534,
            group=65534,
            extra_groups=[],
            env=environment,
            cwd="/",
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert answer.returncode == 0, answer.stderr
        return answer.stdout

    return find


@needs("tier A")
@pytest.mark.skipif(not IS_ROOT, reason="everybody else proves it with every other test")
@pytest.mark.parametrize("name", ["A", "C"])
def test_an_ordinary_user_has_these_tiers_too(ordinary: Callable[[str], str], name: str) -> None:
    """In tier C as the same user as the grader, whom it cannot read, signal or slow down all the same."""
    said = ordinary(name)
    assert said.startswith("A\nholds\nNone\n"), said
    found = dict(line.partition("=")[::2] for line in said.splitlines())
    assert found["uid"] == "65534" and found["read:/etc/passwd"] in GONE
    assert "CapEff:\t0000000000000000" in said and "NoNewPrivs:\t1" in said
    for deed in ("kill", "tgkill", "setpriority", "sched_setaffinity", "prlimit", "environ", "mem", "fd"):
        assert found[deed] != "0", deed


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
