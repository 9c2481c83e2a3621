"""Reports of the sanitizers, real ones and stored ones, become sentences about the student's lines."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from grader.toolchain.sanitizers import Finding, parse

HEADERS = ("stdlib", "string", "limits", "pthread", "unistd")
INCLUDES = "".join(f"#include <{name}.h>\n" for name in HEADERS)
ASAN = ("-fsanitize=address", "-fno-builtin")
UBSAN = ("-fsanitize=undefined", "-fsanitize=float-cast-overflow")
TSAN = ("-fsanitize=thread", "-pthread")


def compile_program(folder: Path, source: str, flags: tuple[str, ...], name: str = "program") -> Path:
    (folder / "gemm.c").write_text(INCLUDES + source)
    command = ["gcc", "-g", "-O1", "-fno-omit-frame-pointer", "-fno-inline", *flags, "gemm.c", "-o", name]
    subprocess.run(command, cwd=folder, check=True, timeout=60, stderr=subprocess.DEVNULL)
    return folder / name


def report(folder: Path, source: str, flags: tuple[str, ...]) -> str:
    """What a program made of `source` prints on stderr; line 6 is its first line, after the includes."""
    program = compile_program(folder, source, flags)
    # Without address randomisation: ThreadSanitizer of gcc 12 does not know the memory layout of new kernels.
    command = ["setarch", "-R", str(program)] if flags == TSAN else [str(program)]
    environment = {**os.environ, "ASAN_OPTIONS": "detect_stack_use_after_return=1", "TSAN_OPTIONS": ""}
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment, check=False)
    return done.stderr


MAIN = "int main(int c, char **v) { (void)c; (void)v;\n"

ADDRESS = {
    "heap-buffer-overflow": (
        "float *pack_a(int n) {\n    float *p = malloc(n * 4);\n    return p;\n}\n"
        "float kernel(float *p, int i) {\n    return p[i];\n}\n"
        "" + MAIN + "    return kernel(pack_a(100), 99 + c); }\n",
        "Reads 4 bytes past the end of a block of 400 bytes that pack_a allocated (gemm.c:7).",
        ("gemm.c", 11, "kernel"),
    ),
    "heap-buffer-overflow, further": (
        MAIN + "    volatile char *p = malloc(10);\n    p[12 + c] = 1;\n    return 0; }\n",
        "Writes 1 byte 3 bytes past the end of a block of 10 bytes that main allocated (gemm.c:7).",
        ("gemm.c", 8, "main"),
    ),
    "heap-buffer-overflow, before": (
        MAIN + "    char *p = malloc(10);\n    return p[-c]; }\n",
        "Reads 1 byte before the start of a block of 10 bytes that main allocated (gemm.c:7).",
        ("gemm.c", 8, "main"),
    ),
    "heap-buffer-overflow, memset": (
        MAIN + "    char *p = malloc(10);\n    memset(p, 0, 10 + c);\n    return 0; }\n",
        "memset writes 11 bytes and goes past the end of a block of 10 bytes that main allocated (gemm.c:7).",
        ("gemm.c", 8, "main"),
    ),
    "stack-buffer-overflow": (
        "int f(int i) {\n    int a[4] = {1, 2, 3, 4};\n    return a[i];\n}\n"
        "" + MAIN + "    return f(3 + c); }\n",
        "Reads 4 bytes past the end of the variable 'a' (16 bytes).",
        ("gemm.c", 8, "f"),
    ),
    "global-buffer-overflow": (
        "int table[4];\n" + MAIN + "    table[3 + c] = 1;\n    return 0; }\n",
        "Writes 4 bytes past the end of the global variable 'table' (16 bytes).",
        ("gemm.c", 8, "main"),
    ),
    "dynamic-stack-buffer-overflow": (
        "int f(int n) {\n    volatile int a[n];\n    a[n] = 2;\n    return a[0];\n}\n"
        "" + MAIN + "    return f(c * 10); }\n",
        "Writes 4 bytes past the end of an array of variable length.",
        ("gemm.c", 8, "f"),
    ),
    "heap-use-after-free": (
        MAIN + "    int *p = malloc(40);\n    free(p);\n    return p[c]; }\n",
        "Reads 4 bytes of a block of 40 bytes that main allocated (gemm.c:7), after main freed it "
        "(gemm.c:8).",
        ("gemm.c", 9, "main"),
    ),
    "stack-use-after-scope": (
        MAIN + "    volatile int *p;\n    { volatile int x = c; p = &x; }\n    return *p; }\n",
        "Reads 4 bytes of the variable 'x' (4 bytes) after its block or function has ended.",
        ("gemm.c", 9, "main"),
    ),
    "double-free": (
        MAIN + "    char *p = malloc(40);\n    free(p);\n    free(p);\n    return 0; }\n",
        "Frees a second time a block of 40 bytes that main allocated (gemm.c:7), after main freed "
        "it (gemm.c:8).",
        ("gemm.c", 9, "main"),
    ),
    "bad-free": (
        MAIN + "    char *p = malloc(40);\n    free(p + 8);\n    return 0; }\n",
        "Frees an address that malloc did not return: free exactly what malloc gave, and nothing else.",
        ("gemm.c", 8, "main"),
    ),
    "SEGV": (
        MAIN + "    volatile int *p = (int *)(long)(c - 1);\n    *p = 3;\n    return 0; }\n",
        "Writes through a null pointer.",
        ("gemm.c", 8, "main"),
    ),
    "SEGV, wild": (
        MAIN + "    volatile int *p = (int *)(c * 0x123456789000L);\n    return *p; }\n",
        "Reads at an address where there is no memory: a pointer is wild, or an index far outside.",
        ("gemm.c", 8, "main"),
    ),
    "FPE": (
        MAIN + "    return c / (c - 1); }\n",
        "Divides an integer by zero (or the smallest integer by -1).",
        ("gemm.c", 7, "main"),
    ),
    "stack-overflow": (
        "int f(volatile int *n) {\n    volatile char b[1000]; b[0] = 1;\n    return f(n) + b[0] + *n;\n}\n"
        + MAIN + "    return f(&c); }\n",
        "The stack is full: a recursion does not end, or a local array is very large.",
        ("gemm.c", 6, "f"),
    ),
    "memcpy-param-overlap": (
        MAIN + "    char b[100];\n    memcpy(b, b + c, 50);\n    return b[1]; }\n",
        "memcpy copies between places that overlap: use memmove.",
        ("gemm.c", 8, "main"),
    ),
    "negative-size-param": (
        MAIN + "    char b[100];\n    memset(b, 0, -c);\n    return b[1]; }\n",
        "memset is asked for a negative number of bytes.",
        ("gemm.c", 8, "main"),
    ),
    "allocation-size-too-big": (
        MAIN + "    return malloc((size_t)-c) != 0; }\n",
        "malloc is asked for far too much memory: the size is negative or overflowed.",
        ("gemm.c", 7, "main"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", ADDRESS)
def test_memory_errors(case: str, tmp_path: Path) -> None:
    source, message, place = ADDRESS[case]
    found = parse(report(tmp_path, source, ASAN), ["gemm.c"])
    errors = [f for f in found if f.tool == "address"]
    assert [(f.kind, f.message) for f in errors] == [(case.partition(",")[0], message)]
    assert (errors[0].file, errors[0].line, errors[0].function) == place
    assert errors[0].detail.startswith(f"in {place[2]} (gemm.c:{place[1]})")
    assert "libc" not in errors[0].detail and "malloc" not in errors[0].detail


def test_leaks_name_the_allocating_line_once(tmp_path: Path) -> None:
    source = (
        "void *g;\nvoid work(void) {\n    g = malloc(40);\n    g = 0;\n}\n"
        + MAIN
        + "    work();\n    work();\n    return 0; }\n"
    )
    found = parse(report(tmp_path, source, ASAN), ["gemm.c"])
    assert [(f.tool, f.line, f.message) for f in found] == [
        ("leak", 8, "Never frees a block of 40 bytes that work allocated here.")
    ]


def test_leaks_of_others_are_left_out(tmp_path: Path) -> None:
    source = "void *g;\n" + MAIN + "    g = malloc(40); g = 0;\n    return 0; }\n"
    text = report(tmp_path, source, ASAN)
    assert "Direct leak of 40 byte(s)" in text
    assert parse(text, ["other.c"]) == []


UNDEFINED = {
    "signed-integer-overflow": (
        "volatile int i = INT_MAX; i += c; return i",
        "2147483647 + 1 does not fit in int",
    ),
    "signed-integer-overflow, negated": ("int i = INT_MIN + c - 1; return -i", "The negative of -2147483648"),
    "signed-integer-overflow, divided": ("int i = INT_MIN + c - 1; return (i / -c) & 1", "divided by -1"),
    "division-by-zero": ("return c % (c - 1)", "Divides by zero."),
    "shift": ("return 1 << (c + 40)", "Shifts by 41, but the type has 32 bits"),
    "shift, negative": ("return 1 << -c", "Shifts by -1: the amount must not be negative."),
    "shift, sign": ("return -c << 2", "Left shift of"),
    "bounds": ("int a[4] = {0}; return a[c + 4]", "Index 5 is outside the array of type int [4]."),
    "null-pointer": ("int *q = (int *)(long)(c - 1); return *q", "Reads through a null pointer."),
    "null-pointer, store": (
        "int *q = (int *)(long)(c - 1); *q = 1; return 0",
        "Writes through a null pointer.",
    ),
    "null-pointer, argument": ("char b[3]; memcpy(b, (char *)(long)(c - 1), c - 1); return 0", "argument 2"),
    "misaligned": ("long a[2] = {0}; return *(int *)((char *)a + c)", "not a multiple of 4, which int needs"),
    "object-size": (
        "struct s { int x[8]; }; int *a = calloc(1, 4); return ((struct s *)a)->x[c]",
        "too small",
    ),
    "float-cast": ("double d = 1e30 * c; return (int)d", "1e+30 does not fit in int"),
    "invalid-value": ("_Bool b; memset(&b, c + 3, 1); return b", "4 is no valid _Bool"),
    "builtin": ("return __builtin_clz(c - 1)", "clz of 0 is undefined"),
    "unreachable": ("if (c == 1) __builtin_unreachable(); return 0", "promised never to reach"),
    "pointer-overflow": ("char *p = (char *)-1L; p += c + 3; return p != 0", "leaves the address space"),
    "vla-bound": ("volatile int n = -c; int a[n]; a[0] = 1; return sizeof a", "An array of length -1"),
}


@pytest.mark.parametrize("case", UNDEFINED)
def test_undefined_behaviour(case: str, tmp_path: Path) -> None:
    body, message = UNDEFINED[case]
    found = parse(report(tmp_path, f"{MAIN}    {body};\n}}\n", UBSAN), ["gemm.c"])
    mine = [f for f in found if f.kind == case.partition(",")[0]]
    assert [(f.tool, f.file, f.line) for f in mine] == [("undefined", "gemm.c", 7)]
    assert message in mine[0].message


THREAD = {
    "data race": (
        "static long total;\nvoid *run(void *arg) {\n    for (int i = 0; i < 1000; i++)\n"
        "        total++;\n    return arg;\n}\n"
        "int main(void) { pthread_t a, b; pthread_create(&a, 0, run, 0); pthread_create(&b, 0, run, 0);\n"
        "    pthread_join(a, 0); pthread_join(b, 0); return 0; }\n",
        ["Thread T", " total at gemm.c:8 while thread T", "use a mutex for both, or give each its own."],
        8,
    ),
    "data race, heap": (
        "void *run(void *arg) {\n    *(int *)arg = 1;\n    return 0;\n}\n"
        "int main(void) { pthread_t a; int *p = malloc(400); pthread_create(&a, 0, run, p + 3);\n"
        "    int r = p[3]; pthread_join(a, 0); free(p); return r > 5; }\n",
        ["a block of 400 bytes that main allocated (gemm.c:10)", "the main thread reads", "thread T1 writes"],
        None,
    ),
    "heap-use-after-free": (
        "void *run(void *arg) {\n    free(arg);\n    return 0;\n}\n"
        "int main(void) { pthread_t a; int *p = malloc(400); pthread_create(&a, 0, run, p);\n"
        "    usleep(50000);\n"
        "    int r = p[3]; pthread_join(a, 0); return r > 5; }\n",
        ["The main thread reads", "at gemm.c:12 while thread T1 frees it at gemm.c:7: the memory"],
        12,
    ),
    "data race, freed under a thread's lock": (
        "pthread_mutex_t *m;\nvoid *run(void *x) { pthread_mutex_lock(m);\n    pthread_mutex_unlock(m); return x; }\n"
        "int main(void) { pthread_t a; m = malloc(sizeof *m); pthread_mutex_init(m, 0);\n"
        "    pthread_create(&a, 0, run, 0); usleep(50000);\n    free(m);\n    pthread_join(a, 0); return 0; }\n",
        ["The main thread frees the same memory at gemm.c:11 while thread T1 atomic reads it in pthread_mutex_lock"
         " at gemm.c:7: the thread may still be using it; join it (pthread_join) before."],
        11,
    ),
    "thread leak": (
        "void *run(void *arg) { return arg; }\n"
        "int main(void) { pthread_t a;\n    pthread_create(&a, 0, run, 0);\n    usleep(50000); return 0; }\n",
        ["This thread is never joined: call pthread_join for every thread that was created."],
        8,
    ),
    "lock-order-inversion": (
        "pthread_mutex_t a = PTHREAD_MUTEX_INITIALIZER, b = PTHREAD_MUTEX_INITIALIZER;\n"
        "void *one(void *x) { pthread_mutex_lock(&a);\n    pthread_mutex_lock(&b);\n"
        "    pthread_mutex_unlock(&b); pthread_mutex_unlock(&a); return x; }\n"
        "void *two(void *x) { pthread_mutex_lock(&b);\n    pthread_mutex_lock(&a);\n"
        "    pthread_mutex_unlock(&a); pthread_mutex_unlock(&b); return x; }\n"
        "int main(void) { pthread_t t; pthread_create(&t, 0, one, 0); pthread_join(t, 0);\n"
        "    pthread_create(&t, 0, two, 0); pthread_join(t, 0); return 0; }\n",
        ["opposite orders (gemm.c:8 and gemm.c:11)", "two threads can wait for each other for ever."],
        8,
    ),
    "unlock of an unlocked mutex": (
        "pthread_mutex_t a = PTHREAD_MUTEX_INITIALIZER;\nint main(void) {\n"
        "    pthread_mutex_unlock(&a);\n    return 0; }\n",
        ["Unlocks a mutex that is not locked, or that another thread locked."],
        8,
    ),
    "destroy of a locked mutex": (
        "pthread_mutex_t a = PTHREAD_MUTEX_INITIALIZER;\nint main(void) { pthread_mutex_lock(&a);\n"
        "    pthread_mutex_destroy(&a);\n    return 0; }\n",
        ["Destroys a mutex that is still locked."],
        8,
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", THREAD)
def test_thread_errors(case: str, tmp_path: Path) -> None:
    source, pieces, line = THREAD[case]
    found = parse(report(tmp_path, source, TSAN), ["gemm.c"])
    assert [(f.tool, f.kind, f.file) for f in found] == [("thread", case.partition(",")[0], "gemm.c")]
    for piece in pieces:
        assert piece.lower() in found[0].message.lower()
    assert line in (None, found[0].line)
    assert "libtsan" not in found[0].detail and "pthread_create" not in found[0].detail


def test_a_library_loaded_by_python(tmp_path: Path) -> None:
    """As it runs for real: the frames of the interpreter are gone, the student's stay."""
    source = (
        "int get(const int *p, int i) {\n    return p[i];\n}\n"
        "int work(int n) {\n    int *p = malloc(n * 4);\n    return get(p, n);\n}\n"
    )
    library = compile_program(tmp_path, source, (*ASAN, "-shared", "-fPIC"), "libx.so")
    runtime = subprocess.run(
        ["gcc", "-print-file-name=libasan.so"], capture_output=True, text=True, check=True
    )
    environment = {
        "LD_PRELOAD": runtime.stdout.strip(),
        "ASAN_OPTIONS": "detect_leaks=0",
        "PATH": os.environ["PATH"],
    }
    code = f"import ctypes; ctypes.CDLL({str(library)!r}).work(10)"
    done = subprocess.run(
        [sys.executable, "-S", "-c", code],
        capture_output=True,
        text=True,
        env=environment,
        timeout=60,
        check=False,
    )
    assert "python" in done.stderr or "ffi" in done.stderr
    assert parse(done.stderr, ["gemm.c"]) == [
        Finding(
            tool="address",
            kind="heap-buffer-overflow",
            message="Reads 4 bytes past the end of a block of 40 bytes that work allocated (gemm.c:10).",
            file="gemm.c",
            line=7,
            function="get",
            detail="in get (gemm.c:7)\nin work (gemm.c:11)\nin work (gemm.c:10)",
        )
    ]


