"""Which C compiler this machine's grader uses: $CC, else gcc, cc or clang, whichever is found first.

Only its name, place and words: what it can do is tried, by `grader.toolchain.probe`, and never read off a version.
"""

from __future__ import annotations

import functools
import os
import shlex
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from grader.trouble import CannotWork

SANDBOX_PATH = "/usr/bin:/bin"
"""Where a sandboxed compiler finds its assembler and linker, and where a compiler is looked for first."""

_USUAL = ("gcc", "cc", "clang")
CURE = "apt-get install gcc libc6-dev"


class Missing(CannotWork):
    """There is no C compiler here, or $CC names none; the message says what to do."""


@dataclass(frozen=True)
class Compiler:
    """A C compiler: the absolute path of its program, its one-line version, and what a sandbox must show of it."""

    program: str
    version: str
    mounts: tuple[Path, ...] = ()
    """Folders beyond /usr: where a compiler lies that was unpacked beside the system."""

    @property
    def identity(self) -> str:
        """Other whenever another program would run: for keys of what was built."""
        there = Path(self.program).resolve().stat()
        return f"{self.program} {there.st_size} {there.st_mtime_ns} {self.version}"


def find() -> Compiler:
    """The compiler of $CC, else the first usual one. Raises Missing."""
    return _find(os.environ.get("CC", ""), os.environ.get("PATH", ""))


def environment() -> dict[str, str]:
    """This process's environment, without what gcc, clang and ld read from it: a CPATH of the user's shell would put
    headers of its own before those that the grader means (gcc's manual, "Environment Variables Affecting GCC")."""
    return {name: value for name, value in os.environ.items() if name not in _READ_BY_COMPILERS}


_READ_BY_COMPILERS = frozenset(
    (
        *(
            "CPATH",
            "C_INCLUDE_PATH",
            "CPLUS_INCLUDE_PATH",
            "OBJC_INCLUDE_PATH",
            "LIBRARY_PATH",
            "LD_RUN_PATH",
        ),
        *(
            "COMPILER_PATH",
            "GCC_EXEC_PREFIX",
            "GCC_COMPARE_DEBUG",
            "DEPENDENCIES_OUTPUT",
            "SUNPRO_DEPENDENCIES",
        ),
        *("SOURCE_DATE_EPOCH", "NVCC_PREPEND_FLAGS", "NVCC_APPEND_FLAGS", "CCC_OVERRIDE_OPTIONS"),
    )
)


def library(name: str) -> Path | None:
    """Where one of the compiler's own libraries lies, e.g. 'libasan.so'; None when it has none of that name.

    A linker script of that name (Fedora's libasan.so) is followed to the library that it names.
    """
    return _library(find().program, name)


@functools.lru_cache(maxsize=8)
def _find(wanted: str, path: str) -> Compiler:
    names = shlex.split(wanted)
    if len(names) > 1:
        raise Missing(f"CC={wanted!r} is more than the name of a compiler: the flags are the lab's alone")
    for name in names or _USUAL:
        # What is usual is taken from the system first, whatever else lies on $PATH: the sandbox sees /usr.
        there = (None if names else shutil.which(name, path=SANDBOX_PATH)) or shutil.which(name, path=path)
        version = _said(there, "--version") if there else ""
        if there and version:
            program = Path(there).absolute()
            mounts = _mounts(program)
            if any(own.is_relative_to(folder) for folder in mounts for own in _not_shown()):
                raise Missing(
                    f"no C compiler: {program} lies where students' code must not look; "
                    "install it below /usr, or in a folder of its own"
                )
            return Compiler(str(program), version.splitlines()[0], mounts)
    if names:
        raise Missing(f"no C compiler: CC={wanted} cannot be run here; unset CC, or install it")
    raise Missing(f"no C compiler: {CURE}")


def _not_shown() -> tuple[Path, ...]:
    """A compiler's folder is shown to the sandbox whole: it must hold no home, no course and no grader."""
    home = os.environ.get("HOME")
    return (Path.cwd(), Path(__file__).absolute(), *([Path(home).absolute()] if home else []))


def _mounts(program: Path) -> tuple[Path, ...]:
    """Where it is installed: `PREFIX` of PREFIX/bin/NAME or PREFIX/usr/bin/NAME, also of what a link leads to."""
    folders = []
    for path in dict.fromkeys((program, program.resolve())):
        if not path.is_relative_to("/usr"):
            prefix = path.parent.parent if path.parent.name == "bin" else path.parent
            folders.append(prefix.parent if prefix.name == "usr" else prefix)
    return tuple(folder for folder in dict.fromkeys(folders) if folder != Path("/"))


def _said(program: str, *arguments: str) -> str:
    """What it prints on standard output, '' when it cannot be run or fails."""
    try:
        answer = subprocess.run(
            [program, *arguments], capture_output=True, text=True, timeout=60, env=environment()
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return answer.stdout.strip() if answer.returncode == 0 else ""


@functools.lru_cache(maxsize=32)
def _library(program: str, name: str) -> Path | None:
    path = Path(_said(program, f"-print-file-name={name}"))
    if not path.is_absolute() or not path.is_file():
        return None
    with path.open("rb") as file:
        start = file.read(1024)
    if start.startswith(b"\x7fELF"):
        return path.resolve()
    named = [Path(word) for word in start.decode("ascii", "replace").split() if word.startswith("/")]
    return next((item.resolve() for item in named if ".so" in item.name and item.is_file()), None)
