"""What compilers and linkers said, with a student's strings in it: messages of bounded size, never an error."""

from __future__ import annotations

from grader.toolchain import diagnostics, nvcc
from tests.fuzz.inputs import text

_SOURCE = "int f(void)\n{\n\treturn 日本 + é;\n}\n"


def one_input(data: bytes) -> None:
    """All of it is what was printed."""
    said = text(data)
    for output in (said, nvcc.as_gcc_says_it(said)):
        found = diagnostics.parse(output, folder="/scratch/src")
        assert len(found) <= diagnostics.MAX_DIAGNOSTICS
        for item in found[:20]:
            shown = diagnostics.render(item, _SOURCE)
            assert len(item.message) <= diagnostics.MAX_MESSAGE and len(item.notes) <= diagnostics.MAX_NOTES
            shown.encode("utf-8")
        assert bool(diagnostics.summarise(found)) == bool(found)
