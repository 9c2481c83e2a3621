"""The tier is found out by trying."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from grader import cache
from grader.sandbox import launcher, probe
from grader.sandbox.confine import Tier
from tests.conftest import needs


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """best_tier without its memory."""
    monkeypatch.setattr(probe, "best_tier", probe.best_tier.__wrapped__)
    return monkeypatch


def test_a_machine_without_bubblewrap_has_tier_c(fresh: pytest.MonkeyPatch, tmp_path: Path) -> None:
    launcher.programs()  # compiled
    fresh.setenv("PATH", "/nonexistent")
    tier = probe.best_tier()
    assert tier.name == "C"
    assert "a process tree of its own" in tier.missing
    assert "apt-get install bubblewrap" in probe.why_not_better(tier)


def test_one_without_landlock_too_has_tier_d(fresh: pytest.MonkeyPatch) -> None:
    works = probe._works
    fresh.setattr(probe, "_works", lambda tier: tier.name == "D" and works(tier))
    tier = probe.best_tier()
    assert tier.name == "D"
    assert "file isolation" in tier.missing


def test_a_machine_without_a_compiler_has_tier_d(fresh: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nothing can be graded there; looking at it must still work."""
    fresh.setattr(launcher, "programs", launcher.programs.__wrapped__)
    fresh.setattr(cache, "root", lambda: tmp_path)
    fresh.setenv("PATH", "/nonexistent")
    assert probe.best_tier().name == "D"


def test_a_tier_that_does_not_keep_its_promises_is_not_used(fresh: pytest.MonkeyPatch) -> None:
    """Tier D promises nothing; proven as if it did, every broken promise is named."""
    tier = next(tier for tier in probe._candidates(0) if tier.name == "D")
    said = probe.broken_promises(tier)
    for deed in ("read files outside", "write files outside", "start a process"):
        assert f"it can {deed}" in said
    assert not probe._works(tier)


def put_first(monkeypatch: pytest.MonkeyPatch, folder: Path, script: str) -> None:
    """A `bwrap` of our own that the sandbox's user may start."""
    program = folder / "bin" / "bwrap"
    program.parent.mkdir(exist_ok=True)
    program.write_text(f"#!/bin/sh\n{script}\n")
    for path in (program, program.parent):
        path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")


def test_a_bubblewrap_that_fails_is_as_good_as_none(fresh: pytest.MonkeyPatch, folder: Path) -> None:
    put_first(fresh, folder, "echo confined; exit 1")
    tier = probe.best_tier()
    assert tier.name == "C"
    assert probe.why_not_better(tier)


def test_a_bubblewrap_that_does_nothing_is_as_good_as_none(fresh: pytest.MonkeyPatch, folder: Path) -> None:
    put_first(fresh, folder, "exit 0")
    assert probe.best_tier().name == "C"


def test_a_bubblewrap_that_confines_nothing_is_as_good_as_none(
    fresh: pytest.MonkeyPatch, folder: Path
) -> None:
    put_first(fresh, folder, 'while [ "$1" != -- ]; do shift; done; shift; exec "$@"')
    assert probe.best_tier().name == "C"


def test_an_older_bubblewrap_still_gives_tier_a(fresh: pytest.MonkeyPatch) -> None:
    works = probe._works
    fresh.setattr(
        probe, "_works", lambda tier: not tier.no_nested_userns and tier.name == "A" and works(tier)
    )
    if works(probe._candidates(0)[1]):
        assert (probe.best_tier().name, probe.best_tier().no_nested_userns) == ("A", False)


@pytest.mark.skipif(os.geteuid() != 0, reason="tier B is root's")
@needs("bwrap")
def test_root_without_user_namespaces_has_tier_b(fresh: pytest.MonkeyPatch) -> None:
    works = probe._works
    fresh.setattr(probe, "_works", lambda tier: tier.name != "A" and works(tier))
    tier = probe.best_tier()
    assert tier.name == "B" and tier.missing
    assert probe.why_not_better(tier)


def test_an_ordinary_user_has_no_tier_b(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert list(dict.fromkeys(tier.name for tier in probe._candidates(0))) == ["A", "C", "D"]
    assert {tier.drop_to_uid for tier in probe._candidates(0)} == {None}


def test_slots_are_different_users(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    users = {probe._candidates(slot)[0].drop_to_uid for slot in range(4)}
    assert len(users) == 4 and 0 not in users


C = Tier("C", "Landlock")


def test_a_container_is_told_how_to_be_started(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe.shutil, "which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr(probe, "_in_container", lambda: True)
    for option in ("seccomp=unconfined", "apparmor=unconfined", "systempaths=unconfined"):
        assert f"--security-opt {option}" in probe.why_not_better(C)


def test_a_switch_of_the_kernel_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe.shutil, "which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr(probe, "_in_container", lambda: False)
    monkeypatch.setattr(probe, "_SWITCHES", (("vm.legacy_va_layout", 15000),))  # 0 on every machine
    words = "user namespaces are switched off: sudo sysctl -w vm.legacy_va_layout=15000"
    assert probe.why_not_better(C) == words
    monkeypatch.setattr(probe, "_SWITCHES", ())
    assert "docs/sandbox.md" in probe.why_not_better(C)


def test_it_is_said_how_limits_are_held(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe.cgroup, "available", lambda: True)
    assert "limits by control group and rlimit" in probe._candidates(0)[0].description
    assert probe._candidates(0)[0].missing == ()
    monkeypatch.setattr(probe.cgroup, "available", lambda: False)
    assert "limits by rlimit" in probe._candidates(0)[0].description
    assert probe._candidates(0)[0].missing == ("a limit on the memory of all processes together",)


def test_the_best_tier_needs_no_advice() -> None:
    assert probe.why_not_better(probe._candidates(0)[0]) == ""


def test_folders_beside_usr_are_shown_where_they_are_no_links(tmp_path):
    """Older systems, and those put together by hand, have the loader in a /lib64 of its own."""
    for name in ("usr/bin", "bin", "lib64"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "sbin").symlink_to("usr/bin")
    folders, links = probe.system(tmp_path)
    assert folders == (tmp_path / "usr", tmp_path / "bin", tmp_path / "lib64")
    assert links == (("usr/bin", str(tmp_path / "sbin")),)


@needs("bwrap", "tier A")
@pytest.mark.parametrize(
    "unknown",
    [{"--size"}, {"--size", "--disable-userns"}, {"--size", "--disable-userns", "--perms", "--clearenv"}],
)
def test_an_older_bubblewrap_is_used_for_what_it_knows(monkeypatch, unknown):
    """0.6.1 of Ubuntu 22.04, 0.4.1 of RHEL 9: an option that it does not know ends it."""
    folder = cache.scratch_folder()
    try:
        folder.chmod(0o755)
        old = folder / "bwrap"
        refused = "".join(
            f'    {option}) echo "bwrap: Unknown option {option}" >&2; exit 1 ;;\n' for option in unknown
        )
        real = shutil.which("bwrap")
        old.write_text(f'#!/bin/sh\nfor word; do case $word in\n{refused}esac; done\nexec {real} "$@"\n')
        old.chmod(0o755)
        monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
        found = next(probe.working_tiers())
    finally:
        shutil.rmtree(folder)
    assert found.name == "A"
    assert found.unknown == unknown - {"--disable-userns"}
    assert any("/tmp" in what for what in found.missing)
