"""Going on: what waited for a reason of the machine is graded again, and all else keeps its result."""

from __future__ import annotations

import pytest

from grader.batch import plan, resume
from grader.batch.plan import Job
from grader.batch.store import Grade, Handed, Pieces, Store
from tests import sample_results
from tests.sample_results import test as one_test


@pytest.fixture
def store(tmp_path):
    with Store(tmp_path / "grades.sqlite") as store:
        yield store


def job(tmp_path, student="ada"):
    pieces = Pieces("s1", "gemm_cpu", "l", "g", "gcc", "m", "h")
    return Job(plan.key_of(pieces), pieces, tmp_path, {"gemm.c": ""}, (Handed(student, "gemm_cpu"),))


def result(beta):
    return sample_results.result([one_test("alpha", "correctness"), one_test("beta", "correctness", beta)])


def test_what_waited_is_tried_until_it_is_judged(store, tmp_path):
    (first,), again = resume.left([job(tmp_path)], store, 1)
    assert again == 0
    run = store.begin_run("batch")
    store.add(first.key, first.pieces, result("not_judged"), first.owners, run)
    (second,), again = resume.left([job(tmp_path)], store, store.begin_run("batch"))
    assert (again, second.pieces.again) == (1, 1) and second.key != first.key
    store.add(second.key, second.pieces, result("not_judged"), second.owners, run)
    (third,), _ = resume.left([job(tmp_path)], store, run)
    assert third.pieces.again == 2
    store.add(third.key, third.pieces, result("passed"), third.owners, run)
    assert resume.left([job(tmp_path), job(tmp_path, "bob")], store, run) == ([], 0)
    assert {item.student: item.judged_max for item in store.latest()} == {"ada": 4, "bob": 4}


def test_what_failed_is_not_tried_again(store, tmp_path):
    only = job(tmp_path)
    store.add(only.key, only.pieces, result("failed"), only.owners, store.begin_run("batch"))
    assert resume.left([only], store, 1) == ([], 0)


def test_a_grade_that_is_another_than_gradebooks_have_shown_is_told_once(store):
    pair = ("ada", "gemm_cpu")
    assert store.tell({pair: Grade(60.0, False)}) == []
    assert store.tell({pair: Grade(59.0, False)}) == [(*pair, (60.0, 0), (59.0, False))]
    assert store.tell({pair: Grade(59.0, False)}) == []
    assert len(store.tell({pair: Grade(59.0, True)})) == 1


def test_the_store_keeps_which_attempt_counts(store):
    assert store.chosen() is None
    store.choose("never_lower", "latest")
    assert store.chosen() == ("never_lower", "latest")
