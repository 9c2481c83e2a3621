"""The numbers that a device makes, and the grader's own, are the same bits."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np

from grader.testing import gpu
from grader.toolchain import module, nvcc

PROGRAM = """
#include "gpu_support.cuh"
#include <cstdio>
int main()
{
    const uint32_t seeds[] = {0, 1, 0x12345678u, 0xffffffffu};
    const size_t places[] = {0, 1, 31, 4096, 0xffffffffull, 0x100000000ull, 0x123456789abull};
    for (uint32_t seed : seeds) {
        for (size_t place : places)
            printf("%u\\n", gpu::bits(seed, place));
        for (uint32_t j = 0; j < gpu::TOUCHES; j++)
            printf("%zu\\n", gpu::place(seed, 1000003, j));
    }
    float single;
    gpu::set(&single, 0xdeadbeefu);
    printf("%.9g\\n", single);
}
"""
SEEDS = [0, 1, 0x12345678, 0xFFFFFFFF]
PLACES = np.array([0, 1, 31, 4096, 0xFFFFFFFF, 0x100000000, 0x123456789AB], np.uint64)


def test_the_twins_agree(tmp_path: Path) -> None:
    (tmp_path / "twin.cu").write_text(PROGRAM)
    found = nvcc.find()
    command = [str(found.program), *nvcc.FLAGS, f"-I{module.GPU_SUPPORT.parent}", f"-L{found.libraries}"]
    subprocess.run(
        [*command, str(tmp_path / "twin.cu"), "-o", str(tmp_path / "twin")], check=True, capture_output=True
    )
    said = subprocess.run([tmp_path / "twin"], check=True, capture_output=True, text=True).stdout.split()
    ours: list[object] = []
    for seed in SEEDS:
        ours += gpu.bits(seed, PLACES).tolist()
        ours += gpu.touched(1_000_003, seed)[0].tolist()
    assert [int(word) for word in said[:-1]] == ours
    assert np.float32(said[-1]) == gpu.unit(np.array([0xDEADBEEF], np.uint32))[0]


def test_numbers_lie_in_their_interval_and_are_exact() -> None:
    floats = gpu.filled(np, 10_000, 7)
    halves = gpu.filled(np, 10_000, 7, gpu.half_unit)
    assert floats.dtype == halves.dtype == np.float32
    assert floats.min() >= 0 and floats.max() < 1
    assert (halves.astype(np.float16).astype(np.float32) == halves).all()
    assert abs(float(floats.mean()) - 0.5) < 0.02
    assert abs(float(halves.mean()) - 0.5) < 0.02


def test_touched_places_are_never_the_same_twice() -> None:
    places, fresh = gpu.touched(64 * 100, 99)
    assert len(set(places.tolist())) == gpu.TOUCHES == fresh.size
    assert (places // 100 == np.arange(64)).all()
