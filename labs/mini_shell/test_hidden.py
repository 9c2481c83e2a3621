"""Hidden tests: facts about a correct shell. Most are compared with dash, bash and busybox, where these agree."""

from __future__ import annotations

import contextlib
import errno
import itertools
import re

import numpy as np
import pytest

from grader.testing import CheckFailed, category, check, must, points, variant
from labs.mini_shell import campaign
from labs.mini_shell.conftest import FILES, VARIABLES
from labs.mini_shell.oracle import EAGAIN, EINVAL, explained, lines, tree

pytestmark = category("correctness")

PROMPT = r"\$ "


# --- The parser ---------------------------------------------------------------------------------------------------


@points(1.5)
def test_trees(parse):
    """Signs need no blanks around them, a digit right before < or > is a descriptor, # begins a comment at a word."""
    for source in (
        *(
            b"a|b>c",
            b"a;b&&c||d&e",
            b"2>f a 2>&1 3<g",
            b"a 2 >f",
            b"a 12>f",
            b"a2>f",
            b">f",
            b"a >&- <b",
            b"a>b<c>>d",
        ),
        *(b"", b"  \t ", b"\n\n", b"# only", b"a # b", b"a#b", b"a;#b\nc", b"a&", b"a &\nb", b"\n\na\n\nb\n"),
        *(
            b"a |\n b",
            b"a &&\n\nb",
            b"a ||\n# c\nb",
            b"a\\\nb c",
            b"a \\\n b",
            b"'a\nb' \"c\nd\"",
            b"a\\ b\\|c",
            b"a'|'\"&\";b",
        ),
        *(
            b"'a'\"b\"c\\d",
            b'"a\\"b" c',
            b"'\\' a",
            b"$A ${ $",
            b"a \xff\xfe\x80",
            b"1 2 3",
            b"a 1>&2 2>&1",
            b"<a <b <c d",
        ),
    ):
        _same_tree(parse, source)


@points(1.5)
def test_random_trees(parse_all, rng):
    """Texts put together from words, quotes and signs in any order."""
    pieces = [
        b"a",
        b"b c",
        b"'",
        b'"',
        b"\\",
        b"\n",
        b" ",
        b"\t",
        b"|",
        b"&",
        b"&&",
        b"||",
        b";",
        b"<",
        b">",
        b">>",
        b"2>",
        b"2>&1",
        b">&",
        b">&-",
        b"#",
        b"$A",
        b"1",
        b"12>",
        b"\\\n",
        b"x>y",
        b"'q r'",
        b'"d d"',
        b"\r",
        b"(",
        b")",
    ]
    for _ in range(30):
        picked = [rng.integers(0, len(pieces), size=int(rng.integers(0, 9))) for _ in range(50)]
        sources = [b"".join(pieces[index] for index in one) for one in picked]
        for source, got in zip(sources, parse_all(sources), strict=True):
            _check_tree(source, got)


@points(1)
def test_what_is_no_command(parse):
    """-EINVAL for what no further line can mend; -EAGAIN when a quote, a sign or a backslash waits for more."""
    for source in (
        b"|",
        b"| a",
        b"a | | b",
        b"a ;; b",
        b"; a",
        b"&",
        b"& a",
        b"a && ; b",
        b"a &&&& b",
        b"a > | b",
        b"a >",
        b"a > \nb",
        b"a < > b",
        b"a >& b",
        b"a 2>&",
        b"(a)",
        b"a )",
        b"a & ; b",
        b"a && | b",
        b"\0",
        b"a\0b",
        b"a >&1x",
    ):
        got = parse(source)
        check(got == EINVAL, "not refused", case=repr(source), expected="-EINVAL", got=got)
    for source in (
        b"a |",
        b"a | \n",
        b"a &&",
        b"a ||\n\n",
        b"'a",
        b'"a',
        b'"a\\"',
        b"a\\",
        b"a \\\n",
        b"a 'b\n",
        b"a | # c",
    ):
        got = parse(source)
        check(got == EAGAIN, "more lines could follow", case=repr(source), expected="-EAGAIN", got=got)


@points(1.5)
def test_fields(fields):
    """Quotes go, $NAME and $? come; a value outside of quotes is split at blanks, and vanishes when it is empty."""
    for word, expected in {
        "abc": [b"abc"],
        "''": [b""],
        "'a b'": [b"a b"],
        '"a b"c': [b"a bc"],
        "a\\ b": [b"a b"],
        "\\\\": [b"\\"],
        "'\\'": [b"\\"],
        '"\\a\\"\\\\\\$"': [b'\\a"\\$'],
        "$?": [b"42"],
        '"$?"$?': [b"4242"],
        "'$?'": [b"$?"],
        "\\$?": [b"$?"],
        "$NOT_THERE": [],
        '"$NOT_THERE"': [b""],
        "a$NOT_THERE": [b"a"],
        "$": [b"$"],
        "a$": [b"a$"],
        "$%": [b"$%"],
        "a\\\nb": [b"ab"],
        '"a\\\nb"': [b"ab"],
        "'a\\\nb'": [b"a\\\nb"],
        "''''": [b""],
        "a''b": [b"ab"],
        "$NOT_THERE''": [b""],
        "\"'\"'\"'": [b"'\""],
    }.items():
        got = fields(word, 42)
        check(got == expected, "other fields", case=word, expected=expected, got=got)


