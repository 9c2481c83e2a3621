"""What the grader's own tests share: `needs`, for tests that only run where a tool is installed."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable

import pytest

from grader.sandbox.probe import best_tier
from grader.testing.marks import MARKS

_CONDITIONS: dict[str, Callable[[], bool]] = {"tier A": lambda: best_tier().name == "A"}


def needs(*tools: str) -> pytest.MarkDecorator:
    """`@needs("valgrind")`: a command that must be installed, or "tier A" for the best sandbox.

    Where it is missing the test is skipped, with the reason; with CI=true it fails, so that nothing goes
    untested unnoticed. For a whole file: `pytestmark = needs("bwrap")`.
    """
    return pytest.mark.needs(*tools)


def pytest_configure(config: pytest.Config) -> None:
    """Strict markers: ours, and those of labs, which `grader.testing` uses as soon as it is imported."""
    for name, meaning in {"needs(tool, ...)": "tools that the test cannot do without", **MARKS}.items():
        config.addinivalue_line("markers", f"{name}: {meaning}")


def pytest_runtest_setup(item: pytest.Item) -> None:
    tools = [tool for mark in item.iter_markers("needs") for tool in mark.args]
    missing = [tool for tool in dict.fromkeys(tools) if not _is_here(tool)]
    if missing:
        reason = f"needs {', '.join(missing)}, which this machine lacks; `make doctor` says how to get it"
        if os.environ.get("CI") == "true":
            pytest.fail(reason, pytrace=False)
        pytest.skip(reason)


def _is_here(tool: str) -> bool:
    return _CONDITIONS.get(tool, lambda: shutil.which(tool) is not None)()
