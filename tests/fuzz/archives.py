"""An archive that a student hands in: files below its folder and within its limits, or NotTaken."""

from __future__ import annotations

from pathlib import Path

from grader.batch import archives
from grader.batch.archives import Most, NotTaken
from tests.fuzz.inputs import Bytes, file, folder

_MOST = Most(files=50, bytes=1 << 20)


def one_input(data: bytes) -> None:
    """The first byte says of which kind its name says it is; the rest is the archive."""
    source = Bytes(data)
    ending = archives.ENDINGS[source.number() % len(archives.ENDINGS)]
    with folder() as place:
        archive = file(place, f"a{ending}", source.rest())
        try:
            made = archives.unpacked(archive, Path(place, "out"), Path(place), _MOST)
        except NotTaken:
            made = Path(place, "out")
        outside = [item.name for item in Path(place).iterdir() if item.name not in (archive.name, "out")]
        inside = [item for item in made.rglob("*") if not item.is_dir()]
        assert not outside and all(item.is_file() and not item.is_symlink() for item in inside)
        assert sum(item.stat().st_size for item in inside) <= _MOST.bytes + 1
