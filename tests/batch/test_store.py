"""What was graded stays: nothing is changed, nothing is counted twice."""

from __future__ import annotations

import sqlite3

import pytest

from grader.batch.migrations import MIGRATIONS
from grader.batch.store import Handed, Pieces, Store
from tests import sample_results

ADA, BOB = Handed("ada", "gemm_cpu"), Handed("bob", "gemm_cpu")


def pieces(submission="s1", again=0, **more):
    fields = {"lab": "gemm_cpu", "lab_digest": "l1", "grader": "g1", "compiler": "gcc"}
    fields |= {"machine": "m", "how": "h"}
    return Pieces(submission, again=again, **{**fields, **more})


def put(store, key, result, owners, **more):
    store.add(key, pieces(more.pop("submission", key), **more), result, owners, store.begin_run("batch"))


@pytest.fixture
def store(tmp_path):
    with Store(tmp_path / "new" / "grades.sqlite") as store:
        yield store


def test_a_result_comes_back_as_it_was(store):
    document = sample_results.mixed()
    put(store, "k1", document, [ADA])
    assert store.has("k1")
    assert store.document("k1") == document


def test_equal_submissions_share_the_work_and_each_has_a_row(store):
    put(store, "k1", sample_results.mixed(), [ADA, BOB])
    assert [(item.student, item.key, item.score) for item in store.latest()] == [
        ("ada", "k1", 53.3),
        ("bob", "k1", 53.3),
    ]


def test_the_first_result_of_a_key_stays(store):
    put(store, "k1", sample_results.mixed(), [ADA])
    put(store, "k1", sample_results.perfect(), [ADA])
    assert store.document("k1") == sample_results.mixed()
    assert len(store.latest()) == 1


def test_the_latest_attempt_counts_and_the_earlier_ones_stay(store, tmp_path):
    put(store, "k1", sample_results.mixed(), [ADA])
    put(store, "k2", sample_results.perfect(), [ADA])
    assert [item.key for item in store.latest()] == ["k2"]
    with sqlite3.connect(tmp_path / "new" / "grades.sqlite") as base:
        assert base.execute("SELECT count(*) FROM attempts").fetchone() == (2,)
    base.close()


def test_nobody_owns_what_was_not_graded(store):
    with pytest.raises(sqlite3.IntegrityError):
        store.own("k9", [ADA], store.begin_run("batch"))
    assert store.latest() == []


def test_an_unknown_key_is_a_key_error(store):
    with pytest.raises(KeyError):
        store.document("k9")


def test_it_is_there_when_the_file_is_opened_again(tmp_path):
    file = tmp_path / "grades.sqlite"
    with Store(file) as store:
        put(store, "k1", sample_results.mixed(), [ADA])
    with Store(file) as store:
        assert store.has("k1")


def test_a_file_of_a_newer_grader_is_refused(tmp_path):
    file = tmp_path / "grades.sqlite"
    base = sqlite3.connect(file)
    base.execute("PRAGMA user_version = 99")
    base.close()
    with pytest.raises(RuntimeError, match="newer grader"):
        Store(file)


def test_what_is_handed_in_again_counts_again(store):
    put(store, "k1", sample_results.mixed(), [ADA])
    put(store, "k2", sample_results.perfect(), [ADA])
    store.own("k1", [ADA], store.begin_run("batch"))
    assert [item.key for item in store.attempts()] == ["k1", "k2", "k1"]
    assert [item.key for item in store.latest()] == ["k1"]


def test_the_same_command_again_adds_nothing(store):
    put(store, "k1", sample_results.mixed(), [ADA])
    store.own("k1", [ADA], store.begin_run("batch"))
    assert len(store.attempts()) == 1


def test_a_batch_does_not_bring_the_first_measurement_back(store):
    """After a repetition the plain key is known and older: the repetition stays the newest attempt."""
    put(store, "k1", sample_results.mixed(), [ADA], submission="s")
    put(store, "k2", sample_results.perfect(), [ADA], submission="s", again=1)
    store.own("k1", [ADA], store.begin_run("batch"))
    assert [item.key for item in store.latest()] == ["k2"]


def test_a_new_time_of_the_same_files_is_a_new_attempt(store):
    put(store, "k1", sample_results.mixed(), [Handed("ada", "gemm_cpu", "2026-01-01T00:00:00Z")])
    store.own("k1", [Handed("ada", "gemm_cpu", "2026-01-02T00:00:00Z")], store.begin_run("batch"))
    assert [item.handed_in for item in store.attempts()] == ["2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"]


def test_files_come_back_as_they_were(store):
    store.keep_files("s1", {"gemm.c": "int ä;\n"})
    assert store.files("s1") == {"gemm.c": "int ä;\n"}
    assert store.files("refused") == {}


def test_tests_and_duels_are_read_without_the_document(store):
    result = sample_results.mixed()
    put(store, "k1", result, [ADA])
    told = store.outcomes(["k1"])["k1"]
    assert [(item.id, item.status, item.points) for item in told] == [
        (item.id, item.status, item.points) for item in result.tests
    ]
    assert [item.ratio for item in store.ratios(["k1"])["k1"]] == [item.ratio for item in result.duels]


def test_repetitions_are_found(store):
    put(store, "k1", sample_results.mixed(), [ADA], submission="s")
    put(store, "k2", sample_results.perfect(), [ADA], submission="s", again=1)
    put(store, "k3", sample_results.perfect(), [BOB], submission="t")
    assert [sorted(group) for group in store.repeated()] == [["k1", "k2"]]


def test_a_file_of_the_first_version_keeps_all_it_holds(tmp_path):
    file, result = tmp_path / "grades.sqlite", sample_results.mixed()
    base = sqlite3.connect(file)
    base.executescript(MIGRATIONS[0])
    base.execute(
        "INSERT INTO results VALUES ('k1', 'gemm_cpu', ?, ?, ?, ?)",
        (result.score, result.max_score, result.judged_max, result.to_json()),
    )
    base.execute("INSERT INTO attempts VALUES (7, 'ada', 'gemm_cpu', 'k1', '2026-01-01T00:00:00Z')")
    base.execute("PRAGMA user_version = 1")
    base.commit()
    base.close()
    with Store(file) as store:
        (attempt,) = store.attempts()
        assert (attempt.id, attempt.student, attempt.at) == (7, "ada", "2026-01-01T00:00:00Z")
        assert (attempt.score, attempt.submission) == (result.score, result.hashes["submission"])
        assert store.document("k1") == result
        assert len(store.outcomes(["k1"])["k1"]) == len(result.tests)
    base = sqlite3.connect(file)
    assert base.execute("PRAGMA user_version").fetchone() == (len(MIGRATIONS),)
    assert base.execute("PRAGMA foreign_key_check").fetchall() == []
    base.close()


def test_an_empty_file_of_the_first_version_is_taken_too(tmp_path):
    file = tmp_path / "grades.sqlite"
    base = sqlite3.connect(file)
    base.executescript(MIGRATIONS[0] + "PRAGMA user_version = 1;")
    base.close()
    with Store(file) as store:
        assert store.attempts() == [] and store.runs() == []
