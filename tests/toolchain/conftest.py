"""A build cache of the tests' own, and the tiny lab with tight limits."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from grader import cache
from grader.lab import Lab
from grader.sandbox.confine import Tier
from grader.sandbox.probe import best_tier
from tests.fixtures import tiny


@pytest.fixture(scope="session")
def tier() -> Tier:
    return best_tier()


@pytest.fixture(scope="session")
def own_root() -> Iterator[Path]:
    """An empty cache that the sandbox's user can read."""
    folder = cache.scratch_folder()
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def own_cache(own_root: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Nothing that another run has built is found."""
    monkeypatch.setattr(cache, "root", lambda: own_root)
    return own_root


@pytest.fixture(scope="session")
def lab() -> Lab:
    return tiny.lab()


@pytest.fixture(scope="session")
def hasty_lab(lab: Lab) -> Lab:
    """Builds have one second and little memory."""
    limits = lab.limits.model_copy(update={"build_s": 1, "build_memory_mib": 256})
    return lab.model_copy(update={"limits": limits})