# A report through the bindings (frames of wrapper.c and of Python), in the words of gcc 13 ("after" for
# "to the right of"), with an intrinsic as the innermost frame.
THROUGH_BINDINGS = """\
=================================================================
==77==ERROR: AddressSanitizer: heap-buffer-overflow on address 0x6140000001d0 at pc 0x7f11 bp 0x7ffc sp 0x7ffb
READ of size 32 at 0x6140000001d0 thread T0
    #0 0x7f1101 in _mm256_loadu_ps /usr/lib/gcc/x86_64-linux-gnu/13/include/avxintrin.h:893:12
    #1 0x7f1101 in gemm_ukernel /build/src/gemm.c:88:9
    #2 0x55e3 in qsort (/lib/x86_64-linux-gnu/libc.so.6+0x12345)
    #3 0x7f1102 in gemm_f32 /build/src/gemm.c:140
    #3 0x7f1103 in _cffi_f_gemm_f32 /build/lab/wrapper.c:512
    #4 0x55e0 in PyObject_Vectorcall (/usr/bin/python3.11+0x1a2b3c) (BuildId: 0123456789abcdef)
    #5 0x55e1 in _PyEval_EvalFrameDefault (/usr/bin/python3.11+0x1a2b3d) (BuildId: 0123456789abcdef)
    #6 0x55e2  (/usr/bin/python3.11+0x1a2b3e) (BuildId: 0123456789abcdef)
    #7 0x55e4 in __libc_start_main_impl ../csu/libc-start.c:360

0x6140000001d0 is located 0 bytes after 400-byte region [0x614000000040,0x6140000001d0)
allocated by thread T0 here:
    #0 0x7f2201 in malloc ../../../../src/libsanitizer/asan/asan_malloc_linux.cpp:69
    #1 0x7f1104 in pack_a /build/src/gemm.c:60

SUMMARY: AddressSanitizer: heap-buffer-overflow /build/src/gemm.c:88 in gemm_ukernel
==77==ABORTING
"""


