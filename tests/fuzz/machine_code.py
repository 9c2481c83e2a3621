"""The library that a linker made of a student's code, and the kernels' assembly: read, or ValueError."""

from __future__ import annotations

from grader.toolchain import disassembly, kernels
from tests.fuzz.inputs import text


def one_input(data: bytes) -> None:
    """An ELF file, or a listing and PTX."""
    if data[:1] != b"\x7f":
        said = text(data)
        code = tuple(disassembly._parsed(said))
        for loop in disassembly.innermost(code):
            disassembly.Loop("f", loop).listing()
            assert disassembly.Loop("f", loop).operations >= 0
        resources = kernels._resources(said)
        bodies = kernels._bodies(said)
        nothing = (0, 0, 0, 0)
        kernels.table(
            kernels.Kernel(kernels._plain(name), *resources.get(name, nothing), body)
            for name, body in bodies.items()
        )
        return
    try:
        image = disassembly._Image(data)
    except ValueError:
        return
    for symbol in image.functions.values():
        assert len(image.code_of(symbol)) <= len(data)
        found = image.function_at(symbol.start)
        assert found is None or found in image.functions
