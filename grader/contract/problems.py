"""What is wrong with a contract, in words: where it is, what it is, and what to do.

The errors that authors see are made here, those of pydantic among them.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel

MAX_PROBLEMS = 50  # told at a time; also bounds the work that a hostile file can cause
_MAX_KNOWN = 64  # names that a word is compared with

FieldPath = tuple[str | int, ...]


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong in a contract. `line` counts from 1; 0 means the file as a whole."""

    line: int
    field: str
    message: str


class ContractError(ValueError):
    """A contract that cannot be used; one line per problem, as `labs/x/lab.yaml:31: field: what is wrong`."""

    def __init__(self, file: str, problems: list[Problem]) -> None:
        self.file = file
        self.problems = sorted(problems, key=lambda problem: problem.line)
        lines = [self._text(problem) for problem in self.problems[:MAX_PROBLEMS]]
        if len(problems) > MAX_PROBLEMS:
            lines.append(f"{file}: there are more problems; correct these first")
        super().__init__("\n".join(lines))

    def __reduce__(self) -> tuple[type[ContractError], tuple[str, list[Problem]]]:
        # Exceptions are rebuilt from their arguments when they come back from a worker process.
        return type(self), (self.file, self.problems)

    def _text(self, problem: Problem) -> str:
        place = f"{self.file}:{problem.line}" if problem.line else self.file
        return ": ".join(part for part in (place, problem.field, problem.message) if part)


# --- Values and names in a message -----------------------------------------------------------------


def shown(value: object) -> str:
    """A value as people wrote it, short and without control characters."""
    if value is None:
        return "nothing"
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, tuple):
        return "a list"
    text = json.dumps(value, ensure_ascii=True)
    return text if len(text) <= 60 else text[:56] + '..."'


def key(name: str) -> str:
    """A key as it stands in the file, in quotes where it is not a plain word."""
    return name if re.fullmatch(r"[A-Za-z0-9_ -]{1,60}", name) else shown(name)


def dotted(where: FieldPath) -> str:
    """The path of a field as people write it: 'sources[0].path'."""
    text = ""
    for part in where:
        text += f"[{part}]" if isinstance(part, int) else f".{key(part)}"
    return text.removeprefix(".")


def nearest(word: str, known: list[str]) -> str:
    """'; did you mean x?' or nothing."""
    near = difflib.get_close_matches(word[:80].lower(), known[:_MAX_KNOWN], n=1)
    return f"; did you mean {key(near[0])}?" if near else ""


def relative(path: Path, root: Path) -> str:
    """A path for messages: below the course where it lies there."""
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else str(path)


# --- What pydantic found ---------------------------------------------------------------------------


def explained(details: Any, record: type[BaseModel]) -> tuple[FieldPath, str]:
    """Where and what, from one of pydantic's error records about a `record`."""
    where: FieldPath = details["loc"]
    return where, _message(details, where, record)


def _message(details: Any, where: FieldPath, record: type[BaseModel]) -> str:
    kind, value, context = details["type"], details["input"], details.get("ctx", {})
    if kind == "missing":
        return f"is missing: {_description(where, record)}"
    if kind == "extra_forbidden":
        known = _known_keys(where[:-1], record)
        return "unknown key" + (nearest(str(where[-1]), known) or f"; the keys here are: {', '.join(known)}")
    if kind == "value_error":
        return str(context["error"])
    if kind == "string_type" and isinstance(value, int | float):
        return f'must be text, not {shown(value)}; put it in quotes: "{shown(value)}"'
    if kind == "literal_error":
        return f"must be {context['expected']}, not {shown(value)}"
    if kind == "too_long":
        return f"must have at most {context['max_length']} entries"
    if kind == "string_too_long":
        return f"must have at most {context['max_length']} characters"
    bounds = {"gt": "above", "ge": "at least", "lt": "below", "le": "at most"}
    for bound, words in bounds.items():
        if bound in context:
            return f"must be {words} {context[bound]:g}, not {shown(value)}"
    wanted = _WANTED.get(kind)
    return f"must be {wanted}, not {shown(value)}" if wanted else str(details["msg"])


_WANTED = {
    "string_type": "text",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "tuple_type": "a list, as in [a, b]",
    "dict_type": "a mapping, as in {key: value}",
    "model_type": "a mapping, as in {key: value}",
    "model_attributes_type": "a mapping, as in {key: value}",
}


def _known_keys(where: FieldPath, record: type[BaseModel]) -> list[str]:
    return [info.alias or name for name, info in _model_at(where, record).model_fields.items()]


def _description(where: FieldPath, record: type[BaseModel]) -> str:
    fields = _model_at(where[:-1], record).model_fields.items()
    return next((info.description or "" for name, info in fields if (info.alias or name) == where[-1]), "")


def _model_at(where: FieldPath, record: type[BaseModel]) -> type[BaseModel]:
    """The record that describes a mapping of the file; names and indices on the way keep the record."""
    model = record
    for part in where:
        info = model.model_fields.get(str(part))
        model = (_model_in(info.annotation) if info else None) or model
    return model


def _model_in(annotation: object) -> type[BaseModel] | None:
    if isinstance(annotation, type) and not get_args(annotation) and issubclass(annotation, BaseModel):
        return annotation
    return next(filter(None, (_model_in(inner) for inner in get_args(annotation))), None)
