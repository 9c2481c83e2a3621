"""NVIDIA's compute-sanitizer: where it is, and what it found, in a student's words.

It runs a process on the GPU and watches every access of its kernels: memcheck (out of bounds, misaligned), racecheck
(shared memory without a barrier between), synccheck (barriers that not everybody reaches), initcheck (memory that
nobody wrote). What the submission printed itself is only data here: whatever it holds, nothing raises.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Collection
from pathlib import Path
from typing import Literal

from grader.toolchain import nvcc
from grader.toolchain.sanitizers import Finding

Tool = Literal["memcheck", "racecheck", "synccheck", "initcheck"]

MAX_TEXT = 1 << 20
MAX_FINDINGS = 20

_PLACE = r"at (?P<function>.{1,400}?)\+0x[0-9a-f]{1,16}(?: in (?P<file>[^:\s]{1,400}):(?P<line>\d{1,9}))?"
_AT = re.compile(r"=========\s+" + _PLACE)
_THREAD = re.compile(r"by thread \((?P<thread>[\d,]+)\) in block \((?P<block>[\d,]+)\)")
_ACCESS = re.compile(r"Invalid __(?P<space>\w+)__ (?P<kind>read|write|atomic) of size (?P<size>\d+) bytes")
_NEAR = re.compile(
    r"is (?P<distance>[\d,]+) bytes (?P<side>before|after) the nearest allocation .{1,200} of size (?P<size>[\d,]+)"
)
_MISALIGNED = re.compile(r"is misaligned")
_RACE = re.compile(r"Race reported between (?P<first>\w+) access " + _PLACE)
_AND = re.compile(r"and (?P<second>\w+) access " + _PLACE)
_UNWRITTEN = re.compile(r"Uninitialized __(?P<space>\w+)__ memory read of size (?P<size>\d+) bytes")
_BARRIER = re.compile(r"Barrier error detected\. (?P<what>.+)")
_SUMMARY = re.compile(r"(?:ERROR|RACECHECK) SUMMARY: ")


def find() -> Path | None:
    """The program itself (the command on $PATH is a script that starts it), or None where there is none."""
    folders = []
    try:
        folders.append(nvcc.find().folder)
    except nvcc.Missing:
        return None
    on_path = shutil.which("compute-sanitizer")
    folders += [Path(on_path).resolve().parent.parent] if on_path else []
    candidates = [folder / "compute-sanitizer" / "compute-sanitizer" for folder in folders]
    return next((path for path in candidates if path.is_file()), None)


def ran(text: str) -> bool:
    """Did the tool run to its end? Its last line is a summary."""
    return bool(_SUMMARY.search(text))


def parse(text: str, tool: Tool, sources: Collection[str]) -> list[Finding]:
    """The findings in what the tool printed, the same place and kind only once, at most MAX_FINDINGS."""
    found: dict[tuple[str, str, int], Finding] = {}
    for block in _blocks(text[:MAX_TEXT]):
        item = _finding(block, tool, sources)
        if item is not None:
            found.setdefault((item.kind, item.file, item.line), item)
    return list(found.values())[:MAX_FINDINGS]


def _blocks(text: str) -> list[str]:
    """Reports, divided by the tool's empty lines."""
    return re.split(r"^=========\s*$", text, flags=re.MULTILINE)


def _finding(block: str, tool: Tool, sources: Collection[str]) -> Finding | None:
    told = _told(block)
    place = _RACE.search(block) or _AT.search(block)
    if told is None:
        return None
    kind, message = told
    file, line = _own(place, sources)
    function = place["function"] if place else ""
    lines = [
        item.removeprefix("=========").strip() for item in block.splitlines() if item.startswith("=========")
    ]
    detail = "\n".join(
        item for item in lines if item and "Host Frame" not in item and "backtrace" not in item
    )
    return Finding(tool, kind, message, file, line, function, detail[:2000])


def _told(block: str) -> tuple[str, str] | None:
    """The tool's word for a report, and a sentence about it."""
    who = _THREAD.search(block)
    by = f" by thread ({who['thread']}) of block ({who['block']})" if who else ""
    if match := _ACCESS.search(block):
        near, what = (
            _NEAR.search(block),
            f"{match['kind']} of {match['size']} bytes in {match['space']} memory",
        )
        if _MISALIGNED.search(block):
            return (
                "misaligned",
                f"a misaligned {what}{by}: vectors of 16 bytes need addresses that 16 divides",
            )
        where = f", {near['distance']} bytes {near['side']} an array of {near['size']} bytes" if near else ""
        return "out-of-bounds", f"a {what} outside every array{where}{by}"
    if match := _RACE.search(block):
        other = _AND.search(block)
        first, second = match["first"].lower(), other["second"].lower() if other else "another"
        lines = f"line {match['line']}" if match["line"] else match["function"]
        against = f"line {other['line']}" if other and other["line"] else "another place"
        return "race", (
            f"a race in shared memory: the {first} in {lines} and the {second} in {against} have no barrier between"
        )
    if match := _UNWRITTEN.search(block):
        return (
            "unwritten",
            f"a read of {match['size']} bytes of {match['space']} memory that nobody wrote{by}",
        )
    if match := _BARRIER.search(block):
        return "barrier", f"a barrier that not every thread reaches: {match['what'].rstrip('.')}{by}"
    return None


def _own(place: re.Match[str] | None, sources: Collection[str]) -> tuple[str, int]:
    """The place's file and line where it is one of the student's."""
    if place is None or not place["file"]:
        return "", 0
    name = next((source for source in sources if place["file"].endswith(Path(source).name)), "")
    return (name, int(place["line"])) if name else ("", 0)
