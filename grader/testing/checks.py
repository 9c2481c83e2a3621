"""Judging values: comparisons with error bounds that fail with the smallest useful explanation."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from grader.toolchain.disassembly import MachineCode

Array = npt.NDArray[Any]

_SHOWN_ROWS, _SHOWN_COLUMNS = 16, 60


class CheckFailed(AssertionError):
    """A test's verdict with what the student needs to find the mistake; every part is one or a few lines of text."""

    def __init__(
        self,
        summary: str,
        *,
        case: str = "",
        expected: object = "",
        got: object = "",
        where: str = "",
        why: str = "",
        detail: str = "",
    ) -> None:
        super().__init__(summary)
        self.summary = summary
        self.case = str(case)
        self.expected = str(expected)
        self.got = str(got)
        self.where = str(where)
        self.why = str(why)
        self.detail = str(detail)


class NotJudged(Exception):
    """The test cannot be judged here, and why: a missing tool, no GPU, a machine too noisy. Never a failure."""


def check(condition: bool, summary: str, **details: object) -> None:
    """Raise CheckFailed(summary, **details) unless `condition` holds."""
    if not condition:
        raise CheckFailed(summary, **details)  # type: ignore[arg-type]


def assert_close(got: Array, expected: Array, bound: Array | float, *, case: str = "", why: str = "") -> None:
    """Every element of `got` within `bound` of `expected`, both of the same shape; `bound` is absolute.

    Where `expected` is NaN or infinite, `got` must be just that. Raises CheckFailed that names the first wrong
    element and shows where the wrong ones lie.
    """
    check(got.shape == expected.shape, f"the result has shape {got.shape}, not {expected.shape}", case=case)
    with np.errstate(invalid="ignore", over="ignore"):
        wide = got.astype(np.float64)
        error = np.abs(wide - expected)
        same_special = (np.isnan(wide) & np.isnan(expected)) | (wide == expected)
        finite = np.isfinite(wide) & np.isfinite(expected)
        wrong = ~np.where(finite, error <= bound, same_special)
    if not wrong.any():
        return
    first = tuple(int(index) for index in np.argwhere(wrong)[0])
    allowed = float(np.broadcast_to(bound, got.shape)[first])
    count = int(wrong.sum())
    raise CheckFailed(
        f"{count} of {got.size} elements are wrong" if got.size > 1 else "the result is wrong",
        case=case,
        expected=f"{float(expected[first]):.9g} ± {allowed:.2g}",
        got=f"{float(wide[first]):.9g}",
        where=f"first at {list(first)}",
        why=why,
        detail=_picture(wrong),
    )


def assert_same(got: Array, expected: Array, *, what: str, case: str = "", why: str = "") -> None:
    """The same bits, NaN included. Raises CheckFailed that names the first element that differs."""
    check(got.shape == expected.shape, f"{what} has shape {got.shape}, not {expected.shape}", case=case)
    size = got.dtype.itemsize
    bits = [
        np.ascontiguousarray(array).view(np.uint8).reshape(*array.shape, size) for array in (got, expected)
    ]
    wrong = (bits[0] != bits[1]).any(axis=-1)
    if not wrong.any():
        return
    first = tuple(int(index) for index in np.argwhere(wrong)[0])
    raise CheckFailed(
        f"{what}: {int(wrong.sum())} of {got.size} elements differ",
        case=case,
        expected=expected[first],
        got=got[first],
        where=f"first at {list(first)}",
        why=why,
        detail=_picture(wrong),
    )


def assert_pinned_isa(code: MachineCode) -> None:
    """AVX2 and FMA and nothing wider, the same code on every CPU: what the lab's flags say, in the machine code itself.

    For labs whose reference runs pinned kernels: with wider vectors the ratio would mean nothing, and code that is
    chosen by the CPU is not what was counted on the simulated one. Raises CheckFailed that shows the instruction.
    """
    for item in code.instructions():
        check(not item.uses_avx512, "the code uses AVX-512", got=item.text, expected="AVX2 and FMA")
        check(
            not item.asks_the_cpu,
            "the code asks which CPU it runs on",
            got=item.text,
            expected="the same code everywhere: this lab runs on AVX2 and FMA",
            why="__builtin_cpu_supports and cpuid choose code while it runs; here the choice is made.",
        )


def _picture(wrong: npt.NDArray[np.bool_]) -> str:
    """A small matrix as a picture: '.' right, 'X' wrong. Patterns tell more than numbers (a tail, a tile, a row)."""
    if wrong.ndim != 2 or wrong.size == 1:
        return ""
    rows, columns = wrong.shape
    top = _first_shown(int(np.argmax(wrong.any(axis=1))), rows, _SHOWN_ROWS)
    band = wrong[top : top + _SHOWN_ROWS]
    left = _first_shown(int(np.argmax(band.any(axis=0))), columns, _SHOWN_COLUMNS)
    shown = wrong[top : top + _SHOWN_ROWS, left : left + _SHOWN_COLUMNS]
    before, behind = "…" if left else "", "…" if left + _SHOWN_COLUMNS < columns else ""
    lines = ["  " + before + "".join("X" if bad else "." for bad in row) + behind for row in shown]
    rest = rows - top - len(shown)
    place = f", from row {top}, column {left} on" if top or left else ""
    more = [f"  … and {rest} more rows"] if rest else []
    return "\n".join([f"right and wrong elements (. right, X wrong){place}:", *lines, *more])


def _first_shown(first_wrong: int, count: int, shown: int) -> int:
    """Where a picture of `shown` of `count` rows or columns begins: the first wrong one is in it, and some before."""
    return 0 if first_wrong < shown else min(first_wrong - shown // 4, count - shown)
