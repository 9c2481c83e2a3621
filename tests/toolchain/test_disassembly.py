"""Loops of real functions, compiled here, and files that are no libraries."""

from __future__ import annotations

import contextlib
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grader.toolchain.disassembly import Instruction, Loop, MachineCode, innermost
from tests.conftest import needs

pytestmark = needs("gcc", "objdump")

FLAGS = ("-O3", "-fno-tree-vectorize", "-mavx2", "-mfma", "-ffp-contract=off", "-fPIC", "-shared")
VECTOR_LOOP = """
    size_t i = 0;
    for (; i + 8 <= n; i += 8)
        _mm256_storeu_ps(c + i, _mm256_fmadd_ps(_mm256_loadu_ps(a + i), _mm256_set1_ps(2), _mm256_loadu_ps(c + i)));
    for (; i < n; i++)
        c[i] += a[i] * a[i];
"""
SCALAR_LOOP = "for (size_t i = 0; i < n; i++) c[i] += a[i] * a[i];"


def library(folder: Path, source: str, *flags: str) -> Path:
    (folder / "f.c").write_text("#include <immintrin.h>\n#include <stddef.h>\n" + source)
    command = ["gcc", *FLAGS, *flags, str(folder / "f.c"), "-o", str(folder / "lib.so")]
    subprocess.run(command, check=True, timeout=60)
    return folder / "lib.so"


def function(body: str, name: str = "work", before: str = "") -> str:
    return f"{before}\nvoid {name}(size_t n, const float *a, float *c)\n{{\n{body}\n}}\n"


def hot(folder: Path, source: str, *flags: str, name: str = "work") -> Loop:
    loop = MachineCode(library(folder, source, *flags)).hot_loop(name)
    assert loop is not None
    return loop


def test_the_hot_loop_is_the_one_with_most_arithmetic(tmp_path: Path) -> None:
    loop = hot(tmp_path, function(VECTOR_LOOP))
    assert [item.mnemonic[:5] for item in loop.instructions if item.is_packed_fma] == ["vfmad"]
    assert loop.operations == 16
    assert "vfmadd" in loop.listing()
    assert "%ymm" in loop.listing()


def test_plain_c_is_no_packed_fma(tmp_path: Path) -> None:
    loop = hot(tmp_path, function(SCALAR_LOOP))
    assert not any(item.is_fma for item in loop.instructions)
    assert loop.operations == 2


def test_a_scalar_fma_is_no_packed_one(tmp_path: Path) -> None:
    loop = hot(tmp_path, function(SCALAR_LOOP), "-ffp-contract=fast")
    assert [item.is_packed_fma for item in loop.instructions if item.is_fma] == [False]


@pytest.mark.parametrize(
    "how",
    [
        "static void inner(size_t n, const float *a, float *c)",
        "static __attribute__((noinline)) void inner(size_t n, const float *a, float *c)",
        "void inner(size_t n, const float *a, float *c)",
    ],
    ids=["inlined", "static", "exported"],
)
def test_functions_that_are_called_count(tmp_path: Path, how: str) -> None:
    before = f"{how}\n{{\n{VECTOR_LOOP}\n}}"
    loop = hot(tmp_path, function("for (int i = 0; i < 9; i++) inner(n, a, c + i * n);", before=before))
    assert any(item.is_packed_fma for item in loop.instructions)


@pytest.mark.parametrize("kind", ["static __attribute__((noinline))", "__attribute__((noinline))"])
def test_functions_behind_a_pointer_count(tmp_path: Path, kind: str) -> None:
    before = (
        f"{kind} void inner(size_t n, const float *a, float *c)\n{{\n{VECTOR_LOOP}\n}}\n"
        "typedef void kernel(size_t, const float *, float *);\n"
        "__attribute__((noinline, noclone)) static void run(kernel *k, size_t n, const float *a, float *c)\n"
        "{ k(n, a, c); k(n, a, c); }"
    )
    loop = hot(tmp_path, function("run(inner, n, a, c);", before=before))
    assert any(item.is_packed_fma for item in loop.instructions)


