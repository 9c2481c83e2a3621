"""A program inside the sandbox, and what it found."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from grader import cache
from grader.sandbox.confine import Confinement, Tier, start
from grader.sandbox.probe import SYSTEM, SYSTEM_LINKS, best_tier
from tests.fixtures.tiny import FIXTURES


@dataclass(frozen=True)
class Found:
    """What the probe printed, and how it ended."""

    status: int
    text: str

    def __getitem__(self, name: str) -> str:
        match = re.search(rf"^{re.escape(name)}=(.*)$", self.text, re.MULTILINE)
        assert match, f"no {name} in {self.text}"
        return match[1].strip()

    def all(self, name: str) -> list[str]:
        return re.findall(rf"^{re.escape(name)}=(.*)$", self.text, re.MULTILINE)


@pytest.fixture(scope="session")
def tier() -> Tier:
    return best_tier()


@pytest.fixture(scope="session")
def folder() -> Iterator[Path]:
    """A folder that everybody may enter, with the probe in it."""
    folder = cache.scratch_folder()
    folder.chmod(0o755)
    program = folder / "probe"
    command = [
        "gcc",
        "-O1",
        "-Wall",
        "-Wextra",
        "-Werror",
        "-pthread",
        str(FIXTURES / "probe.c"),
        "-o",
        str(program),
    ]
    subprocess.run(command, check=True, timeout=60)
    program.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def confinement(folder: Path) -> Confinement:
    return Confinement(
        read_only=(*SYSTEM, folder), symlinks=SYSTEM_LINKS, environment={"PATH": "/usr/bin:/bin"}
    )


Probe = Callable[..., Found]


@pytest.fixture(scope="session")
def probe(tier: Tier, folder: Path, confinement: Confinement) -> Probe:
    """`probe("calls")`: run it in the best tier; keywords change the confinement."""

    def run(*arguments: str, tier: Tier = tier, pass_fds: tuple[int, ...] = (), **changed: object) -> Found:
        process = start(
            tier,
            replace(confinement, **changed),  # type: ignore[arg-type]
            [str(folder / "probe"), *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            pass_fds=pass_fds,
        )
        output, _ = process.communicate(timeout=60)
        return Found(process.returncode, output.decode())

    return run