@points(1)
def test_long_trees(parse):
    """A line of a megabyte, ten thousand words, a hundred thousand commands: no limit, and no recursion."""
    for source in (b"a" * 250_000, b"a" + b" b" * 10_000, b"a|" * 5000 + b"a"):
        _same_tree(parse, source)
    got = parse(b"a;" * 100_000)
    check(got == -errno.EMSGSIZE, "a hundred thousand commands are too many", case="a;a;a; …", got=got)


# --- Words --------------------------------------------------------------------------------------------------------


@must
@points(1.5)
def test_quotes(agree):
    """Empty words stay, parts stand side by side, signs and comments inside of quotes are letters."""
    agree(
        *lines(
            r"""
            args ''
            args '' "" a
            args a"b"'c'\d
            args 'a|b' "c;d" e\&f
            args "a\"b" "a\\b" "a\b"
            args '\'
            args "'" '"'
            args a\⏎b
            args "a\⏎b"
            args 'a⏎b'
            args a#b '#' \#
            args \a\b
            'args' "a"
            args '$V1' \$V1
            """
        ),
    )


@points(1.5)
def test_variables(agree):
    """$NAME outside of quotes is split at blanks and vanishes when it is empty; in double quotes it does neither."""
    agree(
        *lines(
            r"""
            args $V1 $V2 $NONE
            args "$V1" "$V2" "$NONE"
            args x$V2.y
            args x"$V2"y
            args $V1$V2
            args $V1'$V1'
            args $EMPTY
            args "$EMPTY"
            args $NONE''
            args $V1.x $V1-
            $V1
            $NONE args a
            args $?
            ends 3; args "$?" $?x
            args a$ $
            export V1='a   b'; args $V1; args "$V1"
            export A=1 B=2; args $A$B
            export A=' x '; args a$A.b
            args $V1 > $V1; cat v
            """
        ),
    )


@points(0.5)
def test_comments_and_blanks(agree):
    """Comments, empty lines, blanks and tabs mean nothing; nor does a line that goes on when no other comes."""
    agree(
        *lines(
            r"""
            # only
            args a # b
            args a #b⏎args c
            #⏎#⏎args x⏎⏎#
            args a;# b
            """
        ),
        "",
        "   ",
        "\n\n",
        "\t args\ta\t",
        "  # c\n args",
        "args a \\\n",
        "args a \\\n\\\n\\\n",
        "\\\n\\\n",
        "args a; args b\\\n\\\n c",
    )


@points(1)
def test_no_blanks_needed(agree):
    """Signs end a word by themselves."""
    agree(
        *lines(
            r"""
            args a|cat>f;cat f
            cat<in1|sort>f&&cat f
            false||args b;args c
            args a>f;args b>>f;cat<f
            tell a 2>f;cat f
            args a&wait
            """
        ),
    )


# --- Redirections -------------------------------------------------------------------------------------------------


@points(1.5)
def test_redirections_in_their_order(agree):
    """From left to right: `>f 2>&1` is not `2>&1 >f`."""
    agree(
        *lines(
            r"""
            tell a >f 2>&1; cat f
            tell a 2>&1 >f | cat; wc -l f
            args a >f >g; cat f g
            <in1 cat >f; cat f
            >f args a; cat f
            cat <in1 <in2
            args a >f; args b >>f >g; cat f g
            tell a 2>f >&2; cat f
            args a >&2 2>f | wc -l
            tell x 2>&1 | cat
            """
        ),
    )


@points(1)
def test_other_descriptors(agree):
    """3> and 3>&1 work like 1> and 2>&1; >&- closes; a descriptor that is not open cannot be copied."""
    agree(
        *lines(
            r"""
            args a 3>f >&3; cat f
            tell a 3>&1 >f 2>&3 | wc -l
            fds 3>f
            fds 3>&1 4>&3
            args a 5>&1 >f >&5
            fds 3<in1
            tell a 2>&-
            args a >&7 || args no
            tell a 3>&2 2>&1 1>&3 | cat
            cat 0<in1
            args a 1>f; cat f
            fds 9>f
            """
        ),
    )


@points(1)
def test_redirections_of_builtins(agree):
    """They hold for the builtin only: afterwards the shell's own descriptors are back."""
    agree(
        *lines(
            r"""
            pwd >f; args a; cat f
            cd d1 >f; pwd
            pwd >f 2>&1; args b
            >f; args $?; cat f
            export A=1 >f; args $A
            pwd 3>f >&3; cat f; fds
            pwd >>f; pwd >>f; wc -l <f
            >f >g; ls
            pwd 2>&1 >f | cat; args x
            >f | args a
            """
        ),
    )


@points(1)
def test_redirections_that_fail(agree, shell):
    """The command is not run, its status is not 0, and the next command is."""
    agree(
        *lines(
            r"""
            cat <none || args no
            args a >d1 || args no
            args a >none/f || args no
            args b | cat <none; args c
            args a >f <none; ls
            pwd <none || args no
            """
        ),
    )
    ended = shell("args a >none/f; args next")
    check(
        ended.stdout == b"[next]\n1\n" and bool(ended.stderr),
        "no message, or the next command is not run",
        case="args a >none/f; args next",
    )


