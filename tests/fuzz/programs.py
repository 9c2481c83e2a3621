"""What the server of programs answers: any bytes are an outcome of bounded size, or one of two errors."""

from __future__ import annotations

import struct

from grader.runner import programs
from tests.fuzz.inputs import Bytes


def one_input(data: bytes) -> None:
    """The first byte says whether the folder has another name outside; the rest is the answer."""
    source = Bytes(data)
    folder = programs.FOLDER if source.number() else "/scratch/work"
    body = source.rest()
    try:
        ended = programs._decode(body, folder, 0.0)
    except (struct.error, ValueError):
        return
    assert 0 <= ended.status <= 255 and ended.unburied >= 0
    growth = len(programs.FOLDER) + 1  # a folder's name may become a longer one
    sizes = [len(ended.stdout), len(ended.stderr), *map(len, ended.files.values())]
    assert sum(sizes) <= growth * len(body) and len(ended.files) <= 64
    assert len(ended.left) <= max(programs._MOST_LEFT, len(body))
