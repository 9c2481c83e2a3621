"""A folder that a student hands in: a Submission, or Refused with sentences that can be shown."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from grader.lab import load_lab
from grader.submission import Refused, take
from tests.fuzz.inputs import Bytes, folder

_LAB = load_lab("tiny", Path(__file__).parents[1] / "fixtures" / "course")


def one_input(data: bytes) -> None:
    """Files, each with the length of its name, its name, and its contents with their length."""
    source = Bytes(data)
    with folder() as place:
        named = source.number() & 1
        while source:
            name = source.take(source.number() & 63)
            name = os.fsencode(_LAB.sources[0].path) if named else name.replace(b"\0", b"").replace(b"/", b"")
            named, content = 0, source.piece()
            with contextlib.suppress(OSError):
                Path(place, os.fsdecode(name)).write_bytes(content)
        try:
            taken = take(Path(place), _LAB)
        except Refused as refused:
            assert refused.problems and all(problem.isprintable() for problem in refused.problems)
            return
        assert all(note.isprintable() for note in taken.notes)
        for name_, content in taken.files.items():
            content.decode("utf-8")
            for number in range(1, 4):
                taken.lines_around(f"{name_}:{number}")
        taken.lines_around(source.rest().decode("utf-8", "replace"))
