"""The shapes in which a class's work arrives: whose each entry is, when it came, and what is passed over and why."""

from __future__ import annotations

import io
import os
import subprocess
import zipfile
from pathlib import Path

import pytest
import yaml

from grader.batch.course import Course
from grader.batch.intake import cohort
from grader.batch.roster import Roster, roster
from grader.lab import Source, load_lab
from tests.conftest import needs

GEMM = load_lab("gemm_cpu", Path(__file__).resolve().parent.parent.parent)


@pytest.fixture
def put(tmp_path):
    """`put("a/b.c", b"…")` writes a file below the test's folder."""

    def write(name: str, content: bytes | str = b"int x;\n") -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return write


def look(folder, students: Roster | None = None):
    """(layout, students with their times, names that were passed over)"""
    found = cohort(folder, [GEMM], folder.parent / "work", students)
    return (
        found.layout,
        {item.student: item.at for item in found.found},
        {item.name for item in found.unknown},
    )


def zipped(folder: Path) -> bytes:
    """The folder's files in a zip, below its name."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                archive.write(path, path.relative_to(folder.parent))
    return buffer.getvalue()


# --- gh classroom -------------------------------------------------------------------------------------------------

GITHUB = "identifier,github_username,github_id,name\nx1,Ada-L,1,Ada\nx2,bob,2,Bob\nx3,,,Zoe\n"


def test_gh_classroom_names_repositories_after_assignment_and_account(put, tmp_path):
    put("lab-1-submissions/lab-1-ada-l/gemm.c")
    put("lab-1-submissions/lab-1-bob/starter/gemm_cpu/gemm.c")
    put("lab-1-submissions/notes.txt")
    layout, found, unknown = look(tmp_path / "lab-1-submissions", roster(GITHUB))
    assert layout == "gh classroom download"
    assert set(found) == {"Ada-L", "bob"}  # as the roster writes it
    assert unknown == {"notes.txt"}


def test_the_folder_around_a_download_is_taken_too(put, tmp_path):
    put("here/lab-1-submissions/lab-1-ada/gemm.c")
    assert look(tmp_path / "here")[:2] == ("gh classroom download", {"ada": ""})


# --- Classroom 50 -------------------------------------------------------------------------------------------------

SCORES = """\
username,first_name,last_name,email,section,score,max_score,datetime,submission_tag,submitted_by,late
ada,Ada,L,a@x,1,10,100,2026-06-02T10:00:00Z,submit/2,ada,false
ada,Ada,L,a@x,1,5,100,2026-06-01T10:00:00Z,submit/1,ada,false
bob-b,Bob,B,b@x,1,,,,,,
"""


def test_classroom_50_says_in_scores_csv_who_and_when(put, tmp_path):
    put("dl/scores.csv", SCORES)
    put("dl/cs101-gemm-ada/gemm.c")
    put("dl/cs101-gemm-bob-b/gemm.c")
    put("dl/cs101-gemm-eve/gemm.c")
    layout, found, unknown = look(tmp_path / "dl")
    assert layout == "Classroom 50 download"
    assert found == {"ada": "2026-06-02T10:00:00Z", "bob-b": ""}
    assert unknown == {"cs101-gemm-eve"}


# --- Gradescope ---------------------------------------------------------------------------------------------------

METADATA = """submission_11:
  :submitters:
  - :name: Ada Lovelace
    :sid: '17'
    :email: ada@x.org
  :created_at: !ruby/object:ActiveSupport::TimeWithZone
    utc: 2026-09-13 17:37:28.123456789 Z
submission_12:
  :submitters:
  - :name: Bob
    :email: bob@x.org
  - :name: Eve
    :email: eve@x.org
  :created_at: 2026-09-13 17:37:28.123456789 Z
