"""Reading text takes time by its length, not by its square: a submission may have a tool print megabytes."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from grader.toolchain import compute_sanitizer, diagnostics, kernels

READ = "Invalid __global__ read of size 1 bytes"
SMALL, LARGE = 1 << 13, 1 << 17


def of_kernels(text: str) -> None:
    for body in kernels._bodies(text).values():
        kernels.Kernel("k", 0, 0, 0, 0, body).uses("shared memory")


def places(text: str) -> None:
    compute_sanitizer.parse(text, "memcheck", ())


CASES: dict[str, tuple[Callable[[str], object], str]] = {
    "arrays that are broken off": (diagnostics.parse, '[{"\n'),
    "arrays of messages": (diagnostics.parse, '[{"message":"x"}]'),
    "functions without a place": (places, "========= at f"),
    "races of functions without a place": (places, "Race reported between Read access at f"),
    "allocations without a size": (
        places,
        "Invalid __a__ read of size 1 bytes is 1 bytes after the nearest allocation ",
    ),
    "empty lines": (of_kernels, "\n"),
    "kernels that do not end": (of_kernels, ".entry a{\n"),
    "words of an instruction": (of_kernels, "ld."),
}


def seconds(read: Callable[[str], object], text: str) -> float:
    """CPU time, the least of three."""
    times = []
    for _ in range(3):
        before = time.process_time()
        read(text)
        times.append(time.process_time() - before)
    return min(times)


@pytest.mark.parametrize("case", CASES)
def test_sixteen_times_the_text_takes_far_less_than_the_square(case: str) -> None:
    read, piece = CASES[case]
    start = ".entry a{\n" if piece == "ld." else ""
    small, large = (seconds(read, start + piece * (length // len(piece))) for length in (SMALL, LARGE))
    assert large < 100 * max(small, 1e-4)
