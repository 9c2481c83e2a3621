"""Hints of a lab: what its author says, step by step, to somebody who is stuck at a test."""

from __future__ import annotations

import yaml
from pydantic import TypeAdapter, ValidationError

from grader.lab import ContractError, Lab, Problem

FILE = "hints.yaml"

_HINTS = TypeAdapter(dict[str, list[str]])


def load(lab: Lab) -> dict[str, list[str]]:
    """Test function without `test_` -> its hints, the gentlest first; empty when the lab has no hints.yaml.

    Raises ContractError when the file is not a mapping of names to lists of texts.
    """
    path = lab.folder / FILE
    if not path.is_file():
        return {}
    try:
        found = _HINTS.validate_python(yaml.safe_load(path.read_text(encoding="utf-8")) or {})
    except (OSError, UnicodeDecodeError, yaml.YAMLError, ValidationError) as error:
        words = str(error).strip().split("\n")[0]
        advice = f"is not a list of hints for each test: {words}"
        raise ContractError(f"labs/{lab.id}/{FILE}", [Problem(0, "", advice)]) from error
    return {
        name.removeprefix("test_"): [" ".join(text.split()) for text in texts]
        for name, texts in found.items()
    }


def function_of(test: str) -> str:
    """What a test is called in hints.yaml: 'Skinny shapes [row]' and 'test_skinny_shapes' are skinny_shapes."""
    return test.split("[")[0].strip().lower().replace(" ", "_").removeprefix("test_")
