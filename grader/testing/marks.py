"""How a test says what it is worth: decorators that read like a sentence above the test."""

from __future__ import annotations

import pytest

from grader.toolchain.recipe import Variant

MARKS = {
    "points(n)": "what the test is worth; parametrized cases share it equally",
    "category(name)": "the heading that the test appears under; one of the categories of lab.yaml's points",
    "must": "performance is measured only when this test passes",
    "variant(name)": "run against this build: release, asan, tsan or faults",
    "smoke": "guards against everything being broken; need not catch a mutant of its own",
}


def points(number: float) -> pytest.MarkDecorator:
    """This test is worth `number` points."""
    return pytest.mark.points(number)


def category(name: str) -> pytest.MarkDecorator:
    """Heading of this test; for a whole file: `pytestmark = category("correctness")`."""
    return pytest.mark.category(name)


def variant(name: Variant) -> pytest.MarkDecorator:
    """Run this test against another build: "asan" (memory and undefined behaviour), "tsan" (races), "faults"."""
    return pytest.mark.variant(name)


must = pytest.mark.must
smoke = pytest.mark.smoke
