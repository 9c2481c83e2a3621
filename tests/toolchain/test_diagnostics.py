"""Messages of gcc and ld become diagnostics that a student can act on: real messages, made here."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from grader.toolchain import diagnostics
from grader.toolchain.diagnostics import Diagnostic, parse, render, summarise

FLAGS = ["-std=gnu11", "-O3", "-mavx2", "-fPIC", "-Wall", "-Wextra", "-Wvla", "-Wpointer-sign"]
JSON = "-fdiagnostics-format=json"


def gcc(folder: Path, source: str, *extra: str, language: str = "C") -> str:
    """What gcc writes to stderr about gemm.c; `extra`: more options, or more files."""
    (folder / "gemm.c").write_text(source)
    environment = {"PATH": "/usr/bin:/bin", "LC_ALL": language}
    done = subprocess.run(
        ["gcc", *FLAGS, *extra, "gemm.c"],
        cwd=folder,
        env=environment,
        capture_output=True,
        timeout=60,
        check=False,
    )
    return done.stderr.decode("utf-8", "replace")


# One wrong program for each entry of hints.yaml: the mistake -> the source, and words of the hint.
MISTAKES: dict[str, tuple[str, str]] = {
    "c++ word": ("int *f(void) { return new int; }", "This is C++"),
    "forgotten include, function": (
        "void *f(void) { return malloc(3); }",
        "malloc is declared in a header that is not included yet: add #include <stdlib.h>",
    ),
    "forgotten include, name": (
        "int f(void) { return errno; }",
        "errno comes from a header that is not included yet: add #include <errno.h>",
    ),
    "forgotten include, type": ("void f(void) { uint64_t x; }", "#include <stdint.h>"),
    "forgotten include, builtin": ("float f(float a) { return fabsf(a); }", "missing #include <math.h>"),
    "implicit declaration": ("int f(void) { return pack_aa(); }", "has not seen pack_aa yet"),
    "unknown type": ("gemm_opp f(void);", "gemm_opp is not a type"),
    "undeclared": ("int f(void) { return total; }", "total has no declaration here"),
    "no such file": ('#include "mylib.h"\n', "Only the lab's own files"),
    "missing semicolon": ("int f(int a) { int b = a + 1\n return b; }", "ends with a semicolon"),
    "unbalanced brace": ("int f(int a) { if (a) { return 1;\n return 0; }\n", "a closing brace } is missing"),
    "too many braces": ("int f(int a) { return a; }\n}\n", "one closing brace } too many"),
    "missing parenthesis": ("int f(int a) { if (a { return 1; } return 0; }", "parentheses do not match"),
    "missing bracket": ("#define N 10;\nint a[N];", "a #define used here ends with a semicolon"),
    "missing expression": ("int f(int a) { return a + ; }", "A value is missing here"),
    "typographic character": ("int f(void) { return 1 – 2; }", "not plain ASCII"),
    "stray character": ("int f(void) { return 1 @ 2; }", "The character @ has no meaning"),
    "unterminated string": (
        '#include <stdio.h>\nvoid f(void) { printf("hi); }',
        "is not closed on this line",
    ),
    "unterminated comment": ("int f(void) { return 1; /* a }\n", "never closed"),
    "unterminated #if": ("#ifndef X\nint a;\n", "needs its #endif"),
    "else without if": ("int f(int a) { if (a); a++; else a--; return a; }", "This else has no if"),
    "break outside loop": ("int f(int a) { break; return a; }", "only inside a loop"),
    "static against header": ("int f(void);\nstatic int f(void) { return 1; }", "remove static here"),
    "conflicting types": (
        "int f(int a);\nint f(long a) { return (int)a; }",
        "copy its declaration from the lab's header",
    ),
    "redeclaration": ("int f(void) { int b = 1; int b; return b; }", "b is declared twice"),
    "redefinition": ("int f(void) { return 1; }\nint f(void) { return 2; }", "f is defined twice"),
    "incomplete type": ("struct q;\nvoid f(void) { struct q x; }", "not what is in it"),
    "implicit int": ("static x;", "The type is missing"),
    "constant initializer": ("int n = 3;\nint b = n;", "must be known while compiling"),
    "too few arguments": ("int g(int a, int b);\nint f(void) { return g(1); }", "an argument is missing"),
    "too many arguments": (
        "int g(int a, int b);\nint f(void) { return g(1, 2, 3); }",
        "an argument too many",
    ),
    "not a function": ("int f(int a) { return a(3); }", "is not a function: often an operator is missing"),
    "incompatible argument": (
        "int g(float p);\nint f(float *x) { return g(x); }",
        "Argument 1 of g has another type",
    ),
    "void value": ("void g(void);\nint f(void) { int x = g(); return x; }", "The function returns nothing"),
    "format mismatch": ('#include <stdio.h>\nvoid f(unsigned long x) { printf("%d", x); }', "%zu size_t"),
    "format extra": ('#include <stdio.h>\nvoid f(void) { printf("a", 3); }', "more arguments than % places"),
    "discards const": ("void f(const float *x) { float *y = x; *y = 1; }", "The data is const"),
    "pointer signedness": ("int g(unsigned *a);\nint f(int *x) { return g(x); }", "differ in signedness"),
    "incompatible pointer": (
        "int g(float *a);\nint f(double *x) { return g(x); }",
        "point to different types",
    ),
    "pointer from integer": (
        "int g(float *a);\nint f(int x) { return g(x); }",
        "A number is used as an address",
    ),
    "integer from pointer": ("int f(float *p) { int y = p; return y; }", "An address is used as a number"),
    "subscript not integer": ("int f(int *a, float x) { return a[x]; }", "An index must be an integer"),
    "not an array": ("int f(int a) { return a[1]; }", "A[i * lda + j]"),
    "invalid operands": ("float f(float *a, float b) { return a * b; }", "The operator * does not work"),
    "dereference of a number": ("int f(int a) { return *a; }", "* needs a pointer"),
    "dot or arrow": (
        "struct s { int a; };\nint f(struct s *p) { return p.a; }",
        "write -> instead of the dot",
    ),
    "no such member": (
        "struct s { int a; };\nint f(struct s *p) { return p->b; }",
        "The struct has no member b",
    ),
    "array assignment": ("int f(void) { int a[3], b[3] = {0}; a = b; return a[0]; }", "memcpy"),
    "read-only": ("void f(const float *a) { a[0] = 1; }", "This data is const"),
    "not assignable": ("int f(int a) { a + 1 = 3; return a; }", "a place in memory"),
    "strict aliasing": ("int f(float x) { return *(int *)&x; }", "use memcpy"),
    "sizeof pointer": (
        "#include <string.h>\nvoid f(float *a) { memset(a, 0, sizeof(a)); }",
        "sizeof of a pointer is 8",
    ),
    "address of a local": ("int *f(void) { int a[3] = {0}; return a; }", "gone when its block ends"),
    "use after free": (
        "#include <stdlib.h>\nint f(void) { int *a = malloc(40); free(a); return a[0]; }",
        "free it last",
    ),
    "null argument": ("#include <string.h>\nvoid f(char *a) { memcpy(a, NULL, 3); }", "null pointer"),
    "assignment in condition": ("int f(int a) { if (a = 3) return 1; return 0; }", "write == here"),
    "precedence": ("int f(int a) { return a & 1 == 0; }", "say with parentheses"),
    "void returns value": ("void f(void) { return 1; }", "declared void"),
    "missing return": ("int f(int c) { if (c) return 1; }", "add a return at the end"),
    "uninitialised": ("int f(void) { int x; return x; }", "before anything was stored in it"),
    "maybe uninitialised": (
        "int g(int *);\nint f(int c) { int x; if (g(&c)) x = c; g(&c); return x; }",
        "On some path",
    ),
    "signedness": (
        "#include <stddef.h>\nint f(size_t n) { int s = 0; for (int i = 0; i < n; i++) s++; return s; }",
        "use size_t",
    ),
    "always true": ("int f(unsigned a) { return a >= 0; }", "never below 0"),
    "unused variable": ("void f(void) { int x; }", "never read"),
    "unused parameter": ("void f(int p) { }", "write (void)p; as the first line"),
    "unused function": ("static int h(void) { return 1; }", "Nothing uses h"),
    "unused result": (
        "__attribute__((warn_unused_result)) int g(void);\nvoid f(void) { g(); }",
        "g can fail",
    ),
    "no effect": ("void f(int a) { a == 3; }", "== where = was meant"),
    "misleading indentation": ("int f(int a) {\n  if (a)\n    a++;\n    a--;\n  return a;\n}", "add braces"),
    "empty body": ("int f(int a) { if (a); return 1; }", "a semicolon right after if"),
    "fallthrough": (
        "int f(int a) { switch (a) { case 1: a++; case 2: a += 2; } return a; }",
        "end it with break",
    ),
    "integer overflow": ("long f(void) { return 3000000 * 3000; }", "(size_t)a * b"),
    "shift too far": ("int f(int x) { return x << 40; }", "(uint64_t)1 << n"),
    "division by zero": ("int f(int x) { return x / 0; }", "divides by zero"),
    "array bounds": ("int f(void) { int a[4] = {0}; return a[7]; }", "0 to n - 1"),
    "loop past the end": (
        "int a[4];\nint f(void) { int s = 0; for (int i = 0; i <= 4; i++) s += a[i]; return s; }",
        "i < n",
    ),
    "excess elements": ("int a[2] = {1, 2, 3};", "more initial values than elements"),
    "variable length array": (
        "int g(int *);\nint f(int n) { int a[n]; return g(a); }",
        "overflows the stack",
    ),
    "huge allocation": (
        "#include <stdlib.h>\nvoid *f(void) { return malloc(-1); }",
        "negative or overflowed",
    ),
    "multi-character constant": ("int f(void) { return 'ab'; }", "a string has double quotes"),
    "string comparison": ('int f(char *a) { return a == "x"; }', "strcmp"),
    "duplicate case": (
        "int f(int a) { switch (a) { case 1: return 1; case 1: return 2; } return a; }",
        "same value",
    ),
    "jump into scope": (
        "int f(int n) { goto out; { int a[n]; a[0] = 1; out: return a[0]; } }",
        "its own { }",
    ),
    "unknown pragma": ("#pragma omp simd\nint a;", "ignores it: remove it"),
    "instruction set": (
        "#include <immintrin.h>\nvoid f(float *a) { _mm512_storeu_ps(a, _mm512_loadu_ps(a)); }",
        "_mm512_storeu_ps needs instructions that this lab does not allow",
    ),
    "instruction set, vector type": (
        "#include <immintrin.h>\n__m512 f(__m512 a) { return a; }",
        "such as __m256",
    ),
    "constant needed by intrinsic": (
        "#include <immintrin.h>\n__m256 f(__m256 a, int i) { return _mm256_permute_ps(a, i); }",
        "not a variable",
    ),
    "assembler": ('void f(void) { __asm__("foo %rax"); }', "does not know this instruction"),
    "undefined main": ("int f(void) { return 1; }", "The program has no main"),
    "undefined, mathematics": (
        'double g(double) __asm__("sqrt");\nint main(int c, char **v) { return (int)g(c) + !v; }',
        "link with -lm",
    ),
    "undefined, BLAS": (
        "void cblas_sgemm(void);\nint main(void) { cblas_sgemm(); }",
        "belongs to a BLAS library",
    ),
    "undefined, C++": ('void g(void) __asm__("__cxa_throw");\nint main(void) { g(); }', "belongs to C++"),
    "undefined reference": (
        "void gemm_pack(void);\nint main(void) { gemm_pack(); }",
        "gemm_pack is called but defined nowhere",
    ),
    "multiple definition": ("int n = 3;\nint main(void) { return 0; }", "n is defined in two files"),
    "missing library": ("int main(void) { return 0; }", "The library nonesuch is not part of this lab"),
}
# Not to be had from a small program here: a message as the tools word it -> words of the hint.
WORDED = {
    "position-independent": (
        "/usr/bin/ld: x.o: relocation R_X86_64_32 against `.rodata' "
        "can not be used when making a shared object; recompile with -fPIC",
        "needs -fPIC",
    ),
    "compiler killed": ("gcc: fatal error: Killed signal terminated program cc1", "ran out of memory"),
}


def arguments(mistake: str, folder: Path) -> list[str]:
    if mistake == "multiple definition":
        (folder / "other.c").write_text("int n = 4;\n")
        return ["-g", "other.c", "-o", "program"]
    if mistake == "missing library":
        return ["-Wl,--no-as-needed", "-lnonesuch", "-o", "program"]
    return (
        ["-o", "program"]
        if mistake.startswith("undefined") and mistake != "undeclared"
        else ["-c", "-o", "x.o"]
    )


def test_every_entry_of_the_table_has_its_wrong_program() -> None:
    assert {hint.mistake for hint in diagnostics.hints()} == {*MISTAKES, *WORDED}


@pytest.mark.parametrize("mistake", MISTAKES)
@pytest.mark.parametrize("form", [[JSON], []], ids=["json", "text"])
def test_the_hint_appears_on_the_real_message(mistake: str, form: list[str], tmp_path: Path) -> None:
    source, words = MISTAKES[mistake]
    found = parse(gcc(tmp_path, source, *form, *arguments(mistake, tmp_path)))
    assert [d for d in found if words in d.hint], found
    assert all(d.severity in ("error", "warning") for d in found)


@pytest.mark.parametrize("mistake", WORDED)
def test_the_hint_appears_on_the_worded_message(mistake: str) -> None:
    message, words = WORDED[mistake]
    assert words in parse(message)[0].hint


@pytest.mark.parametrize(
    "mistake", ["missing semicolon", "undeclared", "conflicting types", "stray character"]
)
def test_typographic_quotes_of_other_languages_settings_make_no_difference(
    mistake: str, tmp_path: Path
) -> None:
    plain, curly = (
        parse(gcc(tmp_path, MISTAKES[mistake][0], JSON, "-c", language=language))
        for language in ("C", "C.UTF-8")
    )
    assert plain == curly


COMMON = {
    "stdlib.h": "malloc free posix_memalign exit strtol",
    "string.h": "memcpy memset strcmp strtok_r strerror",
    "stdio.h": "printf fprintf stderr FILE perror",
    "errno.h": "errno EINVAL ENOMEM EOVERFLOW",
    "stddef.h": "size_t NULL ptrdiff_t",
    "stdint.h": "uint64_t int8_t uintptr_t SIZE_MAX INT32_MAX",
    "stdbool.h": "bool true",
    "assert.h": "assert",
    "immintrin.h": "_mm256_loadu_ps __m256 __m128i _mm_prefetch",
    "pthread.h": "pthread_create pthread_t PTHREAD_MUTEX_INITIALIZER",
    "semaphore.h": "sem_t sem_post",
    "math.h": "fabsf sqrt expf fmaf INFINITY isnan M_PI",
    "limits.h": "INT_MAX CHAR_BIT UINT_MAX",
    "float.h": "FLT_EPSILON DBL_MAX",
    "stdatomic.h": "atomic_int atomic_fetch_add memory_order_relaxed",
    "time.h": "clock_gettime CLOCK_MONOTONIC nanosleep",
    "unistd.h": "fork pipe dup2 execvp write _SC_NPROCESSORS_ONLN STDIN_FILENO",
    "fcntl.h": "open O_RDONLY fcntl",
    "sys/mman.h": "mmap PROT_READ MAP_PRIVATE madvise",
    "sys/wait.h": "waitpid WIFEXITED WEXITSTATUS WNOHANG",
    "sys/stat.h": "fstat stat",
    "signal.h": "sigaction SIGINT kill SIGUSR1 SA_RESTART",
    "sys/types.h": "pid_t ssize_t off_t",
    "sched.h": "sched_yield cpu_set_t CPU_SET",
    "stdarg.h": "va_list va_start",
    "inttypes.h": "PRIu64",
}


@pytest.mark.parametrize(
    ("name", "header"),
    [(name, header) for header, names in COMMON.items() for name in names.split()],
)
def test_headers_of_common_names(name: str, header: str, tmp_path: Path) -> None:
    assert diagnostics.header_of(name) == header
    # The header really has it: the name is known once it is included.
    source = (
        f"#define _GNU_SOURCE\n#include <{header}>\n#ifndef {name}\ntypedef __typeof__({name}) t;\n#endif\n"
    )
    assert [d for d in parse(gcc(tmp_path, source, JSON, "-c", "-o", "x.o")) if d.severity == "error"] == []


def test_own_names_have_no_header() -> None:
    assert diagnostics.header_of("gemm_f32") is None
    assert diagnostics.header_of("") is None


def test_the_place_the_option_and_the_notes_are_kept(tmp_path: Path) -> None:
    (tmp_path / "gemm.h").write_text("\nint gemm(float a);\n")
    source = '#include "gemm.h"\nint gemm(int a) {\n    int unused;\n    return a;\n}\n'
    first, second = parse(gcc(tmp_path, source, JSON, "-c"))
    assert (first.file, first.line, first.column, first.severity) == ("gemm.c", 2, 5, "error")
    assert first.message == "conflicting types for 'gemm'; have 'int(int)'"
    assert first.notes == ("previous declaration of 'gemm' with type 'int(float)' (gemm.h:2)",)
    assert (second.severity, second.option, second.line, second.column) == (
        "warning",
        "-Wunused-variable",
        3,
        9,
    )


def test_a_warning_made_an_error_keeps_its_option(tmp_path: Path) -> None:
    source = "void f(void) { int x; }\n"
    for form in ([JSON], []):
        [found] = parse(gcc(tmp_path, source, "-Werror", "-c", *form))
        assert (found.severity, found.option, found.message) == (
            "error",
            "-Wunused-variable",
            "unused variable 'x'",
        )


def test_an_intrinsic_that_is_not_allowed_points_to_the_students_line(tmp_path: Path) -> None:
    source = MISTAKES["instruction set"][0]
    errors = [d for d in parse(gcc(tmp_path, source, JSON, "-c")) if d.severity == "error"]
    assert errors
    assert {(d.file, d.line, d.column) for d in errors} == {("gemm.c", 2, 20)}


def test_the_linker_names_the_students_line(tmp_path: Path) -> None:
    source = "void pack_a(void);\nint gemm(void) {\n    pack_a();\n    return 0;\n}\n"
    text = gcc(tmp_path, source, "-g", "-shared", "-Wl,-z,defs", JSON, "-o", "libgemm.so")
    [found] = parse(text, folder=str(tmp_path))
    assert (found.file, found.line, found.severity) == ("gemm.c", 3, "error")
    assert parse(text)[0].file == f"{tmp_path}/gemm.c"
    assert found.message == "undefined reference to 'pack_a'"


def test_the_linker_names_both_definitions(tmp_path: Path) -> None:
    (tmp_path / "other.c").write_text("\nint n = 4;\n")
    [found] = parse(gcc(tmp_path, "int n = 3;\n", "-g", "-shared", "other.c", "-o", "libgemm.so"))
    places = {f"{Path(found.file).name}:{found.line}", found.notes[0]}
    assert found.message == "multiple definition of 'n'"
    assert places in (
        {"gemm.c:1", "first defined here (other.c:2)"},
        {"other.c:2", "first defined here (gemm.c:1)"},
    )


def test_a_failing_linker_that_says_no_more_is_still_an_error() -> None:
    assert [d.message for d in parse("collect2: error: ld returned 1 exit status\n")] == [
        "ld returned 1 exit status"
    ]


def test_compiler_output_with_other_text_around_it(tmp_path: Path) -> None:
    text = gcc(tmp_path, "int f(void) { return total; }\n", JSON, "-c")
    linker = "/usr/bin/ld: x.o: in function `f':\ngemm.c:3: undefined reference to `g'\n"
    noisy = f"make: entering\n[1] something\n{text}\n{linker}"
    assert [d.message for d in parse(noisy) if d.severity == "error"] == [
        "'total' undeclared (first use in this function)",
        "undefined reference to 'g'",
    ]


def test_output_cut_short_keeps_the_whole_messages(tmp_path: Path) -> None:
    text = gcc(tmp_path, "void f(void) { int a; int b; int c; }\n", JSON, "-c")
    assert len(parse(text)) == 3
    assert parse(text[: text.rindex('"message"')]) == parse(text)[:2]


def test_messages_of_gcc_9_without_the_newer_columns() -> None:
    caret = {"file": "./gemm.c", "line": 4, "column": 7}
    text = json.dumps(
        [
            {
                "kind": "error",
                "message": "expected ‘;’ before ‘}’ token",
                "locations": [{"caret": caret}],
                "children": [],
            }
        ]
    )
    [found] = parse(text)
    assert (found.file, found.line, found.column, found.message) == (
        "gemm.c",
        4,
        7,
        "expected ';' before '}' token",
    )
    assert "semicolon" in found.hint


def test_many_messages_are_limited() -> None:
    text = "".join(f"gemm.c:{n}:1: error: no\n" for n in range(1, 1000))
    assert len(parse(text)) == diagnostics.MAX_DIAGNOSTICS


# --- showing ---------------------------------------------------------------------------------------------
def test_the_students_line_is_shown_with_a_caret(tmp_path: Path) -> None:
    source = "float dot(int n, float *a, float *b) {\n    float sum = 0;\n"
    source += "    sum += a[n] * b[n]\n    return sum;\n}\n"
    [found] = [d for d in parse(gcc(tmp_path, source, JSON, "-c")) if d.severity == "error"]
    assert render(found, source) == (
        "gemm.c:3:23: error: expected ';' before 'return'\n"
        "    3 |     sum += a[n] * b[n]\n"
        "      |                       ^\n"
        "hint: A statement or declaration ends with a semicolon; "
        "the compiler often notices only at the next word or line."
    )


@pytest.mark.parametrize(
    ("line", "shown", "caret"),
    [
        ("\t\tx = y;", "        x = y;", 8),
        ("  \tx = y;", "    x = y;", 4),
        ("int é; x = y;", "int é; x = y;", 7),
        ("/* 行列 */ x = y;", "/* 行列 */ x = y;", 11),
        ("/* a\u0301 */ x = y;", "/* a\u0301 */ x = y;", 8),
        ("\x1b[31m x = y;\r", "?[31m x = y;", 6),
    ],
)
def test_the_caret_stands_under_its_character(line: str, shown: str, caret: int) -> None:
    column = len(line[: line.index("x")].encode()) + 1
    text = render(Diagnostic("gemm.c", 1, column, "error", "no"), line + "\nmore\n")
    assert text.split("\n")[1:] == ["    1 | " + shown, "      | " + " " * caret + "^"]


def test_a_long_line_is_cut_around_the_caret() -> None:
    line = "a" * 500 + "X" + "b" * 500
    _, shown, caret = render(Diagnostic("gemm.c", 1, 501, "error", "no"), line).split("\n")
    assert len(shown) < 120
    assert shown[caret.index("^")] == "X"
    assert shown.count("...") == 2


def test_a_place_that_does_not_exist_shows_no_line() -> None:
    lost = Diagnostic("gemm.c", 99, 3, "error", "no", notes=("look (gemm.h:2)",), hint="Mend it.")
    assert render(lost, "int a;\n") == "gemm.c:99:3: error: no\nnote: look (gemm.h:2)\nhint: Mend it."
    assert render(Diagnostic("", 0, 0, "error", "no"), None) == "error: no"
    assert (
        render(Diagnostic("gemm.c", 1, 0, "error", "no"), "int a;") == "gemm.c:1: error: no\n    1 | int a;"
    )


def test_the_summary_is_one_line(tmp_path: Path) -> None:
    source = "int f(void) { int x; return total + sum; }\nint g(void) { return rest; }\n"
    assert summarise(parse(gcc(tmp_path, source, JSON, "-c"))) == (
        "3 errors and 3 warnings in gemm.c; "
        "the first: 'total' undeclared (first use in this function) (line 1)"
    )
    error = Diagnostic("gemm.c", 3, 1, "error", "no")
    assert summarise([error]) == "1 error in gemm.c: no (line 3)"
    assert summarise([error, Diagnostic("b.c", 1, 1, "warning", "hm")]) == (
        "1 error and 1 warning in 2 files; the first: no (line 3)"
    )
    assert summarise([Diagnostic("", 0, 0, "warning", "hm")]) == "1 warning: hm"
    assert summarise([]) == ""


# --- anything at all -------------------------------------------------------------------------------------
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                ["kind", "message", "locations", "caret", "children", "option", "line", "file", "byte-column"]
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=20,
)
OBJECTS = st.fixed_dictionaries(
    {"message": st.text(max_size=30) | VALUES},
    optional={
        "kind": st.sampled_from(["error", "note", "warning", "odd"]) | VALUES,
        "locations": VALUES,
        "children": VALUES,
    },
)
FRAGMENTS = [
    "gemm.c:3:17: error: ",
    "gemm.c:3: ſorry, unimplemented: x\n",
    "/usr/bin/ld: ",
    "undefined reference to `",
    "x.o:",
    "(.text+0x5): ",
    "multiple definition of `n'; a.o:b.c:²: first defined here",
    "note: called from here\n",
    "gemm.c:٣:1: note: called from here\n",
    *["'", "\n", "[{", '"', "\\", "\ud800", "\0", "{0}", "{header}"],
]
TEXTS = st.one_of(
    st.text(),
    st.lists(OBJECTS, max_size=4).map(lambda objects: "x\n" + json.dumps(objects)),
    st.lists(OBJECTS, min_size=1, max_size=4).map(lambda objects: json.dumps(objects)[:-7]),
    st.lists(st.sampled_from(FRAGMENTS)).map("".join),
)


@settings(max_examples=400)
@given(TEXTS)
@example("[" * 100_000)
@example('[{"message": ' + "[" * 100_000)
@example('[{"message": "a", "locations": [{"caret": {"line": ' + "9" * 5000 + "}}]}]")
def test_no_text_raises(text: str) -> None:
    found = parse(text)
    assert "\n" not in summarise(found)
    for item in found:
        render(item, text).encode()
        render(item, None)


@given(st.text(), st.integers(-5, 10**6), st.integers(-5, 10**6))
def test_any_place_in_any_source_can_be_shown(source: str, line: int, column: int) -> None:
    assert render(Diagnostic("gemm.c", line, column, "error", "no"), source).startswith("gemm.c")


def test_megabytes_of_hostile_text_are_read_quickly() -> None:
    start = time.process_time()
    for text in (
        '[{"' * 1_300_000,
        "x.o:" * 1_000_000,
        "gemm.c:1:1: error: " * 200_000,
        ("a:" * 4000 + "\n") * 500,
    ):
        parse(text)
    assert time.process_time() - start < 8


def test_importing_it_needs_nothing_from_outside_the_standard_library() -> None:
    """The catalogue, which is YAML, is read when the first message is explained."""
    subprocess.run([sys.executable, "-S", "-c", "import grader.toolchain.diagnostics"], check=True)
