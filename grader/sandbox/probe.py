"""Which sandbox tier this machine allows: found out by trying, best first, and explained in words.

A tier counts as working when a little program in it (prove.c) could do nothing of what the tier promises to prevent.
"""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from grader import cache
from grader.sandbox import cgroup, launcher
from grader.sandbox.confine import FIRST_SANDBOX_UID, Confinement, Tier, TierName, end, start
from grader.trouble import CannotWork

_BESIDE_USR = ("bin", "lib", "lib32", "lib64", "libx32", "sbin")
Links = tuple[tuple[str, str], ...]
"""(where it leads, its name)"""


def system(root: Path = Path("/")) -> tuple[tuple[Path, ...], Links]:
    """The system's own files: folders to show, and links to make. What lies beside /usr is mostly links into it, but
    folders of its own where the system is older, or was put together by hand (/lib64 with the loader in it)."""
    places = [root / name for name in _BESIDE_USR]
    folders = tuple(path for path in places if path.is_dir() and not path.is_symlink())
    links = tuple((str(path.readlink()), str(path)) for path in places if path.is_symlink())
    return (root / "usr", *folders), links


SYSTEM, SYSTEM_LINKS = system()

_DESCRIPTIONS: dict[TierName, str] = {
    "A": "bubblewrap in its own user, mount, process, network and IPC namespaces, seccomp",
    "B": "bubblewrap without a user namespace, as an unprivileged user, seccomp",
    "C": "Landlock and seccomp, without namespaces",
    "D": "not isolated",
}
_MISSING_IN_C = (
    "a process tree of its own",
    "names and sizes of the machine's files kept from it",
    "sockets of the machine's services kept from labs whose processes meet by sockets",
)
_NO_SIZE = "a limit on what lies in /tmp (bubblewrap 0.7 has it)"
_OLDER: tuple[tuple[frozenset[str], tuple[str, ...]], ...] = (
    (frozenset(), ()),
    (frozenset({"--size"}), (_NO_SIZE,)),
    (frozenset({"--size", "--perms", "--clearenv"}), (_NO_SIZE,)),
)
"""What bubblewrap of now, of Ubuntu 22.04 (0.6.1) and of RHEL 9 (0.4.1) does not know; what a sandbox lacks by it."""

_MISSING_WITHOUT_ROOT = ("a user of its own",)
_TRIAL_S = 10.0

_DOCKER = " ".join(f"--security-opt {what}=unconfined" for what in ("seccomp", "apparmor", "systempaths"))
_SWITCHES = (("kernel.unprivileged_userns_clone", 1), ("user.max_user_namespaces", 15000))


@functools.lru_cache(maxsize=8)
def best_tier(slot: int = 0) -> Tier:
    """The best tier that works here for this slot. Slots run side by side without seeing each other's files."""
    return next(working_tiers(slot))


def working_tiers(slot: int = 0) -> Iterator[Tier]:
    """The tiers that work here for this slot, one of each name, the best first; each is tried when it is asked for."""
    found: set[TierName] = set()
    for tier in _candidates(slot):
        if tier.name not in found and (tier.name == "D" or _works(tier)):
            found.add(tier.name)
            yield tier


def why_not_better(tier: Tier) -> str:
    """One sentence for `doctor`: what keeps this machine from tier A, and after ': ' the command that mends it."""
    if tier.name == "A":
        return ""
    if shutil.which("bwrap") is None:
        return "bubblewrap is missing: apt-get install bubblewrap"
    restricted = Path("/proc/sys/kernel/apparmor_restrict_unprivileged_userns")
    if restricted.is_file() and restricted.read_text().strip() == "1":
        return (
            "AppArmor forbids user namespaces: sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0"
        )
    if _in_container():
        return f"this container forbids user namespaces: docker run {_DOCKER} …"
    for name, value in _SWITCHES:
        path = Path("/proc/sys", name.replace(".", "/"))
        if path.is_file() and path.read_text().strip() == "0":
            return f"user namespaces are switched off: sudo sysctl -w {name}={value}"
    return "this kernel or container forbids user namespaces: docs/sandbox.md says what can be done"


def _in_container() -> bool:
    return any(Path(mark).exists() for mark in ("/.dockerenv", "/run/.containerenv"))


def _candidates(slot: int) -> list[Tier]:
    root = os.geteuid() == 0
    uid = FIRST_SANDBOX_UID + slot if root else None
    tiers = [
        _tier("A", uid, *missing, no_nested_userns=nested, unknown=unknown)
        for unknown, missing in _OLDER
        for nested in (True, False)
    ]
    if root:
        alone = "a user namespace of its own"
        tiers += [
            _tier("B", uid, alone, *missing, unknown=unknown)
            for unknown, missing in _OLDER
            if "--perms" not in unknown  # its folders would be root's alone
        ]
    tiers.append(_tier("C", uid, *_MISSING_IN_C, *(() if root else _MISSING_WITHOUT_ROOT)))
    tiers.append(_tier("D", uid, "file isolation", "network isolation", "seccomp", "its own process tree"))
    return tiers


def _tier(
    name: TierName,
    uid: int | None,
    *missing: str,
    no_nested_userns: bool = True,
    unknown: frozenset[str] = frozenset(),
) -> Tier:
    grouped = cgroup.available()
    held = "limits by control group and rlimit" if grouped else "limits by rlimit"
    more = () if grouped else ("a limit on the memory of all processes together",)
    return Tier(name, f"{_DESCRIPTIONS[name]}; {held}", (*missing, *more), uid, no_nested_userns, unknown)


def _works(tier: Tier) -> bool:
    """Could a program in this tier, with every flag that real runs use, do nothing that it must not?"""
    try:
        return broken_promises(tier) == ""
    except (OSError, CannotWork, subprocess.TimeoutExpired):
        return False


def broken_promises(tier: Tier) -> str:
    """What a program in this tier could do that it must not, or why it could not be started; '' is as it should be.

    Raises OSError, RuntimeError or subprocess.TimeoutExpired when it could not even be tried.
    """
    prove = launcher.programs().prove
    folder = cache.scratch_folder()
    try:
        folder.chmod(0o777)  # so that nothing but the sandbox protects what is in it
        outside = folder / "outside"
        outside.touch()
        outside.chmod(0o666)
        command = [str(prove), str(outside), str(os.getpid())]
        confinement = Confinement(read_only=(*SYSTEM, prove), symlinks=SYSTEM_LINKS)
        process = start(tier, confinement, command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        try:
            output = process.communicate(timeout=_TRIAL_S)[0].decode("utf-8", "replace").strip()
        except subprocess.TimeoutExpired:
            end(process)
            process.communicate()
            raise
    finally:
        shutil.rmtree(folder)
    held = process.returncode == 0 and output == "confined"
    return "" if held else output or f"it ended with status {process.returncode}"
