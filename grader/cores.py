"""How many cores this process has: those that it may run on, and no more than its control groups give it the time of.

`docker --cpus=1` and Kubernetes leave every core visible and give the time of one: two threads then take turns, and a
speed-up by threads cannot show. Facts: Documentation/admin-guide/cgroup-v2.rst (cpu.max) and scheduler/sched-bwc.rst
(cpu.cfs_quota_us) of the kernel.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path


def usable(root: Path = Path("/")) -> int:
    """Whole cores that are ours at a time, at least one. `root` holds `proc/self`, and what it says is mounted."""
    allowed = len(os.sched_getaffinity(0))
    return max(1, min(allowed, int(quota(root) or allowed)))


def quota(root: Path = Path("/")) -> float | None:
    """Cores' worth of time that the tightest control group around us gives; None where none limits it."""
    found = [cores for folder in _folders(root) if (cores := _limit(folder)) is not None]
    return min(found, default=None)


def _folders(root: Path) -> Iterator[Path]:
    """Our group in every hierarchy that may limit CPU time, and those around it, up to where it is mounted.

    In a container the group's path may be the host's: then only the mounted folder is there, which is the container's.
    """
    try:
        groups = [line.split(":", 2) for line in (root / "proc/self/cgroup").read_text().splitlines()]
        mounts = [line.split() for line in (root / "proc/self/mounts").read_text().splitlines()]
    except OSError:
        return
    for _, controllers, group in groups:
        for _, place, kind, options, *_ in mounts:
            version_2 = not controllers and kind == "cgroup2"
            if version_2 or (
                kind == "cgroup" and "cpu" in controllers.split(",") and "cpu" in options.split(",")
            ):
                mounted = root / place.lstrip("/")
                own = mounted / group.lstrip("/")
                yield own
                yield from (parent for parent in own.parents if parent.is_relative_to(mounted))


def _limit(folder: Path) -> float | None:
    """Cores' worth of time that this group allows: 'QUOTA PERIOD' in µs, where QUOTA 'max' and -1 mean no limit."""
    with contextlib.suppress(OSError, ValueError):
        allowed, period = (folder / "cpu.max").read_text().split()
        return None if allowed == "max" else int(allowed) / int(period)
    with contextlib.suppress(OSError, ValueError):
        microseconds = int((folder / "cpu.cfs_quota_us").read_text())
        period = (folder / "cpu.cfs_period_us").read_text()
        return microseconds / int(period) if microseconds > 0 else None
    return None
