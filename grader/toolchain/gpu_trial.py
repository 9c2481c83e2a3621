"""A kernel of the grader's own, run once on this machine's GPU: what keeps every kernel from running is the machine's.

A runner's error codes are its own word; a submission may answer any of them. So nothing is excused by what it
says: this program holds nothing of it, and is built with the command line that builds everything else.
"""

from __future__ import annotations

import functools
import re
import subprocess
from pathlib import Path

from grader import cache, cc
from grader.sandbox import gpu
from grader.toolchain import nvcc

_PROGRAM = """
#include <cstdio>

__global__ void answer(int *out)
{
    *out = 42;
}

int main()
{
    int *out = nullptr, got = 0;
    cudaError_t error = cudaMalloc(&out, sizeof *out);
    if (!error) {
        answer<<<1, 1>>>(out);
        error = cudaGetLastError();
    }
    if (!error)
        error = cudaMemcpy(&got, out, sizeof got, cudaMemcpyDeviceToHost);
    std::printf("%d %d %s", (int)error, got, cudaGetErrorString(error));
    return 0;
}
"""
_PATIENCE_S = 60

_OLD_DRIVER = (
    "install a newer NVIDIA driver, or the CUDA toolkit that nvidia-smi names (CUDA_HOME says where)"
)
_CURES = {
    2: "its memory is full: end the processes that nvidia-smi lists",
    3: "load the driver's kernel modules: nvidia-modprobe -u -c=0",
    34: "the driver's own libcuda.so.1 must come before the toolkit's stub: see LD_LIBRARY_PATH",
    35: _OLD_DRIVER,
    36: _OLD_DRIVER,
    46: "another process holds the GPU for itself: nvidia-smi -c DEFAULT",
    100: "give this machine or container a GPU (docker run --gpus all)",
    209: "the build holds no code for this GPU: install a CUDA toolkit that knows it, and a driver as new",
    214: "its memory is damaged: reset or replace it",
    222: _OLD_DRIVER,
    223: _OLD_DRIVER,
    304: "/proc and the device nodes /dev/nvidia* must be visible",
    802: "start nvidia-fabricmanager, or wait until the machine has started",
    803: "the driver's library and its kernel module differ: reboot, or install one driver",
    804: _OLD_DRIVER,
}
"""cudaError_t -> what to do about it (CUDA Runtime API, "Data types used by CUDA Runtime")."""


@functools.lru_cache(maxsize=1)
def why_not() -> str:
    """Why no kernel of this compiler can run on this machine's GPU, and what to do; '' when one did.

    '' too where there is no GPU or no compiler, which others tell. Found out once for this process.
    """
    here = gpu.present()
    if here is None:
        return ""
    try:
        compiler = nvcc.find()
        name = cache.key("gpu trial 1", compiler.version, *nvcc.host(), here.architecture, _PROGRAM)
        program = cache.fetch("gpu-trial", name, functools.partial(_build, compiler)) / "trial"
        answer = subprocess.run([str(program)], capture_output=True, text=True, timeout=_PATIENCE_S)
    except nvcc.Missing:
        return ""
    except _Refused as refused:
        return _no_code(here, compiler, str(refused))
    except subprocess.TimeoutExpired:
        return f"a kernel that does nothing did not end within {_PATIENCE_S} s on {here.name}: reset the GPU"
    return told(here, compiler, answer.stdout)


def told(here: gpu.Gpu, compiler: nvcc.Nvcc, said: str) -> str:
    """What the trial's answer means, in words; '' when all is well."""
    match = re.match(r"(\d+) (-?\d+) (.*)", said)
    if match is None:
        return f"a kernel that does nothing could not be tried on {here.name}: run nvidia-smi and see what it says"
    error, got, words = int(match[1]), int(match[2]), match[3]
    if error == 0 and got == 42:
        return ""
    if error == 0:
        return f"a kernel's answer is wrong on {here.name} (42 expected, {got} came): replace the GPU"
    cure = _CURES.get(error, "run nvidia-smi and see what it says")
    return (
        f"this machine cannot run what {compiler.version} builds: {words} (cudaError_t {error}) on {here.name} "
        f"({here.architecture}), driver {here.driver}: {cure}"
    )


class _Refused(RuntimeError):
    """nvcc did not build the trial."""


def _build(compiler: nvcc.Nvcc, place: Path) -> None:
    source = place / "trial.cu"
    source.write_text(_PROGRAM)
    command = nvcc.program_command(compiler, str(source), str(place / "trial"))
    made = subprocess.run(
        command, capture_output=True, text=True, timeout=4 * _PATIENCE_S, env=cc.environment()
    )
    if made.returncode != 0:
        raise _Refused(made.stderr.strip() or made.stdout.strip())


def _no_code(here: gpu.Gpu, compiler: nvcc.Nvcc, said: str) -> str:
    """nvcc builds nothing for this GPU: mostly since one of both is too old for the other."""
    lowest = nvcc.oldest(compiler)
    capability = re.sub(r"\D", "", here.architecture)
    if "nsupported gpu architecture" in said and capability and lowest:
        old = int(capability) < lowest
        cure = "install CUDA 12, the last for this GPU" if old else "install a newer CUDA toolkit"
        return f"{compiler.version} makes no code for {here.name} ({here.architecture}): {cure} (CUDA_HOME names it)"
    lines = [line for line in said.splitlines() if "error" in line.lower() or "ld: " in line]
    words = "; ".join(lines[:2]) or said[:200]
    return f"this machine's {compiler.version} cannot build a kernel: {words[:400]}"
