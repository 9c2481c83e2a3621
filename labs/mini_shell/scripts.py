"""Scripts drawn from the language of the handout, for hypothesis; and the files that they find.

Only what has one right answer is drawn: no two processes write one file at the same time, nobody reads what another one
is writing, and what goes on in the background is waited for.
"""

from __future__ import annotations

from hypothesis import strategies as st

FILES = {"in1": b"one\ntwo\nthree\ntwo\n", "in2": b"b a\nd c", "d1/": b"", "plain": b"not a program\n"}
"""What lies in the working folder of every script."""

Draw = st.DrawFn

_LETTERS = st.sampled_from(["a", "b1", "x.y", "-z", "+", "%", "/", "=", "_", ",", "@", "A", "^"])
_QUOTED = st.sampled_from(["'a b'", "''", "'|'", "';'", "'#'", "'$V1'", "'\\'", "'\"'", "'a\nb'", "'>'", "'&'"])
_DOUBLE = st.sampled_from(
    ['"a b"', '""', '"|"', '"$V1"', '"$V2 $V3"', '"\\""', '"\\\\"', '"\\$V1"', '"\\a"', '"\'"', '"$?"', '"#"', '"a\\\nb"']
)
_ESCAPED = st.sampled_from(["\\ ", "\\|", "\\;", "\\&", "\\>", "\\\\", "\\'", '\\"', "\\$", "\\#", "\\a", "\\\n"])
_VALUES = st.sampled_from(["$V1", "$V2", "$V3", "$NONE", "$?", "$V1$V2", "$V1.x", "$V1'q'", "$ "])
_PIECE = st.one_of(_LETTERS, _LETTERS, _LETTERS, _QUOTED, _DOUBLE, _ESCAPED, _VALUES, st.just("a#b"))
_BLANK = st.sampled_from([" ", " ", " ", "  ", "\t", " \\\n"])


@st.composite
def words(draw: Draw) -> str:
    """One word: pieces side by side."""
    return "".join(draw(st.lists(_PIECE, min_size=1, max_size=3))).strip() or "w"


@st.composite
def redirections(draw: Draw, stage: int, alone: bool) -> str:
    """One redirection of a command; `stage` names the file that it may write, `alone` says that nobody else runs."""
    kind = draw(st.integers(0, 9))
    space = draw(st.sampled_from(["", " "]))
    target = draw(st.sampled_from(["f0", "f1", "'f 2'"])) if alone else f"s{stage}"
    if kind <= 2:
        return f">{space}{target}"
    if kind <= 4:
        return f">>{space}{target}"
    if kind == 5:
        source = draw(st.sampled_from(["in1", "in2", "f0", "none"])) if alone else "in1"
        return f"<{space}{source}"
    return draw(st.sampled_from(["2>&1", ">&2", f"2>{space}{target}", "3>&1", f"3>{space}{target}", "2>&-", "1>&2 2>&1"]))


@st.composite
def simple_commands(draw: Draw, alone: bool) -> str:
    """A command without its redirections."""
    kind = draw(st.integers(0, 19))
    if kind <= 7:
        parts = ["args", *draw(st.lists(words(), max_size=4))]
    elif kind == 8:
        parts = ["tell", *draw(st.lists(words(), max_size=2))]
    elif kind <= 10:
        parts = ["cat", *draw(st.lists(st.sampled_from(["in1", "in2", "f0" if alone else "in1"]), max_size=2))]
    elif kind == 11:
        parts = [draw(st.sampled_from(["sort", "wc -l", "tr a-z A-Z", "head -n 1", "tail -n 1", "uniq"]))]
    elif kind == 12:
        parts = ["ends", draw(st.sampled_from(["0", "1", "2", "7", "255", "-9", "-15", "-11"]))]
    elif kind == 13:
        parts = [draw(st.sampled_from(["nope", "./plain", "./d1", "./none", "''", "$NONE", "$NONE args x"]))]
    elif kind == 14:
        parts = ["export", draw(st.sampled_from(["V1=x", "V2='a  b'", "V3=", 'V1="$V2"', "V3=\\|"]))]
    elif kind == 15:
        parts = ["cd", draw(st.sampled_from(["d1", "..", ".", "nope", "'d1'", ""]))]
    elif kind == 16:
        parts = ["pwd"]
    elif kind == 17:
        parts = [draw(st.sampled_from([":", ": x", "exit 3", "exit", "exit 300"]))] if draw(st.booleans()) else ["false"]
    else:
        parts = [draw(st.sampled_from(["true", "false"]))]
    return draw(_BLANK).join(part for part in parts if part)


@st.composite
def commands(draw: Draw, stage: int, alone: bool) -> str:
    """A command with up to three redirections, before and behind it."""
    text = draw(simple_commands(alone))
    for redirection in draw(st.lists(redirections(stage, alone), max_size=3 if draw(st.booleans()) else 0)):
        before = draw(st.integers(0, 3)) == 0
        text = f"{redirection} {text}" if before else f"{text}{draw(_BLANK)}{redirection}"
    return text


@st.composite
def pipelines(draw: Draw) -> str:
    """One to four commands."""
    count = draw(st.sampled_from([1, 1, 1, 2, 2, 3, 4]))
    sign = draw(st.sampled_from([" | ", "|", " |\n", "|\t"]))
    return sign.join(draw(commands(stage, count == 1)) for stage in range(count))


@st.composite
def scripts(draw: Draw) -> str:
    """A script of up to seven pipelines."""
    text = draw(pipelines())
    for _ in range(draw(st.integers(0, 6))):
        sign = draw(st.sampled_from([" && ", " || ", "; ", "\n", ";", "&&", "||", " # x\n", "\n\n", " &\nwait\n", "; args $?\n"]))
        text += sign + draw(pipelines())
    return text + draw(st.sampled_from(["", "\n", " ; args $?", "\nargs $? $V1", " # end", "\n\n"]))
