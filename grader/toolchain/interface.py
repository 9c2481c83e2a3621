"""A lab's declarations, as cffi understands them: which functions tests may call, and their parameters.

The header that students include is the only source: it is preprocessed without the system's headers (whose plain
types cffi knows anyway), and what remains are the lab's own declarations.
"""

from __future__ import annotations

import functools
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cffi
from pycparser import c_ast, c_generator, c_parser

from grader import cc

_EMPTY_HEADERS = (
    *("stddef.h", "stdint.h", "stdbool.h", "stdio.h", "sys/types.h", "pthread.h", "immintrin.h"),
    *("cuda_runtime.h", "cuda_fp16.h"),
)
_PLAIN_TYPES = (
    *("size_t", "ssize_t", "ptrdiff_t", "intptr_t", "uintptr_t", "off_t", "bool", "FILE"),
    *(f"{sign}int{bits}_t" for sign in ("", "u") for bits in (8, 16, 32, 64)),
)


@dataclass(frozen=True)
class Parameter:
    """One parameter: its name in the header, cffi's type, and whether the function may write through it."""

    name: str
    type: Any
    is_const: bool


@dataclass(frozen=True)
class Function:
    """One C function of the header."""

    name: str
    parameters: tuple[Parameter, ...]


@dataclass(frozen=True)
class Interface:
    """The declarations' text (for `cdef`), a cffi instance that has read it, and the functions in order."""

    declarations: str
    ffi: Any
    functions: dict[str, Function]

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self.functions)


@functools.lru_cache(maxsize=16)
def read(header: Path, extra: str = "") -> Interface:
    """Read a header, and `extra` declarations behind it.

    Raises ValueError with the header's name when it cannot be preprocessed or cffi does not understand it.
    """
    text = declarations(header) + "\n" + extra
    ffi = cffi.FFI()
    typedefs = "".join(f"typedef long {name};\n" for name in _PLAIN_TYPES)
    try:
        ffi.cdef(text)
        tree = c_parser.CParser().parse(typedefs + text)
        functions = [_function(ffi, node) for node in tree.ext if _is_function(node)]
    except Exception as error:  # cffi lets pycparser's own exceptions through
        raise ValueError(f"{header}: cffi cannot read these declarations: {error}") from error
    return Interface(text, ffi, {function.name: function for function in functions})


def _is_function(node: Any) -> bool:
    return isinstance(node, c_ast.Decl) and isinstance(node.type, c_ast.FuncDecl)


def _function(ffi: Any, node: Any) -> Function:
    declared = node.type.args.params if node.type.args else []
    named = [item for item in declared if isinstance(item, (c_ast.Decl, c_ast.Typename))]
    parameters = [_parameter(ffi, item, number) for number, item in enumerate(named, 1)]
    return Function(node.name, tuple(item for item in parameters if item.type.kind != "void"))


def _parameter(ffi: Any, node: Any, number: int) -> Parameter:
    """A parameter as C passes it: an array is a pointer to its items. Without a name its place names it."""
    target = node.type.type if isinstance(node.type, (c_ast.PtrDecl, c_ast.ArrayDecl)) else None
    while isinstance(target, c_ast.ArrayDecl):
        target = target.type
    is_const = "const" in (getattr(target, "quals", None) or [])
    declared = ffi.typeof(_nameless(node))
    passed = ffi.typeof(ffi.getctype(declared.item, "*")) if declared.kind == "array" else declared
    return Parameter(node.name or f"number {number}", passed, is_const)


def _nameless(node: Any) -> str:
    """A parameter's type in C: 'const float *' of 'const float *A'."""
    innermost = node.type
    while not isinstance(innermost, c_ast.TypeDecl):
        innermost = innermost.type
    innermost.declname = None
    return str(c_generator.CGenerator().visit(c_ast.Typename(None, node.quals, None, node.type)))


@functools.lru_cache(maxsize=32)
def declarations(header: Path) -> str:
    """A header's own declarations, without directives and comments. Raises ValueError when it is no C.

    Like `read`, it reads a header once in a process's life.
    """
    with tempfile.TemporaryDirectory() as folder:
        for name in _EMPTY_HEADERS:
            empty = Path(folder, name)
            empty.parent.mkdir(parents=True, exist_ok=True)
            empty.touch()
        command = [cc.find().program, "-E", "-P", "-nostdinc", "-isystem", folder, str(header)]
        answer = subprocess.run(command, capture_output=True, text=True, env=cc.environment())
    if answer.returncode != 0:
        raise ValueError(f"{header}: cannot be preprocessed:\n{answer.stderr.strip()}")
    return answer.stdout
