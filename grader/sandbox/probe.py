"""Which sandbox tier this machine allows: found out by trying, best first, and explained in words."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
from pathlib import Path

from grader.sandbox.confine import FIRST_SANDBOX_UID, Confinement, Tier, TierName, start

SYSTEM = (Path("/usr"),)
SYSTEM_LINKS = tuple(
    (str(Path(f"/{name}").readlink()), f"/{name}")
    for name in ("bin", "lib", "lib32", "lib64", "libx32", "sbin")
    if Path(f"/{name}").is_symlink()
)

_DESCRIPTIONS: dict[TierName, str] = {
    "A": "bubblewrap in its own user, mount, process, network and IPC namespaces, seccomp, resource limits",
    "B": "bubblewrap without a user namespace, as an unprivileged user, seccomp, resource limits",
    "C": "an unprivileged user with resource limits",
    "D": "resource limits only: not isolated",
}


@functools.lru_cache(maxsize=8)
def best_tier(slot: int = 0) -> Tier:
    """The best tier that works here for this slot. Slots run side by side without seeing each other's files."""
    return next(tier for tier in _candidates(slot) if tier.name == "D" or _works(tier))


def why_not_better(tier: Tier) -> str:
    """One sentence for `doctor`: what keeps this machine from tier A, and the command that mends it."""
    if tier.name == "A":
        return ""
    if shutil.which("bwrap") is None:
        return "bubblewrap is missing: apt-get install bubblewrap"
    restricted = Path("/proc/sys/kernel/apparmor_restrict_unprivileged_userns")
    if restricted.is_file() and restricted.read_text().strip() == "1":
        return (
            "AppArmor forbids user namespaces: sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0"
        )
    return (
        "this container or kernel forbids user namespaces; in Docker: "
        "--security-opt seccomp=unconfined --security-opt apparmor=unconfined"
    )


def _candidates(slot: int) -> list[Tier]:
    root = os.geteuid() == 0
    uid = FIRST_SANDBOX_UID + slot if root else None
    tiers = [_tier("A", uid, no_nested_userns=nested) for nested in (True, False)]
    if root:
        tiers.append(_tier("B", uid, "own user namespace: the kernel's user id inside is a real one"))
    tiers.append(_tier("D", uid, "file isolation", "network isolation", "seccomp", "its own process tree"))
    return tiers


def _tier(name: TierName, uid: int | None, *missing: str, no_nested_userns: bool = True) -> Tier:
    return Tier(name, _DESCRIPTIONS[name], missing, uid, no_nested_userns)


def _works(tier: Tier) -> bool:
    """Does `true` run, and say so, in this tier with every flag that real runs use?"""
    if shutil.which("bwrap") is None:
        return False
    confinement = Confinement(read_only=SYSTEM, symlinks=SYSTEM_LINKS, environment={"PATH": "/usr/bin:/bin"})
    try:
        process = start(
            tier, confinement, ["echo", "confined"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        output, _ = process.communicate(timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return process.returncode == 0 and output == b"confined\n"
