from __future__ import annotations

import xml.etree.ElementTree as ElementTree

from grader.reports.class_junit import class_junit
from tests import sample_results
from tests.sample_results import NASTY


def test_a_suite_for_each_student():
    root = ElementTree.fromstring(
        class_junit([("ada", sample_results.mixed()), ("bob", sample_results.perfect())]).encode()
    )
    assert [suite.get("name") for suite in root] == ["ada: gemm_cpu", "bob: gemm_cpu"]
    assert [int(suite.get("failures")) > 0 for suite in root] == [True, False]


def test_no_pair_of_class_and_name_comes_twice():
    """GitLab drops what it takes for a repetition."""
    root = ElementTree.fromstring(
        class_junit([(name, sample_results.mixed()) for name in ("ada", "bob")]).encode()
    )
    pairs = [(case.get("classname"), case.get("name")) for case in root.iter("testcase")]
    assert len(pairs) == len(set(pairs)) > 10


def test_any_name_of_a_student_is_a_document():
    root = ElementTree.fromstring(class_junit([(NASTY, sample_results.mixed())]).encode())
    assert "]]><" in root[0].get("name")


def test_hidden_tests_show_their_names_only():
    text = class_junit([("ada", sample_results.mixed())])
    assert text != class_junit([("ada", sample_results.mixed())], reveal=True)


def test_an_empty_class_is_a_document():
    assert len(ElementTree.fromstring(class_junit([]).encode())) == 0
