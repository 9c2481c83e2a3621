"""The two small C programs that tiers are made with and proven by, compiled once into the cache.

They are linked statically: `launch` also runs where nothing of the system can be seen (tier B).
"""

from __future__ import annotations

import functools
import subprocess
from dataclasses import dataclass
from pathlib import Path

from grader import cache, cc
from grader.trouble import CannotWork

INCLUDES = Path(__file__).parent
"""Folder of `descendants.h`, which the server of programs uses too."""

_SOURCES = (INCLUDES / "launch.c", INCLUDES / "prove.c")
_FLAGS = ("-std=gnu11", "-O2", "-Wall", "-Wextra", "-static")


@dataclass(frozen=True)
class Programs:
    """Where they lie: `launch` starts a command, `prove` tries what a sandbox must prevent."""

    launch: Path
    prove: Path


@functools.lru_cache(maxsize=1)
def programs() -> Programs:
    """Both, compiled the first time. Raises RuntimeError when there is no compiler or it cannot compile them."""
    texts = [
        piece for path in (*_SOURCES, INCLUDES / "descendants.h") for piece in (path.name, path.read_bytes())
    ]
    folder = cache.fetch("launcher", cache.key("launcher 2", " ".join(_FLAGS), *texts), _compile)
    return Programs(folder / "launch", folder / "prove")


def _compile(place: Path) -> None:
    for source in _SOURCES:
        command = [cc.find().program, *_FLAGS, str(source), "-o", str(place / source.stem)]
        answer = subprocess.run(command, capture_output=True, text=True, env=cc.environment())
        if answer.returncode != 0:
            raise CannotWork(
                f"{source.name} does not compile; is the C library's archive installed "
                f"(apt-get install libc6-dev)?\n{answer.stderr.strip()[-2000:]}"
            )