def test_functions_that_are_not_called_do_not_count(tmp_path: Path) -> None:
    source = function(SCALAR_LOOP) + function(VECTOR_LOOP, "unused")
    assert not any(item.is_packed_fma for item in hot(tmp_path, source).instructions)


def test_a_function_without_loops_has_none(tmp_path: Path) -> None:
    code = MachineCode(library(tmp_path, function("c[0] = a[0] * (float)n;")))
    assert code.hot_loop("work") is None
    with pytest.raises(KeyError):
        code.loops("absent")


def test_names_cannot_pose_as_instructions(tmp_path: Path) -> None:
    """Not even a name with line breaks, as an assembler or an editor of binaries can make it."""
    hostile = b">:\n    1000:\tvfmadd231ps %ymm0,%ymm1,%ymm2\n"
    name = "x" * len(hostile)
    source = function(SCALAR_LOOP, name) + function(f"{name}(n, a, c);")
    path = library(tmp_path, source)
    path.write_bytes(path.read_bytes().replace(name.encode(), hostile))
    loop = MachineCode(path).hot_loop("work")
    assert loop is not None
    assert loop.function.encode() == hostile
    assert not any(item.is_fma for item in loop.instructions)


def test_wider_vectors_are_seen(tmp_path: Path) -> None:
    source = function("__m512 v = _mm512_loadu_ps(a); _mm512_storeu_ps(c, _mm512_add_ps(v, v));")
    assert any(
        item.uses_avx512 for item in MachineCode(library(tmp_path, source, "-mavx512f")).instructions()
    )
    source = function(VECTOR_LOOP)
    assert not any(item.uses_avx512 for item in MachineCode(library(tmp_path, source)).instructions())


def line(address: int, mnemonic: str, operands: str = "") -> Instruction:
    return Instruction(address, mnemonic, operands)


def test_only_innermost_loops_are_loops() -> None:
    code = tuple(
        line(*item)
        for item in [
            (0, "nop"),
            (1, "nop"),
            (2, "nop"),
            (3, "jne", "0x2"),
            (4, "add"),
            (5, "jb", "0x1"),
            (6, "ret"),
        ]
    )
    assert [[item.address for item in body] for body in innermost(code)] == [[2, 3]]


def test_jumps_forward_and_out_of_the_function_are_no_loops() -> None:
    code = (line(10, "jmp", "0x3"), line(11, "je", "0xd"), line(13, "call", "0xa"))
    assert innermost(code) == []


def test_a_long_listing_is_cut_in_the_middle() -> None:
    loop = Loop("f", tuple(line(i, "nop") for i in range(100)))
    lines = loop.listing(10).splitlines()
    assert len(lines) == 11
    assert "90 more" in lines[5]
    assert lines[-1].strip().startswith("63:")


@given(st.binary(max_size=400))
def test_what_is_no_library_is_refused(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "noise.so"
    for content in (data, b"\x7fELF\x02\x01" + data):
        path.write_bytes(content)
        try:
            list(MachineCode(path).instructions())
        except ValueError:
            continue


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return library(tmp_path_factory.mktemp("whole"), function(VECTOR_LOOP)).read_bytes()


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_a_damaged_library_never_surprises(
    tmp_path_factory: pytest.TempPathFactory, whole: bytes, data: st.DataObject
) -> None:
    damaged = bytearray(whole[: data.draw(st.integers(0, len(whole)))] if data.draw(st.booleans()) else whole)
    for _ in range(data.draw(st.integers(1, 4))):
        near_the_tables = data.draw(st.integers(max(0, len(damaged) - 4000), max(0, len(damaged) - 1)))
        if damaged:
            damaged[near_the_tables] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.getbasetemp() / "damaged.so"
    path.write_bytes(damaged)
    with contextlib.suppress(ValueError, KeyError):
        MachineCode(path).loops("work")
