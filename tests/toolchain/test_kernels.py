"""Kernels as evidence: what a compiled kernel holds, read from PTX and from what ptxas says."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from grader.toolchain import kernels, nvcc

SOURCE = """
#include <cuda_fp16.h>
__global__ void plain(float *x) { x[threadIdx.x] += 1.0f; }
__global__ void wide(const float4 *x, float4 *y) { y[threadIdx.x] = x[threadIdx.x]; }
__global__ void warp(float *x)
{
    float v = x[threadIdx.x];
    for (int d = 16; d > 0; d /= 2)
        v += __shfl_down_sync(0xffffffff, v, d);
    if (threadIdx.x == 0)
        x[0] = v;
}
__global__ void tile(float *x)
{
    __shared__ float t[32][33];
    t[threadIdx.y][threadIdx.x] = x[threadIdx.y * 32 + threadIdx.x];
    __syncthreads();
    x[threadIdx.y * 32 + threadIdx.x] = t[threadIdx.x][threadIdx.y];
}
"""


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> dict[str, kernels.Kernel]:
    folder = tmp_path_factory.mktemp("kernels")
    (folder / "k.cu").write_text(SOURCE)
    command = nvcc.compile_command(nvcc.find(), (), str(folder / "k.cu"), str(folder / "k.o"), str(folder))
    answer = subprocess.run(command, capture_output=True, text=True, check=True)
    return {kernel.name: kernel for kernel in kernels.read(folder, answer.stderr)}


def test_every_kernel_is_there_by_its_name_in_the_source(compiled: dict[str, kernels.Kernel]) -> None:
    assert set(compiled) == {"plain", "wide", "warp", "tile"}


def test_each_shows_what_it_uses(compiled: dict[str, kernels.Kernel]) -> None:
    used = {
        name: {what for what in kernels.FEATURES if kernel.uses(what)} for name, kernel in compiled.items()
    }
    assert used["plain"] == set()
    assert used["wide"] == {"16-byte loads"}
    assert used["warp"] == {"shuffles"}
    assert used["tile"] == {"shared memory", "barriers"}


def test_resources_are_those_of_ptxas(compiled: dict[str, kernels.Kernel]) -> None:
    assert compiled["tile"].shared_bytes == 32 * 33 * 4
    assert compiled["plain"].shared_bytes == compiled["plain"].spill_bytes == 0
    assert all(kernel.registers > 0 for kernel in compiled.values())


def test_the_table_is_for_people(compiled: dict[str, kernels.Kernel]) -> None:
    text = kernels.table([compiled["tile"]])
    assert text.startswith("tile\n")
    assert "4224 bytes of shared memory" in text
    assert "1 x barriers" in text


def test_names_are_those_that_the_author_wrote() -> None:
    long = "(anonymous namespace)::multiply<(anonymous namespace)::shape<64u, 32u>, ((anonymous namespace)::trust)2>"
    assert kernels._plain(long) == "multiply<shape<64, 32>, 2>"


def test_spills_are_read() -> None:
    said = (
        "ptxas info    : Compiling entry function '_Z1kv' for 'sm_80'\n"
        "ptxas info    : Function properties for _Z1kv\n"
        "    40 bytes stack frame, 36 bytes spill stores, 48 bytes spill loads\n"
        "ptxas info    : Used 32 registers, 64 bytes smem\n"
    )
    assert kernels._resources(said) == {"_Z1kv": (32, 40, 84, 64)}


def test_without_kernels_there_is_nothing(tmp_path: Path) -> None:
    assert kernels.read(tmp_path, "") == ()
    (tmp_path / "odd.ptx").write_text(".visible .entry broken( { never closed")
    assert [kernel.registers for kernel in kernels.read(tmp_path, "nonsense")] == [0]


@pytest.mark.parametrize(
    "rest, launched",
    [
        ("", False),
        ("/* sum<<<1, 1>>>() comes later */ // sum", False),
        ("int go() { sum<<<1, 1>>>(); return 0; }", True),
        ("int go() { LAUNCH(sum); return 0; }", True),
        ("#define GO(name) name##m<<<1, 1>>>()\nint go() { GO(su); return 0; }", True),
    ],
)
def test_a_kernel_that_is_only_defined_is_not_launched(rest: str, launched: bool) -> None:
    text = "__global__ void sum();\ntemplate <int n> __global__ void __launch_bounds__(32) sum(int *out) {}\n"
    uncommented = kernels._COMMENT.sub(" ", text + rest)
    assert kernels._is_used("sum<64>", uncommented) is launched
    assert kernels._is_used("void sum<64>(int*)", uncommented) is launched