def test_frames_of_the_bindings_and_of_python_are_dropped() -> None:
    [finding] = parse(THROUGH_BINDINGS, ["gemm.c"])
    assert (finding.file, finding.line, finding.function) == ("gemm.c", 88, "gemm_ukernel")
    assert finding.message == (
        "_mm256_loadu_ps reads 32 bytes and goes past the end of a block of 400 bytes "
        "that pack_a allocated (gemm.c:60)."
    )
    assert finding.detail.splitlines() == [
        "in gemm_ukernel (gemm.c:88)",
        "in gemm_f32 (gemm.c:140)",
        "in pack_a (gemm.c:60)",
        "in _mm256_loadu_ps (avxintrin.h:893)",
        "in qsort (libc.so.6)",
    ]


def test_a_students_file_may_have_the_name_of_ours() -> None:
    text = THROUGH_BINDINGS.replace("/build/src/gemm.c", "/build/src/wrapper.c")
    assert parse(text, ["wrapper.c"])[0].detail.startswith("in gemm_ukernel (wrapper.c:88)")


def test_an_error_outside_the_students_files_is_kept_without_a_place() -> None:
    [finding] = parse(THROUGH_BINDINGS, ["other.c"])
    assert (finding.file, finding.line, finding.function) == ("", 0, "")
    assert finding.message.startswith("_mm256_loadu_ps reads 32 bytes")


