"""A result document from any file: the same document again after it is written, or ValueError that names the file."""

from __future__ import annotations

import functools
import json
from typing import Any

from grader import result
from grader.batch.store import outcome_of, outcomes_of_lines, ratios_of
from tests.fuzz.inputs import Bytes, file, folder
from tests.sample_results import SITUATIONS

_VALUES: tuple[Any, ...] = (
    None,
    True,
    -1,
    0,
    10**400,
    1e308,
    5e-324,
    "",
    "\ud800",
    [],
    {},
    "passed",
    float("nan"),
)


def one_input(data: bytes) -> None:
    """A changed document (see `changed`) when the first byte is NUL, else a file as it is."""
    written = changed(Bytes(data[1:])).encode("utf-8", "surrogatepass") if data[:1] == b"\0" else data
    with folder() as place:
        try:
            read = result.read(file(place, "result.json", written))
        except ValueError as error:
            assert "result.json" in str(error)
            return
        again = result.read(file(place, "again.json", read.to_json().encode()))
    assert again == read
    assert len(outcomes_of_lines(outcome_of(read).split("\n"))) == len(read.tests) or not read.tests
    json.loads(ratios_of(read))


def changed(source: Bytes) -> str:
    """One of the sample documents with up to 16 of its values replaced: by a usual suspect, a number or a text."""
    tree = json.loads(_sample(source.number()))
    for _ in range(16):
        if not source:
            break
        holder, key = _place(tree, source.number(2))
        kind = source.number() % 32
        if kind < len(_VALUES):
            holder[key] = _VALUES[kind]
        elif kind < 20:
            holder[key] = source.number(8) / (1 + source.number(2))
        elif kind < 24:
            holder[key] = source.number(8) - (1 << 63)
        else:
            holder[key] = source.piece().decode("utf-8", "surrogateescape")
    return json.dumps(tree)


@functools.cache
def _sample(number: int) -> str:
    samples = list(SITUATIONS.values())
    return samples[number % len(samples)]().to_json()


def _place(tree: Any, number: int) -> tuple[Any, Any]:
    """One of all the places in a document: what holds it, and its key or index there."""
    places, waiting = [], [tree]
    while waiting:
        holder = waiting.pop()
        for key in list(holder) if isinstance(holder, dict) else range(len(holder)):
            places.append((holder, key))
            if isinstance(holder[key], (dict, list)):
                waiting.append(holder[key])
    return places[number % len(places)]
