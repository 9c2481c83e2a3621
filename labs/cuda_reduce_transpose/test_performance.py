"""Performance: against a copy on the device that moves as many bytes, with inputs that no cache holds."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from grader.runner.invoke import Invocation
from grader.testing import assert_close, assert_same, category, check, gpu, points
from grader.timing.duel import Case, Held, Task
from labs.cuda_reduce_transpose.oracle import UNIT_ROUNDOFF

pytestmark = category("performance")

COUNT = 16
"""Different inputs: 16 of 256 MiB, one after the other; the last-level cache of today's GPUs holds a quarter of one."""
SUM_LENGTH = 1 << 26
SIDE = 8192
PASSES = 16
SAMPLES = 4096


@points(20)
def test_sums_reach_the_bandwidth_of_a_copy(duel, on_gpu):
    """256 times 256 MiB are read; a copy of half of it moves as many bytes."""
    duel("sums", [sums(on_gpu)])


@points(20)
def test_transposes_reach_the_bandwidth_of_a_copy(duel, on_gpu):
    """256 matrices of 256 MiB are read and written once."""
    duel("transposes", [transposes()])


def sums(on_gpu) -> Case:
    """All sums of a round are checked; before each, some numbers of its input change."""

    def task(rng: np.random.Generator, checked: bool) -> Task:
        fill, touch = (int(seed) for seed in rng.integers(0, 1 << 32, 2))
        results = np.zeros(PASSES * COUNT, np.float32)
        milliseconds = np.zeros(1, np.float32)

        def verify(values: object) -> None:
            check(values == (0,), "the call failed", got=f"cudaError_t {values}")
            expected = expected_sums(on_gpu, fill, touch)
            assert_close(results, expected, 8 * UNIT_ROUNDOFF * expected, case="sums of 2^26 numbers")

        return Task(
            (Invocation("drive_sums", (PASSES, touch, results.size, results, milliseconds)),),
            verify if checked else lambda values: None,
            prepare=(Invocation("drive_prepare", (COUNT, SUM_LENGTH, 0, results.size, fill)),),
            agree=events(milliseconds),
        )

    def tasks(rng: np.random.Generator) -> tuple[Task, Task]:
        return task(rng, True), task(rng, False)

    return Case("2^26 floats", tasks, work=4.0 * SUM_LENGTH * COUNT * PASSES, warm_up=False)


def expected_sums(on_gpu, fill: int, touch: int) -> np.ndarray:
    """The sums of every input in every pass, in double precision."""
    expected = np.zeros((PASSES, COUNT))
    for k in range(COUNT):
        numbers = gpu.filled(on_gpu, SUM_LENGTH, gpu.bit(fill, k))
        total = float(numbers.sum(dtype=np.float64))
        for step in range(PASSES):
            places, fresh = gpu.touched(SUM_LENGTH, gpu.bit(touch, step * COUNT + k))
            where = on_gpu.asarray(places)
            total += float(fresh.sum(dtype=np.float64) - numbers[where].sum(dtype=np.float64))
            numbers[where] = on_gpu.asarray(fresh)
            expected[step, k] = total
    return expected.ravel()


def transposes() -> Case:
    """After a round, elements are asked for that nobody could know before: those that changed, and others."""
    n = SIDE * SIDE

    def task(rng: np.random.Generator, checked: bool) -> Task:
        fill, touch = (int(seed) for seed in rng.integers(0, 1 << 32, 2))
        milliseconds = np.zeros(1, np.float32)
        which = rng.integers(0, COUNT, SAMPLES, np.uint32)
        changed = {k: changes(touch, k, n) for k in range(COUNT)}
        where = np.array([place(rng, changed[k], n) for k in which], np.uint64)
        got = np.zeros(SAMPLES, np.uint32)

        def verify(values: object) -> None:
            check(values == (0,), "the call failed", got=f"cudaError_t {values}")
            expected = gpu.unit(
                np.array(
                    [
                        gpu.bits(gpu.bit(fill, int(k)), np.array([i], np.uint64))[0]
                        for k, i in zip(which, where, strict=True)
                    ],
                    np.uint32,
                )
            )
            for sample, (k, i) in enumerate(zip(which, where, strict=True)):
                expected[sample] = changed[k].get(int(i), expected[sample])
            assert_same(
                got.view(np.float32), expected, what="elements of the results", case=f"{SIDE} x {SIDE}"
            )

        turned = where % np.uint64(SIDE) * np.uint64(SIDE) + where // np.uint64(SIDE)
        return Task(
            (Invocation("drive_transposes", (PASSES, touch, SIDE, SIDE, milliseconds)),),
            verify if checked else lambda values: None,
            prepare=(Invocation("drive_prepare", (COUNT, n, 1, SAMPLES, fill)),),
            proof=(Invocation("drive_sample", (SAMPLES, which, turned, got)),),
            agree=events(milliseconds),
        )

    def tasks(rng: np.random.Generator) -> tuple[Task, Task]:
        return task(rng, True), task(rng, False)

    return Case(f"{SIDE} x {SIDE}", tasks, work=8.0 * n * COUNT * PASSES, warm_up=False)


def changes(touch: int, k: int, n: int) -> dict[int, float]:
    """Where input k has changed in the end, and to what."""
    now: dict[int, float] = {}
    for step in range(PASSES):
        places, fresh = gpu.touched(n, gpu.bit(touch, step * COUNT + k))
        now.update(zip(places.tolist(), fresh.tolist(), strict=True))
    return now


def place(rng: np.random.Generator, changed: dict[int, float], n: int) -> int:
    """Half of the places are among those that changed."""
    if rng.random() < 0.5:
        return int(rng.choice(np.fromiter(changed, np.int64)))
    return int(rng.integers(0, n))


def events(milliseconds: np.ndarray) -> Callable[[float], None]:
    """The runner's CUDA events tell nobody's grade, but they must fit the grader's clock."""

    def agree(seconds: float) -> None:
        told = float(milliseconds[0]) * 1e-3
        if not 0.8 * seconds - 0.001 <= told <= 1.05 * seconds:
            raise Held(f"CUDA's events say {told * 1e3:.2f} ms, the grader's clock {seconds * 1e3:.2f} ms")

    return agree