def test_a_report_that_was_cut_short_is_still_read() -> None:
    cut = THROUGH_BINDINGS[: THROUGH_BINDINGS.index("0x6140000001d0 is located")]
    assert (
        parse(cut, ["gemm.c"])[0].message
        == "_mm256_loadu_ps reads 32 bytes and goes outside a block of memory."
    )


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("applying non-zero offset 4 to null pointer", "Computes with a null pointer."),
        ("something quite new", "Undefined behaviour: something quite new."),
    ],
)
def test_undefined_behaviour_that_this_compiler_does_not_report(what: str, message: str) -> None:
    [finding] = parse(
        f"/build/src/gemm.c:3:7: runtime error: {what}\n    #0 0x1 in f /build/src/gemm.c:3\n", ["gemm.c"]
    )
    assert (finding.message, finding.file, finding.line, finding.function) == (message, "gemm.c", 3, "f")


def test_text_without_reports_gives_nothing() -> None:
    assert parse("", ["gemm.c"]) == []
    assert parse("==5==ERROR: nothing\n#0 main gemm.c:3\nSUMMARY: AddressSanitizer: x\n", ["gemm.c"]) == []
    assert parse("FATAL: ThreadSanitizer: unexpected memory mapping 0x7f-0x80\n", ["gemm.c"]) == []


