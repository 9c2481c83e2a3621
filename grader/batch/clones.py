"""The work in a git clone: the last commit, when it was made, and its files. The clone is a student's: nothing in it is
run. git reads the clone's references and objects through an empty repository of our own, so it never meets the
clone's configuration, hooks or attributes; the format of the clone is asked of git's own parser first."""

from __future__ import annotations

import contextlib
import datetime
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from grader.batch import names
from grader.batch.archives import OF_STUDENT

_COMMITTER = re.compile(rb"^committer .*> (\d{1,12}) [+-]\d{4}$", re.MULTILINE)
_FORMATS = {"extensions.objectformat": ("sha1", "sha256"), "extensions.refstorage": ("files", "reftable")}
_PATIENCE_S = 20


class NotRead(Exception):
    """Why a clone says nothing about its commits."""


@dataclass(frozen=True)
class Commit:
    """The commit that HEAD stands for. `at`: what the author's own machine said, ISO 8601 in UTC."""

    name: str
    at: str


def is_clone(folder: Path) -> bool:
    """Has the folder a `.git`, of whatever kind?"""
    return (folder / ".git").exists() or (folder / ".git").is_symlink()


def last_commit(folder: Path, top: Path) -> Commit:
    """The clone's last commit. All that it refers to must lie below `top`. Raises NotRead."""
    with _borrowed(folder, top) as own:
        return _commit(own)


def committed(folder: Path, top: Path, place: Path, work: Path) -> tuple[Commit, list[str]]:
    """Lay the files of the last commit out in `place`, below `work`; and the names of links, which are left out.

    Raises NotRead, also for a commit with more files or bytes than a submission may have.
    """
    with _borrowed(folder, top) as own:
        commit = _commit(own)
        names.emptied(place, work)
        links, total = [], 0
        for number, (mode, blob, size, name) in enumerate(_tree(own, commit.name)):
            total += size
            if number >= OF_STUDENT.files or total > OF_STUDENT.bytes:
                shutil.rmtree(place, ignore_errors=True)
                raise NotRead(
                    f"its commit has more than {OF_STUDENT.files} files or {OF_STUDENT.bytes >> 20} MiB"
                )
            path = PurePosixPath(name)
            if mode == "120000":
                links.append(name)
            elif mode.startswith("100") and not any(part.startswith(".") for part in path.parts):
                target = place / path
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(_git(own, "cat-file", "blob", blob))
        return commit, links


def _commit(own: Path) -> Commit:
    name = _git(own, "rev-parse", "--verify", "--quiet", "HEAD^{commit}").decode("ascii", "replace").strip()
    found = _COMMITTER.search(_git(own, "cat-file", "commit", name))
    if found is None:
        raise NotRead("its last commit has no time")
    moment = datetime.datetime.fromtimestamp(int(found[1]), datetime.timezone.utc)
    return Commit(name, moment.strftime("%Y-%m-%dT%H:%M:%SZ"))


def _tree(own: Path, commit: str) -> Iterator[tuple[str, str, int, str]]:
    """(mode, blob, size, path) of every entry of the commit."""
    for line in _git(own, "ls-tree", "-r", "-l", "-z", "--full-tree", commit).split(b"\0"):
        about, _, name = line.partition(b"\t")
        words = about.decode("ascii", "replace").split()
        if len(words) == 4:
            size = int(words[3]) if words[3].isdigit() else 0
            yield words[0], words[2], size, name.decode("utf-8", "replace")


@contextlib.contextmanager
def _borrowed(folder: Path, top: Path) -> Iterator[Path]:
    """An empty repository of our own with the clone's references, which borrows its objects. Raises NotRead."""
    try:
        git, common = _places(folder / ".git", top.resolve())
        with tempfile.TemporaryDirectory() as scratch:
            own = Path(scratch)
            for name in ("refs", "objects/info"):
                (own / name).mkdir(parents=True)
            (own / "objects" / "info" / "alternates").write_text(f"{common / 'objects'}\n")
            (own / "config").write_text(_config(common))
            _copy(git / "HEAD", own / "HEAD")
            _copy(common / "packed-refs", own / "packed-refs")
            for kind in ("refs", "reftable"):
                for path in sorted((common / kind).rglob("*"))[:20_000]:
                    _copy(path, own / path.relative_to(common))
            yield own
    except (OSError, ValueError, RuntimeError, subprocess.SubprocessError) as error:
        raise NotRead(f"its commits cannot be read: {_first_line(error)}") from error


def _first_line(error: Exception) -> str:
    told = getattr(error, "stderr", b"") or b""
    lines = told.decode("utf-8", "replace").split("\n") if isinstance(told, bytes) else []
    return next((line for line in lines if line.strip()), str(error).split("\n", 1)[0])[:200]


def _places(git: Path, top: Path) -> tuple[Path, Path]:
    """The clone's own folder and the one with its objects; they differ in a linked working tree.

    Raises ValueError where one leads out of what was handed in: it could lead to the course's own repository.
    """
    if git.is_file() and not git.is_symlink():
        text = _small(git)
        if not text.startswith("gitdir: "):
            raise ValueError(".git is a file that names no repository")
        git = git.parent / text.removeprefix("gitdir: ")
    git = git.resolve(strict=True)
    link = git / "commondir"
    common = (git / _small(link)).resolve(strict=True) if link.is_file() else git
    borrowed = common / "objects" / "info" / "alternates"
    lines = _small(borrowed).splitlines() if borrowed.is_file() else []
    for place in (
        git,
        common,
        (common / "objects").resolve(),
        *((common / "objects" / line).resolve() for line in lines),
    ):
        if not place.is_relative_to(top):
            raise ValueError("it refers to a repository outside of what was handed in")
    return git, common


def _config(common: Path) -> str:
    """A configuration that says how the clone is stored, and nothing else that the clone says."""
    lines = ["[core]", "\trepositoryformatversion = 1", "\tbare = true", "[extensions]"]
    for key, known in _FORMATS.items():
        words = ["git", "config", "--file", str(common / "config"), "--no-includes", "--get", key]
        told = _run(words, common).stdout.decode("utf-8", "replace").strip().lower()
        if told in known[1:]:
            lines.append(f"\t{key.partition('.')[2]} = {told}")
        elif told not in ("", known[0]):
            raise ValueError(f"it says {key} = {told[:40]!r}, which is not known here")
    return "\n".join(lines) + "\n"


def _copy(source: Path, target: Path) -> None:
    if source.is_file() and not source.is_symlink() and source.stat().st_size <= 64 << 20:
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)


def _small(file: Path) -> str:
    with file.open("rb") as stream:
        return stream.read(1 << 16).decode("utf-8", "surrogateescape").strip()


def _git(own: Path, *words: str) -> bytes:
    answer = _run(["git", f"--git-dir={own}", *words], own)
    answer.check_returncode()
    return answer.stdout


def _run(words: list[str], home: Path) -> subprocess.CompletedProcess[bytes]:
    """git without anybody's configuration; it may fetch nothing, by no protocol."""
    environment = {
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "HOME": "/nonexistent",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": "/dev/null",
        "GIT_ALLOW_PROTOCOL": "none",
        "GIT_NO_LAZY_FETCH": "1",
        "GIT_NO_REPLACE_OBJECTS": "1",
        "GIT_TERMINAL_PROMPT": "0",
    }
    return subprocess.run(words, capture_output=True, timeout=_PATIENCE_S, env=environment, cwd=home)
