"""JUnit XML of a result, for CI systems and gradebooks that read it."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections.abc import Iterable, Iterator

from junit_xml import TestCase, TestSuite, to_xml_report_string

from grader.reports.hidden import for_students
from grader.reports.pending import NAME, pending
from grader.reports.text import one_line, plain, xml
from grader.result import Failure, Result, TestResult


def junit(result: Result, *, reveal: bool = False) -> str:
    """The result as one JUnit test suite: passed, failed, and skipped for what was not judged.

    Hidden tests give their name and category only, unless `reveal` (for staff). The category is the class
    name; names are made unique in it. Score, seeds and each duel's tier are properties of the suite.
    """
    shown = result if reveal else for_students(result)
    cases = [_case(test, name) for test, name in zip(shown.tests, _unique_names(shown.tests), strict=True)]
    if not result.complete and not any(test.status == "not_judged" for test in shown.tests):
        waits = TestCase(NAME, classname="pending", elapsed_sec=0)
        waits.add_skipped_info(pending(result))
        cases.append(waits)
    properties = dict(_properties(shown))
    suite = TestSuite(
        _attribute(shown.lab), cases, timestamp=_attribute(shown.started_at), properties=properties
    )
    return _as_jenkins_reads_it(to_xml_report_string([suite]))


def _as_jenkins_reads_it(report: str) -> str:
    """The report by the schema of Jenkins' xUnit plugin (junit-10.xsd, since 2018-12).

    It knows no attribute `disabled`, which junit-xml always writes, and times of at most three decimals.
    """
    root = ElementTree.fromstring(report)
    for element in root.iter():
        element.attrib.pop("disabled", None)
        if "time" in element.attrib:
            element.set("time", f"{float(element.attrib['time']):.3f}")
    ElementTree.indent(root)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ElementTree.tostring(root, encoding="unicode") + "\n"


def _case(test: TestResult, name: str) -> TestCase:
    case = TestCase(name, classname=_attribute(test.category) or "tests", elapsed_sec=test.duration_s)
    if test.status == "not_judged":
        case.add_skipped_info(_attribute(test.message) or "not judged")
    elif test.status == "failed":
        summary = test.failure.summary if test.failure else test.message
        case.add_failure_info(_attribute(summary) or "failed", _details(test.failure))
    return case


def _details(failure: Failure | None) -> str | None:
    if failure is None:
        return None
    fields = failure.model_dump(exclude={"summary", "source"}).items()
    return "\n".join(f"{name}: {xml(plain(value))}" for name, value in fields if value) or None


def _unique_names(tests: Iterable[TestResult]) -> Iterator[str]:
    """Each test's name; within a category a repeated one gets ' (2)', ' (3)' and so on."""
    used: set[tuple[str, str]] = set()
    for test in tests:
        category, name = _attribute(test.category), _attribute(test.name) or "unnamed"
        unique, number = name, 1
        while (category, unique) in used:
            number += 1
            unique = f"{name} ({number})"
        used.add((category, unique))
        yield unique


def _properties(result: Result) -> Iterator[tuple[str, str]]:
    yield "submission", _attribute(result.submission)
    yield "mode", result.mode
    yield "status", result.status
    yield "score", f"{result.score:g}"
    yield "max_score", f"{result.possible:g}"
    yield "judged_max", f"{result.judged_max:g}"
    yield "waiting", f"{result.waiting:g}"
    for name, seed in result.seeds.items():
        yield _attribute(f"seed.{name}"), str(seed)
    for duel in result.duels:
        tier = "not judged" if duel.verdict == "not_judged" else duel.tier or "none"
        yield _attribute(f"tier.{duel.id}"), _attribute(tier)
        if duel.ratio is not None:
            yield _attribute(f"ratio.{duel.id}"), f"{duel.ratio:.4g}"


def _attribute(text: str) -> str:
    return xml(one_line(text, limit=500))
