"""What is right: the answer of real shells, where they agree; and a small parser for the tree of msh.h."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from grader.runner.programs import Ended
from grader.testing import CheckFailed, Program

MODELS = ("dash", "bash", "busybox")
Answer = tuple[int, bytes, tuple[tuple[str, bytes], ...]]


def answer(ended: Ended) -> Answer:
    """What is compared: exit status, standard output, and the files in the working folder afterwards."""
    return ended.status, ended.stdout, tuple(sorted(ended.files.items()))


@dataclass(frozen=True)
class Difference:
    """A script that all the real shells understand in one way, and the submission in another."""

    script: str
    expected: Answer
    got: Answer


def compare(
    script: str, ours: Ended, model: Callable[[str], Program], how: Mapping[str, object], first: Ended | None = None
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
    if output != our_output:
        what, expected, got = "the output differs", shown(output), shown(our_output)
    elif status != our_status:
        what, expected, got = "the exit status differs", str(status), str(our_status)
    else:
        what, expected, got = "the files differ", listed(files), listed(our_files)
    return CheckFailed(f"{what} from that of real shells", case=difference.script, expected=expected, got=got, why=why)


def shown(data: bytes) -> str:
    """Bytes as text, with an end that can be seen."""
    text = data.decode("utf-8", "backslashreplace")
    return (text[:1500] + " …" if len(text) > 1500 else text) or "(nothing)"


def listed(files: tuple[tuple[str, bytes], ...]) -> str:
    return "\n".join(f"{name}: {shown(data)}" for name, data in files) or "(no files)"
