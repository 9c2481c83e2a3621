"""A student's source and what the preprocessor made of it: violations of bounded number, never an error."""

from __future__ import annotations

from grader.toolchain import policy
from tests.fuzz.inputs import text


def one_input(data: bytes) -> None:
    """The source up to a NUL, then the preprocessed text."""
    source, _, preprocessed = data.partition(b"\0")
    sources = {"gemm.c": text(source)}
    found = policy.check(text(preprocessed), sources)
    assert len(found) <= policy.MAX_VIOLATIONS
    for item in found:
        assert item.line >= 0 and item.message and len(item.text) <= policy.MAX_TEXT
        policy.fits_kernels(item)
    policy.included_files(text(preprocessed))
