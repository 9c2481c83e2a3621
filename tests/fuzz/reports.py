"""Every report of every result document that can be read: text that can be written, and no error."""

from __future__ import annotations

import io
import json
import xml.etree.ElementTree as ElementTree

from rich.console import Console

from grader.reports.autograding import autograding
from grader.reports.class_junit import class_junit
from grader.reports.classroom50 import classroom50
from grader.reports.github import log
from grader.reports.gradescope import gradescope
from grader.reports.hidden import for_students
from grader.reports.html import html
from grader.reports.junit import junit
from grader.reports.markdown import markdown
from grader.reports.terminal import render
from grader.result import Result
from tests.fuzz.inputs import Bytes
from tests.fuzz.result import changed

_TAG = "submit/2026-06-01T14-32-05Z-a1b2c3d"
_URLS = {f"{kind}_URL": f"https://example.org/{kind}" for kind in ("COMMIT", "RELEASE", "REVIEW")}
_ENVIRONMENT = {"CLASSROOM": "c", "ASSIGNMENT": "a", "SUBMISSION_TAG": _TAG, **_URLS}


def one_input(data: bytes) -> None:
    """A changed document."""
    source = Bytes(data)
    reveal = bool(source.number() & 1)
    try:
        result = Result.model_validate_json(changed(source))
    except ValueError:
        return
    if any(number and not 1e-6 < abs(number) < 1e12 for number in _not_of_students(result)):
        return
    console = Console(file=io.StringIO(), width=100)
    render(result, console, reveal=reveal)
    texts = [
        html(result, reveal=reveal),
        markdown(result, reveal=reveal),
        log(result, "report.html", "token"),
        for_students(result).to_json(),
    ]
    for text in texts:
        text.encode("utf-8")
    for text in (junit(result, reveal=reveal), class_junit([("ada", result)], reveal=reveal)):
        ElementTree.fromstring(text)
    for text in (autograding(result), gradescope(result), classroom50(result, _ENVIRONMENT)):
        json.loads(text)


def _not_of_students(result: Result) -> list[float]:
    """Points, which are a lab's, and what the machine's own probes have measured."""
    numbers: list[float | None] = [result.score, result.max_score, result.judged_max]
    for test in result.tests:
        numbers += [test.points, test.max_points]
    for duel in result.duels:
        numbers += [*duel.tiers.values(), duel.submission_rate, duel.reference_rate]
        if duel.roofline:
            numbers += [value for value in vars(duel.roofline).values() if isinstance(value, float)]
    return [number for number in numbers if number is not None]
