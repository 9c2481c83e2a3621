"""What was graded stays: nothing is changed, nothing is counted twice."""

from __future__ import annotations

import sqlite3

import pytest

from grader.batch.store import Store
from tests import sample_results


@pytest.fixture
def store(tmp_path):
    with Store(tmp_path / "new" / "grades.sqlite") as store:
        yield store


def test_a_result_comes_back_as_it_was(store):
    document = sample_results.mixed()
    store.add("k1", document, [("ada", "gemm_cpu")])
    assert store.has("k1")
    assert store.document("k1") == document


def test_equal_submissions_share_the_work_and_each_has_a_row(store):
    store.add("k1", sample_results.mixed(), [("ada", "gemm_cpu"), ("bob", "gemm_cpu")])
    assert [(item.student, item.key, item.score) for item in store.latest()] == [
        ("ada", "k1", 53.3),
        ("bob", "k1", 53.3),
    ]


def test_the_first_result_of_a_key_stays(store):
    store.add("k1", sample_results.mixed(), [("ada", "gemm_cpu")])
    store.add("k1", sample_results.perfect(), [("ada", "gemm_cpu")])
    assert store.document("k1") == sample_results.mixed()
    assert len(store.latest()) == 1


def test_the_latest_attempt_counts_and_the_earlier_ones_stay(store, tmp_path):
    store.add("k1", sample_results.mixed(), [("ada", "gemm_cpu")])
    store.add("k2", sample_results.perfect(), [("ada", "gemm_cpu")])
    assert [item.key for item in store.latest()] == ["k2"]
    with sqlite3.connect(tmp_path / "new" / "grades.sqlite") as base:
        assert base.execute("SELECT count(*) FROM attempts").fetchone() == (2,)
    base.close()


def test_nobody_owns_what_was_not_graded(store):
    with pytest.raises(sqlite3.IntegrityError):
        store.own("k9", [("ada", "gemm_cpu")])
    assert store.latest() == []


def test_an_unknown_key_is_a_key_error(store):
    with pytest.raises(KeyError):
        store.document("k9")


def test_it_is_there_when_the_file_is_opened_again(tmp_path):
    file = tmp_path / "grades.sqlite"
    with Store(file) as store:
        store.add("k1", sample_results.mixed(), [("ada", "gemm_cpu")])
    with Store(file) as store:
        assert store.has("k1")


def test_a_file_of_a_newer_grader_is_refused(tmp_path):
    file = tmp_path / "grades.sqlite"
    base = sqlite3.connect(file)
    base.execute("PRAGMA user_version = 99")
    base.close()
    with pytest.raises(RuntimeError, match="newer grader"):
        Store(file)
