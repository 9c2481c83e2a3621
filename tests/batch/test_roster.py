from __future__ import annotations

import pytest

from grader.batch.roster import BadRoster, read, roster

CANVAS = """Student,ID,SIS User ID,SIS Login ID,Section
    Points Possible,,,,
"Lovelace, Ada",101,s1,ada,Mon
"""


@pytest.mark.parametrize(
    ("text", "students"),
    [
        ("username,name\nada,Ada\nbob,Bob\n", ["ada", "bob"]),
        ("identifier,github_username,github_id,name\nx1,ada,1,Ada\nx2,,,Bob\n", ["ada", "x2"]),
        ("username,first_name,last_name,email,section,github_id\nada,Ada,L,a@x,1,7\n", ["ada"]),
        ("Identifier,Full name,Email address\nParticipant 1,Ada,a@x\n", ["Participant 1"]),
        ("matriculation;name\n17;Ada\n18;Bob\n\n", ["17", "18"]),
        (CANVAS, ["ada"]),
    ],
)
def test_rosters_of_several_kinds(text, students):
    assert [student.id for student in roster(text).students] == students


@pytest.mark.parametrize("name", ["ada", "ADA", "Lovelace, Ada", "Ada Lovelace", "101", "s1"])
def test_a_student_is_known_by_every_name_of_the_row(name):
    assert roster(CANVAS).student_of(name) == "ada"


def test_a_name_of_two_students_means_neither():
    known = roster("username,name\nada,Kim\nbob,Kim\n")
    assert known.student_of("Kim") == "Kim"


def test_who_is_not_on_it_keeps_the_name_of_the_submission():
    assert roster(CANVAS).student_of("zoe") == "zoe"


def test_late_days_and_extensions():
    student = roster("username,late_days,extension gemm_cpu\nada,3,2\n").students[0]
    assert (student.late_days, student.extensions) == (3, {"gemm_cpu": 2})


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("username\n", "no students"),
        ("", "no students"),
        ("username\nada\nada\n", "'ada' twice"),
        ("username,late_days\nada,many\n", "a number of days"),
        ("username,name\n,Ada\n", "column 'username' of the roster is empty"),
    ],
)
def test_what_is_no_roster_is_told(text, words):
    with pytest.raises(BadRoster, match=words):
        roster(text)


def test_text_of_another_encoding_is_told(tmp_path):
    (tmp_path / "roster.csv").write_bytes("username\nJürgen\n".encode("latin-1"))
    with pytest.raises(BadRoster, match="UTF-8"):
        read(tmp_path / "roster.csv")


def test_canvas_own_test_student_is_nobody():
    text = 'Student,ID,SIS Login ID,Section\n"Lovelace, Ada",1,ada,M\n"Student, Test",2,0f3a,M\n'
    assert [student.id for student in roster(text).students] == ["ada"]
