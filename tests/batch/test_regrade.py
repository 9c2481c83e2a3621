"""What a regrade changed, for whom and why; nothing is lost on the way."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest

from grader.batch import plan, regrade
from grader.batch.book import flaky, hardest
from grader.batch.course import Course
from grader.batch.orders import Terms
from grader.batch.plan import Place
from grader.batch.store import Handed, Outcome, Pieces, Store
from grader.lab import load_lab
from tests import sample_results
from tests.sample_results import test as one_test

LABS = {"gemm_cpu": load_lab("gemm_cpu", Path(__file__).resolve().parent.parent.parent)}
HERE = Place("gcc", "m")


@pytest.fixture
def store(tmp_path):
    with Store(tmp_path / "grades.sqlite") as store:
        yield store


def pieces(submission, **more):
    fields = {
        "lab": "gemm_cpu",
        "lab_digest": "l1",
        "grader": "g1",
        "compiler": "gcc",
        "machine": "m",
        "how": "h",
    }
    return Pieces(submission, **{**fields, **more})


def outcome(beta="passed", gamma=None):
    tests = [one_test("alpha", "correctness"), one_test("beta", "correctness", beta)]
    return sample_results.result(tests + ([one_test("gamma", "safety")] if gamma else []))


def put(store, key, result, student="ada", kind="batch", **more):
    run = store.begin_run(kind)
    store.keep_files(more.get("submission", "s1"), {"gemm.c": f"// {more.get('submission', 's1')}\n"})
    store.add(key, pieces(more.pop("submission", "s1"), **more), result, [Handed(student, "gemm_cpu")], run)
    return run


def test_each_changed_test_is_told_with_the_reason(store):
    put(store, "k1", outcome("failed"))
    run = put(store, "k2", outcome("passed", gamma=True), kind="regrade", lab_digest="l2")
    (change,) = regrade.changes(store, run)
    assert (change.student, change.lab, change.reasons) == ("ada", "gemm_cpu", ("the lab changed",))
    assert change.points == pytest.approx(4)
    told = [(item.name, item.old, item.new, item.new_points - item.old_points) for item in change.tests]
    assert told == [("beta", "failed", "passed", 2), ("gamma", "–", "passed", 2)]


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"submission": "s2"}, "another submission"),
        ({"grader": "g2"}, "the grader changed"),
        ({"compiler": "gcc 15"}, "another compiler"),
        ({"machine": "other"}, "another machine"),
        ({"how": "practice"}, "graded on other terms"),
        ({"again": 1}, "measured again"),
    ],
)
def test_the_reason_is_what_is_not_the_same(store, more, words):
    put(store, "k1", outcome("failed"))
    run = put(store, "k2", outcome(), **more)
    assert regrade.changes(store, run)[0].reasons == (words,)


def test_who_did_not_change_is_not_told(store):
    put(store, "k1", outcome())
    assert regrade.changes(store, put(store, "k2", outcome(), grader="g2")) == []


def test_who_is_new_has_no_before(store):
    put(store, "k1", outcome())
    assert regrade.changes(store, put(store, "k2", outcome("failed"), student="bob", submission="s2")) == []


def test_the_table_is_csv_without_formulas(store):
    put(store, "k1", outcome("failed"), student="=cmd()")
    run = put(store, "k2", outcome(), student="=cmd()", lab_digest="l2")
    rows = list(csv.DictReader(io.StringIO(regrade.table(regrade.changes(store, run)))))
    assert rows[0]["student"] == "'=cmd()"
    assert (rows[0]["test"], rows[0]["before"], rows[0]["after"], rows[0]["points"]) == (
        *("beta", "failed", "passed"),
        "2.00",
    )


def jobs(store, tmp_path, course=None, since="", again=0):
    return regrade.jobs(store, LABS, course or Course(), since, Terms(), HERE, again, tmp_path)


def test_the_stores_own_copies_are_graded_again_equal_ones_once(store, tmp_path):
    put(store, "k1", outcome(), "ada")
    store.own("k1", [Handed("bob", "gemm_cpu")], 1)
    found, refused = jobs(store, tmp_path)
    assert refused == []
    assert [[owner.student for owner in job.owners] for job in found] == [["ada", "bob"]]
    assert (found[0].folder / "gemm.c").read_text() == "// s1\n"
    assert found[0].key == plan.key_of(plan.pieces_of("s1", LABS["gemm_cpu"], Terms(), HERE))


def test_only_the_newest_submission_and_only_since_then(store, tmp_path):
    put(store, "k1", outcome(), submission="old")
    put(store, "k2", outcome(), submission="new")
    assert [job.pieces.submission for job in jobs(store, tmp_path)[0]] == ["new"]
    assert jobs(store, tmp_path, since="2999-01-01")[0] == []


def test_where_the_best_counts_it_is_graded_too_and_before_the_newest(store, tmp_path):
    """So that the newest submission stays the newest attempt."""
    put(store, "k1", outcome(), submission="old")
    put(store, "k2", outcome("failed"), submission="new")
    found, _ = jobs(store, tmp_path, Course(attempts="best"))
    assert [job.pieces.submission for job in found] == ["old", "new"]


def test_what_intake_refused_is_named(store, tmp_path):
    run = store.begin_run("batch")
    store.add("k1", pieces("refused: x"), outcome(), [Handed("ada", "gemm_cpu")], run)
    found, refused = jobs(store, tmp_path)
    assert found == [] and [item.student for item in refused] == ["ada"]


def test_a_stopped_regrade_goes_on_in_its_own_round(store):
    first = regrade.begin(store, changed_only=False)
    second = regrade.begin(store, changed_only=False)
    assert (second.again, second.first_run) == (first.again, first.run) == (1, first.run)
    store.end_run(second.run)
    third = regrade.begin(store, changed_only=False)
    assert (third.again, third.first_run) == (2, third.run)
    assert regrade.begin(store, changed_only=True).again == 0


def test_a_flaky_test_is_one_that_says_two_things_of_the_same_files(store):
    put(store, "k1", outcome("failed"))
    put(store, "k2", outcome("passed"), again=1)
    put(store, "k3", outcome("passed"), "bob", submission="s2")
    put(store, "k4", outcome("failed"), "bob", submission="s2", lab_digest="l2")  # another lab: no wonder
    (item,) = flaky(store)
    assert (item.lab, item.test, item.students) == ("gemm_cpu", "beta", ("ada",))
    assert item.verdicts == "1 × failed, 1 × passed"


def test_the_hardest_test_failed_most_often_where_it_was_judged():
    def told(name, status, points=0.0):
        return Outcome(name, name, "c", status, points, 2.0)

    tests = hardest(
        [
            [told("easy", "passed", 2), told("hard", "failed"), told("rare", "not_judged")],
            [told("easy", "failed"), told("hard", "failed"), told("rare", "failed")],
        ]
    )
    assert [(test.name, test.failed, test.judged) for test in tests] == [
        ("hard", 2, 2),
        ("rare", 1, 1),
        ("easy", 1, 2),
    ]
