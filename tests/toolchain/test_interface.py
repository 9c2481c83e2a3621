"""A header as cffi reads it."""

from __future__ import annotations

from pathlib import Path

import pytest

from grader.toolchain import interface
from tests.fixtures import tiny


@pytest.fixture
def read(tmp_path: Path):
    def run(text: str, extra: str = "") -> interface.Interface:
        header = tmp_path / "lab.h"
        header.write_text(text)
        interface.read.cache_clear()
        return interface.read(header, extra)

    return run


def shape(function: interface.Function) -> list[tuple[str, str, bool]]:
    return [(item.name, item.type.cname, item.is_const) for item in function.parameters]


def test_the_tiny_lab() -> None:
    found = interface.read(tiny.lab().header_path)
    assert found.names == (
        *("tiny_add", "tiny_mix", "tiny_mean", "tiny_scale", "tiny_copy", "tiny_find_bounds", "tiny_inside"),
        *("tiny_stack_new", "tiny_stack_push", "tiny_stack_size", "tiny_stack_free", "tiny_act"),
    )
    assert shape(found.functions["tiny_add"]) == [("a", "int", False), ("b", "int", False)]
    assert shape(found.functions["tiny_mean"]) == [
        ("values", "double *", True),
        ("count", "size_t", False),
    ]
    assert [item.is_const for item in found.functions["tiny_find_bounds"].parameters] == [True, False, False]
    assert [item.is_const for item in found.functions["tiny_inside"].parameters] == [True, False]
    assert [item.type.kind for item in found.functions["tiny_stack_push"].parameters] == [
        "pointer",
        "primitive",
    ]


@pytest.mark.parametrize(
    ("parameter", "name", "type_name", "is_const"),
    [
        ("float f", "f", "float", False),
        ("unsigned char c", "c", "unsigned char", False),
        ("const char *r", "r", "char *", True),
        ("char const *r", "r", "char *", True),
        ("float *const t", "t", "float *", False),
        ("const float *const t", "t", "float *", True),
        ("float a[4]", "a", "float *", False),
        ("const float a[]", "a", "float *", True),
        ("const float a[4][8]", "a", "float(*)[8]", True),
        ("float a[4][8]", "a", "float(*)[8]", False),
        ("const char **names", "names", "char * *", False),
        ("void *block", "block", "void *", False),
        ("const void *block", "block", "void *", True),
        ("int (*h)(char, short h2)", "h", "int(*)(char, short)", False),
        ("size_t size", "size", "size_t", False),
        ("bool b", "b", "_Bool", False),
        ("int64_t t", "t", "int64_t", False),
        ("float", "number 1", "float", False),
        ("const float *", "number 1", "float *", True),
    ],
)
def test_a_parameter(read, parameter: str, name: str, type_name: str, is_const: bool) -> None:
    text = f"#include <stddef.h>\n#include <stdint.h>\n#include <stdbool.h>\nint call({parameter});\n"
    [found] = shape(read(text).functions["call"])
    assert found[0] == name
    assert found[1].replace("const ", "").replace(" const", "") == type_name
    assert found[2] == is_const


def test_nothing_in_nothing_out(read) -> None:
    found = read("void one(void);\nint two();\nextern int counter;\ntypedef int number;\n")
    assert found.names == ("one", "two")
    assert found.functions["one"].parameters == found.functions["two"].parameters == ()


def test_every_parameter_counts_named_or_not(read) -> None:
    found = read("int call(int first, int, float *third);")
    assert [item.name for item in found.functions["call"].parameters] == ["first", "number 2", "third"]


def test_functions_that_return_pointers_and_structs_by_tag(read) -> None:
    found = read("struct point { int x, y; };\nstruct point *make(int x);\nint use(const struct point *p);\n")
    assert found.names == ("make", "use")
    assert shape(found.functions["use"])[0][2] is True


def test_enums_macros_comments_and_conditions(read) -> None:
    found = read(
        "#ifndef H\n#define H\n/* not a(void); */\n#define COUNT 3\n#ifdef NEVER\nint never(void);\n#endif\n"
        "typedef enum { A = COUNT, B } which;\nint call(which w);\n#endif\n"
    )
    assert found.names == ("call",)
    assert found.ffi.typeof("which").elements == {3: "A", 4: "B"}


def test_declarations_behind_the_header(read) -> None:
    assert read("int one(void);", "int two(int x);").names == ("one", "two")


@pytest.mark.parametrize(
    "text", ["int call(", "#error no\n", "#include <no_such_header.h>\n", "int call(unknown x);"]
)
def test_what_is_no_header_is_refused_by_name(read, text: str) -> None:
    with pytest.raises(ValueError, match=r"lab\.h"):
        read(text)


def test_the_users_own_include_path_has_no_say(tmp_path, monkeypatch):
    """CPATH comes before the empty headers, and before those of the system."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "stddef.h").write_text(
        "typedef int planted __attribute__((aligned(16)));\n#define size_t planted\n"
    )
    monkeypatch.setenv("CPATH", str(elsewhere))
    header = tmp_path / "lab.h"
    header.write_text("#include <stddef.h>\nint count(size_t n);\n")
    assert "planted" not in interface.declarations(header)