@points(0.5)
def test_new_files_are_for_everybody_to_read(agree):
    """A new file has the permissions 0666 without what the umask takes away; a file that exists is emptied at once."""
    agree("cat in1 >f; args >f; wc -c <f", "cat in1 >f; true >f; wc -c <f", "cat in1 >f; >f; wc -c <f")
    agree("args a >f; >>g; stat -c %a f g", "mkdir d2; stat -c %a d2; args a >d2/f; stat -c %a d2/f")


# --- Pipelines ----------------------------------------------------------------------------------------------------


@must
@points(1)
def test_long_pipelines(agree):
    """Three, ten and fifty programs in a row; the end of one is seen by the next."""
    agree(
        "cat in1 | cat | cat",
        "args a" + " | cat" * 10,
        "cat in1" + "|cat" * 50,
        "cat in1 | sort | uniq | wc -l",
    )


@points(0.5)
def test_status_of_a_pipeline(agree):
    """That of its last program, whatever the others did."""
    agree(
        *(
            f"ends {a} | ends {b} | ends {c}; args $?"
            for a, b, c in ((0, 0, 1), (1, 1, 0), (3, 0, 5), (-9, 0, 0), (0, 0, -9), (7, 8, 9))
        )
    )


@points(1)
def test_all_programs_at_the_same_time(shell):
    """Every program of a pipeline runs before any is waited for."""
    for count in (2, 3, 6):
        script = " | ".join([f"meet {count} d1"] * count) + "; args $?"
        got = shell(script, timeout_s=20.0).stdout
        check(
            got == b"[0]\n1\n",
            "the programs of a pipeline did not run at the same time",
            case=script,
            got=got.decode(),
        )


@points(1)
def test_much_through_a_pipe(shell):
    """64 MiB, a thousand times what a pipe holds."""
    for script in ("bytes 64 | bytes", "bytes 64 | cat | cat | bytes"):
        got = shell(script, timeout_s=20.0).stdout
        check(
            got == b"67108864\n",
            "not all of it came through",
            case=script,
            expected=67108864,
            got=got.decode(),
        )


@points(1)
def test_readers_that_end_early(shell, agree):
    """The writer gets SIGPIPE and ends: no program inherits an ignored SIGPIPE, or holds an end that is not its own."""
    agree(
        *lines(
            r"""
            yes | head -n 1
            yes | true
            yes | head -n 3 | tail -n 1
            cat in1 | true; args $?
            yes|yes|head -n 2
            """
        ),
    )
    ended = shell("yes | head -n 1; bytes 1 | true; args done")
    check(
        ended.stderr == b"",
        "somebody complained",
        case="yes | head -n 1; bytes 1 | true",
        got=ended.stderr.decode("utf-8", "replace"),
    )


@points(1)
def test_one_program_is_missing(agree):
    """The others run all the same, and see the end of their input."""
    agree(
        *lines(
            r"""
            nope | cat; args $?
            args a | nope; args $?
            cat in1 | nope | wc -l
            ./plain | args b
            args a | cat <none | args c
            """
        ),
    )


@points(1)
def test_builtins_in_pipelines(agree):
    """They run in a process of their own: neither `cd` nor `exit` nor `export` has an effect on the shell."""
    agree(
        *lines(
            r"""
            cd d1 | cat; pwd
            exit 3 | cat; args $?
            args a | exit 3; args $?
            pwd | cat
            export V1=x | cat; args $V1
            cat in1 | : ; args $?
            pwd | wc -l
            """
        ),
    )


# --- Lists and statuses -------------------------------------------------------------------------------------------


@points(1.5)
def test_every_triple(agree):
    """All combinations of ;, && and || after success, failure and a signal."""
    for first, second in itertools.product((";", "&&", "||"), repeat=2):
        agree(
            *(
                f"ends {a} {first} ends {b} {second} args {a} {b}; args $?"
                for a, b in itertools.product((0, 1, -9), repeat=2)
            )
        )


@points(1)
def test_statuses(agree):
    """127 not found, 126 not executable, 128 + n ended by signal n, and otherwise what the program says."""
    agree(
        *lines(
            r"""
            nope
            ./none
            ./plain
            ./d1
            d1/
            ends 255
            ends -9
            ends -11
            ends -6
            ends -15; args $?
            nope; args $?
            ''
            ends 3; args $?; args $?
            false; true; args $?
            ends 5 | true; args $?
            cd nope || args failed
            """
        ),
    )


@points(1)
def test_exit(agree):
    """With a number, with none (the last status), with one beyond 255; what follows is not run."""
    agree(
        *lines(
            r"""
            exit 3; args no
            ends 4; exit
            exit 263
            exit 0
            exit
            false || exit 9
            exit 5 && args no
            true; exit 1⏎args no
            exit 3 | exit 4
            """
        ),
    )


