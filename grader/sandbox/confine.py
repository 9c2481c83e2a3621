"""Starting a process inside the sandbox: one description of what it may see and use, one way per tier.

Every path is the same inside and outside, so that nothing has to be translated. In every tier `launch` (launch.c)
stays behind as the parent, and ends whatever descends from the process when that has ended or the grader is gone.
Facts behind the flags: running bwrap as real root leaves /proc/sys writable, so a root grader first becomes an
unprivileged user; inherited descriptors would hand the host's tree back, so only named ones are passed; /dev/shm
needs a size.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, Literal

from grader.sandbox import launcher, seccomp
from grader.sandbox.cgroup import Group

TierName = Literal["A", "B", "C", "D"]

FIRST_SANDBOX_UID = 64200
"""User id of slot 0 when the grader runs as root; slot n uses the n-th after it. No account needs to exist."""

_REFERENCE_OFFSET = -2000
_HARMLESS = ("null", "zero", "full", "random", "urandom", "tty")
_OWN_PROC = ("self", "cpuinfo", "meminfo", "sys")


@dataclass(frozen=True)
class Tier:
    """What confinement this machine allows, found out by trying (`probe.py`)."""

    name: TierName
    description: str
    missing: tuple[str, ...] = ()
    drop_to_uid: int | None = None
    no_nested_userns: bool = True
    unknown: frozenset[str] = frozenset()
    """Options that the bubblewrap here is too old to know: --size came with 0.7, --perms and --clearenv with 0.5."""

    @property
    def has_namespaces(self) -> bool:
        """Has a process files, processes and a network of its own, and so a /tmp too?"""
        return self.name in ("A", "B")


@dataclass(frozen=True)
class Confinement:
    """What a confined process may see and use. Memory None means that no address-space limit is set (sanitizers)."""

    read_only: tuple[Path, ...] = ()
    writable: tuple[Path, ...] = ()
    devices: tuple[Path, ...] = ()
    """Nodes of /dev beyond the usual harmless ones, e.g. a GPU's."""
    symlinks: tuple[tuple[str, str], ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    working_directory: Path = Path("/")
    policy: seccomp.Policy = "threads"
    proc: bool = True
    """Is there a /proc? A compiler gets none: source could tell by it which of two runs it is read in."""
    tmp_mib: int = 16
    cpu_s: int = 600
    memory_mib: int | None = 4096
    file_mib: int = 64
    fixed_addresses: bool = False
    """Without address-space randomisation, which sanitizers cannot bear where the kernel draws from a wide range."""
    group: Group | None = None
    """Limits on all its processes together, beside those on each of them. Whoever made the group removes it."""


def start(
    tier: Tier,
    confinement: Confinement,
    command: Sequence[str],
    *,
    stdout: int | IO[bytes],
    stderr: int | IO[bytes],
    pass_fds: Sequence[int] = (),
) -> subprocess.Popen[bytes]:
    """Start `command` confined as the tier allows; only `pass_fds` are inherited, standard input is empty.

    Raises OSError or RuntimeError when the launcher itself cannot be started. The process ends when the grader ends.
    """
    launch = str(launcher.programs().launch)
    with _filter_file(confinement.policy, tier.has_namespaces) as filter_file:
        ways = {"A": _tier_a, "B": _tier_b, "C": _tier_c, "D": _tier_d}
        way = ways[tier.name](tier, confinement, filter_file.fileno())
        return subprocess.Popen(
            [launch, "--watch", *_limits(confinement), *way, *command],
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
            cwd="/" if tier.has_namespaces else confinement.working_directory,
            env={"PATH": os.environ.get("PATH", "/usr/bin:/bin")},
            pass_fds=(*pass_fds, filter_file.fileno()) if tier.name != "D" else tuple(pass_fds),
            start_new_session=True,
        )


def fixed_addresses_allowed() -> bool:
    """May a process here ask for the same addresses in every start? Docker's default filter forbids it.

    Asked of the kernel by doing it to this thread, which keeps the addresses that it has (personality(2)).
    """
    personality = ctypes.CDLL(None).personality
    before = personality(_ASK)
    if personality(before | _ADDR_NO_RANDOMIZE) == -1:
        return False
    personality(before)
    return True


_ASK, _ADDR_NO_RANDOMIZE = 0xFFFFFFFF, 0x0040000


def end(process: subprocess.Popen[bytes]) -> None:
    """Kill what `start` started and all that descends from it, without waiting for it: its watcher does it."""
    if process.poll() is None:
        process.terminate()


def is_stopped(pid: int, task: int) -> bool:
    """Has this thread stopped or ended? Raises FileNotFoundError or ProcessLookupError when it is gone."""
    return _state(pid, task) in b"tTZX"


def is_off_core(pid: int, task: int) -> bool:
    """Has this stopped thread left its core as well? Marked as stopped, it tells its parent first, and on a busy
    machine that may take milliseconds. False also where the kernel does not show it to us (proc_pid_wchan(5)).

    Raises FileNotFoundError or ProcessLookupError when it is gone.
    """
    with open(f"/proc/{pid}/task/{task}/wchan", "rb") as file:  # noqa: PTH123 - called in a tight loop
        return file.read(2) != b"0" or _state(pid, task) in b"ZX"


def _state(pid: int, task: int) -> bytes:
    """The letter after the last ')' of proc_pid_stat(5)."""
    with open(f"/proc/{pid}/task/{task}/stat", "rb") as file:  # noqa: PTH123 - called in a tight loop
        return file.read(512).rpartition(b")")[2][1:2]


def beside(tier: Tier) -> Tier:
    """The same tier for the reference: without namespaces as another user, whom a submission cannot reach."""
    if tier.has_namespaces or tier.drop_to_uid is None:
        return tier
    return replace(tier, drop_to_uid=tier.drop_to_uid + _REFERENCE_OFFSET)


def task_limit(tier: Tier, tasks: int) -> int:
    """The RLIMIT_NPROC that lets a sandbox have so many tasks; 0, for none, stays 0.

    The kernel counts those of a user: of the sandbox's own, but where that is the grader's user also all others.
    """
    if tasks == 0 or tier.has_namespaces or tier.drop_to_uid is not None:
        return tasks
    return tasks + _tasks_of(os.getuid())


def _tasks_of(uid: int) -> int:
    count = 0
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if process.stat().st_uid == uid:
                count += len(os.listdir(process / "task"))  # noqa: PTH208 - only how many
    return count


def hand_over(tier: Tier, folder: Path) -> None:
    """Give a scratch folder and what is in it to the user that the sandbox runs as."""
    if tier.drop_to_uid is None:
        return
    for path in (folder, *folder.rglob("*")):
        os.chown(path, tier.drop_to_uid, tier.drop_to_uid, follow_symlinks=False)


def _filter_file(policy: seccomp.Policy, has_namespaces: bool) -> IO[bytes]:
    file = tempfile.TemporaryFile()  # noqa: SIM115 - the caller's `with` closes it, the child keeps its copy
    file.write(seccomp.program(policy, has_namespaces))
    file.flush()
    file.seek(0)
    return file


def _limits(confinement: Confinement) -> list[str]:
    """Limits that survive into the sandbox (setrlimit(2), cgroups(7)); that on tasks is set inside, by the guest.

    CPU time ends with SIGXCPU, which can be told, and for whoever ignores that with SIGKILL a second later.
    """
    mib = 1 << 20
    limits: dict[int, int | str] = {
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_CPU: f"{confinement.cpu_s}:{confinement.cpu_s + 1}",
        resource.RLIMIT_FSIZE: confinement.file_mib * mib,
        resource.RLIMIT_NOFILE: 256,
    }
    if confinement.memory_mib is not None:
        limits[resource.RLIMIT_AS] = confinement.memory_mib * mib
    options = [f"--limit={number}={value}" for number, value in limits.items()]
    groups = [f"--group={path}" for path in confinement.group.joins] if confinement.group else []
    return [*groups, *options, *(("--fixed-addresses",) if confinement.fixed_addresses else ())]


def _user(tier: Tier) -> list[str]:
    return [] if tier.drop_to_uid is None else [f"--user={tier.drop_to_uid}"]


def _tier_a(tier: Tier, confinement: Confinement, filter_fd: int) -> list[str]:
    """bubblewrap, which makes a user namespace, and the others in it."""
    own = ["--unshare-all", "--unshare-user", "--cap-drop", "ALL"]
    own += ["--disable-userns"] if tier.no_nested_userns else []
    return [*_user(tier), "--", "bwrap", *own, *_bubblewrap(tier, confinement, filter_fd)]


def _tier_b(tier: Tier, confinement: Confinement, filter_fd: int) -> list[str]:
    """bubblewrap without a user namespace: root makes the others and gives itself up inside them."""
    launch = launcher.programs().launch
    own = ["--unshare-ipc", "--unshare-pid", "--unshare-net", "--unshare-uts", "--unshare-cgroup-try"]
    own += ["--cap-drop", "ALL", "--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID"]
    # To enter the working directory, which is another user's; `launch` drops them all.
    own += ["--cap-add", "CAP_SETPCAP", "--cap-add", "CAP_DAC_READ_SEARCH"]
    inner = [str(launch), *_user(tier), "--seal", "--"]
    furnished = replace(confinement, read_only=(*confinement.read_only, launch))
    # Folders on the way that bwrap makes by itself are root's alone.
    paths = (*furnished.read_only, *furnished.writable)
    ways = {parent for path in paths for parent in path.parents if parent != Path("/tmp")}
    opened = [part for way in sorted(ways - {Path("/")}) for part in ("--perms", "0755", "--dir", str(way))]
    return ["--", "bwrap", *own, *_bubblewrap(tier, furnished, filter_fd, opened), *inner]


def _tier_c(tier: Tier, confinement: Confinement, filter_fd: int) -> list[str]:
    """No namespaces: Landlock says what may be opened and signalled, seccomp the rest."""
    whole = bool(confinement.devices) or confinement.policy in ("processes", "watched")
    proc = ["/proc"] if whole else [f"/proc/{name}" for name in _OWN_PROC]
    devices = [path for path in (Path("/dev", name) for name in _HARMLESS) if path.exists()]
    read = [*map(str, confinement.read_only), *(proc if confinement.proc else ())]
    write = map(str, (*confinement.writable, *confinement.devices, *devices))
    rules = [*(f"--read={path}" for path in read), *(f"--write={path}" for path in write)]
    return ["--landlock", *rules, f"--filter={filter_fd}", *_tier_d(tier, confinement, filter_fd)]


def _tier_d(tier: Tier, confinement: Confinement, filter_fd: int) -> list[str]:
    """Limits, no privileges, and an environment of its own."""
    variables = [f"--set={name}={value}" for name, value in confinement.environment.items()]
    return [*_user(tier), "--seal", "--clear", *variables, "--"]


def _bubblewrap(
    tier: Tier, confinement: Confinement, filter_fd: int, before: Sequence[str] = ()
) -> list[str]:
    """What both tiers of bubblewrap have in common; `before` comes before the mounts."""
    # All that `start` leaves in the environment is PATH.
    cleared = ["--unsetenv", "PATH"] if "--clearenv" in tier.unknown else ["--clearenv"]
    command = ["--die-with-parent", "--new-session", *cleared]
    command += ["--proc", "/proc"] if confinement.proc else []
    command += ["--dev", "/dev"]
    for place in ("/dev/shm", "/tmp"):
        for option, value in (("--size", str(confinement.tmp_mib << 20)), ("--perms", "1777")):
            command += [] if option in tier.unknown else [option, value]
        command += ["--tmpfs", place]
    command += before
    for path in confinement.devices:
        command += ["--dev-bind", str(path), str(path)]
    for path in confinement.read_only:
        command += ["--ro-bind", str(path), str(path)]
    for path in confinement.writable:
        command += ["--bind", str(path), str(path)]
    for target, link in confinement.symlinks:
        command += ["--symlink", target, link]
    for name, value in confinement.environment.items():
        command += ["--setenv", name, value]
    command += ["--remount-ro", "/dev", "--remount-ro", "/", "--chdir", str(confinement.working_directory)]
    return [*command, "--seccomp", str(filter_fd), "--"]
