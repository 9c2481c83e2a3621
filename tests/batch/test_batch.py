"""A class from end to end, through the command line; a stop at any moment costs nothing that is graded."""

from __future__ import annotations

import csv
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.conftest import needs

ROOT = Path(__file__).resolve().parent.parent.parent
GEMM = (ROOT / "starter" / "gemm_cpu" / "gemm.c").read_text()
pytestmark = needs("gcc")


@pytest.fixture
def class_(tmp_path):
    """Three students, two of them with the same file, and one without a submission."""
    folder = tmp_path / "class"
    for name, text in (
        ("ada", GEMM),
        ("bob", GEMM),
        ("eve", GEMM.replace("return -ENOSYS", "return +ENOSYS")),
    ):
        (folder / name).mkdir(parents=True)
        (folder / name / "gemm.c").write_text(text)
    (folder / "zoe").mkdir()
    (tmp_path / "roster.csv").write_text("username\nada\nbob\neve\nzoe\nmax\n")
    return tmp_path


def command(place, out="out"):
    words = [
        "batch",
        str(place / "class"),
        "--lab",
        "gemm_cpu",
        "--out",
        str(place / out),
        "--practice",
        "--no-duels",
    ]
    words += ["--roster", str(place / "roster.csv"), "--slots", "2", "--root", str(ROOT)]
    return [sys.executable, "-m", "grader", *words]


def batch(place, out="out"):
    return subprocess.run(command(place, out), capture_output=True, text=True, cwd=ROOT)


def table(place, out="out"):
    with (place / out / "gradebook.csv").open() as file:
        return {row["student"]: row for row in csv.DictReader(file)}


def test_every_student_has_a_row(class_):
    answer = batch(class_)
    assert answer.returncode == 0, answer.stderr
    assert "Recognised: folder for each student. Submissions: 3 of gemm_cpu" in answer.stdout
    assert "? zoe: holds none of the files" in answer.stdout
    assert "0 graded before, 2 to grade" in answer.stdout  # two of the three are the same
    rows = table(class_)
    assert set(rows) == {"ada", "bob", "eve", "zoe", "max"}
    assert rows["ada"]["gemm_cpu score"] == rows["bob"]["gemm_cpu score"] == "0.00"
    assert rows["max"]["gemm_cpu note"] == "nothing handed in"


def test_the_second_time_nothing_is_graded_but_what_is_new(class_):
    batch(class_)
    (class_ / "class" / "zoe" / "gemm.c").write_text("int broken(\n")
    assert "2 graded before, 1 to grade" in batch(class_).stdout
    assert table(class_)["zoe"]["gemm_cpu score"] == "0.00"


def test_killed_at_any_moment_it_goes_on_and_every_result_is_there_once(class_):
    """The undisturbed run and the one that was killed again and again end with the same rows."""
    batch(class_, "whole")
    undisturbed = table(class_, "whole")
    for number in range(6):
        process = subprocess.Popen(
            command(class_),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd=ROOT,
            start_new_session=True,
        )
        time.sleep(random.Random(number).uniform(0.1, 2.5))
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    assert batch(class_).returncode == 0
    assert table(class_) == undisturbed
    base = sqlite3.connect(class_ / "out" / "grades.sqlite")
    assert base.execute("SELECT student, count(*) FROM attempts GROUP BY student").fetchall() == [
        ("ada", 1),
        ("bob", 1),
        ("eve", 1),
    ]
    base.close()


def test_a_folder_that_is_not_there_is_told(class_):
    shutil.rmtree(class_ / "class")
    answer = batch(class_)
    assert answer.returncode == 2
    assert "cannot be read" in answer.stderr
