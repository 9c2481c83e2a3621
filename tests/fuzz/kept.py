"""Files that the grader finds and anybody may have edited: the history, orders, a roster, exports' metadata."""

from __future__ import annotations

import contextlib
from pathlib import Path

from grader import history
from grader.batch import layouts, roster
from grader.batch.orders import Order
from grader.batch.roster import BadRoster, Roster
from tests.fuzz.inputs import file, folder


def one_input(data: bytes) -> None:
    """All of it is the file."""
    text = data.decode("utf-8", "replace")
    with contextlib.suppress(ValueError, KeyError, TypeError):
        order = Order.of_json(text)
        assert Order.of_json(order.to_json()) == order
    with contextlib.suppress(BadRoster):
        assert roster.roster(text).students
    with folder() as place:
        runs = history.read(file(place, "history.jsonl", data))
        history.last(Path(place, "history.jsonl"), Path("/"))
        assert all(isinstance(run.score, float) for run in runs)
    with folder() as place:
        file(place, "submission_metadata.yml", data)
        Path(place, "submission_1").mkdir()
        with contextlib.suppress(OSError):
            layouts.recognised(Path(place), Roster())
    with folder() as place:
        file(place, "scores.csv", data)
        Path(place, "lab-ada").mkdir()
        with contextlib.suppress(OSError):
            layouts.recognised(Path(place), Roster())
