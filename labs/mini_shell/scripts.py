"""Scripts drawn from the language of the handout, for hypothesis; and the files that they find.

Only what has one right answer is drawn: no two processes write one file at the same time, nobody reads what another one
is writing, and what goes on in the background is waited for.
"""

from __future__ import annotations

from hypothesis import strategies as st

FILES = {"in1": b"one\ntwo\nthree\ntwo\n", "in2": b"b a\nd c", "d1/": b"", "plain": b"not a program\n"}
"""What lies in the working folder of every script."""

Draw = st.DrawFn

_LETTERS = ["a", "b1", "x.y", "-z", "+", "%", "/", "=", "_", ",", "@", "A", "^", "a#b"]
_QUOTED = ["'a b'", "''", "'|'", "';'", "'#'", "'$V1'", "'\\'", "'\"'", "'a\nb'", "'>'", "'&'"]
_DOUBLE = [
    '"a b"',
    '""',
    '"|"',
    '"$V1"',
    '"$V2 $V3"',
    '"\\""',
    '"\\\\"',
    '"\\$V1"',
    '"\\a"',
    '"\'"',
    '"$?"',
    '"#"',
    '"a\\\nb"',
]
_ESCAPED = ["\\ ", "\\|", "\\;", "\\&", "\\>", "\\\\", "\\'", '\\"', "\\$", "\\#", "\\a", "\\\n"]
_VALUES = ["$V1", "$V2", "$V3", "$NONE", "$?", "$V1$V2", "$V1.x", "$V1'q'", "$"]
_PIECES = [*_LETTERS, *_VALUES, *_QUOTED, *_DOUBLE, *_ESCAPED]
_PAIRS = [one + two for one in _PIECES for two in _PIECES if not (one[-1] == "$" and two[0] in "'\"$?")]
_WORDS = st.sampled_from(
    [word for word in (*_PIECES * 12, *_PAIRS) if not word.startswith("#") and word != "\\\n"]
)
_BLANKS = st.sampled_from([" ", "  ", "\t", " \\\n"])

_STATUSES = ("0", "1", "2", "7", "255", "-9", "-15", "-11")
_OTHERS = (
    *(
        "true",
        "true",
        "false",
        "false",
        "pwd",
        ":",
        ": x",
        "exit 3",
        "exit",
        "exit 300",
        "cd",
        "cd .",
        "cd ..",
        "cd d1",
        "cd nope",
    ),
    *(
        "sort",
        "wc -l",
        "tr a-z A-Z",
        "head -n 1",
        "tail -n 1",
        "uniq",
        "cat",
        "cat in1",
        "cat in2 in1",
        "cat in1 none",
    ),
    *("nope", "./plain", "./d1", "./none", "''", "$NONE", "$NONE args x", "tell a", "tell 'a b' $V1"),
    *("export V1=x", "export V2='a  b'", "export V3=", 'export V1="$V2"', "export V3=\\|", "export V1=$?"),
    *(f"ends {status}" for status in _STATUSES),
)
_ALONE = ("cat f0", "cat f0 f1", "wc -l f0", "cat 'f 2'")
_COMMANDS = {False: st.sampled_from(_OTHERS), True: st.sampled_from((*_OTHERS, *_ALONE))}


def _redirections(outputs: tuple[str, ...], inputs: tuple[str, ...]) -> list[str]:
    signs = [f"{sign}{target}" for sign in (">", ">>", "> ", ">>  ", "2>", "3>") for target in outputs]
    copies = ["2>&1", ">&2", "3>&1", "2>&-", "1>&2 2>&1", "3>&2 2>&1 1>&3"]
    return [*signs, *copies, *(f"{sign}{source}" for sign in ("<", "< ", "0<") for source in inputs)]


_REDIRECTIONS = {
    -1: st.sampled_from(_redirections(("f0", "f1", "'f 2'"), ("in1", "in2", "f0", "none"))),
    **{stage: st.sampled_from(_redirections((f"s{stage}",), ("in1",))) for stage in range(4)},
}
_SIGNS = st.sampled_from(
    [
        " && ",
        " || ",
        "; ",
        "\n",
        ";",
        "&&",
        "||",
        " # x\n",
        "\n\n",
        " &\nwait\n",
        "; args $?\n",
        " &&\n\n",
        " || # y\n",
    ]
)
_PIPES = st.sampled_from([" | ", "|", " |\n", "|\t", " | # z\n"])
_ENDS = st.sampled_from(["", "\n", " ; args $?", "\nargs $? $V1", " # end", "\n\n", "\ncat f0"])


@st.composite
def commands(draw: Draw, stage: int, blank: str) -> str:
    """One command. `stage` names the files that it may write; -1: nobody else runs, and it may write any."""
    kind = draw(st.integers(0, 9))
    words = draw(st.lists(_WORDS, max_size=3)) if kind <= 4 else []
    text = blank.join(["args", *words]) if kind <= 4 else draw(_COMMANDS[stage < 0])
    for _ in range((0, 0, 0, 1, 1, 2, 3, 0, 1, 2)[kind]):
        redirection = draw(_REDIRECTIONS[stage])
        text = f"{text}{blank}{redirection}" if kind != 6 else f"{redirection} {text}"
    return text


@st.composite
def pipelines(draw: Draw, blank: str) -> str:
    """One to four commands."""
    count = draw(st.sampled_from([1, 1, 1, 2, 2, 3, 4]))
    if count == 1:
        return draw(commands(-1, blank))
    return draw(_PIPES).join(draw(commands(stage, blank)) for stage in range(count))


@st.composite
def scripts(draw: Draw) -> str:
    """A script of up to seven pipelines."""
    blank = draw(_BLANKS)
    text = draw(pipelines(blank))
    for _ in range(draw(st.integers(0, 6))):
        text += draw(_SIGNS) + draw(pipelines(blank))
    return text + draw(_ENDS)
