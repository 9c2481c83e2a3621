"""Finding CUDA's compiler, and its command lines: nvcc from the machine, or NVIDIA's own packages on PyPI.

The grader owns the flags, as for C. Code is made for the GPU that is here; where there is none, for the oldest
architecture that the labs allow, so that PTX and register counts can be judged without a GPU too.
"""

from __future__ import annotations

import functools
import importlib.util
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from grader import cache
from grader.sandbox import gpu
from grader.trouble import CannotWork, pip_install

DEFAULT_ARCHITECTURE = "sm_80"
"""Ampere: the first with cp.async and mma.sync.m16n8k16, which the labs teach."""

PACKAGES = "nvidia-cuda-nvcc nvidia-nvvm nvidia-cuda-crt nvidia-cuda-runtime nvidia-cuda-cccl"

FLAGS = ("-std=c++17", "-lineinfo", "-Xcompiler=-fPIC,-Wall,-Wextra,-pthread", "-Xptxas=-v", "-cudart=static")


class Missing(CannotWork):
    """There is no nvcc here; the message says how to get one."""


@dataclass(frozen=True)
class Nvcc:
    """A compiler for CUDA: its program, the folder it is installed in, and its one-line version."""

    program: Path
    folder: Path
    version: str

    @property
    def include(self) -> Path:
        """Where cuda_runtime.h lies."""
        return self.folder / "include"

    @property
    def libraries(self) -> Path:
        """Where libcudart_static.a lies: `lib64` in a toolkit, `lib` in NVIDIA's packages."""
        return next(
            (path for path in (self.folder / "lib64", self.folder / "lib") if path.is_dir()), self.folder
        )

    @property
    def mounts(self) -> tuple[Path, ...]:
        """Folders that a sandbox must show beyond /usr."""
        return () if self.folder.is_relative_to("/usr") else (self.folder,)


@functools.lru_cache(maxsize=1)
def find() -> Nvcc:
    """The compiler of $CUDA_HOME, of $PATH, of /usr/local/cuda, or of NVIDIA's packages, whichever comes first.

    Raises Missing when there is none, or when it does not answer.
    """
    for program in _candidates():
        folder = _installed_in(program)
        version = _said(folder / "bin" / "nvcc", "--version") if folder else ""
        release = re.search(r"release (\S+), (V\S+)", version)
        if folder and release:
            folder = _reachable(folder)
            return Nvcc(folder / "bin" / "nvcc", folder, f"nvcc {release[1]} ({release[2]})")
    raise Missing(f"needs nvcc, the CUDA compiler: {pip_install(PACKAGES)}, or NVIDIA's CUDA toolkit")


def _installed_in(program: Path) -> Path | None:
    """The toolkit's folder as the program itself names it: what lies on $PATH may be a script that starts it."""
    here = re.search(
        r"^#\$ _HERE_=(.+)$", _said(program, "--dryrun", "-E", "-x", "cu", os.devnull), re.MULTILINE
    )
    return Path(here[1]).resolve().parent if here else None


