"""Performance: duels against OpenBLAS and against the memory itself, and evidence that is the same on every machine."""

from __future__ import annotations

import functools
from dataclasses import replace

import numpy as np
import pytest

from grader.runner.invoke import Invocation
from grader.scoring import linear_credit
from grader.testing import CheckFailed, assert_close, category, check, points
from grader.testing.simulation import Cache
from grader.timing.duel import Case, Task
from labs.gemv_simd import oracle
from labs.gemv_simd.oracle import problem

pytestmark = category("performance")

# Rows, columns, calls in a row: about a millisecond each, but for the largest, which no cache holds.
CACHED = [(64, 128, 2000), (256, 512, 200)]
LARGE = [(1024, 1024, 16), (2048, 2048, 4), (8192, 8192, 1)]
IN_MEMORY = 8192
SIMULATED = (64, 4096)


# --- Duels --------------------------------------------------------------------------------------------------------


@points(6)
def test_gemv_keeps_up_with_openblas_in_the_caches(duel):
    """32 KiB and 512 KiB: an FMA that waits for the one before it, or a second load of x, costs most here."""
    duel("cached", [product(*size, transposed=False) for size in CACHED])


@points(4)
def test_gemv_t_keeps_up_with_openblas_in_the_caches(duel):
    """The same sizes, transposed: rows are added up, and every load and store of the total costs."""
    duel("transposed", [product(*size, transposed=True) for size in CACHED])


@points(5)
def test_large_matrices_keep_up_with_openblas(duel):
    """4, 16 and 256 MiB, and transposed up to 16: memory decides, and how well it is kept busy."""
    cases = [product(*size, transposed=False) for size in LARGE]
    duel("large", cases + [product(*size, transposed=True) for size in LARGE[:-1]])


@points(3)
def test_a_matrix_in_memory_is_read_at_full_speed(duel):
    """256 MiB: at best it takes as long as reading the matrix and doing nothing with it."""
    duel("memory", [reading(IN_MEMORY)])


def product(m: int, n: int, calls: int, *, transposed: bool) -> Case:
    """A case of `calls` products with one matrix, each with an x that is known once the one before is answered."""

    def tasks(rng: np.random.Generator) -> tuple[Task, Task]:
        reference = chain(rng, (m, n), calls, transposed)
        return chain(rng, (m, n), calls, transposed), replace(reference, verify=lambda values: None)

    label = f"{m} x {n}{', transposed' if transposed else ''}"
    return Case(label, tasks, work=2.0 * m * n * calls, warm_up=m * n < 1 << 24)


def reading(size: int) -> Case:
    """One product with a large matrix, against reading as many bytes."""

    def tasks(rng: np.random.Generator) -> tuple[Task, Task]:
        read = numbers(rng, size * size)
        probe = Task((Invocation("probe_read", (read, read.size, 1)),), lambda values: None)
        return chain(rng, (size, size), 1, False), probe

    return Case(f"{size} x {size}", tasks, work=4.0 * size * size, warm_up=False)


def chain(rng: np.random.Generator, shape: tuple[int, int], calls: int, transposed: bool) -> Task:
    """Fresh numbers, one call of the chain, and a check of every answer in it."""
    m, n = shape
    inner, outer = (m, n) if transposed else (n, m)
    a = numbers(rng, m * n).reshape(m, n)
    x = numbers(rng, calls * inner).reshape(calls, inner) * np.float32(rng.uniform(0.5, 1.0))
    y = np.full((calls, outer), np.nan, np.float32)

    def verify(values: object) -> None:
        check(values == (0,), "the call failed", expected=0, got=values)
        check(bool(np.isfinite(y).all()), "an answer holds NaN or infinity")
        asked = oracle.chained(x, y)
        operator = a.T if transposed else a
        if calls == 1:
            expected = oracle.times(operator, asked[0])[np.newaxis]
        else:
            expected = asked.astype(np.float64) @ operator.T.astype(np.float64)
        bound = 8 * np.sqrt(inner) * oracle.UNIT_ROUNDOFF * expected  # all numbers are positive: |A||x| = A x
        assert_close(y, expected, bound, case=f"{m} x {n}, {calls} calls (one answer per row)")

    return Task((Invocation("gemv_chain", (int(transposed), calls, m, n, a, x, y)),), verify)


def numbers(rng: np.random.Generator, size: int) -> np.ndarray:
    """Random numbers in [0, 1): another stretch of a long row of them every time."""
    row = long_row()
    start = int(rng.integers(0, row.size - size + 1))
    return row[start : start + size]


@functools.cache
def long_row() -> np.ndarray:
    """Enough for the largest matrix, and for 65536 ways to begin it. New in every run."""
    return np.random.default_rng().random(IN_MEMORY**2 + (1 << 16), np.float32)


# --- The same on every machine ------------------------------------------------------------------------------------


@points(5)
@pytest.mark.parametrize("function", ["gemv_f32", "gemv_t_f32", "dot_f32", "fmadd_f32"])
def test_the_hot_loop_is_packed_fma(machine_code, evidence, function):
    """Eight multiplications and eight additions in one instruction: vfmadd…ps with ymm registers."""
    loop = machine_code.hot_loop(function)
    check(loop is not None, f"{function} has no loop", why="Is it written yet?")
    evidence(
        f"The hot loop of {function}: {len(loop.instructions)} instructions in {loop.function}",
        loop.listing(),
    )
    if not any(item.is_packed_fma for item in loop.instructions):
        raise CheckFailed(
            f"the loop of {function} with most arithmetic has no packed FMA",
            expected="vfmadd…ps with ymm registers, from _mm256_fmadd_ps",
            got=", ".join(dict.fromkeys(item.mnemonic for item in loop.instructions if item.operations))
            or "nothing",
            where=f"in {loop.function}, {len(loop.instructions)} instructions",
            detail=f"the loop:\n{loop.listing()}",
        )


@pytest.fixture(scope="session")
def counts(simulate, seed_of_run):
    """One product of each kind on a simulated CPU whose first cache is smaller than x, by function."""
    rng = np.random.default_rng(seed_of_run)
    found = {}
    for transposed in (False, True):
        item = problem(rng, *SIMULATED, transposed=transposed)
        found[item.function] = simulate.call(item.function, *item.arguments, cache=Cache(d1=(4096, 8, 64)))
        item.verify()
    return found


@points(6)
@pytest.mark.parametrize(
    ("function", "full_at"), [("gemv_f32", 0.3), ("gemv_t_f32", 0.4)], ids=["gemv_f32", "gemv_t_f32"]
)
def test_few_instructions_per_element(counts, award, function, full_at):
    """One vector instruction does eight multiplications, and one load of x serves several rows."""
    each = counts[function].instructions / (SIMULATED[0] * SIMULATED[1])
    award(linear_credit(each, full_at=full_at, zero_at=1.0), f"{each:.2f} instructions per element of A")


@points(6)
@pytest.mark.parametrize(
    ("function", "full_at"), [("gemv_f32", 75), ("gemv_t_f32", 90)], ids=["gemv_f32", "gemv_t_f32"]
)
def test_few_misses_per_element(counts, award, function, full_at):
    """A is read once along its rows, and what all rows share is fetched once for several of them."""
    each = 1000 * counts[function].d1_misses / (SIMULATED[0] * SIMULATED[1])
    award(linear_credit(each, full_at=full_at, zero_at=130), f"{each:.1f} misses per 1000 elements of A")
