"""Where the threads of a process were: the frames that a hanging runner printed, as lines of the student's files.

guest_support.c prints a line for each frame; here they become one line for each thread, with function, file and line
from the library's debugging information. All of it is the submission's word: a help for people, never evidence.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from grader.sandbox.confine import Confinement, Tier, end, start
from grader.sandbox.probe import SYSTEM, SYSTEM_LINKS

_LINE = re.compile(r"^==stack== (\d{1,9}) (\d{1,3}) (\S{1,60}) 0x([0-9a-f]{1,16})(?: (\S{1,60}))?$")
_PLACE = re.compile(r"^(?P<file>[^:]{1,200}):(?P<line>\d{1,9})")
_MAX_FRAMES, _MAX_THREADS, _MAX_TEXT, _TIMEOUT_S = 2000, 64, 1 << 20, 10.0
_SIGNAL_FRAMES = ("report_stack", "__restore_rt")


@dataclass(frozen=True)
class Frame:
    """One frame of a thread's stack: file name of the library, offset in it, and the nearest exported symbol."""

    library: str
    offset: int
    symbol: str


def split(text: str) -> tuple[str, dict[int, list[Frame]]]:
    """What else was printed, and the frames of every thread, innermost first. Never raises."""
    rest, stacks = [], dict[int, list[Frame]]()
    for line in text.splitlines(keepends=True):
        found = _LINE.match(line.rstrip("\n"))
        if found is None:
            rest.append(line)
        elif int(found[1]) in stacks or len(stacks) < _MAX_THREADS:
            stacks.setdefault(int(found[1]), []).append(Frame(found[3], int(found[4], 16), found[5] or "?"))
    return "".join(rest), stacks


def explained(tier: Tier, text: str, library: Path) -> tuple[str, str]:
    """What else was printed, and where every thread was, in lines; '' when no thread said so.

    Without addr2line (binutils) the functions have no lines.
    """
    rest, stacks = split(text)
    own = {frame.offset for frames in stacks.values() for frame in frames if frame.library == library.name}
    return rest, render(stacks, library.name, _located(tier, library, sorted(own)) if own else {})


def render(stacks: Mapping[int, Sequence[Frame]], library: str, places: Mapping[int, str]) -> str:
    """One line for each stack; threads that are at the same place share one. Pure.

    Frames outside `library` are left out but for the innermost one that has a name: what the thread waits in.
    """
    threads: dict[str, list[int]] = {}
    for number, frames in enumerate(stacks.values(), 1):
        words = _words(frames, library, places)
        if words:
            threads.setdefault(words, []).append(number)
    lines = [
        f"  thread{'s' if len(who) > 1 else ''} {', '.join(map(str, who))}: {words}"
        for words, who in threads.items()
    ]
    return "\n".join(["where its threads were (innermost function first):", *lines]) if lines else ""


def _words(frames: Sequence[Frame], library: str, places: Mapping[int, str]) -> str:
    """'pthread_cond_wait < work (tpool.c:88)'; '' for a thread that is nowhere in the submission."""
    after = [frame for frame in frames if frame.symbol not in _SIGNAL_FRAMES and frame.library != "_lab.so"]
    own = [
        places.get(frame.offset, frame.symbol if frame.symbol != "?" else "a function without a name")
        for frame in after
        if frame.library == library
    ]
    outer = next((index for index, frame in enumerate(after) if frame.library == library), len(after))
    named = [frame.symbol for frame in after[:outer] if frame.symbol != "?"]
    return " < ".join([*named[-1:], *own]) if own else ""


def _located(tier: Tier, library: Path, offsets: Sequence[int]) -> dict[int, str]:
    """Offset -> 'work (tpool.c:88)', as addr2line sees it; it runs confined, since the library is the submission's."""
    # A frame's address is where it goes on after a call; the call itself is the byte before.
    command = ["addr2line", "-a", "-f", "-i", "-s", "-e", str(library)]
    command += [f"{offset - 1:#x}" for offset in offsets[:_MAX_FRAMES]]
    confinement = Confinement(
        read_only=(*SYSTEM, library.parent),
        symlinks=SYSTEM_LINKS,
        environment={"PATH": "/usr/bin:/bin", "LC_ALL": "C"},
        proc=False,
        cpu_s=int(_TIMEOUT_S),
    )
    with tempfile.TemporaryFile() as output:
        try:
            process = start(tier, confinement, command, stdout=output, stderr=output)
        except OSError:
            return {}
        try:
            process.wait(timeout=_TIMEOUT_S)
        except Exception:  # too slow: go on without lines
            end(process)
            process.wait()
        output.seek(0)
        return read_places(output.read(_MAX_TEXT).decode("utf-8", "replace").splitlines())


def read_places(lines: Iterable[str]) -> dict[int, str]:
    """What addr2line -a -f -i -s printed: an address, then function and place of every inlined one. Never raises."""
    places: dict[int, list[str]] = {}
    address, function = -1, ""
    for line in lines:
        if re.fullmatch(r"0x[0-9a-f]{16}", line):
            address, function = int(line, 16) + 1, ""
        elif not function:
            function = line[:60]
        else:
            place = _PLACE.match(line)
            known = f"{function} ({place['file']}:{place['line']})" if place and place["file"] != "??" else ""
            places.setdefault(address, []).extend([known] if known else [])
            function = ""
    return {address: " < ".join(words) for address, words in places.items() if words}
