"""What sanitizers and crash handlers print, with a submission's own output between: findings, never an error."""

from __future__ import annotations

from grader.toolchain import compute_sanitizer, sanitizers, stacks
from tests.fuzz.inputs import text

_SOURCES = ("gemm.c", "deep/pack.c", "reduce.cu")
_TOOLS: tuple[compute_sanitizer.Tool, ...] = ("memcheck", "racecheck", "synccheck", "initcheck")


def one_input(data: bytes) -> None:
    """All of it is what was printed."""
    said = text(data)
    for finding in sanitizers.parse(said, _SOURCES):
        assert finding.message and finding.line >= 0
    for tool in _TOOLS:
        found = compute_sanitizer.parse(said, tool, _SOURCES)
        assert len(found) <= compute_sanitizer.MAX_FINDINGS
    compute_sanitizer.ran(said)
    rest, frames = stacks.split(said)
    assert len(rest) <= len(said)
    stacks.render(frames, "_lab.so", stacks.read_places(said.splitlines()))