@points(1)
def test_folders(agree):
    """`cd` alone goes home; after one that failed the folder is the old one."""
    agree(
        *lines(
            r"""
            cd d1; pwd
            cd; pwd
            cd nope; pwd
            cd d1; cd ..; pwd
            cd d1 && ls
            cd ./d1/.; args x >f; cd ..; cat d1/f
            cd in1 || pwd
            export HOME=/tmp; cd; pwd
            """
        ),
    )


@must
@points(1)
def test_syntax_errors(agree, shell):
    """Exit status 2, a message, and nothing of that line is run; the lines before it have been."""
    agree(
        *lines(
            r"""
            args a⏎args b ||| c⏎args d
            |
            args a | | args b
            args a ;; args b
            args a⏎args 'b
            args a >
            args a⏎&& args b
            args a &&
            args "a
            """
        ),
    )
    ended = shell("args a ;; args b")
    check(
        bool(ended.stderr) and not ended.stdout,
        "no message, or the line was run",
        case="args a ;; args b",
        got=ended.stdout.decode(),
    )


@points(1)
def test_background(agree, shell):
    """`&` goes on at once, `wait` waits for all; a chain of && and || goes into the background as a whole."""
    agree(
        *lines(
            r"""
            args a >f & wait; cat f
            false && args a >f & wait; args $?; ls
            ends 3 &⏎args $?⏎wait
            args a >f & args b >g & wait; cat f g
            args a | cat >f & wait; cat f
            wait
            cat & wait; args x
            true && args b >f & wait⏎cat f
            cd d1 & wait; pwd
            """
        ),
    )
    agree("cat & wait; args x", "cat &\nwait\ncat", stdin=b"not for you\n", stdin_kind="pipe")
    for script in (
        "meet 2 d1 & meet 2 d1; args $?",
        "meet 3 d1 & meet 3 d1 & meet 3 d1; args $?; wait",
        "meet 2 d1 | cat & meet 2 d1 | cat; args $?",
    ):
        got = shell(script, timeout_s=20.0).stdout
        check(
            got == b"[0]\n1\n",
            "the shell waited for what is in the background",
            case=script,
            got=got.decode(),
        )
    ended = shell("sleep 30 & args now")
    check(
        ended.stdout == b"[now]\n1\n",
        "the shell waited for what is in the background",
        case="sleep 30 & args now",
    )


# --- Where commands come from -------------------------------------------------------------------------------------


@points(1)
def test_scripts_and_standard_input(program):
    """Quotes and pipelines over several lines, a last line without an end; by a file, a pipe, and a file as input."""
    lines = b"args a; args 'b\nc' |\ncat\n\n# x\nargs d \\\ne\nends 6"
    for kind in ("script", "pipe", "file"):
        how = {"files": {"s": lines}} if kind == "script" else {"stdin": lines, "stdin_kind": kind}
        ended = program.run(*(["s"] if kind == "script" else []), case=f"the same lines by {kind}", **how)
        expected = b"[a]\n1\n[b\nc]\n1\n[d]\n[e]\n2\n"
        check(
            ended.stdout == expected,
            "another standard output",
            case=f"lines by {kind}",
            expected=expected.decode(),
            got=ended.stdout.decode(),
        )
        check(ended.status == 6, "another exit status", case=f"lines by {kind}", expected=6, got=ended.status)


@points(1)
def test_commands_read_what_follows(program):
    """Shell and commands share standard input: a command finds the lines behind its own, not one byte more is gone."""
    for kind in ("pipe", "file"):
        ended = program.run(stdin=b"args a\ncat | wc -l\nargs no\n", stdin_kind=kind, case=f"lines by {kind}")
        expected = b"[a]\n1\n1\n"
        check(
            ended.stdout == expected,
            "the command did not find what follows it",
            case=f"lines by {kind}",
            expected=expected.decode(),
            got=ended.stdout.decode(),
        )


@points(0.5)
def test_what_cannot_be_run(program):
    """A script that is not there, or a folder: a message, and 127, 126 or 2. More arguments than there may be: 2."""
    for arguments, status in (
        (("none",), (127, 2)),  # bash's answer, and that of dash and busybox
        (("d1",), (127, 126, 2)),
        (("a", "b"), (2,)),
        (("-c",), (2,)),
        (("-c", "true", "x"), (2,)),
        (("-x",), (2,)),
    ):
        ended = program.run(*arguments, files={"d1/": b"", "a": b"args a\n"})
        case = "msh " + " ".join(arguments)
        expected = " or ".join(map(str, status))
        check(ended.status in status, "another exit status", case=case, expected=expected, got=ended.status)
        check(bool(ended.stderr) and not ended.stdout, "no message on standard error", case=case)


@points(1)
def test_where_programs_are(agree):
    """By the folders in PATH as it is now, an empty one is the working folder; a name with / is taken as it is."""
    agree(
        *lines(
            r"""
            export PATH=/nowhere; args a
            args a; export PATH=/nowhere; args b
            export PATH=/nowhere:$PATH; args a
            ./args
            d1/none
            /usr/bin/printf x
            export PATH=/usr/bin:; args b || args c
            export PATH=/nowhere::/else; ./plain
            export A=1; printenv A
            printenv V2 NONE
            """
        ),
    )
    agree(
        *lines(
            r"""
            printenv V1
            export NEW='a b'; printenv NEW
            env printenv V2
            export V1=; printenv V1
            """
        ),
    )
    agree(
        *lines(
            r"""
            mine
            ./mine a
            export PATH=:$PATH; mine
            export PATH=d1:; mine
            """
        ),
        files={"mine": _script(), "d1/": b""},
        executable=frozenset({"mine"}),
    )