"""


def test_gradescope_says_in_its_metadata_who_and_when(put, tmp_path):
    put("assignment_9_export/submission_metadata.yml", METADATA)
    for number in (11, 12, 13):
        put(f"assignment_9_export/submission_{number}/gemm.c")
    archive = put("export.zip", zipped(tmp_path / "assignment_9_export"))
    students = roster("username,email\nada,ada@x.org\nbob,bob@x.org\n")
    layout, found, unknown = look(archive, students)
    assert layout == "Gradescope export"
    assert set(found) == {"ada", "bob", "eve@x.org"}  # a group's submission is everybody's
    assert found["bob"] == "2026-09-13T17:37:28Z"
    assert unknown == {"submission_13"}


def test_metadata_that_is_no_yaml_is_told(put, tmp_path):
    put("export/submission_metadata.yml", "a: [")
    with pytest.raises(OSError, match="no YAML"):
        look(tmp_path / "export")


def test_metadata_makes_no_objects(put, tmp_path):
    text = "submission_1:\n  :submitters:\n  - :name: !!python/object/apply:os.getcwd []\n"
    put("export/submission_metadata.yml", text)
    put("export/submission_1/gemm.c")
    with pytest.raises(OSError, match="no YAML"):
        look(tmp_path / "export")


# --- Moodle -------------------------------------------------------------------------------------------------------

WORKSHEET = (
    "Identifier,Full name,Email address,Status,Grade\nParticipant 17,Ada Lovelace,ada@x.org,Submitted,\n"
)


def test_moodle_names_entries_after_student_and_number(put, tmp_path):
    put("cs-gemm-123/Ada Lovelace_17_assignsubmission_file_/gemm.c")
    put("cs-gemm-123/Bob_Builder_18_assignsubmission_file_gemm.c")
    put("cs-gemm-123/Eve_19_assignsubmission_file_/eve.zip", zipped(put("eve/gemm.c").parent))
    put("cs-gemm-123/readme.txt")
    layout, found, unknown = look(tmp_path / "cs-gemm-123", roster(WORKSHEET))
    assert set(found.values()) == {""}  # nobody knows when, so nobody is late
    assert layout == "Moodle export"
    assert set(found) == {"Participant 17", "Bob_Builder 18", "Eve 19"}  # names, where no list has them
    assert unknown == {"readme.txt"}


def test_moodles_worksheet_says_when_in_the_courses_time_zone(put, tmp_path):
    put("cs/Ada Lovelace_17_assignsubmission_file_/gemm.c")
    put("cs/Bob_18_assignsubmission_file_/gemm.c")
    put("cs/Eve_19_assignsubmission_file_/gemm.c")
    sheet = (
        "Identifier,Full name,Status,Grade,Last modified (submission)\n"
        'Participant 17,Ada Lovelace,Submitted,,"Friday, 20 November 2026, 11:59 PM"\n'
        'Participant 18,Bob,Submitted,,"vendredi 20 novembre 2026, 23:59"\n'
        "Participant 19,Eve,Submitted,,-\n"
    )
    rules = Course.model_validate({"timezone": "Europe/Berlin"})
    found = cohort(tmp_path / "cs", [GEMM], tmp_path / "work", roster(sheet), rules).found
    assert {item.student: item.at for item in found} == {
        "Participant 17": "2026-11-20T22:59:00Z",
        "Participant 18": "",  # in words that are not known here: nobody guesses
        "Participant 19": "",
    }
    without = cohort(tmp_path / "cs", [GEMM], tmp_path / "work", roster(sheet)).found
    assert {item.at for item in without} == {""}  # of which time zone?


# --- Canvas -------------------------------------------------------------------------------------------------------

CANVAS = """Student,ID,SIS Login ID,Section
"Lovelace, Ada",101,ada,Mon
"O'Neill, Bob",102,bob,Mon
"""


def test_canvas_names_files_after_student_user_and_attachment(put, tmp_path):
    put("submissions/lovelaceada_101_4567_gemm.c", "int old;\n")
    put("submissions/lovelaceada_101_4600_gemm-1.c", "int new;\n")
    put("submissions/lovelaceada_101_4568_notes.txt")
    put("submissions/oneillbob_LATE_102_4570_gemm-2.c")
    put("submissions/anon_x7Yz3_4571_gemm.c")
    put("submissions/zoe_104_text.html")
    put("submissions/eve_2_x_LATE_103_4572_gemm_final(2).c")
    archive = put("submissions.zip", zipped(tmp_path / "submissions"))
    found = cohort(archive, [GEMM], tmp_path / "work", roster(CANVAS))
    assert found.layout == "Canvas submissions"
    by_name = {item.student: item for item in found.found}
    assert {name for name, item in by_name.items() if item.taken} == {"ada", "bob", "anon_x7Yz3"}
    assert {name for name, item in by_name.items() if not item.taken} == {"zoe_104", "eve_2_x_103"}
    assert (by_name["ada"].folder / "gemm.c").read_text() == "int new;\n"
    assert "LATE" in by_name["bob"].notes[0] and by_name["ada"].notes == ()


def test_a_lab_of_several_files_is_taken_from_canvas(put, tmp_path):
    lab = GEMM.model_copy(update={"sources": [Source(path="a.c"), Source(path="b.c")]})
    put("s/ada_101_1_a.c")
    put("s/ada_101_2_b.c")
    (item,) = cohort(tmp_path / "s", [lab], tmp_path / "work").found
    assert {path.name for path in item.folder.iterdir()} == {"a.c", "b.c"}


# --- Files of another name ----------------------------------------------------------------------------------------


def test_a_file_of_another_name_is_a_submission_that_cannot_be_taken_until_staff_say_how(put, tmp_path):
    put("class/bob/gemm_final(2).c", "int b;\n")
    put("class/eve/eve.zip", b"no zip")
    (tmp_path / "class" / "max").mkdir()
    found = cohort(tmp_path / "class", [GEMM], tmp_path / "work")
    assert {(item.student, item.taken) for item in found.found} == {("bob", False), ("eve", False)}
    reasons = {item.name: item.reason for item in found.unknown}
    assert reasons["max"] == "is empty"
    rule = yaml.safe_load(reasons["bob"].partition("course.yaml: ")[2])
    rules = Course.model_validate(rule)
    (bob,) = [
        item
        for item in cohort(tmp_path / "class", [GEMM], tmp_path / "work", None, rules).found
        if item.taken
    ]
    assert (bob.student, (bob.folder / "gemm.c").read_text()) == ("bob", "int b;\n")


@pytest.mark.parametrize("name", ["../../kept/x", "/tmp/x", "..", "a/../../..", "x\ny"])
def test_a_students_name_is_no_path(put, tmp_path, name):
    kept = put("kept/x/file", "keep me\n")
    put("export/submission_metadata.yml", yaml.safe_dump({"s1": {":submitters": [{":name": name}]}}))
    put("export/s1/it.zip", zipped(put("y/gemm.c").parent))
    rules = Course.model_validate(
        {"labs": {"gemm_cpu": {"take": {name: {"gemm.c": "gemm.c", "../kept": "gemm.c"}}}}}
    )
    (item,) = cohort(tmp_path / "export", [GEMM], tmp_path / "work" / "deep", None, rules).found
    assert kept.read_text() == "keep me\n"
    assert item.folder.resolve().is_relative_to(tmp_path / "work" / "deep")


# --- Folders and clones -------------------------------------------------------------------------------------------


def test_folders_are_joined_with_the_roster_by_any_of_a_students_names(put, tmp_path):
    put("class/ADA@X.org/gemm.c")
    put("class/lab1-bob/gemm.c")
    put("class/stranger/gemm.c")
    students = roster("username,name,email\nada,Ada L,ada@x.org\nbob,Bob,b@x.org\n")
    assert set(look(tmp_path / "class", students)[1]) == {"ada", "bob", "stranger"}


@needs("git")
def test_a_clone_tells_when_its_work_was_committed_and_nothing_in_it_is_run(put, tmp_path):
    repository, trap = tmp_path / "class" / "ada", tmp_path / "trap"
    put("class/ada/gemm.c")
    told = {
        **os.environ,
        "GIT_COMMITTER_DATE": "2026-05-01T12:00:00+0200",
        "GIT_AUTHOR_DATE": "2020-01-01T00:00:00Z",
    }
    for words in (
        "init -q",
        "add -A",
        "-c user.name=a -c user.email=a@x -c commit.gpgSign=false commit -q -m x",
    ):
        subprocess.run(["git", *words.split()], cwd=repository, env=told, check=True)
    with (repository / ".git" / "config").open("a") as config:
        config.write(
            f"[core]\n fsmonitor = touch {trap}\n pager = touch {trap}\n[log]\n showSignature = true\n"
        )
        config.write(f"[gpg]\n program = touch {trap}\n[alias]\n cat-file = !touch {trap}\n")
    assert look(tmp_path / "class")[1] == {"ada": "2026-05-01T10:00:00Z"}
    assert not trap.exists()


def commit(repository: Path, *init: str, at: str = "2026-05-01T12:00:00+0200") -> None:
    told = {**os.environ, "GIT_COMMITTER_DATE": at, "GIT_AUTHOR_DATE": "2020-01-01T00:00:00Z"}
    who = ("-c", "user.name=a", "-c", "user.email=a@x", "-c", "commit.gpgSign=false")
    for words in (("init", "-q", *init), ("add", "-A"), (*who, "commit", "-q", "-m", "x")):
        subprocess.run(["git", *words], cwd=repository, env=told, check=True)


@needs("git")
def test_files_come_from_the_commit_that_says_when(put, tmp_path):
    file = put("class/ada/gemm.c", "int committed;\n")
    commit(tmp_path / "class" / "ada")
    file.write_text("int later;\n")
    (item,) = cohort(tmp_path / "class", [GEMM], tmp_path / "work").found
    assert (item.folder / "gemm.c").read_text() == "int committed;\n"
    assert "student's own machine" in item.notes[0]


@needs("git")
def test_a_clone_of_another_storage_tells_its_time_too(put, tmp_path):
    put("class/ada/gemm.c")
    commit(tmp_path / "class" / "ada", "--object-format=sha256")
    put("class/bob/gemm.c")
    commit(tmp_path / "class" / "bob", "--separate-git-dir", str(tmp_path / "class" / ".bob.git"))
    put("class/eve/gemm.c")
    commit(tmp_path / "class" / "eve")
    tree = ("worktree", "add", "-q", "--detach", "../zoe")
    subprocess.run(["git", *tree], cwd=tmp_path / "class" / "eve", check=True)
    subprocess.run(["git", "pack-refs", "--all"], cwd=tmp_path / "class" / "eve", check=True)
    subprocess.run(["git", "gc", "-q"], cwd=tmp_path / "class" / "eve", check=True)
    times = look(tmp_path / "class")[1]
    assert times == dict.fromkeys(("ada", "bob", "eve", "zoe"), "2026-05-01T10:00:00Z")


@needs("git")
def test_a_clone_that_leads_elsewhere_is_not_followed(put, tmp_path):
    put("course/gemm.c", "int solution;\n")
    commit(tmp_path / "course")
    put("class/ada/gemm.c", "int own;\n")
    put("class/ada/.git", f"gitdir: {tmp_path}/course/.git\n")
    put("class/bob/gemm.c", "int own;\n")
    (tmp_path / "class" / "bob" / ".git").symlink_to(tmp_path / "course" / ".git")
    put("class/eve/gemm.c", "int own;\n")
    commit(tmp_path / "class" / "eve")
    head = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=tmp_path / "course", capture_output=True, text=True
    )
    put("class/eve/.git/objects/info/alternates", f"{tmp_path}/course/.git/objects\n")
    put("class/eve/.git/refs/heads/master", head.stdout)
    for item in cohort(tmp_path / "class", [GEMM], tmp_path / "work").found:
        assert (item.at, (item.folder / "gemm.c").read_text()) == ("", "int own;\n")
        assert "outside of what was handed in" in item.notes[0]


def test_a_clone_without_a_commit_has_no_time(put, tmp_path):
    put("class/ada/gemm.c")
    put("class/ada/.git/HEAD", "ref: refs/heads/../../../../etc/passwd\n")
    assert look(tmp_path / "class")[:2] == ("git clones (1 of 1 entries)", {"ada": ""})


def test_who_handed_in_twice_counts_with_the_newer_one(put, tmp_path):
    put(
        "export/submission_metadata.yml",
        METADATA.replace("submission_12", "submission_10").replace("Bob", "x"),
    )
    text = (
        "submission_1:\n  :submitters:\n  - :name: ada\n  :created_at: 2026-09-13 10:00:00 Z\n"
        "submission_2:\n  :submitters:\n  - :name: ada\n  :created_at: 2026-09-12 10:00:00 Z\n"
    )
    put("export/submission_metadata.yml", text)
    put("export/submission_1/gemm.c")
    put("export/submission_2/gemm.c")
    _, found, unknown = look(tmp_path / "export")
    assert found == {"ada": "2026-09-13T10:00:00Z"}
    assert unknown == {"submission_2"}
