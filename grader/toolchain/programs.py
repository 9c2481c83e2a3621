"""What a sandbox for programs is furnished with: the server, staff's helpers, and programs of this machine.

Everything here is trusted code, compiled outside the sandbox once and kept in the cache.
"""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import grader.runner
from grader import cache, cc
from grader.lab import Lab
from grader.runner import runtime
from grader.runner.programs import ProgramSpec
from grader.sandbox import launcher
from grader.trouble import CannotWork

_SERVER = Path(grader.runner.__file__).parent / "serve.c"
_BIN = Path("/usr/bin")
_FLAGS = ("-std=gnu11", "-O2", "-Wall", "-Wextra", "-static")


class Missing(CannotWork):
    """A program that the lab needs is not installed here; the message says how to install it."""


@dataclass(frozen=True)
class Model:
    """A program of this machine with the same job as the submission's: its command line, argv[0] a path."""

    name: str
    argv: tuple[str, ...]


def furnish(lab: Lab, program: Path | None = None, model: str | None = None) -> ProgramSpec:
    """A sandbox for the submission's `program`, or for the model of that name; around both lie the same things.

    The libraries that an instrumented program needs are there for every one. Raises Missing for a program that is not
    installed, RuntimeError when a helper does not compile.
    """
    tools = [_installed(name) for name in lab.sandbox.programs]
    helpers = _helpers(lab)
    if model is not None:
        tools.append(Path(find_model(lab, model).argv[0]))
    libraries = {library for tool in tools for library in runtime.needs(tool)}
    libraries |= set(runtime.prepare().program_libraries)
    own = (helpers, *([program] if program else ()))
    return ProgramSpec(
        server=_server(),
        read_only=(*own, *sorted({*tools, *libraries})),
        path=f"{helpers}:/usr/bin",
        symlinks=(("usr/bin", "/bin"),),
        memory_mib=lab.limits.memory_mib,
        resident_mib=lab.limits.memory_mib,
        processes=lab.limits.threads + 64,
        cpu_s=lab.limits.cpu_s,
        file_mib=lab.limits.file_mib,
    )


def find_model(lab: Lab, name: str) -> Model:
    """The model's command line on this machine. Raises Missing when it is not installed."""
    command = lab.sandbox.models[name]
    return Model(name, (str(_installed(command[0], f"apt-get install {name}")), *command[1:]))


def missing(lab: Lab) -> list[str]:
    """What of the lab's programs and models is not installed here, by name."""
    commands = {name: name for name in lab.sandbox.programs} | {
        name: command[0] for name, command in lab.sandbox.models.items()
    }
    return [name for name, program in commands.items() if not (_BIN / program).exists()]


def _installed(name: str, advice: str = "") -> Path:
    """Where a program lies, as `/usr/bin/NAME`. Raises Missing with `advice`."""
    path = _BIN / name
    if not path.exists():
        raise Missing(
            f"needs {path}: {advice or f'install the package that holds it (apt-file search {path})'}"
        )
    return path


def _server() -> Path:
    return _compiled("server", [_SERVER]) / _SERVER.stem


def _helpers(lab: Lab) -> Path:
    """The folder that holds the lab's helper programs."""
    return _compiled("helpers", lab.helper_paths)


def _compiled(kind: str, sources: Sequence[Path]) -> Path:
    """The folder with one program per source, named like it."""
    read = (*sources, launcher.INCLUDES / "descendants.h")
    texts = [piece for path in read for piece in (path.name, path.read_bytes())]
    name = cache.key("programs 2", cc.find().identity, " ".join(_FLAGS), *texts)

    def compile_all(place: Path) -> None:
        for path in sources:
            command = [
                cc.find().program,
                *_FLAGS,
                f"-I{launcher.INCLUDES}",
                str(path),
                "-o",
                str(place / path.stem),
            ]
            answer = subprocess.run(command, capture_output=True, text=True, env=cc.environment())
            if answer.returncode != 0:
                raise CannotWork(
                    f"{path.name} does not compile; is the C library's archive installed "
                    f"(apt-get install libc6-dev)?\n{answer.stderr.strip()[-2000:]}"
                )

    return cache.fetch(kind, name, compile_all)