def _script() -> bytes:
    """A program that the kernel can start without a shell."""
    return b"#!/usr/bin/cat\nI am mine\n"


@points(1)
def test_no_limits(program):
    """Lines of a megabyte, ten thousand arguments, a hundred thousand commands, three hundred redirections."""
    many = b" ".join(b"w%d" % number for number in range(10_000))
    for case, script, last in (
        ("a word of a megabyte", b"args " + b"x" * 100_000 + b" | bytes", b"100005\n"),
        ("10000 arguments", b"args " + many + b" | tail -n 1", b"10000\n"),
        ("100000 commands", b":;" * 100_000 + b"args a | tail -n 1", b"1\n"),
        ("300 redirections", b"args a" + b" >f" * 300 + b"; tail -n 1 f", b"1\n"),
        ("10000 lines", b":\n" * 10_000 + b"args a | tail -n 1", b"1\n"),
    ):
        ended = program.run("s", files={"s": script}, case=case, timeout_s=15.0)
        check(
            ended.stdout == last,
            "another standard output",
            case=case,
            expected=last.decode(),
            got=ended.stdout[-200:].decode("utf-8", "replace"),
        )
    long = b"args " + b"x" * 300_000 + b"\nargs alive | tail -n 1"
    ended = program.run("s", files={"s": long}, case="a word that is longer than the kernel takes")
    check(
        ended.stdout == b"1\n",
        "the shell did not go on after a command that could not be started",
        got=ended.stdout[-200:].decode(),
    )


@points(0.5)
def test_any_bytes(program):
    """Bytes that are no text, NUL bytes, a program instead of a script: no crash, and no command from nowhere."""
    for case, script in (
        ("NUL", b"args a\nargs \0b\nargs c\n"),
        ("latin", b"args \xe4\xff\n"),
        ("elf", b"\x7fELF\2\1\1\0" + bytes(range(256)) * 8),
    ):
        ended = program.run("s", files={"s": script}, case=case)
        check(ended.status < 128, "it crashed", case=case, got=ended.status)
    ended = program.run("s", files={"s": b"args \xe4\xff\n"}, case="bytes beyond ASCII")
    check(ended.stdout == b"[\xe4\xff]\n1\n", "the bytes have changed", got=repr(ended.stdout))


# --- On a terminal ------------------------------------------------------------------------------------------------


@points(1)
def test_a_prompt_and_lines(program):
    """A prompt that ends with `$ `, also after a mistake; Ctrl-D ends the shell with the last status."""
    with program.terminal(environment=VARIABLES) as terminal:
        terminal.expect(PROMPT, "the prompt")
        for line, answer in (
            ("args one", r"\[one\]"),
            ("args a ;; b", PROMPT),
            ("args $?", r"\[2\]"),
            ("nope", PROMPT),
            ("ends 3", PROMPT),
        ):
            terminal.line(line)
            terminal.expect(answer, f"the answer to {line}")
            if answer != PROMPT:
                terminal.expect(PROMPT, "the next prompt")
        terminal.send("\x04")
        status = terminal.wait().status
    check(status == 3, "another exit status", case="ends 3, then Ctrl-D", expected=3, got=status)


@points(1.5)
@pytest.mark.parametrize("line", ["cat", "cat | cat | cat", "sleep 60"])
def test_ctrl_c(program, line):
    """It ends the program in the foreground with everything in its pipeline, and not the shell."""
    with program.terminal() as terminal:
        terminal.expect(PROMPT, "the prompt")
        _begin(terminal, line)
        if "cat" in line:
            terminal.line("hello")
            terminal.expect(r"hello\s+hello", "what cat writes")
        _press(terminal, "\x03", "the prompt after Ctrl-C")
        terminal.line("args $?")
        terminal.expect(r"\[130\]", "$? after Ctrl-C, 128 + 2,")
        terminal.expect(PROMPT, "the prompt")
        terminal.line("family; exit 7")
        terminal.expect(r"\n0\r", "family: no child is left unburied,")
        ended = terminal.wait()
    check(
        ended.status == 7 and not ended.left,
        "processes are left behind",
        case=line,
        got=f"{ended.status} {ended.left}",
    )


