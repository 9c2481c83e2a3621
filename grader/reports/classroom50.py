"""The `result.json` of Classroom 50 (classroom50/result/v1): whole numbers only, and no other keys."""

from __future__ import annotations

import json
from collections.abc import Mapping

from grader.reports.hidden import for_students
from grader.reports.pending import NAME, pending
from grader.reports.shares import in_units
from grader.reports.text import one_line
from grader.result import Result, TestResult

UNIT = 0.1
"""Points per unit of score: 81.5 of 100 points become 815 of 1000, since a fraction is refused."""

_FROM_ENVIRONMENT = {
    "classroom": "CLASSROOM",
    "assignment": "ASSIGNMENT",
    "submission": "SUBMISSION_TAG",
    "commit": "COMMIT_URL",
    "release": "RELEASE_URL",
    "review": "REVIEW_URL",
}


def classroom50(result: Result, environment: Mapping[str, str]) -> str:
    """The JSON text; `environment` is what Classroom 50's runner gives to `autograder.py`.

    Raises ValueError when a variable of it is missing. Bonus points are cut at the maximum, which the format does
    not allow to be exceeded. The maximum is the lab's; what is not judged is a test of its own that has not passed.
    """
    missing = [name for name in _FROM_ENVIRONMENT.values() if name not in environment]
    if missing:
        raise ValueError(f"not run by Classroom 50: the environment has no {', '.join(missing)}")
    tests = [test for test in for_students(result).tests if test.status != "not_judged"]
    scores = in_units([min(test.points, test.max_points) for test in tests], UNIT)
    most = in_units([test.max_points for test in tests], UNIT)
    waiting = pending(result)
    total_most = round(result.possible / UNIT)
    entries = [
        _entry(test, min(score, top), top) for test, score, top in zip(tests, scores, most, strict=True)
    ]
    if waiting:
        entries.insert(0, _waiting(waiting, max(0, total_most - sum(most))))
    document = {
        "schema": "classroom50/result/v1",
        **{key: environment[name] for key, name in _FROM_ENVIRONMENT.items()},
        "score": min(round(result.score / UNIT), total_most),
        "max-score": total_most,
        "tests": entries,
    }
    return json.dumps(document, ensure_ascii=True, allow_nan=False, indent=2) + "\n"


def _waiting(words: str, most: int) -> dict[str, object]:
    return {"test-name": NAME, "passed": False, "score": 0, "max-score": most, "message": words}


def _entry(test: TestResult, score: int, most: int) -> dict[str, object]:
    message = test.failure.summary if test.failure else test.message
    return {
        "test-name": f"{one_line(test.category)}: {one_line(test.name)}",
        "passed": test.status == "passed",
        "score": score,
        "max-score": most,
        "message": one_line(message, 500),
    }
