"""Fixtures of this lab: `loader` opens databases in files that the test writes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from grader.testing import CheckFailed, Library
from labs.mmap_loader.loader import Loader


@pytest.fixture
def loader(library: Library, files: Path) -> Iterator[Loader]:
    """The submission with an empty folder of its own."""
    opened = Loader(library, files)
    yield opened
    try:
        opened.close()
    except CheckFailed:  # the test has said what is wrong, or the next one will
        library.close()
