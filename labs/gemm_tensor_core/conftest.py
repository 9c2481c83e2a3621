"""The fixtures of this lab: `hgemm` and `sgemm` make a call with matrices, and check what holds for every call."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest

from grader.testing import CheckFailed, Library, check
from labs.gemm_tensor_core.oracle import padded

NOT_WRITTEN = 801  # cudaErrorNotSupported
POISON = 0xC3
DAMAGE = {1: "wrote outside of C", 2: "wrote outside of its workspace", 4: "changed A or B"}


@dataclass(frozen=True)
class Product:
    """What came out: C as m x n, and the padding behind each of its rows."""

    c: np.ndarray
    padding: np.ndarray


Multiply = Callable[..., Product]


@pytest.fixture
def hgemm(library: Library) -> Multiply:
    """`hgemm(a, b, case="…")`: halves in (float16), floats out.

    Also alpha, beta, c, and extra=(3, 5, 7): lda, ldb and ldc are so much longer than the rows.
    """
    return _multiply(library, "drive_hgemm", np.uint16)


@pytest.fixture
def sgemm(library: Library) -> Multiply:
    """The same for tc_sgemm_smem: floats in, floats out."""
    return _multiply(library, "drive_sgemm", np.float32)


def _multiply(library: Library, function: str, number: type) -> Multiply:
    def call(
        a: np.ndarray,
        b: np.ndarray,
        *,
        case: str,
        alpha: float = 1.0,
        beta: float = 0.0,
        c: np.ndarray | None = None,
        extra: tuple[int, int, int] = (0, 0, 0),
        **how: int,
    ) -> Product:
        (m, k), n = a.shape, b.shape[1]
        lda, ldb, ldc = k + extra[0], n + extra[1], n + extra[2]
        flat = [padded(np.ascontiguousarray(x).view(number), ld) for x, ld in ((a, lda), (b, ldb))]
        before = padded(np.full((m, n), np.nan, np.float32) if c is None else c, ldc)
        out = np.concatenate([before, before]) if how.get("twin") else before
        _play(library, function, (m, n, k, alpha, flat[0], lda, flat[1], ldb, beta, out, ldc), case, how)
        return _unpack(out, m, n, ldc)

    return call


def _unpack(out: np.ndarray, m: int, n: int, ldc: int) -> Product:
    """The results (two, one above the other, for a twin) and what lies between the rows."""
    extent = (m - 1) * ldc + n if m and n else 0
    parts = [out[i : i + extent] for i in range(0, out.size, extent)] if extent else []
    whole = [
        np.concatenate([part, np.full(m * ldc - extent, np.nan, np.float32)]).reshape(m, ldc)
        for part in parts
    ]
    both = np.concatenate(whole) if whole else np.zeros((m, ldc), np.float32)
    return Product(both[:, :n], both[:, n:])


def _play(library: Library, function: str, arguments: tuple, case: str, how: dict[str, int]) -> None:
    """One call of driver.h in which nothing may go wrong."""
    asked = library.struct("drive_how")
    for key, value in {"poison": POISON, **how}.items():
        setattr(asked, key, value)
    seen = library.struct("drive_seen")
    error = library.call(function, asked, *arguments, seen, case=case)
    if seen.status == NOT_WRITTEN:
        raise CheckFailed("the function is not written yet: it answered cudaErrorNotSupported", case=case)
    if seen.ws_bytes > 256 << 20:
        raise CheckFailed(
            "tc_workspace_bytes asks for more than 256 MiB", case=case, got=f"{seen.ws_bytes} bytes"
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
            why="Look at the tiles on the last row and column.",
        )
