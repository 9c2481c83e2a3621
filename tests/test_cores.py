"""Cores are what affinity and the control groups' time give, whichever is less."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from grader import cores

VERSION_2 = ("0::/kubepods/pod1/box", "cgroup2 /sys/fs/cgroup cgroup2 rw,nosuid 0 0")
VERSION_1 = (
    "4:cpuset:/docker/box\n3:cpu,cpuacct:/docker/box",
    "cgroup /sys/fs/cgroup/cpuset cgroup rw,cpuset 0 0\ncgroup /sys/fs/cgroup/cpu cgroup rw,cpu,cpuacct 0 0",
)


@pytest.fixture(autouse=True)
def eight(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)))


def machine(root: Path, version: tuple[str, str], files: dict[str, str]) -> Path:
    """A root with these control groups and what /proc says of them."""
    for name, text in {
        "proc/self/cgroup": version[0],
        "proc/self/mounts": f"proc /proc proc rw 0 0\n{version[1]}",
        **{f"sys/fs/cgroup/{file}": text for file, text in files.items()},
    }.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text + "\n")
    return root


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"kubepods/pod1/box/cpu.max": "max 100000"}, 8),
        ({"kubepods/pod1/box/cpu.max": "100000 100000"}, 1),
        ({"kubepods/pod1/box/cpu.max": "250000 100000"}, 2),
        ({"kubepods/pod1/box/cpu.max": "50000 100000"}, 1),
        ({"kubepods/pod1/box/cpu.max": "6400000 100000"}, 8),
        ({"kubepods/pod1/box/cpu.max": "max 100000", "kubepods/cpu.max": "300000 100000"}, 3),
        ({"kubepods/pod1/box/cpu.max": "400000 100000", "kubepods/cpu.max": "300000 100000"}, 3),
        ({"cpu.max": "200000 100000"}, 2),
        ({"kubepods/pod1/box/cpu.max": "nonsense"}, 8),
        ({}, 8),
    ],
)
def test_the_tightest_group_on_the_way_up_decides(
    tmp_path: Path, files: dict[str, str], expected: int
) -> None:
    assert cores.usable(machine(tmp_path, VERSION_2, files)) == expected


@pytest.mark.parametrize(
    ("quota", "folder", "expected"),
    [
        ("-1", "cpu/docker/box", 8),
        ("150000", "cpu/docker/box", 1),
        ("400000", "cpu", 4),
        ("100000", "cpuset", 8),
    ],
)
def test_version_1_has_a_quota_and_a_period(tmp_path: Path, quota: str, folder: str, expected: int) -> None:
    files = {f"{folder}/cpu.cfs_quota_us": quota, f"{folder}/cpu.cfs_period_us": "100000"}
    assert cores.usable(machine(tmp_path, VERSION_1, files)) == expected


def test_affinity_decides_where_it_is_less(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {3})
    root = machine(tmp_path, VERSION_2, {"kubepods/pod1/box/cpu.max": "400000 100000"})
    assert cores.usable(root) == 1


def test_without_control_groups_all_are_ours(tmp_path: Path) -> None:
    assert cores.usable(tmp_path) == 8
