"""The fixtures of this lab: one for each kind of call. Each checks what holds for every call."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from grader.testing import CheckFailed, Library, check

NOT_WRITTEN = 801  # cudaErrorNotSupported
POISON = 0xC3
DAMAGE = {1: "wrote outside of its result", 2: "wrote outside of its workspace", 4: "changed its input"}
WHAT = {"sum": 0, "max": 1}


@pytest.fixture
def reduce(library: Library) -> Callable[..., np.ndarray]:
    """`reduce("sum", numbers, case="n = 33")`: the result, an array of one element (two for a twin)."""

    def call(what: str, numbers: np.ndarray, *, case: str, **how: int) -> np.ndarray:
        out = np.zeros(2 if how.get("twin") else 1, np.float32)
        _play(library, "drive_reduce", [WHAT[what]], [numbers, numbers.size, out], case, how)
        return out

    return call


@pytest.fixture
def warp_sums(library: Library) -> Callable[..., np.ndarray]:
    """`warp_sums(rows_of_32, case="…")`: the sum of each row."""

    def call(rows: np.ndarray, *, case: str, **how: int) -> np.ndarray:
        out = np.zeros(len(rows), np.float32)
        _play(library, "drive_warp_sum", [], [rows, len(rows), out], case, how)
        return out

    return call


@pytest.fixture
def rows_sum(library: Library) -> Callable[..., np.ndarray]:
    """`rows_sum(matrix, cols, case="…")`: the sums of the first `cols` columns; the rest is padding."""

    def call(matrix: np.ndarray, cols: int, *, case: str, **how: int) -> np.ndarray:
        out = np.zeros(len(matrix), np.float32)
        _play(library, "drive_rows_sum", [], [matrix, len(matrix), cols, matrix.shape[1], out], case, how)
        return out

    return call


@pytest.fixture
def transpose(library: Library) -> Callable[..., np.ndarray]:
    """`transpose(matrix, cols, ld_out, case="…")`: the whole result, its padding too, as (cols, ld_out) elements."""

    def call(matrix: np.ndarray, cols: int, ld_out: int, *, case: str, **how: int) -> np.ndarray:
        out = np.zeros((cols, ld_out), matrix.dtype)
        sizes = [len(matrix), cols, matrix.shape[1]]
        _play(library, "drive_transpose", [matrix.itemsize], [matrix, *sizes, out, ld_out], case, how)
        return out

    return call


def _play(library: Library, name: str, first: list, arguments: list, case: str, how: dict[str, int]) -> None:
    """One scene of driver.h in which nothing may go wrong."""
    asked = library.struct("drive_how")
    for key, value in {"poison": POISON, **how}.items():
        setattr(asked, key, value)
    seen = library.struct("drive_seen")
    error = library.call(name, *first, asked, *arguments, seen, case=case)
    if seen.status == NOT_WRITTEN:
        raise CheckFailed("the function is not written yet: it answered cudaErrorNotSupported", case=case)
    if seen.ws_bytes > 1 << 20:
        raise CheckFailed(
            "red_workspace_bytes asks for more than 1 MiB", case=case, got=f"{seen.ws_bytes} bytes"
        )
    check(seen.status == 0, "a call that must work did not", case=case, expected=0, got=seen.status)
    check(
        error == 0,
        "a kernel failed",
        case=case,
        got=f"cudaError_t {error}",
        why="700 is an illegal address, 716 a misaligned one, 719 a kernel that failed otherwise.",
    )
    check(
        seen.graph_status == 0,
        "the call could not be recorded into a graph",
        case=case,
        got=f"cudaError_t {seen.graph_status}",
        why="Whatever waits or allocates cannot be recorded, nor work on another stream.",
    )
    for bit, words in DAMAGE.items():
        check(
            not seen.damaged & bit,
            f"the call {words}",
            case=case,
            why="Look at the last block and its last thread.",
        )
