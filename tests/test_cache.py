"""The store: whole folders or none, whoever builds, whatever happens on the way."""

from __future__ import annotations

import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grader import cache
from grader.trouble import CannotWork
from tests.fixtures import tiny

PIECES = st.lists(st.one_of(st.binary(max_size=6), st.text(max_size=6)), max_size=5)


def framed(pieces: list[bytes | str]) -> list[bytes]:
    return [piece.encode("utf-8", "surrogateescape") if isinstance(piece, str) else piece for piece in pieces]


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(cache, "root", lambda: tmp_path)
    return tmp_path


def put(folder: Path) -> None:
    (folder / "inner").mkdir()
    (folder / "inner" / "file").write_text("content")
    (folder / "program").write_text("#!")
    (folder / "program").chmod(0o700)


@given(one=PIECES, other=PIECES)
def test_a_key_is_the_pieces_and_their_borders(one, other) -> None:
    assert (cache.key(*one) == cache.key(*other)) == (framed(one) == framed(other))


def test_a_key_is_a_file_name() -> None:
    assert cache.key("a", b"b").isalnum()
    assert cache.key("ab") != cache.key("a", "b") != cache.key("", "ab")


def test_a_stamp_changes_with_the_file(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("one")
    before = cache.stamp([file])
    assert cache.stamp([file]) == before
    file.write_text("three")
    assert cache.stamp([file]) != before


def test_what_is_there_is_not_built_again(root: Path) -> None:
    built = []
    for _ in range(3):
        place = cache.fetch("kind", "name", lambda folder: built.append(folder) or put(folder))
        assert (place / "inner" / "file").read_text() == "content"
    assert len(built) == 1
    assert place == root / "kind" / "name"


def test_what_could_not_be_built_leaves_nothing(root: Path) -> None:
    def fail(folder: Path) -> None:
        put(folder)
        raise RuntimeError("no")

    with pytest.raises(RuntimeError, match="no"):
        cache.fetch("kind", "name", fail)
    assert list((root / "kind").iterdir()) == []
    assert cache.fetch("kind", "name", put).is_dir()


def test_a_disk_that_refuses_is_told(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Path, target: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "rename", refuse)
    with pytest.raises(CannotWork, match=r"^no space left .*: rm -r .*, or export GRADER_CACHE="):
        cache.fetch("kind", "name", put)
    assert list((root / "kind").iterdir()) == []


def test_the_sandboxs_user_can_read_it_whatever_the_umask(root: Path) -> None:
    before = os.umask(0o077)
    try:
        place = cache.fetch("kind", "name", put)
    finally:
        os.umask(before)
    modes = {
        path.name: stat.S_IMODE(path.stat().st_mode) for path in (place.parent, place, *place.rglob("*"))
    }
    assert modes == {"kind": 0o755, "name": 0o755, "inner": 0o755, "file": 0o644, "program": 0o755}


def test_nobody_is_given_the_right_to_write(root: Path) -> None:
    place = cache.fetch("kind", "name", put)
    assert not any(path.stat().st_mode & 0o022 for path in (place, *place.rglob("*")))


def test_links_are_left_alone(root: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_text("")
    outside.chmod(0o600)
    cache.fetch("kind", "name", lambda folder: (folder / "link").symlink_to(outside))
    assert stat.S_IMODE(outside.stat().st_mode) == 0o600


def test_several_at_once_get_the_same_folder(root: Path) -> None:
    start, places = threading.Barrier(6), []

    def build(folder: Path) -> None:
        put(folder)
        start.wait(timeout=20)  # all are in the middle of it

    threads = [
        threading.Thread(target=lambda: places.append(cache.fetch("kind", "name", build))) for _ in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)
    assert len(places) == 6 and set(places) == {root / "kind" / "name"}
    assert [path.name for path in (root / "kind").iterdir()] == ["name"]


KILLED = """
import os, sys
from pathlib import Path
os.environ["GRADER_CACHE"] = sys.argv[1]
from grader import cache
def build(folder):
    (folder / "half").write_text("done")
    os.kill(os.getpid(), 9)
cache.fetch("kind", "name", build)
"""


def test_a_killed_build_is_not_taken_for_a_whole_one(root: Path) -> None:
    checkout = tiny.FIXTURES.parents[1]
    ended = subprocess.run([sys.executable, "-c", KILLED, str(root)], cwd=checkout, timeout=60)
    assert ended.returncode == -signal.SIGKILL
    assert not (root / "kind" / "name").exists()
    place = cache.fetch("kind", "name", put)
    assert sorted(path.name for path in place.iterdir()) == ["inner", "program"]


def test_the_environment_names_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRADER_CACHE", str(tmp_path / "deep" / "cache"))
    assert cache.root.__wrapped__() == tmp_path / "deep" / "cache"
    assert (tmp_path / "deep" / "cache").is_dir()


def test_an_ordinary_user_has_it_at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GRADER_CACHE", raising=False)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache.root.__wrapped__() == tmp_path / "grader"


def test_scratch_folders_lie_where_everybody_may_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    monkeypatch.setattr(tempfile, "tempdir", str(closed))
    found = cache._scratch_root.__wrapped__()
    assert found != closed
    assert all(folder.stat().st_mode & 0o001 for folder in (found, *found.parents))


MAKES_ONE = """
import sys, time
from grader import cache
print(cache.scratch_folder(), flush=True)
time.sleep(60)
"""


def one_in_another_process():
    """A process that has made a scratch folder, and the folder."""
    here = Path(__file__).parents[1]
    process = subprocess.Popen([sys.executable, "-c", MAKES_ONE], stdout=subprocess.PIPE, text=True, cwd=here)
    assert process.stdout is not None
    with process.stdout as said:
        folder = Path(said.readline().strip())
    (folder / "left").write_text("behind")
    return process, folder


def test_what_a_killed_grader_left_goes_with_the_next_one():
    process, folder = one_in_another_process()
    process.kill()
    process.wait()
    assert folder.exists()
    cache.sweep()
    assert not folder.exists()


def test_a_folder_of_a_living_grader_stays():
    process, folder = one_in_another_process()
    try:
        cache.sweep()
        assert (folder / "left").exists()
    finally:
        process.kill()
        process.wait()
        shutil.rmtree(folder)


def test_a_folder_that_only_looks_like_one_stays(tmp_path, monkeypatch):
    """Another user's, or nobody's: names that the grader does not give, and processes that it cannot tell."""
    monkeypatch.setattr(cache, "_scratch_root", lambda: tmp_path)
    for name in (
        "grader-x",
        "grader-1-2",
        "grader-check-abc",
        "grader-0-0-abc-d",
        "grader--1-5-x",
        "grader-1-99999999-1-abc",
    ):
        (tmp_path / name).mkdir()
    before = sorted(path.name for path in tmp_path.iterdir())
    cache.sweep()
    assert sorted(path.name for path in tmp_path.iterdir()) == before


@pytest.fixture
def fresh(monkeypatch):
    """As at the start of a command, for a user who is not root."""
    cache.root.cache_clear()
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    for name in ("GRADER_CACHE", "XDG_CACHE_HOME", "HOME"):
        monkeypatch.delenv(name, raising=False)
    yield monkeypatch
    cache.root.cache_clear()


CURE = r": export GRADER_CACHE=/a/folder/of/yours$"


def test_a_user_without_a_home_is_told_what_to_set(fresh):
    def unknown():
        raise RuntimeError("Could not determine home directory.")

    fresh.setattr(Path, "home", unknown)
    with pytest.raises(CannotWork, match=f"no home .*{CURE}"):
        cache.root()


def test_a_home_that_cannot_be_written_is_told(fresh):
    fresh.setenv("HOME", "/proc")
    with pytest.raises(CannotWork, match=rf"cannot be kept in /proc/.cache/grader \(.*\){CURE}"):
        cache.root()


def test_a_folder_without_execution_is_told(fresh, tmp_path):
    fresh.setenv("GRADER_CACHE", str(tmp_path))
    here = os.statvfs(tmp_path)
    fresh.setattr(os, "statvfs", lambda path: SimpleNamespace(f_flag=here.f_flag | os.ST_NOEXEC))
    with pytest.raises(CannotWork, match=f"is mounted noexec.*{CURE}"):
        cache.root()
