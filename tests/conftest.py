"""What the grader's own tests share: `needs` and `tier_of`, for tests that only run where something is at hand."""

from __future__ import annotations

import importlib.util
import os
import shutil
from collections.abc import Callable
from typing import NoReturn

import pytest

from grader.sandbox import probe
from grader.sandbox.confine import Tier
from grader.sandbox.probe import best_tier
from grader.testing.marks import MARKS

_CONDITIONS: dict[str, Callable[[], bool]] = {
    "tier A": lambda: best_tier().name == "A",
    "parsl": lambda: importlib.util.find_spec("parsl") is not None,
}


def needs(*tools: str) -> pytest.MarkDecorator:
    """`@needs("valgrind")`: a command that must be installed, or "tier A" for the best sandbox.

    Where it is missing the test is skipped, with the reason; with CI=true it fails, so that nothing goes
    untested unnoticed. For a whole file: `pytestmark = needs("bwrap")`.
    """
    return pytest.mark.needs(*tools)


def tier_of(name: str, slot: int = 0) -> Tier:
    """The tier of this name, for a test that is about it; where the machine has none, like `needs`."""
    found = [tier for tier in probe._candidates(slot) if tier.name == name]
    for tier in found:
        if name == "D" or probe._works(tier):
            return tier
    if not found:
        pytest.skip(f"tier {name} is root's")
    return _lacking(
        f"needs tier {name}, which this machine does not allow; docs/sandbox.md says what it needs"
    )


def _lacking(reason: str) -> NoReturn:
    if os.environ.get("CI") == "true":
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


def pytest_configure(config: pytest.Config) -> None:
    """Strict markers: ours, and those of labs, which `grader.testing` uses as soon as it is imported."""
    for name, meaning in {"needs(tool, ...)": "tools that the test cannot do without", **MARKS}.items():
        config.addinivalue_line("markers", f"{name}: {meaning}")


def pytest_runtest_setup(item: pytest.Item) -> None:
    tools = [tool for mark in item.iter_markers("needs") for tool in mark.args]
    missing = [tool for tool in dict.fromkeys(tools) if not _is_here(tool)]
    if missing:
        _lacking(f"needs {', '.join(missing)}, which this machine lacks; `make doctor` says how to get it")


def _is_here(tool: str) -> bool:
    return _CONDITIONS.get(tool, lambda: shutil.which(tool) is not None)()
