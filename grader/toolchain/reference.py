"""Building a lab's reference: staff's code over a well-known library, as a build that a runner can hold.

It runs in the same kind of sandboxed process as a submission, so that both sides of a duel pay the same costs.
"""

from __future__ import annotations

import functools
import importlib
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from grader import cache, cc
from grader.lab import Lab
from grader.sandbox import gpu
from grader.toolchain import module, nvcc
from grader.toolchain.module import Module
from grader.trouble import CannotWork, pip_install

_SUPPORT = Path(__file__).parent / "reference_support"
_FLAGS = ("-std=gnu11", "-O3", "-mavx2", "-mfma", "-fPIC", "-pthread", "-shared")


class Missing(CannotWork):
    """What the reference is built from is not installed here; the message says how to install it."""


@dataclass(frozen=True)
class BuiltReference:
    """The folder of the reference's library, and the module that calls it: the lab's functions, glue and probes."""

    folder: Path
    module: Module
    needs: tuple[Path, ...] = ()
    """Libraries of the machine that it loads when it is called."""


def prepare(lab: Lab) -> BuiltReference:
    """Build the lab's reference, or take it from the cache.

    Raises Missing when its package or a library is not installed, RuntimeError when it does not compile.
    """
    source = lab.reference_path
    if source is None or lab.reference is None:
        raise RuntimeError(f"{lab.id} has no reference, but one of its duels needs one")
    headers = [path for path in (item.with_suffix(".h") for item in lab.glue_paths) if path.exists()]
    if source.suffix == ".cu":
        return _on_gpu(lab, source, headers)
    support = [_SUPPORT.with_suffix(suffix) for suffix in (".c", ".h")]
    libraries = _package_libraries(lab.reference.package)
    archives = [_archive(name) for name in lab.reference.libraries]
    texts = [path.read_bytes() for path in (source, lab.header_path, *lab.glue_paths, *headers, *support)]
    stamp = cache.stamp([*libraries, *archives])
    name = cache.key("reference 2", " ".join(_FLAGS), cc.find().identity, stamp, *texts)
    folder = cache.fetch("reference", name, lambda place: _build(place, lab, source, libraries, archives))
    return BuiltReference(folder, module.prepare(lab.header_path, (*headers, support[1])))


def _build(place: Path, lab: Lab, source: Path, libraries: list[Path], archives: list[Path]) -> None:
    for path in libraries:
        shutil.copyfile(path, place / path.name)
    include = ["-I", str(lab.header_path.parent), "-I", str(_SUPPORT.parent)]
    linked = [place / path.name for path in libraries if path.name.startswith("libscipy_openblas")]
    command = [
        cc.find().program,
        *_FLAGS,
        f"-Wl,-soname,{module.LIBRARY}",
        *include,
        *map(str, (source, *lab.glue_paths)),
        f"{_SUPPORT}.c",
        *map(str, (*linked, *archives)),
    ]
    command += ["-Wl,-rpath,$ORIGIN", "-lm", "-o", str(place / module.LIBRARY)]
    answer = subprocess.run(command, capture_output=True, text=True, env=cc.environment())
    if answer.returncode != 0:
        raise CannotWork(f"the reference of {lab.id} does not compile:\n{answer.stderr.strip()[-2000:]}")


def _on_gpu(lab: Lab, source: Path, headers: list[Path]) -> BuiltReference:
    """A reference in CUDA, built as submissions are. It opens cuBLAS by name: the one that CuPy uses is shown to it."""
    support = [_SUPPORT.with_suffix(suffix) for suffix in (".c", ".h")]
    try:
        compiler = nvcc.find()
    except nvcc.Missing as error:
        raise Missing(str(error)) from error
    shared = module.GPU_SUPPORT
    folders = (lab.header_path.parent, _SUPPORT.parent, shared.parent)
    flags = (*lab.build.flags, *(f"-I{folder}" for folder in folders))
    texts = [
        path.read_bytes() for path in (source, lab.header_path, *lab.glue_paths, *headers, *support, shared)
    ]
    name = cache.key(
        "gpu reference 1", compiler.version, nvcc.architecture(), " ".join(lab.build.flags), *texts
    )

    def make(place: Path) -> None:
        objects = []
        for number, path in enumerate((source, *lab.glue_paths)):
            objects.append(str(place / f"{number}.o"))
            _run(lab, nvcc.compile_command(compiler, flags, str(path), objects[-1], str(place)))
        objects.append(str(place / "support.o"))
        plain = [cc.find().program, "-std=gnu11", "-O3", "-mavx2", "-mfma", "-fPIC", "-c", f"{_SUPPORT}.c"]
        _run(lab, [*plain, "-o", objects[-1]])
        options = (f"-soname,{module.LIBRARY}",)
        _run(lab, nvcc.link_command(compiler, objects, options, str(place / module.LIBRARY)))

    folder = cache.fetch("reference", name, make)
    wanted = lab.reference.libraries if lab.reference else ()
    libraries = _cublas() if "cublas" in wanted else ()
    return BuiltReference(folder, module.prepare(lab.header_path, (*headers, support[1])), libraries)


def _run(lab: Lab, command: list[str]) -> None:
    answer = subprocess.run(command, capture_output=True, text=True, env=cc.environment())
    if answer.returncode != 0:
        raise CannotWork(f"the reference of {lab.id} does not compile:\n{answer.stderr.strip()[-2000:]}")


@functools.lru_cache(maxsize=1)
def _cublas() -> tuple[Path, ...]:
    """cuBLAS as CuPy finds it: the files that are mapped once it has been used.

    Raises Missing where CuPy is not installed or finds no cuBLAS.
    """
    script = (
        "import cupy; a = cupy.ones((2, 2), 'f4'); a @ a\n"
        "print(*{line.split()[-1] for line in open('/proc/self/maps') if 'libcublas' in line}, sep='\\n')"
    )
    answer = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    files = tuple(sorted(Path(line) for line in answer.stdout.split()))
    if not files:
        last = (answer.stderr.strip().splitlines() or ["it loads no cuBLAS"])[-1]
        raise Missing(f"the reference needs CuPy with cuBLAS ({last[:200]}): {pip_install(gpu.cupy())}")
    return files


def _package_libraries(package: str | None) -> list[Path]:
    """All shared libraries in the package's `lib` folder (the library itself and what it brings along)."""
    if package is None:
        return []
    try:
        folder = Path(str(importlib.import_module(package.replace("-", "_")).__file__)).parent
    except ImportError as error:
        raise Missing(f"the reference needs the package {package}: {pip_install(package)}") from error
    return sorted(
        path for path in folder.rglob("*.so*") if path.is_file() and path.parent.name.startswith("lib")
    )


def _archive(name: str) -> Path:
    """A system library to link statically, since the sandbox holds no other: 'cdb' is libcdb.a."""
    path = cc.library(f"lib{name}.a")
    if path is None:
        raise Missing(f"the reference needs lib{name}.a and its header: apt-get install lib{name}-dev")
    return path
