"""What students may see of hidden tests: name, category, verdict and points.

The cut is made once, on the document, so that no report can let anything slip.
"""

from __future__ import annotations

from grader.result import Duel, Result, TestResult

HINT = (
    "A hidden test shows only its name. Write a small test of your own for what the name says, corners first: nothing"
    " at all, one, one more than a full block, the largest, arguments that are wrong. Then run the public tests with"
    " other seeds."
)


def for_students(result: Result) -> Result:
    """The document without what hidden tests give away: ids, messages, failures, evidence, series, titles of duels.

    Why a hidden test was not judged stays: that is about the machine, not about the test.
    """
    hidden = {
        test.id: _without_data(test, f"hidden:{number}")
        for number, test in enumerate(result.tests, 1)
        if test.hidden
    }
    tests = [hidden.get(test.id, test) for test in result.tests]
    duels = [
        _without_title(duel, hidden[duel.test_id]) if duel.test_id in hidden else duel
        for duel in result.duels
    ]
    evidence = [item for item in result.evidence if item.test_id not in hidden]
    series = [item for item in result.series if item.test_id not in hidden]
    return result.model_copy(update={"tests": tests, "duels": duels, "evidence": evidence, "series": series})


def _without_data(test: TestResult, new_id: str) -> TestResult:
    message = test.message if test.status == "not_judged" else ""
    return test.model_copy(update={"id": new_id, "message": message, "failure": None})


def _without_title(duel: Duel, test: TestResult) -> Duel:
    reason = duel.reason if duel.verdict == "not_judged" else ""
    return duel.model_copy(
        update={"id": test.id, "test_id": test.id, "title": test.name, "reason": reason, "cases": []}
    )
