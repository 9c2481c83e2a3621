"""What is right: the answer of real shells, where they agree; and a small parser for the tree of msh.h."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from grader.runner.programs import Ended
from grader.testing import CheckFailed, Program

MODELS = ("dash", "bash", "busybox")
STOPPED = -1
"""Instead of an exit status: it did not end in time, or printed without end."""

Answer = tuple[int, bytes, tuple[tuple[str, bytes], ...]]


def answer(ended: Ended) -> Answer:
    """What is compared: exit status, standard output, and the files in the working folder afterwards."""
    status = STOPPED if ended.timed_out or ended.flooded else ended.status
    return status, ended.stdout, tuple(sorted(ended.files.items()))


@dataclass(frozen=True)
class Difference:
    """A script that all the real shells understand in one way, and the submission in another."""

    script: str
    expected: Answer
    got: Answer


def compare(
    script: str,
    ours: Ended,
    model: Callable[[str], Program],
    how: Mapping[str, object],
    first: Ended | None = None,
) -> Difference | None:
    """None when the submission's answer is that of a real shell, or when these disagree. `first`: dash's, if known."""
    got = answer(ours)
    expected = None
    for name in MODELS:
        ended = first if first is not None and name == MODELS[0] else run(model(name), script, how)
        if ended.timed_out or answer(ended) == got:
            return None
        if expected is not None and answer(ended) != expected:
            return None
        expected = answer(ended)
    return Difference(script, expected, got) if expected is not None else None


def run(program: Program, script: str, how: Mapping[str, object]) -> Ended:
    """The script, as the command line's. However it ends."""
    return program.attempt(program.command("-c", script, **how), case=script)


def explained(difference: Difference, why: str = "") -> CheckFailed:
    """The difference, with both answers side by side."""
    (status, output, files), (our_status, our_output, our_files) = difference.expected, difference.got
    if our_status == STOPPED:
        what, expected, got = "it did not end", f"the end, with status {status}", "stopped"
    elif output != our_output:
        what, expected, got = (
            "standard output differs from that of real shells",
            shown(output),
            shown(our_output),
        )
    elif status != our_status:
        what, expected, got = "the exit status differs from that of real shells", str(status), str(our_status)
    else:
        theirs, ours = sorted(set(files) - set(our_files)), sorted(set(our_files) - set(files))
        what, expected, got = "the files differ from those of real shells", listed(theirs), listed(ours)
    return CheckFailed(what, case=difference.script, expected=expected, got=got, why=why)


def lines(text: str) -> list[str]:
    """One script in each line; ⏎ stands for a line end in it."""
    return [line.strip().replace("⏎", "\n") for line in text.strip().splitlines()]


def shown(data: bytes) -> str:
    """Bytes as text, with an end that can be seen."""
    text = data.decode("utf-8", "backslashreplace")
    return (text[:1500] + " …" if len(text) > 1500 else text) or "(nothing)"


def listed(files: list[tuple[str, bytes]]) -> str:
    """Files by name, with what is in them."""
    return "\n".join(f"{name}: {shown(data)}" for name, data in files) or "(no such file)"


# --- The tree of msh.h ------------------------------------------------------------------------------------------------

EINVAL, EAGAIN = -22, -11
_WORD = re.compile(rb"""(?:[^ \t\n|&;<>()'"\\]|\\.|'[^']*'|"(?:[^"\\]|\\.)*")+""", re.DOTALL)
_SIGNS = (b"&&", b"||", b"|", b"&", b";", b"\n")
_REDIRECTION = re.compile(rb"([0-9]?)(>>|>&(?:[0-9]|-)(?=[ \t\n|&;<>()]|\Z)|>(?!&)|<)")


class Wrong(Exception):
    """No command of the language, or not yet: args[0] is what msh_parse answers."""


def tree(src: bytes) -> bytes | int:
    """The tree as driver.c writes it, or what msh_parse answers instead: first tokens, then the grammar."""
    try:
        return _list(_tokens(src))
    except Wrong as wrong:
        return int(wrong.args[0])


def _tokens(src: bytes) -> list[tuple[str, bytes]]:
    """(kind, text) of every token; a '#' begins a comment only where a word could begin."""
    if b"\0" in src:
        raise Wrong(EINVAL)
    found, at = [], 0
    while at < len(src):
        rest = src[at:]
        if rest[:1] in b" \t" or (rest[:2] == b"\\\n" and len(rest) > 2):
            at += 1 if rest[:1] in b" \t" else 2
        elif rest[:1] == b"#":
            at += len(rest.split(b"\n")[0])
        elif sign := next((sign for sign in _SIGNS if rest.startswith(sign)), b""):
            found.append(("sign", sign))
            at += len(sign)
        elif match := _REDIRECTION.match(rest):
            found.append(("redirection", match[0]))
            at += match.end()
        elif rest[:1] in b"<>()" or (rest[:1].isdigit() and rest[1:2] in (b"<", b">")):
            found.append(("wrong", rest[:1]))
            break
        else:
            match = _WORD.match(rest)
            at += match.end() if match else 0
            after = src[at : at + 1]
            if (
                match is None
                or after in (b"'", b'"', b"\\")
                or (match[0].endswith(b"\\\n") and at == len(src))
            ):
                found.append(("open", b""))
                break
            found.append(("word", match[0]))
    return found


def _list(tokens: list[tuple[str, bytes]]) -> bytes:
    text, position, join = b"", 0, b""

    def peek() -> tuple[str, bytes]:
        kind, what = tokens[position] if position < len(tokens) else ("end", b"")
        if kind in ("wrong", "open"):
            raise Wrong(EINVAL if kind == "wrong" else EAGAIN)
        return kind, what

    while True:
        while peek() == ("sign", b"\n"):
            position += 1
        if peek()[0] == "end":
            if join in (b"&&", b"||"):
                raise Wrong(EAGAIN)
            return text
        while True:  # a pipeline
            words, redirections = b"", b""
            while peek()[0] in ("word", "redirection"):
                kind, what = peek()
                position += 1
                if kind == "word":
                    words += b"\x01" + what + b"\x02"
                    continue
                fd, sign = (what[:1], what[1:]) if what[:1].isdigit() else (b"", what)
                fd = fd or (b"0" if sign == b"<" else b"1")
                if sign.startswith(b">&"):
                    redirections += b" " + fd + b">&" + (b"-1" if sign[2:] == b"-" else sign[2:])
                    continue
                if peek()[0] != "word":
                    raise Wrong(EINVAL)
                redirections += b" " + fd + sign + b"-1\x01" + peek()[1] + b"\x02"
                position += 1
            if not words and not redirections:
                raise Wrong(EAGAIN if peek()[0] == "end" else EINVAL)
            text += words + redirections
            if peek() != ("sign", b"|"):
                break
            text += b" | "
            position += 1
            while peek() == ("sign", b"\n"):
                position += 1
        join = peek()[1]
        position += 1
        text += (b";" if join == b"\n" else join) + b"\n"
