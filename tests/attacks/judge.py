"""Grading one hostile submission as users do, on a sandbox user of its own, and what it left behind on this machine."""

from __future__ import annotations

import os
import queue
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from grader import result
from grader.lab import Lab
from grader.result import Result
from grader.sandbox.confine import FIRST_SANDBOX_UID
from tests.attacks.catalogue import ROOT
from tests.fixtures import tiny

FIRST_SLOT, SLOTS = 50, 8
_PATIENCE_S = 300.0
_WRITABLE_BY_ALL = ("/tmp", "/var/tmp", "/dev/shm", "/dev/mqueue", "/run/lock", "/")
_SETTINGS = ("core_pattern", "hostname", "domainname", "randomize_va_space", "sysrq", "modprobe")


@dataclass(frozen=True)
class Judged:
    """What came out: the result, everything that a student would be shown, and what was left behind."""

    result: Result
    shown: str
    left: tuple[str, ...]


@dataclass(frozen=True)
class Bench:
    """Where submissions are judged: a scratch folder, what their graders find in the environment, and free slots."""

    scratch: Path
    environment: dict[str, str]
    slots: queue.SimpleQueue[int] = field(default_factory=queue.SimpleQueue)

    def judge(self, tier: str, lab: Lab, folder: Path, tests: Sequence[str], document: Path) -> Judged:
        """Grade `folder` by these tests in this tier. Raises AssertionError when no whole result comes out."""
        slot = self.slots.get()
        try:
            return self._judge(tier, lab, folder, tests, document, slot)
        finally:
            self.slots.put(slot)

    def _judge(
        self, tier: str, lab: Lab, folder: Path, tests: Sequence[str], document: Path, slot: int
    ) -> Judged:
        pages = [document.with_suffix(ending) for ending in (".xml", ".html")]
        command = [sys.executable, str(ROOT / "tests/attacks/in_tier.py"), tier, "grade", lab.id]
        command += ["--submission", str(folder), "--json", str(document), "--root", str(ROOT), "--no-history"]
        command += ["--slot", str(slot), "--junit", str(pages[0]), "--html", str(pages[1])]
        command += [f"--test={test}" for test in tests]
        answer = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            cwd=self.scratch,
            env={**os.environ, **self.environment},
            timeout=_PATIENCE_S,
        )
        said = answer.stdout.decode("utf-8", "replace")
        assert answer.returncode == 0, (
            f"exit status {answer.returncode}: {said[-400:]}\n{answer.stderr[-800:]!r}"
        )
        graded = result.read(document)
        assert graded.sandbox.tier == tier
        shown = said + "".join(page.read_text(encoding="utf-8") for page in pages)
        return Judged(graded, shown, left_by(FIRST_SANDBOX_UID + slot))


def left_by(uid: int) -> tuple[str, ...]:
    """What of this user is still on the machine, and does not go within some seconds."""
    tiny.eventually(lambda: not list(_of(uid)), 5.0)
    return tuple(_of(uid))


def _of(uid: int) -> Iterator[str]:
    """This user's processes, files where all may write, and IPC objects."""
    yield from (f"process {pid}" for pid in tiny.sandboxed(uid))
    for folder in (*_WRITABLE_BY_ALL, str(ROOT)):
        try:
            paths = [Path(entry.path) for entry in os.scandir(folder) if _owner(entry) == uid]
        except FileNotFoundError:
            continue
        yield from (f"file {path}" for path in paths)
    for kind in ("shm", "sem", "msg"):
        lines = Path(f"/proc/sysvipc/{kind}").read_text().splitlines()
        owner = lines[0].split().index("uid")
        yield from (f"SysV {kind} {line.split()[1]}" for line in lines[1:] if int(line.split()[owner]) == uid)


def _owner(entry: os.DirEntry[str]) -> int:
    try:
        return entry.stat(follow_symlinks=False).st_uid
    except FileNotFoundError:
        return -1


def host() -> dict[str, str]:
    """What no submission may change on this machine."""
    settings = {name: Path("/proc/sys/kernel", name) for name in _SETTINGS}
    values = {name: path.read_text() for name, path in settings.items() if path.is_file()}
    values["overcommit"] = Path("/proc/sys/vm/overcommit_memory").read_text()
    values["users"] = Path("/etc/passwd").read_text()
    values["mounts"] = "\n".join(
        sorted(line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines())
    )
    return values
