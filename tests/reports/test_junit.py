from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grader.reports.junit import junit
from tests import sample_results
from tests.sample_results import SITUATIONS, result
from tests.sample_results import test as make_test

# What the schema of Jenkins' xUnit plugin (junit-10.xsd, 2018-12 and later) knows: elements, attributes, must-haves.
JENKINS = {
    "testsuites": (set(), {"name", "time", "tests", "failures", "errors"}),
    "testsuite": (
        {"name", "tests", "failures", "errors"},
        {"name", "tests", "failures", "errors", "group", "time", "skipped", "timestamp", "hostname", "id"}
        | {"package", "file", "log", "url"},
    ),
    "properties": (set(), set()),
    "property": ({"name", "value"}, {"name", "value"}),
    "testcase": ({"name"}, {"name", "time", "classname", "group"}),
    "skipped": (set(), {"type", "message"}),
    "failure": (set(), {"type", "message"}),
}


def suite(document, **options):
    """The one test suite of the report, parsed back."""
    return ElementTree.fromstring(junit(document, **options).encode()).find("testsuite")


def cases(document, **options):
    """Test cases by name."""
    return {case.get("name"): case for case in suite(document, **options).iter("testcase")}


@pytest.mark.parametrize("situation", SITUATIONS)
@pytest.mark.parametrize("reveal", [False, True])
def test_every_situation_gives_one_case_per_test(situation, reveal):
    document = SITUATIONS[situation]()
    parsed = suite(document, reveal=reveal)
    statuses = [test.status for test in document.tests]
    assert parsed.get("tests") == str(len(statuses))
    assert parsed.get("failures") == str(statuses.count("failed"))
    assert parsed.get("skipped") == str(statuses.count("not_judged"))


def test_a_passed_test_has_its_category_as_class_and_its_time():
    case = cases(sample_results.mixed())["all small shapes"]
    assert case.get("classname") == "correctness"
    assert float(case.get("time")) == 0.25
    assert list(case) == []


def test_a_failed_test_says_why():
    failure = cases(sample_results.mixed())["skinny shapes"].find("failure")
    assert failure.get("message") == sample_results.LAST_COLUMNS.summary
    assert "case: m=1 n=17 k=3" in failure.text
    assert "expected: C[0, 16] = 4.5" in failure.text
    assert "why: The tile at the right edge" in failure.text


def test_a_test_that_was_not_judged_is_skipped_with_its_reason():
    skipped = cases(sample_results.mixed())["simulated cache misses"].find("skipped")
    assert skipped.get("message") == "valgrind is not installed here"


def test_a_hidden_failure_gives_nothing_away():
    assert "4097" not in junit(sample_results.mixed())
    failure = cases(sample_results.mixed())["block edges"].find("failure")
    assert failure.get("message") == "failed"
    assert failure.text is None


def test_staff_see_hidden_failures():
    failure = cases(sample_results.mixed(), reveal=True)["block edges"].find("failure")
    assert failure.get("message") == "wrong at n=4097"
    assert failure.text == "case: m=6 n=4097"


def test_a_failure_without_words_is_still_a_failure():
    assert suite(result([make_test("a", "b", "failed")])).get("failures") == "1"


def test_properties_hold_score_seed_and_tiers():
    properties = {
        item.get("name"): item.get("value") for item in suite(sample_results.mixed()).iter("property")
    }
    assert properties["score"] == "53.3"
    assert properties["judged_max"] == "68"
    assert properties["seed.run"] == "123456789"
    assert properties["tier.large"] == "silver"
    assert properties["ratio.large"] == "0.7312"
    assert properties["tier.mix"] == "none"
    assert properties["tier.threads"] == "not judged"


def test_names_are_unique_within_a_class():
    names = ["a", "a", "a (2)", "a"]
    tests = [make_test(name, "c", id=str(number)) for number, name in enumerate(names)]
    tests.append(make_test("a", "other", id="5"))
    parsed = [(case.get("classname"), case.get("name")) for case in suite(result(tests)).iter("testcase")]
    assert len(set(parsed)) == len(tests)
    assert ("other", "a") in parsed


@given(st.text())
def test_any_text_anywhere_gives_valid_xml(text):
    for reveal in (False, True):
        parsed = suite(sample_results.hostile(text), reveal=reveal)
        keys = [(case.get("classname"), case.get("name")) for case in parsed.iter("testcase")]
        assert len(set(keys)) == len(keys) == 5


def test_text_cannot_forge_a_test_case():
    document = sample_results.hostile('"/></testsuite><testcase name="forged"/> ]]><testcase name="forged"/>')
    assert len(list(suite(document, reveal=True).iter("testcase"))) == 5


@pytest.mark.parametrize("situation", SITUATIONS)
def test_jenkins_knows_every_element_and_attribute(situation):
    for element in ElementTree.fromstring(junit(SITUATIONS[situation](), reveal=True).encode()).iter():
        needed, known = JENKINS[element.tag]
        assert needed <= set(element.attrib) <= known, element.tag
        assert re.fullmatch(r"\d+\.\d{3}", element.get("time", "0.000"))
