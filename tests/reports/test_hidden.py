from __future__ import annotations

from grader.reports.hidden import for_students
from tests import sample_results
from tests.sample_results import duel, result
from tests.sample_results import test as make_test


def test_hidden_tests_keep_name_category_verdict_and_points_only():
    shown = for_students(sample_results.mixed())
    hidden = [test for test in shown.tests if test.hidden]
    assert {(test.message, test.failure) for test in hidden} == {("", None)}
    assert [(t.name, t.category, t.status, t.points) for t in shown.tests] == [
        (t.name, t.category, t.status, t.points) for t in sample_results.mixed().tests
    ]


def test_the_ids_of_hidden_tests_say_nothing():
    secret = make_test("shapes", "correctness", hidden=True, id="test_hidden.py::test_shapes[m=1-n=17]")
    assert for_students(result([secret])).tests[0].id == "hidden:1"


def test_what_a_hidden_test_measured_is_not_shown():
    measured = sample_results.measured()
    assert for_students(measured).series == measured.series
    hidden = [
        test.model_copy(update={"id": measured.series[0].test_id, "hidden": True})
        for test in measured.tests[:1]
    ]
    assert for_students(measured.model_copy(update={"tests": hidden})).series == []


def test_other_tests_and_duels_are_untouched():
    before = sample_results.mixed()
    after = for_students(before)
    assert after.duels == before.duels
    assert [test for test in after.tests if not test.hidden] == [t for t in before.tests if not t.hidden]


def test_the_duel_of_a_hidden_test_is_called_like_the_test_and_stays_linked():
    tests = [make_test("speed", "performance", hidden=True, id="x::secret")]
    duels = [duel("secret", 0.5, "silver", test_id="x::secret", title="n = 4097", reason="slow at 4097")]
    shown = for_students(result(tests, duels))
    assert shown.duels[0].test_id == shown.tests[0].id
    assert shown.duels[0].title == "speed"
    assert shown.duels[0].ratio == 0.5
    assert "4097" not in shown.to_json()


def test_why_a_hidden_test_was_not_judged_stays():
    tests = [make_test("bandwidth", "performance", "not_judged", hidden=True, message="no GPU here")]
    assert for_students(result(tests)).tests[0].message == "no GPU here"


def test_a_document_without_hidden_tests_stays_as_it_is():
    assert for_students(sample_results.practice()) == sample_results.practice()
