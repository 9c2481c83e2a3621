"""The rules about pragmas, attributes and directives: what is found, and that nothing hides it."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grader.toolchain import policy

FLAGS = ["-std=gnu11", "-O3", "-mavx2", "-mfma"]

INNOCENT = """\
/* #pragma GCC optimize("Ofast")  in a comment \\
   #line 7 "x.h" */
#include <stdio.h>
#include <immintrin.h>
#include "gemm.h"  /* the lab's */
// __attribute__((optimize("O3"))) and more \\
#pragma omp simd
#pragma once
#pragma pack(push, 1)
#pragma STDCX
#ifndef N
#define N 4 /* a comment
over two lines */
#endif
#if N < 5 && N > 1  /* "small" */
static const char *text = "#pragma GCC optimize(\\"Ofast\\")\\n# 1 \\"/usr/include/x.h\\"\\n";
#endif
static char quote = '"', other = '\\'';
__attribute__((noinline, aligned(32))) static int target(int optimize) { return optimize; }
static float simd[4] __attribute__((aligned(sizeof(int[4])), section("target"))), rows[2][2];
int gemm(void) {
    __m256 v = _mm256_set1_ps(simd[0]); (void)v;
    printf("%s%c%c", text, quote, other);
    return target(rows[0][0] < 3);
}
"""

FORBIDDEN = {
    '#pragma GCC optimize("Ofast")': "optimisation",
    "#  pragma   GCC   optimize (3)": "optimisation",
    '%:pragma GCC optimize("Ofast")': "optimisation",
    "#pragma GCC push_options": "optimisation",
    "#pragma GCC ivdep": "optimisation",
    "#pragma GCC unroll 8": "optimisation",
    '#pragma GCC target("avx512f")': "instruction set",
    "#pragma omp simd": "openmp",
    "#pragma omp parallel for num_threads(4)": "openmp",
    "#pragma STDC FP_CONTRACT ON": "floating point",
    '#pragma GCC diagnostic ignored "-Wall"': "warnings",
    '_Pragma("GCC ivdep")': "_Pragma",
    '__attribute__((optimize("O3"))) int f1(void);': "optimisation",
    '__attribute((__optimize__("O3"))) int f2(void);': "optimisation",
    '__attribute__  ( ( noinline , hot, optimize ( "O3" ) ) ) int f3(void);': "optimisation",
    '__attribute__((aligned(({16;})), optimize("O3"))) int f4(void);': "optimisation",
    '__attribute__((target("avx512f"))) int f5(void);': "instruction set",
    '__attribute__((target_clones("avx2","default"))) int f6(void);': "instruction set",
    "__attribute__((simd)) int f7(void);": "optimisation",
    "__attribute__((no_sanitize_address)) int f8(void);": "sanitizer",
    '[[gnu::optimize("O3")]] int f9(void);': "optimisation",
    '<:<: __gnu__ :: __optimize__("O3") :> :> int f10(void);': "optimisation",
    '#line 1 "/usr/include/x.h"': "line directive",
    '# 1 "/usr/include/x.h" 1 3': "line directive",
    "# /* */ 7": "line directive",
    'static const char *raw = R"(x)";': "raw string",
}


def preprocess(folder: Path, files: dict[str, str], main: str = "gemm.c") -> str:
    for name, text in files.items():
        (folder / name).write_text(text)
    answer = subprocess.run(
        ["gcc", "-E", *FLAGS, main], cwd=folder, capture_output=True, text=True, check=False, timeout=60
    )
    return answer.stdout


def rules(folder: Path, source: str, header: str = "int gemm(void);\n") -> list[str]:
    text = preprocess(folder, {"gemm.h": header, "gemm.c": source})
    return [item.rule for item in policy.check(text, {"gemm.c": source})]


def test_ordinary_code_passes(tmp_path: Path) -> None:
    text = preprocess(tmp_path, {"gemm.h": "int gemm(void);\n", "gemm.c": INNOCENT})
    assert "_mm256_set1_ps" in text
    assert policy.check(text, {"gemm.c": INNOCENT}) == []


@pytest.mark.parametrize("piece", FORBIDDEN)
def test_forbidden_piece_is_found_with_its_line(piece: str, tmp_path: Path) -> None:
    source = f"#include <stdio.h>\n\n{piece}\nint gemm(void) {{ return 0; }}\n"
    found = policy.check(preprocess(tmp_path, {"gemm.c": source}), {"gemm.c": source})
    assert (found[0].file, found[0].line, found[0].rule) == ("gemm.c", 3, FORBIDDEN[piece])
    assert found[0].message.startswith("Please ")
    assert found[0].text.split()[0] in piece


@pytest.mark.parametrize(
    "piece", [p for p in FORBIDDEN if FORBIDDEN[p] not in ("line directive", "raw string")]
)
def test_the_raw_source_alone_shows_it(piece: str) -> None:
    assert [item.rule for item in policy.check("", {"gemm.c": f"int a;\n{piece}\n"})] == [FORBIDDEN[piece]]


def test_attribute_made_by_a_macro_is_found(tmp_path: Path) -> None:
    source = (
        '#define FAST optimize("O3")\n#define fast __attribute__((FAST))\nfast int gemm(void) { return 0; }\n'
    )
    text = preprocess(tmp_path, {"gemm.c": source})
    found = policy.check(text, {"gemm.c": source})
    assert [(v.file, v.line, v.rule) for v in found] == [("gemm.c", 3, "optimisation")]


def test_attribute_made_by_pasting_is_found(tmp_path: Path) -> None:
    source = '#define P(a, b) a##b\nP(__attr, ibute__)((P(opti, mize)("O3"))) int gemm(void) { return 0; }\n'
    assert rules(tmp_path, source) == ["optimisation"]


def test_pragma_made_by_pasting_is_found(tmp_path: Path) -> None:
    source = '#define P(a, b) a##b\nP(_Pra, gma)("GCC optimize(\\"Ofast\\")")\nint gemm(void) { return 0; }\n'
    assert "optimisation" in rules(tmp_path, source)


def test_attribute_with_a_system_macro_in_its_middle_is_found(tmp_path: Path) -> None:
    source = (
        '#include <stddef.h>\n__attribute__((aligned((long)NULL + 8),\noptimize("O3"))) int gemm(void);\n'
    )
    text = preprocess(tmp_path, {"gemm.c": source})
    assert '"gemm.c" 3' in text  # the marker that the macro brings
    assert [v.line for v in policy.check(text, {})] == [3]


def test_macro_that_puts_an_attribute_into_the_labs_header_is_found(tmp_path: Path) -> None:
    source = (
        '#define P(a, b) a##b\n#define int P(__attr, ibute__)((P(opti, mize)("O3"))) int\n#include "gemm.h"\n'
    )
    assert rules(tmp_path, source) == ["optimisation"]


def test_macro_that_puts_a_pragma_into_a_system_header_is_found(tmp_path: Path) -> None:
    source = (
        '#define P(a, b) a##b\n#define __extension__ P(_Pra, gma)("GCC optimize(\\"Ofast\\")")\n'
        "#include <stdlib.h>\nint gemm(void) { return 0; }\n"
    )
    assert "optimisation" in rules(tmp_path, source)


@pytest.mark.parametrize(
    "pragmas",
    ['P(_Pra, gma)("GCC target(\\"avx512f\\")")', 'P(_Pra, gma)("GCC push_options")'],
)
def test_options_left_changed_by_a_system_header_are_found(pragmas: str, tmp_path: Path) -> None:
    source = (
        f"#define P(a, b) a##b\n#define __extension__ {pragmas}\n"
        "#include <stdlib.h>\n#undef __extension__\nint gemm(void) { return 0; }\n"
    )
    assert set(rules(tmp_path, source)) & {"unbalanced options", "instruction set"}


def test_macro_that_puts_an_attribute_into_a_system_header_is_found(tmp_path: Path) -> None:
    source = (
        '#define P(a, b) a##b\n#define FAST P(__attr, ibute__)((P(opti, mize)("O3")))\n'
        "#define __extension__ FAST int gemm(void) { return 0; }\n#include <stdlib.h>\n"
    )
    assert "optimisation" in rules(tmp_path, source)


HIDING = {
    "line directive": '#line 1 "/usr/include/x.h"\n{}\n',
    "line marker": '# 1 "/usr/include/x.h" 1 3\n{}\n',
    "digraph": '%:line 1 "/usr/include/x.h"\n{}\n',
    "continued": '#li\\\nne 1 "/usr/include/x.h"\n{}\n',
    "continued with a blank": '#li\\ \nne 1 "/usr/include/x.h"\n{}\n',
    "after a comment": '/*\n*/ # /* */ line 1 "/usr/include/x.h"\n{}\n',
    "from a macro": '#define L 1 "/usr/include/x.h"\n#line L\n{}\n',
    "raw string": 'static const char *s = R"(\n# 1 "/usr/include/x.h" 1 3\n)";\n{}\n',
    "continued raw string": 'static const char *s = R\\\n"(\n# 1 "/usr/include/x.h" 1 3\n)";\n{}\n',
    "hash from a macro": '#define H #\nH 1 "/usr/include/x.h"\n{}\n',
    "file name with a comment": '#if __has_include(</*>)\n#endif\n#line 1 "/usr/include/x.h"\n{}\n/* */\n',
    "the same through a macro": '#define I __has_include\n#if I(</*>)\n#endif\n#line 1 "x.h"\n{}\n/* */\n',
    "file name with a quote": '#if __has_include(<">) /*\n /*/\n#endif\n#line 1 "/usr/x.h"\n{}\n/* */\n',
    "unclosed quote": "#if 0\ndon't /*\n#endif\n{}\n/* */\n",
    "system header pragma": "#pragma GCC system_header\n{}\n",
    "trigraph in a comment": "// what??/\n{}\n",
    "escaped quote": 'static const char *s = "\\\\"; static char c = \'"\';\n{}\n',
    "byte order mark": '\ufeff#line 1 "/usr/include/x.h"\n{}\n',
}


@pytest.mark.parametrize("way", HIDING)
def test_nothing_hides_a_forbidden_attribute(way: str, tmp_path: Path) -> None:
    hidden = HIDING[way].format('__attribute__((optimize("Ofast"))) int gemm(void) { return 0; }')
    text = preprocess(tmp_path, {"gemm.c": hidden})
    assert policy.check(text, {"gemm.c": hidden}) != []
    assert policy.check("", {"gemm.c": hidden}) != []


@pytest.mark.parametrize(
    "way", [w for w in HIDING if w not in ("unclosed quote", "trigraph in a comment", "escaped quote")]
)
def test_the_hiding_itself_is_found(way: str) -> None:
    harmless = HIDING[way].format("int gemm(void) { return 0; }")
    if way == "hash from a macro":  # gcc does not take it for a marker, and neither do we
        assert policy.check("", {"gemm.c": harmless}) == []
    else:
        assert policy.check("", {"gemm.c": harmless}) != []


def test_gcc_never_puts_a_macros_hash_into_the_first_column(tmp_path: Path) -> None:
    text = preprocess(tmp_path, {"gemm.c": 'int a;\n#define H #\nH 1 "/usr/include/x.h" 3\nint b;\n'})
    assert '\n # 1 "/usr/include/x.h" 3\n' in text
    assert policy.included_files(text) == ["/usr/include/stdc-predef.h"]


def test_a_renaming_in_the_preprocessed_text_is_found_without_the_source() -> None:
    text = '# 1 "gemm.c"\nint a;\n# 1 "/usr/include/x.h"\nint b;\n'
    assert [v.rule for v in policy.check(text, {"gemm.c": ""})] == ["line directive"]


def test_several_preprocessed_sources_are_read_one_after_the_other(tmp_path: Path) -> None:
    files = {
        "a.c": "#include <immintrin.h>\nint a;\n",
        "b.c": '#include <stdio.h>\n\n#pragma GCC optimize("O3")\n',
    }
    text = preprocess(tmp_path, files, "a.c") + preprocess(tmp_path, files, "b.c")
    assert [(v.file, v.line, v.rule) for v in policy.check(text, files)] == [("b.c", 3, "optimisation")]


def test_headers_keep_their_own_pragmas(tmp_path: Path) -> None:
    source = (
        "#include <immintrin.h>\n#include <math.h>\n#include <pthread.h>\n#include <stdatomic.h>\nint a;\n"
    )
    text = preprocess(tmp_path, {"gemm.c": source})
    assert text.count("#pragma GCC target") > 50
    assert policy.check(text, {"gemm.c": source}) == []


def test_included_files_are_listed_once_in_order(tmp_path: Path) -> None:
    (tmp_path / "gemm.h").write_text("int gemm(void);\n")
    text = preprocess(tmp_path, {"gemm.c": '#include "gemm.h"\n#include <errno.h>\n#include "gemm.h"\n'})
    names = [name for name in policy.included_files(text) if "/" not in name]
    assert names == ["gemm.h"]
    assert "/usr/include/errno.h" in policy.included_files(text)


def test_two_megabytes_take_well_under_a_tenth_of_a_second(tmp_path: Path) -> None:
    source = "#include <immintrin.h>\n#include <stdio.h>\n" + INNOCENT
    text = preprocess(tmp_path, {"gemm.h": "", "gemm.c": source})
    assert len(text) > 1_500_000
    times = []
    for _ in range(3):
        start = time.process_time()
        policy.check(text, {"gemm.c": source})
        times.append(time.process_time() - start)
    assert min(times) < 0.1


@pytest.mark.parametrize(
    "text",
    [
        "[" * 200_000,
        "__attribute__((" * 20_000,
        "#if " + '<"' * 60_000 + "\n",
        "#if " + "< /**/ >" * 30_000 + "\n",
        "/*" * 100_000,
        "\\ " * 100_000,
        "'" * 200_001,
        "# 1 \"\n" * 30_000,
        "optimize " * 25_000,
    ],
    ids=["brackets", "attributes", "quotes", "angles", "comments", "backslashes", "ticks", "hashes", "words"],
)  # fmt: skip
def test_hostile_text_takes_linear_time(text: str) -> None:
    start = time.process_time()
    policy.check(text, {"gemm.c": text})
    policy.check('# 1 "/usr/include/x.h" 1 3\n' + text, {"gemm.c": text})
    assert time.process_time() - start < 5


FRAGMENTS = [
    "\n",
    "\\\n",
    '"',
    "'",
    "/*",
    "*/",
    "//",
    "(",
    "))",
    "[[",
    "#",
    "%:",
    "??/",
    "??=",
    'R"(',
    "<",
    ">",
]
OTHERS = ["#if", "#include", "\r\n", "\0", "é", "\ud800"]
MARKERS = ['# 1 "gemm.c"\n', '# 1 "/usr/include/a.h" 1 3\n', '\n# 3 "gemm.c" 2\n']
BITS = st.sampled_from([*FORBIDDEN, *FRAGMENTS, *OTHERS, *MARKERS])
TEXT = st.one_of(st.text(), st.lists(BITS).map("".join))


@settings(max_examples=300)
@given(TEXT, TEXT)
def test_no_text_raises(preprocessed: str, source: str) -> None:
    policy.check(preprocessed, {"gemm.c": source, "": source})
    policy.included_files(preprocessed)


LINES = st.lists(
    st.sampled_from(
        [
            "int a;",
            "/* one */ int b; // two",
            'static const char *s = "/* \\" // \'";',
            "static char c = '\"';",
            "/* three\n   lines \"of ' comment\n */",
            "#define N 3 /* and\n more */",
            "#if 0\ndon't\n#endif",
            "int f(int x) { return x < 3; }",
            "// continued \\\n comment",
            "",
        ]
    ),
    max_size=8,
)
DIRECTIVES = [p for p in FORBIDDEN if p.startswith(("#", "%:"))]


@given(LINES, LINES, st.sampled_from(DIRECTIVES))
def test_a_forbidden_directive_between_any_lines_is_found(
    before: list[str], after: list[str], piece: str
) -> None:
    source = "\n".join([*before, piece, *after])
    line = "\n".join([*before, ""]).count("\n") + 1 if before else 1
    found = policy.check("", {"gemm.c": source})
    assert [(v.line, v.rule) for v in found] == [(line, FORBIDDEN[piece])]


@given(LINES, st.sampled_from([p for p in FORBIDDEN if 'R"' not in p]))
def test_inside_a_comment_nothing_is_found(before: list[str], piece: str) -> None:
    inside = piece.replace("/*", "").replace("*/", "")
    source = "\n".join([*before, f"/* {inside}\n{inside} */ // {inside}\nint z;"])
    assert policy.check("", {"gemm.c": source}) == []


@given(st.sampled_from(list(FORBIDDEN)), st.data())
def test_continued_lines_are_joined_before_looking(piece: str, data: st.DataObject) -> None:
    cuts = data.draw(st.sets(st.integers(1, len(piece) - 1), max_size=6))
    pieces = [piece[i:j] for i, j in zip([0, *sorted(cuts)], [*sorted(cuts), len(piece)], strict=True)]
    ending = data.draw(st.sampled_from(["\\\n", "\\ \n", "\\\r\n", "\\\t\n"]))
    found = policy.check("", {"gemm.c": "int a;\n" + ending.join(pieces) + "\nint b;\n"})
    assert found[0].rule == FORBIDDEN[piece]
    assert 2 <= found[0].line <= 2 + len(cuts)  # a raw string is pointed to itself