def test_the_same_place_is_reported_once_and_the_number_is_limited() -> None:
    line = "gemm.c:{}:7: runtime error: division by zero\n"
    assert len(parse(line.format(3) * 1000, ["gemm.c"])) == 1
    assert len(parse("".join(line.format(n) for n in range(1, 1000)), ["gemm.c"])) == 50


def test_megabytes_of_hostile_text_are_read_quickly() -> None:
    start = time.process_time()
    parse("gemm.c:3:7: runtime error: division by zero\n" * 90_000, ["gemm.c"])
    parse(
        "==1==ERROR: LeakSanitizer: x\n"
        + "Direct leak of 1 byte(s) in 1 object(s)\n#0 f gemm.c:1\n" * 60_000,
        ["gemm.c"],
    )
    parse("WARNING: ThreadSanitizer: data race\n" + "#0 " + "(" * 4_000_000, ["gemm.c"])
    assert time.process_time() - start < 5


PIECES = st.sampled_from(
    [line + "\n" for line in THROUGH_BINDINGS.splitlines()]
    + [
        "WARNING: ThreadSanitizer: data race (pid=1)\n",
        "  Read of size 8 at 0x55 by thread T2:\n",
        "  Previous atomic write of size 8 at 0x55 by main thread:\n",
        "    #0 add /tmp/gemm.c:6 (san+0x11b6)\n",
        "    #0 <null> <null> (san+0x1)\n",
        "  Location is global 'total' of size 8 at 0x5 (san+0x4)\n",
        "gemm.c:٣:7: runtime error: load of value 4, which is not a valid value for type '_Bool'\n",
        "==1==ERROR: LeakSanitizer: detected memory leaks\n",
        "Indirect leak of 40 byte(s) in 2 object(s) allocated from:\n",
        "==================\n",
        "    #1\n",
        "\ud800",
        "\0",
    ]
)


@settings(max_examples=300)
@given(st.one_of(st.text(), st.lists(PIECES).map("".join)), st.lists(st.text(max_size=8), max_size=3))
@example(
    "gemm.c:1:1: runtime error: {0} {x} is outside the range of representable values of type '{9}'",
    ["gemm.c"],
)
def test_no_text_raises(text: str, sources: list[str]) -> None:
    for finding in parse(text, [*sources, "gemm.c"]):
        assert finding.message
