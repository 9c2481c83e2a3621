"""The guest's runtime: the few files of Python, cffi and the C library that a runner sees, and nothing else.

Its Python is a copy, since the interpreter often lies where an unprivileged user may not go (root's home), and since
a sandbox without site-packages and without the system's libraries has no BLAS to borrow.
"""

from __future__ import annotations

import functools
import json
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from grader import cache, cc
from grader.trouble import CannotWork

_SOURCES = Path(__file__).parent
_GUEST = _SOURCES / "guest.py"
_SANITIZERS = (
    *(f"libclang_rt.{name}{arch}.so" for name in ("asan", "tsan") for arch in ("-x86_64", "")),
    *("libasan.so", "libubsan.so", "libtsan.so"),
)
_ALWAYS = ("libm.so.6", "libpthread.so.0", "libdl.so.2", "librt.so.1", "libgcc_s.so.1", "libstdc++.so.6")
_SYSTEM = ("/usr/", "/lib/", "/lib64/")


@dataclass(frozen=True)
class Runtime:
    """What to mount and what to start. Paths are the same inside the sandbox and outside."""

    python: Path
    guest: Path
    libraries: Path
    read_only: tuple[Path, ...]
    preload: dict[str, str]
    """Sanitizer variant -> library that must be loaded first, for those that the compiler has."""
    program_libraries: tuple[Path, ...]
    """What a submission's own executable may need: the C library, its usual companions, and the sanitizers'."""

    def command(self, *arguments: str) -> list[str]:
        """The command line of a guest: isolated mode, no site-packages, no bytecode written."""
        return [str(self.python), "-I", "-S", "-B", str(self.guest), *arguments]

    def environment(self, library: Path, *more: Path) -> dict[str, str]:
        """The whole environment of a guest whose submission's library lies in `library`; nothing is inherited.

        `more` are further folders where the loader looks.
        """
        paths = ":".join(map(str, (library, self.libraries, *more)))
        return {"PATH": "/nonexistent", "LD_LIBRARY_PATH": paths, "LC_ALL": "C.UTF-8"}


@functools.lru_cache(maxsize=1)
def prepare() -> Runtime:
    """The runtime for this interpreter, copied into the cache the first time.

    Raises RuntimeError naming the file when cffi's backend or a library cannot be found.
    """
    interpreter = Path(getattr(sys, "_base_executable", sys.executable)).resolve()
    backend = _cffi_backend()
    name = cache.key(cache.stamp([interpreter, backend, _GUEST]), sys.version)
    folder = cache.fetch("runtime", name, lambda place: _copy(place, interpreter, backend))
    system = [Path(line) for line in json.loads((folder / "system.json").read_text())]
    found = {name: path for name in _SANITIZERS if (path := cc.library(name)) is not None}
    preload = {
        variant: str(path)
        for variant in ("asan", "tsan")
        if (path := next((path for name, path in found.items() if variant in name), None))
    }
    names = {name for path in found.values() for name in _names_of(path)}
    usual = _named_libraries()
    beside = {*usual, *names, *(lib for path in (*usual, *found.values()) for lib in needs(path))}
    mounts = {folder, *system, *names, *(lib for path in found.values() for lib in needs(path))}
    return Runtime(
        python=folder / "bin" / interpreter.name,
        guest=folder / "guest.py",
        libraries=folder / "lib",
        read_only=tuple(sorted(mounts)),
        preload=preload,
        program_libraries=tuple(sorted(beside)),
    )


def _cffi_backend() -> Path:
    import _cffi_backend

    return Path(str(_cffi_backend.__file__)).resolve()


def _copy(place: Path, interpreter: Path, backend: Path) -> None:
    """Copy interpreter, backend, guest and the modules that they import; list the system's libraries they need."""
    (place / "bin").mkdir()
    (place / "lib").mkdir()
    shutil.copy2(interpreter, place / "bin" / interpreter.name)
    modules, prefix = _imported_modules(interpreter, backend)
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    library = Path(prefix) / "lib" / version
    copied = [backend]
    shutil.copy2(backend, place / "lib" / backend.name)
    for module in modules:
        path = Path(module)
        if path.is_relative_to(library):
            target = place / "lib" / version / path.relative_to(library)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, target)
            copied += [path] if path.suffix == ".so" else []
    (place / "lib" / version / "lib-dynload").mkdir(parents=True, exist_ok=True)
    shutil.copy2(_GUEST, place / "guest.py")
    system: set[str] = set()
    for binary in [interpreter, *copied, *_named_libraries()]:
        for needed in needs(binary) if binary.exists() else []:
            if str(needed).startswith(_SYSTEM):
                system.add(str(needed))
            else:
                shutil.copy2(needed, place / "lib" / needed.name)
    system |= {str(path) for path in _named_libraries()}
    (place / "system.json").write_text(json.dumps(sorted(system)))
    compile_all = [str(place / "bin" / interpreter.name), "-I", "-S", "-m", "compileall", "-q"]
    subprocess.run([*compile_all, str(place / "lib" / version)], check=False, capture_output=True)


def _imported_modules(interpreter: Path, backend: Path) -> tuple[list[str], str]:
    """Files of every standard module that a guest loads, asked of the interpreter itself; and its prefix."""
    script = (
        "import sys, json; sys.path.append(sys.argv[1])\n"
        "import _cffi_backend, _socket, array, struct, resource, traceback, encodings.ascii, encodings.latin_1\n"
        "import compileall, warnings\n"
        "files = [getattr(m, '__file__', None) for m in sys.modules.values()]\n"
        "print(json.dumps([[f for f in files if f], sys.base_prefix]))"
    )
    answer = subprocess.run(
        [str(interpreter), "-I", "-S", "-c", script, str(backend.parent)], capture_output=True, text=True
    )
    if answer.returncode != 0:
        raise CannotWork(
            f"{interpreter} cannot load cffi's backend {backend}: {answer.stderr.strip()[-400:]}"
        )
    modules, prefix = json.loads(answer.stdout)
    return modules, prefix


@functools.lru_cache(maxsize=64)
def needs(binary: Path) -> tuple[Path, ...]:
    """Shared libraries that a trusted binary loads, with the loader, as `ldd` finds them."""
    text = subprocess.run(["ldd", str(binary)], capture_output=True, text=True, check=False).stdout
    return tuple(Path(path) for path in re.findall(r"(?:=> |^\s*)(/\S+) \(0x", text, re.MULTILINE))


def _names_of(library: Path) -> set[Path]:
    """The library under every name that the loader may ask for (libasan.so.8 beside libasan.so.8.0.0)."""
    stem = library.name.partition(".so")[0]
    return {path for path in library.parent.glob(f"{stem}.so*") if path.resolve() == library}


@functools.lru_cache(maxsize=1)
def _named_libraries() -> tuple[Path, ...]:
    """Libraries that a student's code may need beyond those Python already brings."""
    text = subprocess.run(["/sbin/ldconfig", "-p"], capture_output=True, text=True, check=False).stdout
    known = dict(re.findall(r"^\s*(\S+) \([^)]*x86-64[^)]*\) => (/\S+)", text, re.MULTILINE))
    return tuple(Path(known[name]) for name in _ALWAYS if name in known)
