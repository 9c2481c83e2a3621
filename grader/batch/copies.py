"""Which submissions have much in common, against each other and without what the starter gives to all.

The comparison is copydetect's (winnowed fingerprints of tokens, the method of MOSS): names, comments and the order of
functions make no difference to it. A number proves nothing; a person reads both.
"""

from __future__ import annotations

import heapq
import importlib.util
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from grader.reports.class_book import Alike

MISSING = "not looked for: copydetect is missing (.venv/bin/python -m pip install 'copydetect>=0.5')"

_K, _WINDOW = 25, 9
"""Characters of tokens in a row that must agree, and copydetect's window: any k + window - 1 in common are found."""

SUSPECT, MOST = 0.6, 200
"""Share of one of the two files from which a pair is shown, and the most pairs of a lab that are."""

_SMALL = 15
"""Fingerprints below which a file says too little to be compared."""


@dataclass(frozen=True)
class Work:
    """One submission: its files as text, and who handed in just these."""

    digest: str
    files: Mapping[str, str]
    students: tuple[str, ...]


def available() -> bool:
    """Is copydetect installed?"""
    return importlib.util.find_spec("copydetect") is not None


def alike(lab: str, works: Sequence[Work], starter: Mapping[str, str]) -> list[Alike]:
    """Pairs with much in common, the most first; identical ones among them, which need no library."""
    pairs = [_identical(lab, work) for work in works if len(work.students) > 1]
    found = [pair for group in pairs for pair in group]
    if available():
        marks = [_Marks.of(work, starter) for work in works]
        marked = [item for item in marks if item is not None]
        pairs_of_all = ((_in_common(one, other), one, other) for one, other in combinations(marked, 2))
        near = heapq.nlargest(
            MOST, (pair for pair in pairs_of_all if pair[0] >= SUSPECT), key=lambda pair: pair[0]
        )
        found += [_compared(lab, one, other) for _, one, other in near]
    found.sort(key=lambda pair: (-max(pair.share_of_one, pair.share_of_other), pair.one, pair.other))
    return found[:MOST]


def _identical(lab: str, work: Work) -> list[Alike]:
    """Each student of a group with the first one."""
    first, *others = work.students
    return [Alike(lab, first, other, 1.0, 1.0, identical=True) for other in others]


@dataclass(frozen=True)
class _Marks:
    """Fingerprints of a submission's files, joined into one text; `starts` are the files' first lines in it."""

    work: Work
    text: str
    starts: tuple[tuple[str, int], ...]
    print: Any

    @staticmethod
    def of(work: Work, starter: Mapping[str, str]) -> _Marks | None:
        """None for a submission that says too little of its own."""
        from copydetect import CodeFingerprint

        text, starts = _joined(work.files)
        if not text.strip():
            return None
        boilerplate: Any = []
        given = _joined({name: body for name, body in starter.items() if name in work.files})[0]
        if given.strip():
            boilerplate = sorted(CodeFingerprint("starter.c", _K, 1, fp=io.StringIO(given)).hashes)
        marks = CodeFingerprint("work.c", _K, _WINDOW, boilerplate, fp=io.StringIO(text))
        return _Marks(work, text, starts, marks) if len(marks.hashes) >= _SMALL else None

    def place(self, start: int, end: int) -> str:
        """'gemm.c 10-48' of two positions in the text."""
        first, last = self.text.count("\n", 0, start) + 1, self.text.count("\n", 0, end) + 1
        name, offset = next(item for item in reversed(self.starts) if item[1] <= first)
        return f"{name} {first - offset + 1}-{last - offset + 1}"


def _joined(files: Mapping[str, str]) -> tuple[str, tuple[tuple[str, int], ...]]:
    text, starts = "", []
    for name, body in sorted(files.items()):
        starts.append((name, text.count("\n") + 1))
        text += body if body.endswith("\n") else body + "\n"
    return text, tuple(starts)


def _in_common(one: _Marks, other: _Marks) -> float:
    """The share of the smaller one's fingerprints that the other has too: quick, and near what copydetect says."""
    common = len(one.print.hashes & other.print.hashes)
    return common / min(len(one.print.hashes), len(other.print.hashes))


def _compared(lab: str, one: _Marks, other: _Marks) -> Alike:
    """The pair, with the share of each and the place."""
    from copydetect import compare_files

    _, (of_one, of_other), slices = compare_files(one.print, other.print)
    of_one, of_other = min(1.0, float(of_one)), min(1.0, float(of_other))
    return Alike(
        lab, _names(one.work), _names(other.work), of_one, of_other, lines=_where(one, other, slices)
    )


def _where(one: _Marks, other: _Marks, slices: Any) -> str:
    """The longest stretch in common, of each."""
    places = []
    for marks, (starts, ends) in zip((one, other), slices, strict=True):
        if len(starts) == 0:
            return ""
        longest = int((ends - starts).argmax())
        places.append(marks.place(int(starts[longest]), int(ends[longest])))
    return " and ".join(places)


def _names(work: Work) -> str:
    return ", ".join(work.students[:4]) + (
        f" and {len(work.students) - 4} more" if len(work.students) > 4 else ""
    )
