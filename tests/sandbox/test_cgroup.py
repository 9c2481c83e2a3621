"""Control groups, where they can be made; and that nothing breaks where they cannot."""

from __future__ import annotations

import os
import signal
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from grader.sandbox import cgroup
from grader.sandbox.confine import Confinement, Tier, start

here = pytest.mark.skipif(not cgroup.available(), reason="no control group can be made here")


@here
def test_a_group_holds_what_is_started_in_it(tier: Tier, confinement: Confinement) -> None:
    group = cgroup.make(64, 50)
    assert group is not None
    inside = replace(confinement, group=group, policy="processes")
    process = start(
        tier, inside, ["sh", "-c", "echo started; sleep 100"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout and process.stdout.readline() == b"started\n"
    members = (group.memory / "cgroup.procs").read_text().split()
    assert len(members) >= 2 and str(os.getpid()) not in members and str(process.pid) not in members
    process.terminate()
    process.communicate()
    group.remove()
    assert not group.memory.exists() and not group.tasks.exists()


@here
def test_too_much_memory_is_killed_and_counted(tier: Tier, confinement: Confinement) -> None:
    group = cgroup.make(64, 50)
    assert group is not None and group.memory_kills() == 0
    inside = replace(confinement, group=group, memory_mib=None)
    process = start(
        tier, inside, ["sort", "-S", "500M", "/dev/zero"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGKILL
    assert group.memory_kills() == 1
    group.remove()


def test_a_machine_where_none_can_be_made_goes_without(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(cgroup, "_homes", cgroup._homes.__wrapped__)
    monkeypatch.setattr(cgroup, "_own_groups", dict)
    assert cgroup.make(64, 64) is None
    folders = dict.fromkeys(("", "memory", "pids"), (tmp_path, "/"))
    monkeypatch.setattr(cgroup, "_own_groups", lambda: folders)  # no hierarchy: its files do not appear
    assert cgroup.make(64, 64) is None


def test_counts_of_both_versions_are_read(tmp_path: Path) -> None:
    group = cgroup.Group(tmp_path, tmp_path)
    assert (group.memory_kills(), group.refused_tasks()) == (0, 0)
    (tmp_path / "pids.events").write_text("max 7\n")
    (tmp_path / "memory.oom_control").write_text("oom_kill_disable 0\nunder_oom 0\noom_kill 2\n")
    assert (group.memory_kills(), group.refused_tasks()) == (2, 7)
    (tmp_path / "memory.events").write_text("low 0\nhigh 0\nmax 5\noom 4\noom_kill 3\noom_group_kill 0\n")
    assert group.memory_kills() == 3