def _said(program: Path, *arguments: str) -> str:
    """What it prints, '' where there is no such program or it fails."""
    try:
        answer = subprocess.run([str(program), *arguments], capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return answer.stdout + answer.stderr if answer.returncode == 0 else ""


def _reachable(folder: Path) -> Path:
    """The folder, or a copy of it in the cache where the sandbox's user may not go (root's home)."""
    if all(parent.stat().st_mode & 0o001 for parent in (folder, *folder.parents)):
        return folder
    name = cache.key(cache.stamp(path for path in folder.rglob("*") if path.is_file()))

    def copy(place: Path) -> None:
        shutil.copytree(folder, place, dirs_exist_ok=True)

    return cache.fetch("nvcc", name, copy)


def _candidates() -> list[Path]:
    homes = [os.environ.get("CUDA_HOME"), os.environ.get("CUDA_PATH")]
    found = [Path(home, "bin/nvcc") for home in homes if home]
    on_path = shutil.which("nvcc")
    found += [Path(on_path)] if on_path else []
    found.append(Path("/usr/local/cuda/bin/nvcc"))
    package = importlib.util.find_spec("nvidia")
    for folder in package.submodule_search_locations or [] if package else []:
        found += sorted(Path(folder).glob("cu*/bin/nvcc"), reverse=True)
        found.append(Path(folder, "cuda_nvcc/bin/nvcc"))
    return found


def host() -> tuple[str, ...]:
    """The C++ compiler that nvcc hands the host's half to, as a key of what was built: its words about itself."""
    return (*_host_flags(), _said(Path(os.environ.get("NVCC_CCBIN") or "g++"), "--version"))


def _host_flags() -> tuple[str, ...]:
    """$NVCC_CCBIN said aloud: the sandbox has an environment of its own."""
    named = os.environ.get("NVCC_CCBIN")
    return (f"-ccbin={named}",) if named else ()


def architecture() -> str:
    """What code is made for: the GPU that is here, or DEFAULT_ARCHITECTURE."""
    here = gpu.present()
    return here.architecture if here else DEFAULT_ARCHITECTURE


def code_for(architecture: str) -> str:
    """nvcc's option for code that runs on this GPU, as `gpu.Gpu` names it ('sm_86').

    From compute capability 9.0 on, a GPU has instructions that no other has (wgmma, tcgen05); they are only in the
    targets with an 'a'. The shorthand -arch=sm_90a leaves PTX beside them, on which ptxas of CUDA 13.0 gives up.
    """
    capability = architecture.removeprefix("sm_")
    if not capability.isdigit() or int(capability) < 90:
        return f"-arch={architecture}"
    return f"-gencode=arch=compute_{capability}a,code=sm_{capability}a"


def compile_command(nvcc: Nvcc, flags: tuple[str, ...], source: str, to: str, kept: str) -> list[str]:
    """One source to one object; PTX and the other steps' files stay in the folder `kept`."""
    keep = ["--keep", "--keep-dir", kept]
    arch = code_for(architecture())
    return [str(nvcc.program), *_host_flags(), *FLAGS, arch, *flags, *keep, "-c", source, "-o", to]


def link_command(nvcc: Nvcc, objects: list[str], options: tuple[str, ...], to: str) -> list[str]:
    """Objects to a shared library, with CUDA's runtime inside. `options` are the linker's own, e.g. '-z,defs'."""
    passed = [f"-Xlinker={option}" for option in options]
    folder = f"-L{nvcc.libraries}"
    start = [str(nvcc.program), *_host_flags(), "-shared", "-cudart=static", code_for(architecture())]
    return [*start, *objects, *passed, folder, "-o", to]


def program_command(nvcc: Nvcc, source: str, to: str) -> list[str]:
    """One source to an executable with CUDA's runtime inside."""
    start = [str(nvcc.program), *_host_flags(), *FLAGS, code_for(architecture()), f"-L{nvcc.libraries}"]
    return [*start, source, "-o", to]


def oldest(nvcc: Nvcc) -> int:
    """The lowest compute capability that it makes code for, e.g. 75; 0 when it does not say."""
    listed = [int(number) for number in re.findall(r"compute_(\d+)", _said(nvcc.program, "--list-gpu-arch"))]
    return min(listed, default=0)


def as_gcc_says_it(text: str) -> str:
    """nvcc's messages in gcc's form, with the column of its caret, so that they are explained like any other.

    'reduce.cu(3): error: identifier "y" is undefined' becomes 'reduce.cu:3:14: error: identifier ...'.
    """
    lines = text.splitlines()
    translated = []
    for number, line in enumerate(lines):
        match = _MESSAGE.match(line)
        if match is None:
            translated.append(line)
            continue
        caret = next((ahead for ahead in lines[number + 1 : number + 4] if ahead.strip() == "^"), "")
        column = f":{len(caret.rstrip()) - _INDENT}" if caret else ""
        option = f" [{match['number']}]" if match["number"] else ""
        place = f"{match['file']}:{match['line']}{column}"
        translated.append(f"{place}: {match['kind']}: {match['message']}{option}")
    return "\n".join(translated) + ("\n" if lines else "")


_MESSAGE = re.compile(
    r"(?P<file>[^\s()]+)\((?P<line>\d+)\): (?:fatal |catastrophic )?(?P<kind>error|warning)(?: #(?P<number>[\w-]+))?: "
    r"(?P<message>.*)"
)
_INDENT = 2  # nvcc shows the student's line behind two blanks
