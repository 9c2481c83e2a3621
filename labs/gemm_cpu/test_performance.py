"""Performance: duels against OpenBLAS on the same core, and counts that are the same on every machine."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from grader.cores import usable as usable_cores
from grader.runner.invoke import Invocation
from grader.scoring import linear_credit
from grader.testing import category, points
from grader.testing.simulation import Cache
from grader.timing.duel import Case, Task
from labs.gemm_cpu.oracle import of, problem

pytestmark = category("performance")

ODD_SIZES = [(384, 384, 384), (768, 768, 768), (1000, 1000, 1000), (997, 997, 997), (1003, 999, 1001)]
SKINNY_SIZES = [(4096, 64, 64), (64, 4096, 64)]
SIMULATED = 256


@points(12)
def test_large_matrices_keep_up_with_openblas(duel):
    """n = 3072: too large for the caches, so packing and blocking decide."""
    duel("large", [product(3072, 3072, 3072)])


@points(5)
def test_odd_and_skinny_sizes_keep_up_with_openblas(duel):
    """Primes, powers of two and thin matrices: edges and set-up costs decide."""
    cases = [product(*shape) for shape in ODD_SIZES]
    cases += [product(*shape, repeat=16) for shape in SKINNY_SIZES]
    duel("mix", cases)


@points(3)
def test_threads_speed_it_up(duel, library, rng):
    """gemm_f32_mt on every core against your own gemm_f32 on one."""
    cores = usable_cores()
    duel("threads", [threaded(size_for(0.15, library, rng), cores)], scale=1 / cores)


def size_for(seconds: float, library, rng) -> int:
    """A square size that keeps one thread of this submission busy for about so long: long enough for a clock of
    10 ms ticks, short enough for a slow one."""
    trial = problem(rng, 256, 256, 256)
    library.call("gemm_f32", *trial.arguments)
    begin = time.perf_counter()
    library.call("gemm_f32", *trial.arguments)
    scale = seconds / (time.perf_counter() - begin)
    return int(np.clip(256 * scale ** (1 / 3), 256, 1536)) // 16 * 16


@pytest.fixture(scope="session")
def counts(simulate, seed_of_run):
    """One product on a simulated CPU, with caches as much smaller as n = 256 is smaller than a real problem."""
    item = problem(np.random.default_rng(seed_of_run), SIMULATED, SIMULATED, SIMULATED)
    counted = simulate.call("gemm_f32", *item.arguments, cache=Cache(d1=(4096, 8, 64), ll=(65536, 16, 64)))
    item.verify()
    return counted


@points(6)
def test_few_instructions_per_multiplication(counts, award):
    """One vector instruction does eight multiplications, one load serves many of them."""
    each = counts.instructions / SIMULATED**3
    award(linear_credit(each, full_at=0.31, zero_at=3.0), f"{each:.2f} instructions per multiplication")


@points(7)
def test_few_misses_of_the_first_cache(counts, award):
    """A register tile uses every value that it loads several times (simulated cache of 4 KiB)."""
    each = 1000 * counts.d1_misses / SIMULATED**3
    award(linear_credit(each, full_at=20, zero_at=60), f"{each:.1f} misses per 1000 multiplications")


@points(7)
def test_few_misses_of_the_last_cache(counts, award):
    """Packed blocks that fit the cache are loaded once and used often (simulated cache of 64 KiB)."""
    each = 1000 * counts.ll_misses / SIMULATED**3
    award(linear_credit(each, full_at=14.5, zero_at=60), f"{each:.1f} misses per 1000 multiplications")


def product(m: int, n: int, k: int, repeat: int = 1) -> Case:
    """A case of `repeat` products in a row, each with its own matrices."""
    numbers = pool(m * k + k * n)

    def tasks(rng: np.random.Generator) -> tuple[Task, Task]:
        reference = task(rng, (m, n, k), numbers, repeat)
        return task(rng, (m, n, k), numbers, repeat), replace(reference, verify=lambda values: None)

    label = f"{m} x {n} x {k}"
    return Case(label, tasks, work=2.0 * m * n * k * repeat, warm_up=m * n * k < 1e9)


def threaded(size: int, threads: int) -> Case:
    """gemm_f32_mt against gemm_f32, both the submission's."""
    numbers = pool(2 * size * size)

    def tasks(rng: np.random.Generator) -> tuple[Task, Task]:
        shape = (size, size, size)
        return task(rng, shape, numbers, 1, threads), task(rng, shape, numbers, 1)

    return Case(f"{size} x {size} x {size} on {threads} threads", tasks, work=2.0 * size**3, warm_up=False)


def pool(count: int) -> Callable[[np.random.Generator, int], np.ndarray]:
    """Random numbers to draw from: a different stretch, differently scaled, for every matrix and every round."""
    numbers = np.random.default_rng().random(count + (1 << 16), np.float32)

    def draw(rng: np.random.Generator, size: int) -> np.ndarray:
        start = int(rng.integers(0, numbers.size - size + 1))
        return numbers[start : start + size] * np.float32(rng.uniform(0.5, 1.0))

    return draw


def task(
    rng: np.random.Generator,
    shape: tuple[int, int, int],
    numbers: Callable[[np.random.Generator, int], np.ndarray],
    repeat: int,
    threads: int | None = None,
) -> Task:
    """Fresh matrices, the calls, and Freivalds' check of what comes back."""
    m, n, k = shape
    items = [of(numbers(rng, m * k).reshape(m, k), numbers(rng, k * n).reshape(k, n)) for _ in range(repeat)]
    name, extra = ("gemm_f32", ()) if threads is None else ("gemm_f32_mt", (threads,))

    def verify(values: object) -> None:
        for item in items:
            item.verify_large(rng)

    return Task(tuple(Invocation(name, (*item.arguments, *extra)) for item in items), verify)
