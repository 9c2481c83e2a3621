"""A lab's cffi module, `_lab`: generated and compiled once per lab, never per submission.

Per submission only the student's C is compiled, into a plain shared library that this module finds when it is
loaded. That is cffi's API mode (checked types, direct calls) at the price of one run of gcc.
"""

from __future__ import annotations

import contextlib
import io
import subprocess
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path

import cffi

import grader.runner
from grader import cache, cc
from grader.lab import Lab
from grader.toolchain import interface
from grader.toolchain.interface import Interface
from grader.trouble import CannotWork

LIBRARY = "libsubmission.so"
_RUNNER = Path(grader.runner.__file__).parent
_SUPPORT = [_RUNNER / "guest_support.c", _RUNNER / "guest_support.h"]
FAULTS = _RUNNER / "faults.c"
GPU_SUPPORT = _RUNNER / "gpu_support.cuh"
"""Header that the drivers of CUDA labs share."""


@dataclass(frozen=True)
class Module:
    """The folder that holds `_lab.so`, and objects for linking submissions against the lab's promises."""

    folder: Path
    interface: Interface
    promises: Path
    """Object that needs every function of the header: a submission that lacks one does not link."""
    faults: Path
    """Object with the allocator wrappers of the "faults" variant."""


def for_submissions(lab: Lab) -> Module:
    """The module through which submissions of this lab are called: the functions of the header and of staff's code.

    Those of the faults' headers are there in the "faults" build only; calling them in another ends the process.
    """
    headers = [path.with_suffix(".h") for path in (*lab.glue_paths, *lab.fault_paths)]
    return prepare(lab.header_path, tuple(path for path in headers if path.exists()))


def prepare(header: Path, others: tuple[Path, ...] = ()) -> Module:
    """The module for the declarations of these headers, from the cache or built now. Only `header`'s are promised.

    Raises RuntimeError with the compiler's words when Python's headers or a compiler are missing, ValueError when
    cffi does not understand a declaration.
    """
    support = [path.read_bytes() for path in (*_SUPPORT, FAULTS)]
    texts = [path.read_bytes() for path in (header, *others)]
    name = cache.key("module 3", cc.find().identity, sys.version, cffi.__version__, *texts, *support)
    extra = "\n".join(interface.declarations(path) for path in (*others, _SUPPORT[1]))
    declared = interface.read(header, extra)
    folder = cache.fetch("module", name, lambda place: _build(place, header, others, declared))
    return Module(folder, declared, folder / "promises.o", folder / "faults.o")


def _build(place: Path, header: Path, others: tuple[Path, ...], declared: Interface) -> None:
    ffi = cffi.FFI()
    ffi.cdef(declared.declarations)
    included = "".join(f'#include "{path.name}"\n' for path in (header, *others, _SUPPORT[1]))
    ffi.set_source("_lab", included)
    with contextlib.redirect_stdout(io.StringIO()):  # cffi announces every file
        ffi.emit_c_code(str(place / "wrapper.c"))
    promised = interface.read(header).names
    uses = ",\n".join(f"    (function){name}" for name in promised)
    (place / "promises.c").write_text(
        f'#include "{header.name}"\ntypedef void (*function)(void);\n'
        f"const function submission_promises[] = {{\n{uses}\n}};\n"
    )
    (place / "empty.c").write_text("typedef int empty;\n")
    folders = dict.fromkeys([header.parent, *(path.parent for path in others), _RUNNER])
    include = [f"-I{path}" for path in (*folders, sysconfig.get_paths()["include"])]
    shared = [cc.find().program, "-O2", "-fPIC", *include]
    _run(
        [*shared, "-Wno-cast-function-type", "-c", str(place / "promises.c"), "-o", str(place / "promises.o")]
    )
    _run([*shared, "-c", str(FAULTS), "-o", str(place / "faults.o")])
    # A stand-in with the library's name: the loader takes the submission's own when the module is used.
    stand_in = place / LIBRARY
    _run([*shared, "-shared", f"-Wl,-soname,{LIBRARY}", str(place / "empty.c"), "-o", str(stand_in)])
    sources = [str(place / "wrapper.c"), str(_SUPPORT[0])]
    link = ["-shared", "-Wl,-z,lazy", "-Wl,--no-as-needed", str(stand_in), "-o", str(place / "_lab.so")]
    _run([*shared, *sources, *link])
    stand_in.unlink()


def _run(command: list[str]) -> None:
    answer = subprocess.run(command, capture_output=True, text=True, env=cc.environment())
    if answer.returncode != 0:
        raise CannotWork(
            "the lab's own module does not compile; is the package with Python's headers installed "
            f"(apt-get install python3-dev)?\n{' '.join(command)}\n{answer.stderr.strip()[-2000:]}"
        )
