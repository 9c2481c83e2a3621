from __future__ import annotations

import csv
import io

import pytest

from grader.batch.course import Course
from grader.batch.gradebook import canvas, gradebook, moodle, moodle_worksheet
from grader.batch.policy import Counted
from grader.batch.roster import roster
from grader.batch.store import Attempt

AT = "2026-01-01T00:00:00Z"


def attempt(student, score=53.3):
    return Attempt(1, 1, student, "gemm_cpu", "k", "s", AT, "", score, 86, 68)


MAXIMA = {"gemm_cpu": 86.0, "gemv_simd": 100.0}
COUNTS = {("ada", "gemm_cpu"): Counted(attempt("ada"), 53.3)}


def uploading(course):
    """A course that uploads also what is no grade yet."""
    return course.model_copy(update={"incomplete": "upload"})


def read(text):
    return list(csv.reader(io.StringIO(text)))


def rows(*arguments):
    return read(gradebook(*arguments))


def test_a_student_without_a_submission_is_a_row():
    table = rows(["ada", "bob"], ["gemm_cpu"], COUNTS, {}, {"ada": "Ada"})
    assert table[1] == ["ada", "Ada", "53.30", "86", "68", "18 of 86 points wait for another run", "53.30"]
    assert table[2] == ["bob", "", "", "", "", "nothing handed in", ""]


def test_what_could_not_be_graded_is_no_zero():
    table = rows([], ["gemm_cpu"], {}, {("eve", "gemm_cpu"): "the disk is full"})
    assert table[1] == ["eve", "", "", "", "", "not graded: the disk is full", ""]


@pytest.mark.parametrize("name", ["=HYPERLINK(1)", "+1", "-1", "@SUM(A1)"])
def test_no_cell_is_a_formula(name):
    assert rows([name], ["gemm_cpu"], {}, {})[1][0] == f"'{name}"


CANVAS = """Student,ID,SIS User ID,SIS Login ID,Section,Lab 1 (77)
    Points Possible,,,,,86
"Lovelace, Ada",101,s1,ada,Mon,
"Babbage, Bob",102,s2,bob,Mon,
"Student, Test",103,,f00,Mon,
"""


def canvas_rules(rows):
    """What Canvas' importer (lib/gradebook_importer.rb) asks of a file: where its student columns end, and numbers."""
    header = rows[0]
    section = header.index("Section")
    assert len(header) > 3 and header[0] == "Student" and header[1] == "ID"
    assert set(header[2:section]) <= {"SIS User ID", "SIS Login ID", "Integration ID", "Root Account"}
    assert "Points Possible" in rows[1][0]
    assert all(len(row) == len(header) for row in rows)
    for row in rows[1:]:
        assert all(cell == "" or float(cell) >= 0 for cell in row[section + 1 :])
        assert not any("," in cell for cell in row[section + 1 :])
    return section


def test_canvas_gets_its_own_columns_back_and_the_points_of_each_lab():
    course = Course.model_validate({"labs": {"gemm_cpu": {"canvas": "Lab 1 (77)"}}})
    table = read(canvas(roster(CANVAS), ["gemm_cpu", "gemv_simd"], uploading(course), COUNTS, MAXIMA))
    section = canvas_rules(table)
    assert table[0][section + 1 :] == ["Lab 1 (77)"]  # a lab that nobody handed in makes no column
    assert table[1][section + 1] == "86"
    assert table[2] == ["Lovelace, Ada", "101", "s1", "ada", "Mon", "53.30"]
    assert table[3][-1] == ""  # an empty cell changes nothing in Canvas
    assert len(table) == 4  # Canvas' own test student is nobody's


def test_canvas_without_its_own_roster_matches_by_login():
    table = read(canvas(roster("username,name\nada,Ada\n"), ["gemm_cpu"], Course(), COUNTS, MAXIMA))
    canvas_rules(table)
    assert dict(zip(table[0], table[2], strict=True))["SIS Login ID"] == "ada"


def test_moodle_gets_a_grade_wherever_there_is_feedback():
    text = "username,Email address\nada,ada@x.org\nbob,bob@x.org\n"
    table = read(moodle(roster(text), ["gemm_cpu"], uploading(Course()), COUNTS))
    assert table[0] == ["Email address", "gemm_cpu", "gemm_cpu feedback"]
    assert table[1][:2] == ["ada@x.org", "53.30"] and table[1][2]
    assert table[2] == ["bob@x.org", "", ""]  # feedback without a grade would wipe it


WORKSHEET = """Identifier,Full name,Email address,Status,Grade,Maximum grade,Last modified (grade),Feedback comments
Participant 17,Ada Lovelace,ada@x.org,Submitted,,86.00,-,
Participant 18,Bob,bob@x.org,No submission,,86.00,-,
"""


def test_moodles_worksheet_comes_back_with_grades_and_nothing_else_changed():
    counts = {("Participant 17", "gemm_cpu"): Counted(attempt("Participant 17"), 53.3)}
    before = list(csv.DictReader(io.StringIO(WORKSHEET)))
    after = list(
        csv.DictReader(
            io.StringIO(moodle_worksheet(roster(WORKSHEET), "gemm_cpu", uploading(Course()), counts))
        )
    )
    assert after[0]["Grade"] == "53.30" and after[0]["Feedback comments"]
    assert after[1] == before[1]
    kept = [name for name in before[0] if name not in ("Grade", "Feedback comments")]
    assert [after[0][name] for name in kept] == [before[0][name] for name in kept]


def test_a_roster_of_another_kind_makes_no_worksheet():
    assert moodle_worksheet(roster("username\nada\n"), "gemm_cpu", Course(), COUNTS) is None


def test_a_grade_with_points_that_wait_is_an_empty_cell():
    """It would be shown as a loss; an empty cell changes nothing, and feedback without a grade wipes one in Moodle."""
    assert read(canvas(roster(CANVAS), ["gemm_cpu"], Course(), COUNTS, MAXIMA))[2][-1] == ""
    assert read(moodle(roster("username\nada\n"), ["gemm_cpu"], Course(), COUNTS))[1] == ["ada", "", ""]
    counts = {("Participant 17", "gemm_cpu"): Counted(attempt("Participant 17"), 53.3)}
    sheet = read(moodle_worksheet(roster(WORKSHEET), "gemm_cpu", Course(), counts))
    assert sheet == read(WORKSHEET)


@pytest.mark.parametrize(("judged", "cell"), [(100, "0.00"), (0, "")])
def test_the_points_possible_are_the_contracts_whoever_comes_first(judged, cell):
    """A refused hand-in of an older grader had a maximum of 0."""
    first = Attempt(1, 1, "ada", "gemm_cpu", "k", "refused: x", AT, "", 0, judged, judged)
    counts = {("ada", "gemm_cpu"): Counted(first, 0.0, maximum=100.0)}
    table = read(canvas(roster(CANVAS), ["gemm_cpu"], Course(), counts, {"gemm_cpu": 100.0}))
    assert (table[1][-1], table[2][-1]) == ("100", cell)
