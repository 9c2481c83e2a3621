"""A class from end to end, through the command line; a stop at any moment costs nothing that is graded."""

from __future__ import annotations

import concurrent.futures
import contextlib
import csv
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from grader.batch import plan, scheduler
from grader.batch.intake import cohort
from grader.batch.orders import Terms
from grader.batch.scheduler import Hands
from grader.batch.store import Store
from grader.lab import load_lab
from grader.result import Result
from tests.conftest import needs
from tests.fixtures.tiny import eventually
from tests.testing import steps

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
    assert "? zoe: is empty" in answer.stdout
    assert "0 graded before, 2 to grade" in answer.stdout  # two of the three are the same
    rows = table(class_)
    assert set(rows) == {"ada", "bob", "eve", "zoe", "max"}
    assert rows["ada"]["gemm_cpu score"] == rows["bob"]["gemm_cpu score"] == "0.00"
    assert rows["max"]["gemm_cpu note"] == "nothing handed in"


def test_who_is_not_on_the_roster_is_graded_and_named(class_):
    (class_ / "roster.csv").write_text("username\nada\nbob\n")
    assert "? eve: not on the roster, graded all the same" in batch(class_).stdout
    assert "Not on the roster: eve." in (class_ / "out" / "class.html").read_text()
    assert table(class_)["eve"]["gemm_cpu score"] == "0.00"


def test_another_executor_gives_the_same_scores(class_):
    """Orders travel to processes of any executor, and results back."""
    terms, labs = Terms(practice=True, duels=False, slots=2), {"gemm_cpu": load_lab("gemm_cpu", ROOT)}
    found = cohort(class_ / "class", list(labs.values()), class_ / "work").found
    orders = [job.order(ROOT, terms) for job in plan.jobs(found, labs, terms, plan.here(), class_ / "work")]
    with concurrent.futures.ProcessPoolExecutor(2) as pool:
        elsewhere = list(scheduler.answers(orders, Hands(pool, scheduler.grade_alone, 2)))
    with scheduler.local(terms) as hands:
        here = list(scheduler.answers(orders, hands))

    def scores(answers):
        results = {answer.key: Result.model_validate_json(answer.document) for answer in answers}
        return {
            key: (result.score, [test.status for test in result.tests]) for key, result in results.items()
        }

    assert len(orders) == 2
    assert scores(elsewhere) == scores(here)


def test_the_second_time_nothing_is_graded_but_what_is_new(class_):
    batch(class_)
    (class_ / "class" / "zoe" / "gemm.c").write_text("int broken(\n")
    assert "2 graded before, 1 to grade" in batch(class_).stdout
    assert table(class_)["zoe"]["gemm_cpu score"] == "0.00"


def attempts(place, out="out"):
    base = sqlite3.connect(place / out / "grades.sqlite")
    rows = base.execute("SELECT student, count(*) FROM attempts GROUP BY student").fetchall()
    base.close()
    return rows


def started(place, **more):
    more.setdefault("stdout", subprocess.DEVNULL)
    return subprocess.Popen(command(place), cwd=ROOT, text=True, **more)


