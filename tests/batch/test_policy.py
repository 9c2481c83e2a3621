"""Which attempt counts, and what lateness costs."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grader.batch.course import BadCourse, Course, read
from grader.batch.policy import counted, days_late
from grader.batch.roster import roster
from grader.batch.store import Attempt

DUE = "2026-06-01T12:00:00+02:00"


def attempt(number, score, submission="s", handed_in="", lab="gemm_cpu", student="ada"):
    return Attempt(number, 1, student, lab, f"k{number}", submission, "", handed_in, score, 100, 100)


def course(**fields):
    return Course.model_validate(
        {"labs": {"gemm_cpu": {"due": DUE}, "later": {"due": "2026-07-01T00:00Z"}}, **fields}
    )


def score(attempts, rules, students=None):
    return counted(attempts, rules, students)["ada", "gemm_cpu"].score


@pytest.mark.parametrize(("policy", "points"), [("latest", 60), ("best", 90), ("never_lower", 70)])
def test_each_policy_counts_another_attempt(policy, points):
    """An old submission of 90 points; a new one of 70, which a regrade made 60."""
    attempts = [attempt(1, 90, "old"), attempt(2, 70, "new"), attempt(3, 60, "new")]
    assert score(attempts, course(attempts=policy)) == points


@pytest.mark.parametrize(
    ("handed_in", "days"),
    [
        ("", 0),
        ("2026-06-01T09:59:00Z", 0),
        ("2026-06-01T10:00:00Z", 0),
        ("2026-06-01T10:04:00Z", 0),
        ("2026-06-01T10:06:00Z", 1),
        ("2026-06-02T10:00:00Z", 1),
        ("2026-06-02T10:00:01Z", 2),
    ],
)
def test_every_begun_day_is_one_after_some_minutes_of_grace(handed_in, days):
    assert days_late(handed_in, course().plan("gemm_cpu"), grace_minutes=5) == days


def test_late_days_are_free_until_they_are_used_up():
    rules = course(late={"free_days": 2, "per_day": 0.1})
    late = attempt(1, 100, handed_in="2026-06-04T09:00:00Z")  # three days
    counts = counted([late, attempt(2, 50, lab="later", handed_in="2026-07-01T01:00:00Z")], rules)
    first, second = counts["ada", "gemm_cpu"], counts["ada", "later"]
    assert (first.late_days, first.free_days, first.score) == (3, 2, pytest.approx(90))
    assert (second.late_days, second.free_days, second.score) == (1, 0, pytest.approx(45))
    assert first.note == "3 days late, 2 of them free"


def test_the_roster_gives_a_student_other_days():
    rules = course(late={"per_day": 0.5})
    late = [attempt(1, 100, handed_in="2026-06-02T09:00:00Z")]
    assert score(late, rules) == 50
    for line in ("ada,1,", "ada,,1"):
        students = {s.id: s for s in roster(f"username,late_days,extension gemm_cpu\n{line}\n").students}
        assert score(late, rules, students) == 100


def test_after_the_last_day_nothing_counts():
    item = counted([attempt(1, 100, handed_in="2026-06-09T00:00:00Z")], course(late={"most_days": 3}))
    assert item["ada", "gemm_cpu"].score == 0
    assert "too late to count" in item["ada", "gemm_cpu"].note


def test_the_best_is_chosen_after_lateness():
    rules = course(attempts="best", late={"per_day": 0.5})
    in_time = attempt(1, 60, "a", "2026-06-01T00:00:00Z")
    assert score([in_time, attempt(2, 100, "b", "2026-06-02T00:00:00Z")], rules) == 60


@given(st.lists(st.tuples(st.integers(0, 100), st.sampled_from("abc")), min_size=1, max_size=8))
def test_never_lower_is_between_latest_and_best(told):
    attempts = [attempt(number, points, name) for number, (points, name) in enumerate(told)]
    latest, never, best = (
        score(attempts, course(attempts=name)) for name in ("latest", "never_lower", "best")
    )
    assert latest <= never <= best


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("labs: [", "no YAML"),
        ("attempts: newest", "attempts"),
        ("late: {per_day: 2}", "late.per_day"),
        ("labs: {gemm_cpu: {due: 2026-06-01T12:00:00}}", "needs its offset"),
        ("lates: {}", "lates"),
    ],
)
def test_a_mistake_in_course_yaml_is_named(tmp_path, text, words):
    (tmp_path / "course.yaml").write_text(text)
    with pytest.raises(BadCourse, match=words):
        read(tmp_path / "course.yaml")


def test_an_empty_course_yaml_is_a_course(tmp_path):
    (tmp_path / "course.yaml").write_text("# later\n")
    assert read(tmp_path / "course.yaml") == Course()


def refused(number):
    return attempt(number, 0, "refused: x")._replace(max_score=100.0, judged_max=100.0)


@pytest.mark.parametrize("policy", ["latest", "best", "never_lower"])
def test_what_could_not_be_taken_displaces_nothing_unless_the_course_says_so(policy):
    attempts = [attempt(1, 90), refused(2)]
    (counts,) = counted(attempts, course(attempts=policy)).values()
    assert counts.score == 90 and "a later hand-in could not be taken" in counts.note
    strict = counted(attempts, course(attempts="latest", refused_counts=True))["ada", "gemm_cpu"]
    assert strict.score == 0 and "could not be taken" in strict.note
    (alone,) = counted([refused(2)], course(attempts=policy)).values()
    assert (alone.score, alone.possible, alone.waits) == (0, 100, 0)


def test_who_has_a_due_date_and_no_time_is_told_to_be_unknown():
    counts = counted([attempt(1, 90), attempt(2, 90, lab="free")], course())
    assert "time unknown, not counted as late" in counts["ada", "gemm_cpu"].note
    assert counts["ada", "free"].note == ""


def test_what_the_contract_has_and_nobody_judged_waits():
    short = attempt(1, 60)._replace(max_score=60.0, judged_max=60.0)  # graded without its duels
    counts = counted([short], Course(), maxima={"gemm_cpu": 100.0})["ada", "gemm_cpu"]
    assert (counts.possible, counts.waits) == (100, 40)
    assert "40 of 100 points wait" in counts.note
