"""When the work in a git clone was committed. The clone is a student's: nothing in it is run, and git never reads its
configuration."""

from __future__ import annotations

import contextlib
import datetime
import re
import subprocess
import tempfile
from pathlib import Path

_HASH = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_COMMITTER = re.compile(rb"^committer .*> (\d{1,12}) [+-]\d{4}$", re.MULTILINE)
_PATIENCE_S = 20


def committed_at(folder: Path) -> str:
    """Time of the clone's last commit as its author's machine told it, ISO 8601 in UTC; '' when there is none."""
    with contextlib.suppress(OSError, ValueError, subprocess.SubprocessError):
        text = _object(folder / ".git", _head(folder / ".git"))
        if text and (found := _COMMITTER.search(text)):
            moment = datetime.datetime.fromtimestamp(int(found[1]), datetime.timezone.utc)
            return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
    return ""


def _head(git: Path) -> str:
    """The hash that HEAD stands for. Raises OSError or ValueError where there is none."""
    if git.is_symlink() or not git.is_dir():
        raise ValueError("no clone")
    text = _small(git / "HEAD")
    if text.startswith("ref: refs/"):
        name = text.removeprefix("ref: ")
        if ".." in name:
            raise ValueError("a reference that leads elsewhere")
        try:
            text = _small(git / name)
        except FileNotFoundError:
            lines = _small(git / "packed-refs").splitlines()
            text = next(line.split()[0] for line in [*lines, " "] if line.endswith(f" {name}"))
    if not _HASH.fullmatch(text):
        raise ValueError("no hash")
    return text


def _small(file: Path) -> str:
    if file.is_symlink() or not file.is_file():
        raise FileNotFoundError(file)
    with file.open("rb") as stream:
        return stream.read(1 << 20).decode("ascii", "replace").strip()


def _object(git: Path, name: str) -> bytes:
    """A commit's text, read through an empty repository of our own that borrows the clone's objects."""
    with tempfile.TemporaryDirectory() as scratch:
        own = Path(scratch)
        (own / "objects" / "info").mkdir(parents=True)
        (own / "refs").mkdir()
        (own / "HEAD").write_text("ref: refs/heads/none\n")
        (own / "config").write_text("[core]\n\trepositoryformatversion = 0\n\tbare = true\n")
        (own / "objects" / "info" / "alternates").write_text(f"{(git / 'objects').resolve()}\n")
        answer = subprocess.run(
            ["git", f"--git-dir={own}", "cat-file", "commit", name],
            capture_output=True,
            timeout=_PATIENCE_S,
            env={"PATH": "/usr/bin:/bin:/usr/local/bin", "GIT_CONFIG_NOSYSTEM": "1", "HOME": scratch},
        )
        return answer.stdout if answer.returncode == 0 else b""
