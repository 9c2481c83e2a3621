"""Public tests: what every student has. Their names say what must hold."""

from __future__ import annotations

from grader.testing import category, check, must, points, smoke, variant
from labs.mini_shell.conftest import FILES, VARIABLES
from labs.mini_shell.oracle import lines

pytestmark = category("correctness")


@smoke
@must
@points(2)
def test_one_command(agree):
    """A program is found by the folders in PATH, gets its arguments, and its exit status becomes the shell's."""
    agree(
        *lines(
            r"""
            args
            args one two three
            ends 0
            ends 3
            ls
            ./none
            nope
            """
        ),
        "args   a \t b   ",
    )


@points(2)
def test_words_and_quotes(agree):
    """Single quotes keep everything, double quotes keep blanks, a backslash keeps one character."""
    agree(
        *lines(
            r"""
            args 'a b' c
            args "a  b" c
            args a\ b
            args '|' '>' ';' "&"
            args a'b'c"d"e
            args ''
            args "" x
            """
        ),
    )


@must
@points(2)
def test_pipelines(agree):
    """What the left one writes is what the right one reads; the status is that of the last one."""
    agree(
        *lines(
            r"""
            echo hi | cat
            cat in1 | sort | uniq
            false | true
            true | false
            cat in1|tail -n 2|head -n 1
            args a | args b
            """
        ),
    )


@points(2)
def test_redirections(agree):
    """Files for input and output; > begins anew, >> goes on."""
    agree(
        *lines(
            r"""
            args a > f; cat f
            args long > f; args b > f; cat f
            args a > f; args b >> f; cat < f
            cat < in1 > f; wc -l < f
            tell oops 2> f; cat f
            tell oops > f 2>&1; cat f
            cat < none; args next
            """
        ),
    )


@points(1)
def test_exit_statuses(agree):
    """$? is the status of what ran before: 127 for one that is not there, 126 for one that cannot be executed."""
    agree(
        *lines(
            r"""
            ends 7; args $?
            nope; args $?
            ./plain; args $?
            ends -15; args $?
            true; args $?; args $?
            """
        ),
    )


@points(2)
def test_lists(agree):
    """`;` goes on in any case, && after success, || after failure."""
    agree(
        *lines(
            r"""
            args a; args b
            true && args yes
            false && args no
            false || args yes
            true || args no
            false && args no || args yes
            args a;
            """
        ),
        "true\nargs next\n",
        "",
    )


@points(2)
def test_builtins(agree):
    """What changes the shell itself must be done by the shell itself."""
    agree(
        *lines(
            r"""
            cd d1; pwd
            cd d1 && cd .. && pwd
            exit 5; args no
            export A=b; args $A; printenv A
            : x y; args $?
            cd; pwd
            """
        ),
    )


@points(1)
def test_a_script_in_a_file(program):
    """`msh FILE` runs the lines of a file, `msh` those of its standard input."""
    lines = b"args a\nargs b |\n  cat\nends 4\n"
    for how in ({"files": {"script": lines}}, {"stdin": lines, "stdin_kind": "pipe"}):
        ended = program.run(*(["script"] if "files" in how else []), **how)
        case = "msh FILE" if "files" in how else "msh, lines by standard input"
        check(
            ended.stdout == b"[a]\n1\n[b]\n1\n",
            "another standard output",
            case=case,
            got=ended.stdout.decode("utf-8", "replace"),
        )
        check(ended.status == 4, "another exit status", case=case, expected=4, got=ended.status)


@category("safety")
@points(1)
@variant("asan")
def test_a_few_lines_under_a_sanitizer(program):
    """AddressSanitizer watches a few lines from their first letter to their end."""
    for script in (
        "args a 'b c' \"d $V1\" | cat >f; cat <f",
        "true && args a || args b; >f 2>&1",
        "cd d1 >f; pwd; export A=b; args $A$A x$A",
        "args a | | args b",
        "nope; args $?",
    ):
        ended = program.run("-c", script, files=FILES, environment=VARIABLES, case=script)
        check(ended.status < 128, "it crashed", case=script, got=ended.status)
    ended = program.run("-c", "args a", case="args a")
    check(
        ended.stdout == b"[a]\n1\n", "it does not run one command", case="args a", got=ended.stdout.decode()
    )


@points(2)
def test_the_tree(parse):
    """The parser's tree: words as they were written, redirections in their order, what stands behind each pipeline."""
    for source, tree in {
        b"a b": b"\x01a\x02\x01b\x02\n",
        b"a | b": b"\x01a\x02 | \x01b\x02\n",
        b"a; b &": b"\x01a\x02;\n\x01b\x02&\n",
        b"a && b || c": b"\x01a\x02&&\n\x01b\x02||\n\x01c\x02\n",
        b"a 'b c' <d >> e": b"\x01a\x02\x01'b c'\x02 0<-1\x01d\x02 1>>-1\x01e\x02\n",
    }.items():
        got = parse(source)
        check(got == tree, "another tree", case=source.decode(), expected=_plain(tree), got=_plain(got))


def _plain(tree: bytes | int) -> str:
    """The tree for people: words in brackets."""
    return (
        str(tree)
        if isinstance(tree, int)
        else tree.replace(b"\x01", b"[").replace(b"\x02", b"]").decode("utf-8", "replace")
    )