@points(1.5)
def test_stop_and_go_on(program):
    """Ctrl-Z stops the job, `jobs` lists it, `fg` brings it back with its terminal."""
    with program.terminal() as terminal:
        terminal.expect(PROMPT, "the prompt")
        _begin(terminal, "cat | cat")
        terminal.line("hello")
        terminal.expect(r"hello\s+hello", "what cat writes")
        _press(terminal, "\x1a", "the prompt after Ctrl-Z")
        terminal.line("jobs")
        terminal.expect(r"(?i)stopped", "the stopped job in the list of `jobs`")
        terminal.expect(PROMPT, "the prompt")
        _begin(terminal, "fg")
        terminal.line("again")
        # The terminal's echo and cat's line. Between them `fg` may name the job, as dash, bash and busybox do.
        terminal.expect(r"again\s(?s:.*?)(?<=\n)again\r?\n", "what cat writes after `fg`")
        terminal.send("\x04")
        terminal.expect(PROMPT, "the prompt after the end of the job")
        terminal.line("args $?; exit 0")
        terminal.expect(r"\[0\]", "the status of the job")
        ended = terminal.wait()
    check(not ended.left, "processes are left behind", got=", ".join(ended.left))


@points(1)
def test_in_the_background_of_a_terminal(program):
    """`bg` lets a stopped job run; Ctrl-C does not reach jobs in the background."""
    with program.terminal(files={"d1/": b"", "d2/": b""}) as terminal:
        terminal.expect(PROMPT, "the prompt")
        _begin(terminal, "meet 2 d1")
        _press(terminal, "\x1a", "the prompt after Ctrl-Z")
        terminal.line("bg")
        terminal.expect(PROMPT, "the prompt after `bg`")
        _begin(terminal, "cat")
        terminal.line("hello")
        terminal.expect(r"hello\s+hello", "what cat writes")
        _press(terminal, "\x03", "the prompt after Ctrl-C")
        terminal.line("meet 2 d1; args $?")
        terminal.expect(r"\[0\]", "the other one in the background, alive,")
        terminal.expect(PROMPT, "the prompt")
        terminal.line("signals; exit")
        terminal.expect(r"SigBlk:\s+0+\r", "no blocked signals in a program")
        terminal.expect(r"SigIgn:\s+0+\r", "no ignored signals in a program")
        terminal.wait()


# --- Safety -------------------------------------------------------------------------------------------------------


@must
@category("safety")
@points(3)
def test_descriptors_of_programs(program):
    """Every program has descriptors 0, 1 and 2 and those that its line names, and no other."""
    for script, expected in (
        ("fds", "0 1 2"),
        ("fds -e | fds -e | fds -e 2>&1", "0 1 2"),
        ("args a | fds | cat", "0 1 2"),
        ("fds <in1 2>f >g; cat g", "0 1 2"),
        ("fds 3>f", "0 1 2 3"),
        ("pwd >f; fds", "0 1 2"),
        ("cd . 2>f >g; fds; >h; fds", "0 1 2\n0 1 2"),
        ("fds & wait", "0 1 2"),
        ("args a | args b & fds | cat; wait", "0 1 2"),
        ("true && fds", "0 1 2"),
        ("cat <none; fds", "0 1 2"),
        ("nope | fds", "0 1 2"),
    ):
        for arguments, how in (
            (("-c", script), {}),
            (("s",), {"files": {"s": script.encode()}}),
            ((), {"stdin": script.encode(), "stdin_kind": "file"}),
        ):
            ended = program.run(
                *arguments, case=script, **{**how, "files": {**FILES, **how.get("files", {})}}
            )
            lines = [
                line
                for line in (ended.stdout + ended.stderr).decode().splitlines()
                if re.fullmatch(r"[0-9 ]{2,}", line)
            ]
            wrong = [line for line in lines if line not in expected.split("\n")]
            check(
                bool(lines) and not wrong,
                "a program has other descriptors",
                case=script,
                expected=expected,
                got="\n".join(wrong or lines),
            )


@category("safety")
@points(1)
def test_descriptors_of_the_shell(shell):
    """Three hundred pipelines, redirections and failures later the shell has as many as before."""
    lines = "args a | cat | cat >f\npwd >f\ncat <none\npwd <none\nnope | nope\n>f 2>&1\ntrue &\nwait\n" * 40
    ended = shell("fds -p; :\n" + lines + "fds -p; :", timeout_s=20.0)
    counts = [line for line in ended.stdout.decode().split("\n") if line.isdigit()]
    check(
        len(counts) >= 2 and counts[0] == counts[-1],
        "descriptors stay open in the shell",
        expected=counts[:1],
        got=counts[-1:],
    )


@category("safety")
@points(2)
def test_nobody_is_left_unburied(shell):
    """Every process of a pipeline is waited for, and jobs in the background are when they have ended."""
    for script in (
        "true | true | true; family; :",
        "nope | true | ends 3; family; :",
        "true & true & true & wait; family; :",
        "cat <none | true; family; :",
        "true &\ntrue | true &\nsleep 1\n:\nfamily; :",
        "yes | head -n 1 >f; family; :",
        "ends -9 | ends -9 | true; family; :",
    ):
        ended = shell(script)
        told = ended.stdout.decode("utf-8", "replace").strip()
        check(
            told.isdigit(),
            "standard output is not the one number that `family` prints",
            case=script,
            expected="0, on standard output",
            got=f"{told or 'nothing'}, on standard output",
        )
        check(
            told == "0",
            "zombies: children that ended and were not waited for",
            case=script,
            expected="0, printed by `family`",
            got=told,
        )
        check(
            ended.unburied == 0 and not ended.left,
            "processes are left behind",
            case=script,
            got=f"{ended.unburied} zombies, running: {ended.left}",
        )


