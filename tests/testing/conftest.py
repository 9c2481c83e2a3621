"""The small lab of `steps.py`: one for all tests that only look at it."""

from __future__ import annotations

import pytest

from grader.lab import Lab
from tests.testing import steps


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    return steps.course(tmp_path_factory.mktemp("course"))
