"""Is the machine fit to measure? What other programs and the hypervisor took, from the kernel's own counters."""

from __future__ import annotations

import os
import platform
import socket
import time
from dataclasses import dataclass
from pathlib import Path

from grader import cores

_TICK_S = 1 / os.sysconf("SC_CLK_TCK")
_ISA = ("sse4_2", "avx", "avx2", "fma", "avx512f", "avx512bw", "amx_tile")


@dataclass(frozen=True)
class Snapshot:
    """Seconds since boot, summed over `cores` cores: busy, and stolen by the hypervisor; and the wall clock."""

    busy_s: float
    stolen_s: float
    wall_s: float
    cores: int


def snapshot() -> Snapshot:
    """Read the counters of the cores that we may use (proc_stat(5)); their resolution is one tick, usually 10 ms."""
    ours = {f"cpu{core}" for core in os.sched_getaffinity(0)}
    lines = [line.split() for line in Path("/proc/stat").read_text().splitlines()]
    counters = [[int(field) * _TICK_S for field in line[1:9]] for line in lines if line and line[0] in ours]
    busy = sum(user + nice + system + irq + softirq for user, nice, system, _, _, irq, softirq, _ in counters)
    return Snapshot(busy, sum(core[7] for core in counters), time.monotonic(), max(1, len(counters)))


def taken_elsewhere(before: Snapshot, after: Snapshot, own_cpu_s: float) -> float:
    """Share of these cores that others used between two snapshots, 0 to 1; `own_cpu_s` is not theirs.

    Both snapshots must be of the same cores.
    """
    wall = max(after.wall_s - before.wall_s, _TICK_S)
    foreign = (after.busy_s - before.busy_s) + (after.stolen_s - before.stolen_s) - own_cpu_s
    return min(1.0, max(0.0, foreign / (wall * before.cores)))


def own_cpu_s() -> float:
    """CPU seconds of the grader itself so far (its guests' are counted by their hosts)."""
    return time.process_time()


@dataclass(frozen=True)
class CpuInfo:
    """What the result document records about the CPU."""

    name: str
    cores: int
    isa: tuple[str, ...]
    memory_gib: float
    kernel: str
    hostname: str


def cpu_info() -> CpuInfo:
    """Name, usable cores, vector extensions and memory of this machine."""
    fields: dict[str, str] = {}
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        name, _, value = line.partition(":")
        fields.setdefault(name.strip(), value.strip())
    flags = set(fields.get("flags", "").split())
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return CpuInfo(
        name=fields.get("model name", platform.processor() or platform.machine()),
        cores=cores.usable(),
        isa=tuple(name for name in _ISA if name in flags),
        memory_gib=round(pages / (1 << 30), 1),
        kernel=platform.release(),
        hostname=socket.gethostname(),
    )