@category("safety")
@points(1)
def test_signals_of_programs(shell):
    """Programs begin with no signal ignored or blocked."""
    nothing = b"SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n"
    for script in ("signals", "signals | cat", "args a | signals", "true & signals; wait", "pwd >f; signals"):
        ended = shell(script)
        check(
            ended.stdout == nothing,
            "signals are ignored or blocked",
            case=script,
            expected=nothing.decode(),
            got=ended.stdout.decode(),
        )


@category("safety")
@points(2)
def test_a_closed_input_or_output(shell, program):
    """Standard descriptors that are closed when the shell begins, and a disk that is full."""
    for script in ("args a | cat", "args a | cat | cat", "pwd | cat", "args a >f; cat f"):
        ended = shell(script, stdin_kind="closed")
        check(
            ended.stdout in (b"[a]\n1\n", b"/tmp/work\n"),
            "another standard output",
            case=f"{script}, with standard input closed",
            got=ended.stdout.decode(),
        )
    ended = shell("args a >/dev/full; args b")
    check(ended.stdout == b"[b]\n1\n", "the shell did not go on after a full disk", got=ended.stdout.decode())
    ended = shell("pwd >/dev/full || args failed")
    check(
        ended.stdout == b"[failed]\n1\n",
        "a builtin does not tell that it could not write",
        case="pwd >/dev/full",
        got=ended.stdout.decode(),
    )


@category("safety")
@points(3)
@variant("asan")
def test_random_texts_under_a_sanitizer(library, rng):
    """20000 texts from words, quotes, signs and any bytes: the parser keeps its promises, every tree can be freed."""
    pieces = [
        b"a",
        b"bc",
        b" ",
        b" ",
        b"'",
        b'"',
        b"\\",
        b"|",
        b"&",
        b";",
        b"<",
        b">",
        b"\n",
        b"2>&1",
        b"$A",
        b"$?",
        b"#",
        b">&-",
        b"\0",
        b"\xff",
        b"x" * 200,
    ]
    drawn = b"".join(bytes([len(piece)]) + piece for piece in pieces)
    for longest, texts in ((12, 15000), (100, 4500), (4000, 500)):
        counts, out = np.zeros(4, np.uint64), np.zeros(4096, np.uint8)
        given = np.frombuffer(drawn, np.uint8)
        length = library.call(
            "drive_fuzz",
            int(rng.integers(1 << 62)),
            texts,
            longest,
            given,
            given.size,
            counts,
            out,
            out.size,
            timeout_s=60.0,
        )
        check(int(counts[3]) == 0, "a promise of msh.h is broken", case=repr(bytes(out[:length])))
        check(
            int(counts.sum()) == texts
            and (longest > 12 or counts.min(initial=9, where=[True, True, True, False]) > 0),
            "texts of one kind only",
            got=counts,
        )


# --- Hygiene ------------------------------------------------------------------------------------------------------


@category("hygiene")
@points(2)
def test_no_warnings(build, parse):
    """The compiler has nothing to remark with -Wall -Wextra about a parser that parses."""
    _same_tree(parse, b"a | b")
    remarks = [f"{item.file}:{item.line}: {item.message}" for item in build.remarks]
    check(not remarks, "the compiler warns", got="\n".join(remarks[:5]))


@category("hygiene")
@points(2)
@variant("faults")
def test_the_parser_without_memory(library):
    """Whichever allocation fails: -ENOMEM, and everything is given back; also when all goes well."""
    source = np.frombuffer(b"a 'b c' <d 2>&1 | e >f && g; h & i j k l", np.uint8)
    out = np.zeros(4096, np.uint8)
    for nth in range(-1, 60):
        library.call("guest_fail_allocation", nth)
        status = library.call(
            "drive_parse", source, source.size, out, out.size, case=f"allocation {nth} fails"
        )
        made, live = library.call("guest_allocations"), library.call("guest_live_bytes")
        library.call("guest_fail_allocation", -1)
        case = f"allocation {nth} fails" if nth >= 0 else "no allocation fails"
        check(nth >= 0 or status > 0, "it does not parse at all", case=case, got=status)
        check(live == 0, "memory is not given back", case=case, got=f"{live} bytes")
        if nth >= 0 and made > nth:
            check(status == -errno.ENOMEM, "another answer", case=case, expected="-ENOMEM", got=status)
    library.call("guest_fail_allocation", 0)
    status = library.call("drive_expand", "a$B'c'", 0, out, out.size)
    made = library.call("guest_allocations")
    library.call("guest_fail_allocation", -1)
    check(
        made == 0 or status == -errno.ENOMEM,
        "another answer",
        case="msh_expand without memory",
        expected="-ENOMEM",
        got=status,
    )


