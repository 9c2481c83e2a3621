"""The house has one direction: a module imports from packages below its own, never from above or beside by accident."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import grader

PACKAGE = Path(grader.__file__).parent
HOUSE = (
    {"result", "cache", "cc", "cores", "trouble"},
    {"contract"},
    {"lab", "scoring"},
    {"submission", "history", "hints"},
    {"sandbox"},
    {"toolchain", "runner"},
    {"timing"},
    {"testing"},
    {"grading"},
    {"reports"},
    {"authoring", "doctor", "batch"},
    {"cli"},
    {"__main__"},
)
"""From the ground up. Rooms on one floor may know each other."""

FLOOR = {room: number for number, rooms in enumerate(HOUSE) for room in rooms}
MODULES = sorted(
    path.relative_to(PACKAGE)
    for path in PACKAGE.rglob("*.py")
    if path.name != "guest.py" and "templates" not in path.parts
)


def room_of(module: Path) -> str:
    return module.parts[0].removesuffix(".py")


def imports(module: Path) -> Iterator[str]:
    """The rooms of the house that a module imports from, also inside functions."""
    for node in ast.walk(ast.parse((PACKAGE / module).read_text())):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module == "grader":
            names = [f"grader.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module]
        yield from (name.split(".")[1] for name in names if name.startswith("grader."))


@pytest.mark.parametrize(
    "module", [m for m in MODULES if m.name != "__init__.py" or len(m.parts) > 1], ids=str
)
def test_imports_point_down(module: Path) -> None:
    above = [room for room in imports(module) if FLOOR.get(room, -1) > FLOOR[room_of(module)]]
    assert above == [], f"{module} imports from above its floor"


def test_every_room_has_a_floor() -> None:
    rooms = {room_of(module) for module in MODULES} - {"__init__"}
    assert rooms == set(FLOOR)


@pytest.mark.parametrize("module", [m for m in MODULES if room_of(m) == "reports"], ids=str)
def test_a_report_runs_nothing(module: Path) -> None:
    assert set(imports(module)) <= {"reports", "result", "scoring"}


@pytest.mark.parametrize("module", [m for m in MODULES if room_of(m) in ("runner", "sandbox")], ids=str)
def test_a_runner_knows_no_score(module: Path) -> None:
    assert not {"scoring", "result", "grading", "testing"} & set(imports(module))


def test_the_guest_knows_nothing_of_the_grader() -> None:
    assert list(imports(Path("runner/guest.py"))) == []
