"""The machine's GPU: which one there is, and what of it a sandbox must show so that a confined process can use it.

Found out by asking `nvidia-smi`. Inside a sandbox CUDA needs the device nodes, /proc and the driver's user-space
libraries; without /proc cuInit answers 304 (CUDA_ERROR_OPERATING_SYSTEM). A limit on the address space is not possible:
the driver reserves more than the machine has.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import functools
import os
import re
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_ASKED = ("name", "compute_cap", "memory.total", "driver_version", "uuid")
_NODES = ("nvidiactl", "nvidia-uvm", "nvidia-uvm-tools", "nvidia-modeset")
_DRIVER = ("libcuda.so*", "libnvidia-ptxjitcompiler.so*", "libnvidia-gpucomp.so*", "libnvidia-nvvm*.so*")
_DRIVER_FOLDERS = (
    "/usr/local/nvidia/lib64",
    "/usr/lib/x86_64-linux-gnu",
    "/usr/lib64",
    "/usr/lib",
    "/usr/lib/wsl/lib",
)


@dataclass(frozen=True)
class Gpu:
    """One GPU as its driver describes it."""

    name: str
    architecture: str
    """As nvcc wants it, e.g. 'sm_90'."""
    memory_mib: int
    driver: str
    uuid: str


def cupy() -> str:
    """CuPy's package for this machine's driver, which is asked what CUDA it knows (cuDriverGetVersion)."""
    version = ctypes.c_int(0)
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL("libcuda.so.1").cuDriverGetVersion(ctypes.byref(version))
    return f"cupy-cuda{13 if version.value >= 13000 else 12}x"


@functools.lru_cache(maxsize=1)
def present() -> Gpu | None:
    """The first GPU here, or None when the driver knows none."""
    answer = _ask(f"--query-gpu={','.join(_ASKED)}")
    fields = [field.strip() for field in answer.splitlines()[0].split(",")] if answer.strip() else []
    if len(fields) != len(_ASKED) or not re.fullmatch(r"\d+\.\d", fields[1]):
        return None
    memory = int(re.sub(r"\D", "", fields[2]) or 0)
    return Gpu(fields[0], f"sm_{fields[1].replace('.', '')}", memory, fields[3], fields[4])


def state() -> dict[str, str]:
    """What may explain a slow run, read now: clocks in MHz, temperature, why the clocks are held back, who else runs.

    Empty where there is no GPU.
    """
    asked = ("clocks.sm", "clocks.max.sm", "temperature.gpu", "clocks_throttle_reasons.active")
    fields = [field.strip() for field in _ask(f"--query-gpu={','.join(asked)}").split("\n")[0].split(",")]
    if len(fields) != len(asked):
        return {}
    names = ("SM clock", "highest SM clock", "temperature", "throttle reasons")
    others = _ask("--query-compute-apps=pid")
    return {
        **dict(zip(names, fields, strict=True)),
        "processes on the GPU": str(len(others.split())),
    }


def nodes() -> tuple[Path, ...]:
    """The device nodes of the driver and of its first GPU."""
    cards = sorted(Path("/dev").glob("nvidia[0-9]*"))[:1]
    return (*cards, *(Path("/dev", name) for name in _NODES if Path("/dev", name).exists()))


@functools.lru_cache(maxsize=1)
def driver_libraries() -> tuple[Path, ...]:
    """The driver's user-space libraries under every name they have, from the folder where the loader would find them.

    They belong to the kernel's driver and cannot come from a package. Empty where there is no driver.
    """
    named = os.environ.get("LD_LIBRARY_PATH", "").split(":")
    for folder in (Path(name) for name in (*named, *_DRIVER_FOLDERS) if name):
        if (folder / "libcuda.so.1").exists():
            return tuple(sorted(path for pattern in _DRIVER for path in folder.glob(pattern)))
    return ()


@contextlib.contextmanager
def held(gpu: Gpu, *, alone: bool) -> Iterator[None]:
    """Hold the GPU's lock, `alone` to measure on it: two submissions on one GPU would measure each other.

    Waits until it is free for that. The lock is the kernel's and goes with the process.
    """
    name = re.sub(r"\W", "_", gpu.uuid)
    path = Path(tempfile.gettempdir(), f"grader-gpu-{name}.lock")
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        yield
    finally:
        os.close(descriptor)


def _ask(query: str) -> str:
    """What nvidia-smi answers, or '' where it cannot."""
    command = ["nvidia-smi", query, "--format=csv,noheader,nounits"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return answer.stdout if answer.returncode == 0 else ""
