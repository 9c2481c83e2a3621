"""Starting a process inside the sandbox: one description of what it may see and use, one launcher per tier.

Every path is the same inside and outside, so that nothing has to be translated. Facts behind the flags: running
bwrap as real root leaves /proc/sys writable, so a root grader first becomes an unprivileged user; inherited
descriptors would hand the host's tree back, so only named ones are passed; /dev/shm needs a size.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Literal

from grader.sandbox import seccomp

TierName = Literal["A", "B", "C", "D"]

FIRST_SANDBOX_UID = 64200
"""User id of slot 0 when the grader runs as root; slot n uses the n-th after it. No account needs to exist."""

_SETPRIV = Path("/usr/bin/setpriv")


@dataclass(frozen=True)
class Tier:
    """What confinement this machine allows, found out by trying (`probe.py`)."""

    name: TierName
    description: str
    missing: tuple[str, ...] = ()
    drop_to_uid: int | None = None
    no_nested_userns: bool = True


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
    """Without address-space randomisation, which ThreadSanitizer of gcc 12 cannot bear on new kernels."""


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

    Raises OSError when the launcher itself cannot be started. The process ends when the grader ends.
    """
    with _filter_file(confinement.policy) as filter_file:
        isolated = tier.name in ("A", "B")
        launcher = _bubblewrap(tier, confinement, filter_file.fileno()) if isolated else []
        drop = tier.drop_to_uid if tier.name != "B" else None
        return subprocess.Popen(
            [*_limits(confinement), *launcher, *_become(tier, confinement), *command],
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
            cwd="/" if isolated else confinement.working_directory,
            env={"PATH": os.environ.get("PATH", "/usr/bin:/bin")},
            pass_fds=(*pass_fds, filter_file.fileno()) if isolated else tuple(pass_fds),
            start_new_session=True,
            user=drop,
            group=drop,
            extra_groups=[] if drop is not None else None,
        )


def end(process: subprocess.Popen[bytes]) -> None:
    """Kill what `start` started, without waiting for it; in tier D also the children still in its group.

    A bwrap that is killed while it sets up leaves its child alive, since that asks for its parent's death only
    later. So the parent is stopped first, and the child (the first process of the sandbox) killed with it.
    """
    if process.poll() is not None:
        return
    with contextlib.suppress(ProcessLookupError, FileNotFoundError):
        os.killpg(process.pid, signal.SIGSTOP)
        deadline = time.monotonic() + 1.0
        while not is_stopped(process.pid, process.pid) and time.monotonic() < deadline:
            os.sched_yield()
        for child in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split():
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(child), signal.SIGKILL)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def is_stopped(pid: int, task: int) -> bool:
    """Has this thread stopped or ended? The state is the field after the last ')' of proc_pid_stat(5).

    Raises FileNotFoundError or ProcessLookupError when it is gone.
    """
    with open(f"/proc/{pid}/task/{task}/stat", "rb") as file:  # noqa: PTH123 - called in a tight loop
        return file.read(512).rpartition(b")")[2][1:2] in b"TtZX"


def hand_over(tier: Tier, folder: Path) -> None:
    """Give a scratch folder and what is in it to the user that the sandbox runs as."""
    if tier.drop_to_uid is None:
        return
    for path in (folder, *folder.rglob("*")):
        os.chown(path, tier.drop_to_uid, tier.drop_to_uid, follow_symlinks=False)


def _filter_file(policy: seccomp.Policy) -> IO[bytes]:
    file = tempfile.TemporaryFile()  # noqa: SIM115 - the caller's `with` closes it, the child keeps its copy
    file.write(seccomp.program(policy))
    file.flush()
    file.seek(0)
    return file


def _limits(confinement: Confinement) -> list[str]:
    """Resource limits that survive into the sandbox (setrlimit(2)); the limit on tasks is set inside, by the guest."""
    mib = 1 << 20
    limits = [
        *(("setarch", "-R") if confinement.fixed_addresses else ()),
        "prlimit",
        "--core=0",
        f"--cpu={confinement.cpu_s}",
        f"--fsize={confinement.file_mib * mib}",
        "--nofile=256",
    ]
    if confinement.memory_mib is not None:
        limits.append(f"--as={confinement.memory_mib * mib}")
    return limits


def _become(tier: Tier, confinement: Confinement) -> list[str]:
    """Tier B has no user namespace: root builds the namespaces and gives itself up inside them.

    Without bubblewrap nothing else would set the environment, nor end a process whose grader was killed.
    """
    if tier.name == "A":
        return []
    if tier.name != "B":
        variables = [f"{name}={value}" for name, value in confinement.environment.items()]
        return ["setpriv", "--pdeathsig", "KILL", "--", "env", "-i", *variables]
    uid = str(tier.drop_to_uid)
    return [
        *(str(_SETPRIV), "--reuid", uid, "--regid", uid, "--clear-groups", "--no-new-privs"),
        *("--inh-caps=-all", "--bounding-set=-all", "--"),
    ]


def _bubblewrap(tier: Tier, confinement: Confinement, filter_fd: int) -> list[str]:
    size = str(confinement.tmp_mib << 20)
    command = ["bwrap", "--die-with-parent", "--new-session", "--clearenv"]
    if tier.name == "A":
        command += ["--unshare-all", "--unshare-user", "--cap-drop", "ALL"]
        command += ["--disable-userns"] if tier.no_nested_userns else []
    else:
        command += [
            "--unshare-ipc",
            "--unshare-pid",
            "--unshare-net",
            "--unshare-uts",
            "--unshare-cgroup-try",
        ]
        command += ["--cap-drop", "ALL", "--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID"]
        # To enter the working directory, which is another user's; setpriv drops them all.
        command += ["--cap-add", "CAP_SETPCAP", "--cap-add", "CAP_DAC_READ_SEARCH"]
    command += ["--proc", "/proc"] if confinement.proc else []
    command += ["--dev", "/dev", "--size", size, "--tmpfs", "/dev/shm", "--size", size]
    command += ["--perms", "1777", "--tmpfs", "/tmp"]
    if tier.name == "B":
        # Folders on the way that bwrap makes by itself are root's alone.
        paths = [_SETPRIV, *confinement.read_only, *confinement.writable]
        ways = {parent for path in paths for parent in path.parents if parent != Path("/tmp")}
        for way in sorted(ways - {Path("/")}):
            command += ["--perms", "0755", "--dir", str(way)]
        command += ["--ro-bind", str(_SETPRIV), str(_SETPRIV)]
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
