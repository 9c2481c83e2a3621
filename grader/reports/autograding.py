"""The JSON that `classroom-resources/autograding-grading-reporter` reads (v1, of 2024-11).

It prints two totals. Its notice adds up the tests' scores, and partial credit is right there; its log table counts
passed tests, and nothing that one could hand over makes that right for a test with partial credit.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

from grader.reports import wording
from grader.reports.hidden import for_students
from grader.reports.pending import NAME, pending
from grader.reports.shares import in_units
from grader.reports.text import one_line
from grader.result import Result, TestResult

MOST_BYTES = 64_000
"""Base64 of more than 98 KB fits no environment variable, and then the reporter's step cannot start."""

_UNIT = 0.125  # sums of eighths are exact in binary, so that no total reads 0.30000000000000004


def autograding(result: Result) -> str:
    """The JSON text, at most `MOST_BYTES` bytes.

    The maximum is the lab's. The reporter knows only pass, fail and error: what is not judged is one test at the top
    with the status error, which has a message and is never green.
    Where there are too many tests for the limit, each category becomes one.
    """
    shown = for_students(result)
    tests = [test for test in shown.tests if test.status != "not_judged"]
    text = _document(shown, _entries(tests))
    return text if len(text.encode()) <= MOST_BYTES else _document(shown, _by_category(tests))


def _document(result: Result, entries: list[dict[str, Any]]) -> str:
    most = in_units([result.possible], _UNIT)[0] * _UNIT
    failed = any(entry["status"] == "fail" for entry in entries)
    words = pending(result)
    if words:
        entry = _entry(_safe(f"{NAME}: {wording.points(result.waiting)} points wait"), False, 0)
        entries = [{**entry, "status": "error", "message": _safe(words)}, *entries]
    document = {
        "version": 1,
        "status": "fail" if failed else "error" if words else "pass",
        "max_score": _short(most),
        "tests": entries,
    }
    return json.dumps(document, ensure_ascii=True, allow_nan=False)


def _entries(tests: Sequence[TestResult]) -> list[dict[str, Any]]:
    scores = in_units([test.points for test in tests], _UNIT)
    return [
        _entry(
            _safe(f"{one_line(test.category, 40)}: {one_line(test.name, 120)}"),
            test.status == "passed",
            score,
        )
        for test, score in zip(tests, scores, strict=True)
    ]


def _by_category(tests: Sequence[TestResult]) -> list[dict[str, Any]]:
    categories = list(dict.fromkeys(test.category for test in tests))[:200]
    parts = [[test for test in tests if test.category == category] for category in categories]
    scores = in_units([sum(test.points for test in part) for part in parts], _UNIT)
    return [
        _entry(_safe(one_line(category, 120)), all(test.status == "passed" for test in part), score)
        for category, part, score in zip(categories, parts, scores, strict=True)
    ]


def _entry(name: str, passed: bool, units: int) -> dict[str, Any]:
    return {
        "name": name,
        "status": "pass" if passed else "fail",
        "score": _short(units * _UNIT),
        "message": None,
        "test_code": "",
        "filename": "",
        "line_no": 0,
        "execution_time": "0s",
    }


def _short(value: float) -> float | int:
    return int(value) if value == int(value) else value


def _safe(text: str) -> str:
    """On one line; the reporter prints names as they are, and `::` may begin a workflow command."""
    return re.sub(":(?=:)", ": ", one_line(text))
