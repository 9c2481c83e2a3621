"""Performance: against cuBLAS, interleaved, with matrices that change before every call."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from grader.runner.invoke import Invocation
from grader.testing import assert_close, category, check, gpu, points
from grader.timing.duel import Case, Held, Task
from labs.gemm_tensor_core.oracle import relative_bound

pytestmark = category("performance")

COUNT = 16
"""Different pairs of matrices, one after the other."""
ROWS = 2
"""Rows of each C that are asked for afterwards, when it is too late to compute them only then."""

# Sizes and passes over all pairs: so many that what a round costs beside its products is small.
HALVES = [
    ((1024, 1024, 1024), 64),
    ((1000, 1000, 1000), 64),
    ((2048, 2048, 2048), 16),
    ((4096, 1024, 4096), 4),
    ((4096, 4096, 4096), 2),
    ((8192, 8192, 8192), 1),
]
SINGLE = [((2048, 2048, 2048), 1), ((4096, 4096, 4096), 1)]


@points(30)
def test_products_keep_up_with_cublas(duel, on_gpu):
    """Six shapes, from one that hardly fills the GPU to 8192."""
    duel("products", [products(on_gpu, *size, single=False) for size in HALVES if fits(on_gpu, size[0], 2)])


@points(10)
def test_the_first_step_keeps_up_with_cublas(duel, on_gpu):
    """tc_sgemm_smem on the ordinary cores: tiles in shared memory, several results in registers."""
    duel("first_step", [products(on_gpu, *size, single=True) for size in SINGLE if fits(on_gpu, size[0], 4)])


def fits(on_gpu, size: tuple[int, int, int], number: int) -> bool:
    """Do the matrices of both sides fit into two thirds of the GPU's memory?"""
    m, n, k = size
    needed = 2 * COUNT * ((m * k + k * n) * number + m * n * 4)
    return needed < on_gpu.cuda.Device().mem_info[1] * 2 / 3


def products(on_gpu, size: tuple[int, int, int], passes: int, *, single: bool) -> Case:
    """All products of a size; the rows that are checked are drawn for every round."""
    m, n, k = size
    label = f"{m} x {n} x {k}"

    def task(rng: np.random.Generator, checked: bool) -> Task:
        fill, touch = (int(seed) for seed in rng.integers(0, 1 << 32, 2))
        milliseconds = np.zeros(1, np.float32)
        rows = [
            asked_rows(rng, gpu.touched(m * k, gpu.bit(touch, (passes - 1) * COUNT + i))[0] // k, m)
            for i in range(COUNT)
        ]
        which = np.repeat(np.arange(COUNT, dtype=np.uint32), ROWS * n)
        where = np.concatenate([row * n + np.arange(n) for pair in rows for row in pair]).astype(np.uint64)
        got = np.zeros(where.size, np.uint32)

        def verify(values: object) -> None:
            check(values == (0,), "the call failed", got=f"cudaError_t {values}")
            results = got.view(np.float32).reshape(COUNT, ROWS, n)
            for i in range(COUNT):
                expected = expected_rows(on_gpu, fill, touch, i, rows[i], size, passes, single)
                bound = relative_bound(k) * expected  # all numbers are positive: |A||B| = A B
                assert_close(results[i], expected, bound, case=f"{label}, {ROWS} rows of product {i}")

        return Task(
            (Invocation("drive_products", (passes, touch, m, n, k, int(single), milliseconds)),),
            verify if checked else lambda values: None,
            prepare=(Invocation("drive_prepare", (COUNT, m, n, k, int(single), where.size, fill)),),
            proof=(Invocation("drive_sample", (where.size, which, where, got)),),
            agree=events(milliseconds),
        )

    def tasks(rng: np.random.Generator) -> tuple[Task, Task]:
        return task(rng, True), task(rng, False)

    return Case(label, tasks, work=2.0 * m * n * k * COUNT * passes, warm_up=False)


def asked_rows(rng: np.random.Generator, changed: np.ndarray, m: int) -> list[int]:
    """A row that changed before the last call, and any other."""
    return [int(rng.choice(changed)), *(int(row) for row in rng.integers(0, m, ROWS - 1))]


def expected_rows(
    on_gpu,
    fill: int,
    touch: int,
    i: int,
    rows: list[int],
    size: tuple[int, int, int],
    passes: int,
    single: bool,
) -> np.ndarray:
    """Rows of A B in double precision, with A as it was before the last call."""
    m, n, k = size
    number = gpu.unit if single else gpu.half_unit
    left = np.empty((len(rows), k), np.float64)
    seeds = gpu.bits(touch, np.arange(passes, dtype=np.uint64) * np.uint64(COUNT) + np.uint64(i))
    places, fresh = gpu.touched(m * k, seeds[:, np.newaxis], number)
    for at, row in enumerate(rows):
        left[at] = number(gpu.bits(gpu.bit(fill, 2 * i), row * k + np.arange(k, dtype=np.uint64)))
        own = places // k == row
        left[at, places[own] % k] = fresh[own]  # pass after pass: the last one stays
    right = gpu.filled(on_gpu, k * n, gpu.bit(fill, 2 * i + 1), number).reshape(k, n)
    return on_gpu.asnumpy(on_gpu.asarray(left) @ right.astype(on_gpu.float64))


def events(milliseconds: np.ndarray) -> Callable[[float], None]:
    """The runner's CUDA events tell nobody's grade, but they must fit the grader's clock."""

    def agree(seconds: float) -> None:
        told = float(milliseconds[0]) * 1e-3
        if not 0.8 * seconds - 0.002 <= told <= 1.05 * seconds:
            raise Held(f"CUDA's events say {told * 1e3:.2f} ms, the grader's clock {seconds * 1e3:.2f} ms")

    return agree
