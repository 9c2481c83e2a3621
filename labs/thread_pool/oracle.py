"""What tasks must leave behind: each slot mixed once, by a worker. The mixture is computed here in closed form."""

from __future__ import annotations

import errno

import numpy as np
import numpy.typing as npt

from grader.testing import assert_same, check

SLOT = np.dtype([("value", "<u8"), ("runs", "<u4"), ("worker", "<i2"), ("thread", "<u2")])
OURS = 65535
"""The thread of a slot that was filled by a thread of the driver: one that submits or waits."""

Slots = npt.NDArray[np.void]


def slots(rng: np.random.Generator, count: int) -> Slots:
    """Fresh slots with random values, as the driver gets them."""
    made = np.zeros(count, SLOT)
    made["value"] = rng.integers(0, 2**64, count, np.uint64)
    made["worker"] = -2
    return made


def mixed(values: npt.NDArray[np.uint64], spin: int = 0) -> npt.NDArray[np.uint64]:
    """`mix` of driver.c for each value. `spin` steps of x -> a x + c are one step, by repeated squaring."""
    a, c, total_a, total_c, bits = 6364136223846793005, 1442695040888963407, 1, 0, spin
    while bits:
        if bits & 1:
            total_a, total_c = total_a * a % 2**64, (total_c * a + c) % 2**64
        a, c, bits = a * a % 2**64, (c * a + c) % 2**64, bits >> 1
    with np.errstate(over="ignore"):
        x = values * np.uint64(total_a) + np.uint64(total_c)
        x = (x ^ (x >> np.uint64(31))) * np.uint64(0x9E3779B97F4A7C15)
        return x ^ (x >> np.uint64(29))


def verify(after: Slots, before: Slots, workers: int, case: str, spin: int = 0, why: str = "") -> None:
    """Every task ran exactly once, on a worker, and left the right value."""
    lost, twice = int((after["runs"] == 0).sum()), int((after["runs"] > 1).sum())
    count = len(after)
    check(
        not lost, f"{lost} of {count} tasks did not run", case=case, where=_first(after["runs"] == 0), why=why
    )
    check(
        not twice,
        f"{twice} of {count} tasks ran more than once",
        case=case,
        where=_first(after["runs"] > 1),
        why=why,
    )
    assert_same(
        after["value"], mixed(before["value"], spin), what="what the tasks computed", case=case, why=why
    )
    if workers:
        verify_workers(after, workers, case)


def verify_workers(after: Slots, workers: int, case: str) -> None:
    """Tasks ran on workers only, and each worker gave the number that is its own."""
    ours = after["thread"] == OURS
    check(
        not ours.any(),
        f"{int(ours.sum())} tasks ran on a thread that submits or waits",
        case=case,
        why="Tasks run on the pool's own threads only: whoever submits must be able to go on at once.",
    )
    wrong = (after["worker"] < 0) | (after["worker"] >= workers)
    check(
        not wrong.any(),
        "tpool_worker_index is wrong in a task",
        case=case,
        expected=f"0 .. {workers - 1}",
        got=int(after["worker"][wrong][0]) if wrong.any() else "",
    )
    pairs = {
        (int(thread), int(worker)) for thread, worker in zip(after["thread"], after["worker"], strict=True)
    }
    check(
        len({thread for thread, _ in pairs}) == len(pairs) == len({worker for _, worker in pairs}),
        "two workers share a number, or one has several",
        case=case,
        got=f"(thread, tpool_worker_index()): {sorted(pairs)[:8]}",
    )


def _first(wrong: npt.NDArray[np.bool_]) -> str:
    return f"first: task number {int(np.argmax(wrong))}" if wrong.any() else ""


def answer(value: object) -> str:
    """What a function answered, with the name of the error: '-22 (-EINVAL)'."""
    if not isinstance(value, int):
        return str(value)
    number = int(value)
    return f"{number} (-{errno.errorcode[-number]})" if -number in errno.errorcode else str(number)


def places(count: int) -> np.ndarray:
    """Room for `count` numbers that a scene writes; before that, each is a number that none of them can be."""
    return np.full(count, -7777, np.int64)


def expect(seen: npt.NDArray[np.int64], facts: dict[str, object], case: str = "", why: str = "") -> None:
    """The numbers of a scene, in order: each fact's name, and what the number must be (None: anything)."""
    for number, (what, wanted) in zip(seen.tolist(), facts.items(), strict=True):
        check(
            wanted is None or number == wanted,
            what,
            case=case,
            expected=answer(wanted),
            got=answer(number),
            why=why,
        )
