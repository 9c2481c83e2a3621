"""Fixtures of this lab: `agree` compares with real shells, `shell` runs a script, `parse` and `fields` call C."""

from __future__ import annotations

import errno
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pytest

from grader.runner.invoke import Invocation
from grader.runner.programs import Ended
from grader.testing import CheckFailed, Library, Program, check
from labs.mini_shell.oracle import MODELS, compare, explained

FILES: Mapping[str, bytes] = {
    "in1": b"one\ntwo\nthree\ntwo\n",
    "in2": b"b a\nd c",
    "d1/": b"",
    "plain": b"not a program\n",
}
VARIABLES: Mapping[str, str] = {"V1": "v", "V2": "p q", "EMPTY": ""}

_OUTPUT = 1 << 18


@pytest.fixture
def shell(program: Program) -> Callable[..., Ended]:
    """`shell("echo hi")`: what came of `msh -c "echo hi"`; keywords are fields of `Run`."""

    def run(script: str | bytes, case: str = "", **how: Any) -> Ended:
        given = {"files": FILES, "environment": VARIABLES, **how}
        return program.run("-c", script, case=case or _as_text(script), **given)

    return run


@pytest.fixture
def agree(shell: Callable[..., Ended], model: Callable[[str], Program]) -> Callable[..., None]:
    """`agree("echo hi | cat", …)`: output, exit status and files are those of real shells, where these agree."""

    def compare_all(*scripts: str, why: str = "", **how: Any) -> None:
        given = {"files": FILES, "environment": VARIABLES, **how}
        for script in scripts:
            for name in MODELS:
                model(name)  # a shell that is not installed is to be told before anything fails
            difference = compare(script, shell(script, **how), model, given)
            if difference is not None:
                raise explained(difference, why)

    return compare_all


@pytest.fixture
def parse(library: Library) -> Callable[[bytes], bytes | int]:
    """`parse(b"a | b")`: the tree as text, or what msh_parse answers instead."""

    def ask(source: bytes) -> bytes | int:
        text, out = np.frombuffer(source, np.uint8), np.zeros(_OUTPUT, np.uint8)
        case = source.decode("utf-8", "backslashreplace")
        return _settled(library.call("drive_parse", text, text.size, out, out.size, case=case), out, case)

    return ask


@pytest.fixture
def parse_all(library: Library) -> Callable[[Sequence[bytes]], list[bytes | int]]:
    """`parse_all([b"a", b"b |"])`: the same for some hundred short texts, in one call of the runner."""

    def ask(sources: Sequence[bytes]) -> list[bytes | int]:
        outs = [np.zeros(1024, np.uint8) for _ in sources]
        texts = [np.frombuffer(source, np.uint8) for source in sources]
        calls = [
            Invocation("drive_parse", (text, text.size, out, out.size))
            for text, out in zip(texts, outs, strict=True)
        ]
        cases = [source.decode("utf-8", "backslashreplace") for source in sources]
        answers = library.calls(calls, case=f"one of {len(sources)} texts: {cases[0]!r} …")
        return [_settled(*item) for item in zip(answers, outs, cases, strict=True)]

    return ask


@pytest.fixture
def fields(library: Library) -> Callable[..., list[bytes]]:
    """`fields("a$?", 3)`: what a word becomes."""

    def ask(word: str, status: int = 0) -> list[bytes]:
        out = np.zeros(_OUTPUT, np.uint8)
        answer = _settled(library.call("drive_expand", word, status, out, out.size, case=word), out, word)
        check(isinstance(answer, bytes), "msh_expand failed", case=word, got=answer)
        return bytes(answer).split(b"\0")[:-1]  # type: ignore[arg-type]

    return ask


def _settled(answer: Any, out: np.ndarray, case: str) -> bytes | int:
    if answer == -errno.ENOSYS:
        raise CheckFailed("it is not written yet: it answered -ENOSYS", case=case, why="Start with parse.c.")
    check(answer != -errno.EPROTO, "a promise of msh.h is broken", case=case, why=_PROMISES)
    return bytes(out[:answer]) if answer >= 0 else int(answer)


_PROMISES = (
    "On failure *out is NULL; -EINVAL has words in err; argv ends with NULL; MSH_R_DUP alone has no path."
)


def _as_text(script: str | bytes) -> str:
    return script if isinstance(script, str) else script.decode("utf-8", "backslashreplace")