def workers(place):
    """Processes that still work for this class."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                if str(place).encode() in (entry / "environ").read_bytes():
                    found.append(
                        (int(entry.name), (entry / "stat").read_text().rpartition(")")[2].split()[0])
                    )
    return [pid for pid, state in found if state != "Z"]


def test_killed_at_any_moment_it_goes_on_and_every_result_is_there_once(class_, monkeypatch):
    """The undisturbed run and the one that was killed again and again end with the same rows; nothing of a killed
    batch works on."""
    begin = time.monotonic()
    batch(class_, "whole")
    whole_s = time.monotonic() - begin
    undisturbed = table(class_, "whole")
    monkeypatch.setenv("CLASS_OF_THE_TEST", str(class_))
    for number in range(6):
        process = started(class_, stderr=subprocess.DEVNULL)
        time.sleep(random.Random(number).uniform(0.1, whole_s / 2))
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert eventually(lambda: not workers(class_))
    assert batch(class_).returncode == 0
    assert table(class_) == undisturbed
    assert attempts(class_) == [("ada", 1), ("bob", 1), ("eve", 1)]


def test_ctrl_c_stops_cleanly_and_says_how_to_go_on(class_, monkeypatch):
    monkeypatch.setenv("CLASS_OF_THE_TEST", str(class_))
    heard = signal.signal(
        signal.SIGINT, signal.default_int_handler
    )  # also where the tests run in the background
    process = started(class_, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    signal.signal(signal.SIGINT, heard)
    assert any("to grade" in line for line in process.stdout)
    assert eventually(lambda: len(workers(class_)) > 1, 60)  # its worker is there: it grades
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "The same command goes on from here" in told
    assert "Traceback" not in told
    assert eventually(lambda: not workers(class_))
    assert batch(class_).returncode == 0
    assert attempts(class_) == [("ada", 1), ("bob", 1), ("eve", 1)]


def test_everything_that_people_and_systems_want_is_written(class_):
    batch(class_)
    out = class_ / "out"
    assert {path.name for path in (out / "feedback" / "bob").iterdir()} == {
        *("gemm_cpu.html", "gemm_cpu.json", "gemm_cpu.md")
    }
    page = (out / "class.html").read_text()
    assert 'href="feedback/ada/gemm_cpu.html"' in page
    assert "identical files" in page  # ada's and bob's
    assert (out / "class.junit.xml").read_text().count("<testsuite ") == 3
    assert "SIS Login ID" in (out / "canvas.csv").read_text()
    assert "gemm_cpu feedback" in (out / "moodle.csv").read_text()


def regrade(place, *words):
    """A regrade on the terms of `batch`."""
    whole = [
        "regrade",
        "--lab",
        "gemm_cpu",
        "--out",
        str(place / "out"),
        "--practice",
        "--no-duels",
        "--slots",
        "2",
    ]
    command_ = [sys.executable, "-m", "grader", *whole, "--root", str(ROOT), *words]
    return subprocess.run(command_, capture_output=True, text=True, cwd=ROOT)


def test_a_regrade_without_a_change_changes_nothing(class_):
    batch(class_)
    shutil.rmtree(class_ / "class")  # the store has its own copies
    changed = regrade(class_, "--changed-only")
    assert "2 graded before, 0 to grade" in changed.stdout and "No result changed" in changed.stdout
    again = regrade(class_, "--never-lower")
    assert again.returncode == 0, again.stderr
    assert "0 graded before, 2 to grade" in again.stdout and "No result changed" in again.stdout
    assert attempts(class_) == [("ada", 2), ("bob", 2), ("eve", 2)]


@pytest.mark.parametrize(
    ("words", "told"),
    [(("--best", "--latest"), "choose one of"), (("--since", "monday"), "is no date such as")],
)
def test_a_mistake_in_the_command_is_told(class_, words, told):
    (class_ / "out").mkdir()
    (class_ / "out" / "grades.sqlite").touch()
    answer = regrade(class_, *words)
    assert answer.returncode == 2 and told in answer.stderr


def test_a_regrade_of_nothing_is_told(class_):
    answer = regrade(class_)
    assert answer.returncode == 2 and "holds no grades" in answer.stderr


# --- Timed tests --------------------------------------------------------------------------------------------------


@needs("bwrap")
def test_a_duels_outcome_does_not_depend_on_the_slots(tmp_path):
    """Four submissions of known cost, one after the other and three at a time: the same tiers."""
    steps.course(tmp_path / "course")
    for name, cost in {"ada": 1.0, "bob": 1.7, "eve": 1.71, "zoe": 6.0}.items():
        (tmp_path / "class" / name).mkdir(parents=True)
        (tmp_path / "class" / name / "steps.c").write_text(steps.source(cost))
    tiers = {}
    for slots in (1, 3):
        words = [
            "batch",
            str(tmp_path / "class"),
            "--out",
            str(tmp_path / f"out{slots}"),
            "--slots",
            str(slots),
        ]
        whole = [sys.executable, "-m", "grader", *words, "--root", str(tmp_path / "course")]
        answer = subprocess.run(whole, capture_output=True, text=True, cwd=ROOT)
        assert answer.returncode == 0, answer.stdout + answer.stderr
        with Store(tmp_path / f"out{slots}" / "grades.sqlite") as store:
            latest = {item.student: item.key for item in store.latest()}
            found = {name: store.ratios([key])[key][0] for name, key in latest.items()}
        tiers[slots] = {name: duel.tier for name, duel in found.items() if duel.verdict != "not_judged"}
    expected = {"ada": "gold", "bob": "pass", "eve": "pass", "zoe": None}
    for judged in tiers.values():  # what was too noisy was not judged, and that is no other outcome
        assert judged == {name: expected[name] for name in judged}


def test_a_folder_that_is_not_there_is_told(class_):
    shutil.rmtree(class_ / "class")
    answer = batch(class_)
    assert answer.returncode == 2
    assert "cannot be read" in answer.stderr
