"""Gradescope's `results.json` (gradescope/autograder_samples, docs/specs.md)."""

from __future__ import annotations

import json
from typing import Any

from grader.reports import wording
from grader.reports.hidden import HINT, for_students
from grader.reports.pending import pending
from grader.reports.shares import in_units
from grader.reports.text import one_line, plain
from grader.result import Duel, Result, TestResult

_UNIT = 0.01


def gradescope(result: Result) -> str:
    """The JSON text. Students see every test with what `hidden.py` leaves of it.

    No test has Gradescope's own visibility `hidden`, since that would hide the total too; hidden tests show name
    and points. Bonus points count. Scores and maxima are in hundredths that add up to the result's. Gradescope knows no
    pending grade: while points wait, a test at the top says how many, and they count in its maximum.
    """
    shown = for_students(result)
    judged = [test for test in shown.tests if test.status != "not_judged"]
    scores = in_units([test.points for test in judged], _UNIT)
    most = in_units([test.max_points for test in judged], _UNIT)
    units = {test.id: (score, top) for test, score, top in zip(judged, scores, most, strict=True)}
    document: dict[str, Any] = {
        "score": round(shown.score, 2),
        "execution_time": round(shown.duration_s),
        "output": _summary(shown),
        "output_format": "text",
        "test_output_format": "text",
        "test_name_format": "text",
        "visibility": "visible",
        "stdout_visibility": "hidden",
        "extra_data": {"hashes": shown.hashes, "seeds": shown.seeds, "sandbox": shown.sandbox.tier},
        "tests": [*_waiting(shown), *(_test(test, units.get(test.id)) for test in shown.tests)],
        "leaderboard": [_place(duel) for duel in shown.duels if duel.ratio is not None],
    }
    return json.dumps(document, ensure_ascii=True, allow_nan=False, indent=2) + "\n"


def _summary(result: Result) -> str:
    lines = [
        f"{one_line(result.lab_title)}: {wording.points(result.score)} / {wording.points(result.possible)}"
    ]
    lines += filter(None, [pending(result)])
    lines += [f"Not judged, and not your fault: {one_line(reason)}" for reason in wording.waiting(result)]
    lines += [
        step.replace("\n", ": ")
        for step in wording.what_next(result, "make grade LAB={lab} TEST={test} SEED={seed}")
    ]
    return "\n".join(lines)


def _waiting(result: Result) -> list[dict[str, Any]]:
    """What is not judged, where any is: neither passed nor failed, with the points that are still to be had."""
    words = pending(result)
    if not words:
        return []
    entry = {"name": "Not judged yet", "tags": ["pending"], "visibility": "visible", "output": words}
    return [{**entry, "score": 0, "max_score": round(result.waiting, 2)}]


def _test(test: TestResult, units: tuple[int, int] | None) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "name": one_line(test.name),
        "tags": [one_line(test.category), *(["hidden"] if test.hidden else [])],
        "visibility": "visible",
        "output": _output(test),
    }
    if units is not None:  # what is not judged shows without a score
        score, most = units
        entry |= {
            "status": test.status,
            "score": round(score * _UNIT, 2),
            "max_score": round(most * _UNIT, 2),
        }
    return entry


def _output(test: TestResult) -> str:
    if test.status == "not_judged":
        return f"Not judged, and not your fault: {one_line(test.message) or 'no reason was given'}"
    if test.failure is not None:
        facts = test.failure.model_dump(exclude={"source"})
        lines = [plain(facts.pop("summary"), 500)]
        lines += [f"{name}: {plain(value, 2000)}" for name, value in facts.items() if value]
        return "\n".join(lines)
    if test.hidden and test.status == "failed":
        return HINT
    return one_line(test.message)


def _place(duel: Duel) -> dict[str, Any]:
    return {"name": one_line(duel.title), "value": round(duel.ratio or 0.0, 3), "order": "desc"}