@category("hygiene")
@points(3)
@variant("faults")
@pytest.mark.parametrize("call", ["fork", "pipe", "dup"])
def test_calls_that_fail(shell, call):
    """fork, pipe or dup2 fails at any place: a message, a status not 0, nobody waits for ever, the shell lives."""
    _works(shell("args a"))
    for script in (
        "args a | cat | cat || args failed",
        "args a >f && args x || args failed",
        "args a | cat >f || args failed",
        "args b >f & wait",
    ):
        for nth in range(7):
            whole = f"{script}\nfamily; :"
            ended = shell(
                whole,
                case=f"{call} number {nth or 'any'} fails: {script}",
                environment={"MSH_FAULT": f"{call}:{nth}"},
            )
            case = f"the {nth}. {call} fails: {script}" if nth else f"every {call} fails: {script}"
            check(
                ended.status < 126 or nth == 0,
                "the shell itself ended",
                case=case,
                got=f"status {ended.status}",
            )
            check(
                not ended.left and ended.unburied == 0,
                "processes are left behind",
                case=case,
                got=f"{ended.left}, {ended.unburied} zombies",
            )
            check(
                ">f" not in script or b"[a]" not in ended.stdout,
                "output went elsewhere",
                case=case,
                got=ended.stdout.decode(),
            )
            surely = nth < 2 and (call == "fork" or (call == "pipe" and " | " in script))
            if surely or b"failed" in ended.stdout or ended.status != 0:
                check(bool(ended.stderr), "no message on standard error", case=case)
    if call == "fork":
        ended = shell("args a || args never", environment={"MSH_FAULT": "fork:0"})
        check(
            bool(ended.stderr) and ended.status != 0,
            "a fork that failed is not told",
            case="every fork fails: args a || args never",
            got=ended.status,
        )


@category("hygiene")
@points(1)
def test_few_descriptors(shell):
    """With sixteen descriptors a pipeline of thirty works: ends that nobody needs any more are closed at once."""
    script = "args a" + " | cat" * 30
    ended = shell(script, descriptors=16)
    check(
        ended.stdout == b"[a]\n1\n",
        "it did not work",
        case="args a | cat | … (30), with at most 16 descriptors",
        got=(ended.stdout + ended.stderr).decode("utf-8", "replace"),
    )


@category("hygiene")
@points(1)
def test_messages(shell):
    """Messages go to standard error, say what they are about, and are told once."""
    for script, word in (
        ("nope_nope", "nope_nope"),
        ("cat <none_there", "none_there"),
        ("cd none_there", "none_there"),
        ("args a | nope_nope; args b >f", "nope_nope"),
    ):
        ended = shell(script)
        lines = [line for line in ended.stderr.decode("utf-8", "replace").splitlines() if word in line]
        check(
            len(lines) == 1 and word.encode() not in ended.stdout,
            "one line on standard error that names it",
            case=script,
            expected=word,
            got=ended.stderr.decode("utf-8", "replace"),
        )


# --- Scripts from a grammar ---------------------------------------------------------------------------------------
# At the end: when something else is to be mended, fewer are enough.


@must
@points(5)
def test_generated_scripts(program, model, rng, evidence, failed_before):
    """3000 scripts, drawn from the language of the handout; 500 when there is something else to mend."""
    wanted = 500 if failed_before else 3000
    count, difference = campaign.first_difference(program, model, int(rng.integers(1 << 32)), wanted)
    if difference is not None:
        raise explained(difference)
    evidence(
        "scripts from the grammar",
        f"{count} different scripts, none answered differently from dash, bash and busybox",
    )


@must
@category("safety")
@points(3)
@variant("asan")
def test_generated_scripts_under_a_sanitizer(program, rng, failed_before):
    """300 scripts from the grammar, watched by AddressSanitizer; 100 when there is something else to mend."""
    _works(program.run("-c", "args a"))
    for script in campaign.draw(int(rng.integers(1 << 32)), 100 if failed_before else 300):
        program.run("-c", script, case=script, **campaign.HOW)


def _works(ended):
    """What is watched must do something at all."""
    check(
        ended.stdout == b"[a]\n1\n",
        "it does not even run one command",
        case="args a",
        got=ended.stdout.decode(),
    )


def _begin(terminal, line):
    """Run a line that prints nothing. Afterwards the shell has read it: what it has not read, Ctrl-C would discard, and
    what is typed too early goes to its line editor, if it has one, and not to the program."""
    terminal.line(f"args go; {line}")
    terminal.expect(r"\[go\]\s+1\r\n", "what the first command of the line prints")


def _press(terminal, key, what):
    """Press Ctrl-C or Ctrl-Z until the prompt comes: the program may not run yet when it is pressed first."""
    for _ in range(40):
        terminal.send(key)
        with contextlib.suppress(CheckFailed):
            terminal.expect(PROMPT, what, timeout_s=0.5)
            return
    raise CheckFailed(f"on a terminal: {what} did not come", got=terminal.seen())


def _same_tree(parse, source):
    _check_tree(source, parse(source))


def _check_tree(source, got):
    expected = tree(source)
    if got != expected:
        raise CheckFailed("another tree", case=repr(source), expected=_plain(expected), got=_plain(got))


def _plain(answer):
    """A tree or an answer for people."""
    if isinstance(answer, int):
        return {0: "0", EINVAL: "-EINVAL", EAGAIN: "-EAGAIN"}.get(answer, str(answer))
    text = answer.replace(b"\x01", b"[").replace(b"\x02", b"]").decode("utf-8", "backslashreplace")
    return text[:1000]
