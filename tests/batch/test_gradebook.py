from __future__ import annotations

import csv
import io

import pytest

from grader.batch.gradebook import gradebook, students_of
from grader.batch.store import Attempt

ADA = Attempt("ada", "gemm_cpu", "k", "2026-01-01T00:00:00Z", 53.3, 86, 68)


def rows(*arguments):
    return list(csv.reader(io.StringIO(gradebook(*arguments))))


@pytest.mark.parametrize(
    ("roster", "students"),
    [
        ("username,name\nada,Ada\nbob,Bob\n", ["ada", "bob"]),
        ("identifier,github_username,github_id,name\nx1,ada,1,Ada\nx2,bob,2,Bob\n", ["ada", "bob"]),
        ("matriculation\n17\n18\n\n", ["17", "18"]),
    ],
)
def test_rosters_of_several_kinds(roster, students):
    assert students_of(roster) == students


def test_a_roster_without_students_is_told():
    with pytest.raises(ValueError, match="no students"):
        students_of("username\n")


def test_a_student_without_a_submission_is_a_row():
    table = rows(["ada", "bob"], ["gemm_cpu"], [ADA], {})
    assert table[1] == ["ada", "53.30", "86", "68", "some points wait for another run"]
    assert table[2] == ["bob", "", "", "", "nothing handed in"]


def test_what_could_not_be_graded_is_no_zero():
    table = rows([], ["gemm_cpu"], [], {("eve", "gemm_cpu"): "the disk is full"})
    assert table[1] == ["eve", "", "", "", "not graded: the disk is full"]


@pytest.mark.parametrize("name", ["=HYPERLINK(1)", "+1", "-1", "@SUM(A1)"])
def test_no_cell_is_a_formula(name):
    assert rows([name], ["gemm_cpu"], [], {})[1][0] == f"'{name}"
