"""Scripts drawn from the language of the handout, for hypothesis.

Only what has one right answer is drawn: no two processes write one file at the same time, nobody reads what another one
is writing, what goes on in the background is waited for, and who may be ended early by SIGPIPE does nothing else.
"""

from __future__ import annotations

import random

from hypothesis import strategies as st

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
# A $ before most other signs has a meaning of its own in real shells, such as $@ and $-.
_PAIRS = [one + two for one in _PIECES for two in _PIECES if one[-1] != "$" or two[0] in "%/=,+^"]
_WORDS = [word for word in (*_PIECES * 12, *_PAIRS) if not word.startswith("#") and word != "\\\n"]
_BLANKS = [" ", " ", " ", "  ", "\t", " \\\n"]

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
    ),
    *("nope", "./plain", "./d1", "./none", "''", "$NONE", "$NONE args x", "tell a", "tell 'a b' $V1"),
    *("export V1=x", "export V2='a  b'", "export V3=", 'export V1="$V2"', "export V3=\\|", "export V1=$?"),
    *(f"ends {status}" for status in _STATUSES),
)
_SPECIAL = (":", "exit", "export")
"""Builtins whose redirections do not fail here: POSIX lets the shell end then, and real shells do."""

_ALONE = ("cat in1 none", "cat f0", "cat f0 f1", "wc -l f0", "cat 'f 2'")
_COMMANDS = {False: _OTHERS, True: (*_OTHERS, *_ALONE)}


def _redirections(outputs: tuple[str, ...], inputs: tuple[str, ...]) -> list[str]:
    signs = [f"{sign}{target}" for sign in (">", ">>", "> ", ">>  ", "2>", "3>") for target in outputs]
    copies = ["2>&1", ">&2", "3>&1", "2>&-", "1>&2 2>&1", "3>&2 2>&1 1>&3"]
    return [*signs, *copies, *(f"{sign}{source}" for sign in ("<", "< ", "0<") for source in inputs)]


_REDIRECTIONS = {
    -1: _redirections(("f0", "f1", "'f 2'"), ("in1", "in2", "f0", "none")),
    **{stage: _redirections((f"s{stage}",), ("in1",)) for stage in range(4)},
}
_SIGNS = st.sampled_from(
    [
        "\n",
        "; ",
        " && ",
        " || ",
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


def _command(rng: random.Random, stage: int) -> str:
    """One command. `stage` says which files it may write; -1: nobody else runs, and it may write any."""
    blank = rng.choice(_BLANKS)
    if rng.random() < 0.5:
        text = blank.join(["args", *rng.choices(_WORDS, k=rng.randint(0, 3))])
    else:
        text = rng.choice(_COMMANDS[stage < 0])
    choices = [f">>x{stage + 1}", f"> x{stage + 1}"] if text.split()[0] in _SPECIAL else _REDIRECTIONS[stage]
    for _ in range(rng.choice((0, 0, 0, 0, 1, 1, 1, 2, 3))):
        redirection = rng.choice(choices)
        text = f"{redirection} {text}" if rng.random() < 0.2 else f"{text}{blank}{redirection}"
    return text


def _table(rng: random.Random, stage: int, count: int) -> list[str]:
    """Commands for one stage, the simplest first: what hypothesis shrinks to."""
    drawn = {_command(rng, stage) for _ in range(count)}
    return sorted(drawn, key=lambda text: (len(text), text))


def scripts(number: int) -> st.SearchStrategy[str]:
    """Scripts of up to seven pipelines of up to four commands. The number chooses the commands that they are made of.

    A command is one choice of hypothesis, or drawing thousands of scripts would take longer than running them.
    """
    rng = random.Random(number)
    alone = st.sampled_from(_table(rng, -1, 4000))
    staged = [st.sampled_from(_table(rng, stage, 1000)) for stage in range(4)]
    lengths = st.sampled_from([1, 1, 1, 2, 2, 3, 4])
    more = st.integers(0, 6)

    @st.composite
    def pipeline(draw: st.DrawFn) -> str:
        length = draw(lengths)
        if length == 1:
            return draw(alone)
        return draw(_PIPES).join(draw(staged[stage]) for stage in range(length))

    @st.composite
    def script(draw: st.DrawFn) -> str:
        text = draw(pipeline())
        for _ in range(draw(more)):
            text += draw(_SIGNS) + draw(pipeline())
        return text + draw(_ENDS)

    return script()
