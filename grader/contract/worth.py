"""What a file of tests is worth, read from its marks without running it: a refused submission runs no test."""

from __future__ import annotations

import ast
import math
from pathlib import Path


def points_of_tests(file: Path) -> float:
    """The sum of all `@points(n)` in a module of tests; 0 for a file that cannot be read or is no Python.

    Parametrized cases share their function's points, so each mark counts once.
    """
    try:
        tree = ast.parse(file.read_bytes())
    except (OSError, SyntaxError, ValueError, RecursionError):
        return 0.0
    functions = (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef))
    return math.fsum(_worth(mark) for function in functions for mark in function.decorator_list)


def _worth(mark: ast.expr) -> float:
    """n of `points(n)` and `pytest.mark.points(n)`; 0 for any other decorator."""
    if not isinstance(mark, ast.Call) or len(mark.args) != 1:
        return 0.0
    name = mark.func.attr if isinstance(mark.func, ast.Attribute) else getattr(mark.func, "id", "")
    value = mark.args[0].value if isinstance(mark.args[0], ast.Constant) else None
    return float(value) if name == "points" and isinstance(value, int | float) else 0.0
