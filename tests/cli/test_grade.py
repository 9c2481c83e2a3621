"""Facts about `grader grade`: what it prints, what it writes, and how it ends."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from xml.etree import ElementTree

import pytest
from typer.testing import CliRunner, Result

from grader import cache
from grader import result as document
from grader.cli import app
from grader.cli.say import BAD_COMMAND, CANNOT_WORK
from grader.lab import Lab
from grader.sandbox.confine import FIRST_SANDBOX_UID
from tests.conftest import needs
from tests.fixtures.tiny import descendants, eventually, sandboxed
from tests.testing import steps

COURSE = Path(__file__).parents[2]
WRONG = steps.source(0.0, body="    for (size_t i = 0; i < count; i++)\n        out[i] = 3 * in[i];\n")


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    lab = steps.course(tmp_path / "course")
    for name, code in {"anna": steps.source(), "bert": WRONG}.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "steps.c").write_text(code)
    return lab


def grade(lab: Lab, *arguments: object, env: dict[str, str] | None = None) -> Result:
    """`grader grade steps …` without the duel."""
    words = ["grade", "steps", "--root", str(lab.root), "--no-duels", *map(str, arguments)]
    return CliRunner().invoke(app, words, env={"COLUMNS": "100", **(env or {})}, catch_exceptions=False)


# --- What it prints -------------------------------------------------------------------------------


def test_a_right_submission_is_told_its_score(lab, tmp_path):
    answer = grade(lab, "-s", tmp_path / "anna")
    assert answer.exit_code == 0
    assert "Score 6 / 6" in answer.stdout
    assert answer.stderr == ""


def test_a_wrong_submission_was_graded_all_the_same(lab, tmp_path):
    answer = grade(lab, "-s", tmp_path / "bert")
    assert answer.exit_code == 0
    assert "out: 3 of 3 elements differ" in answer.stdout
    again = f"make grade LAB=steps SUBMISSION={tmp_path / 'bert'} TEST=small_numbers SEED="
    assert again in "".join(line.strip() for line in answer.stdout.split("\n")).replace("  ", " ")


def test_without_a_submission_it_grades_the_starter(lab):
    answer = grade(lab)
    assert answer.exit_code == 0
    assert (lab.root / "reports" / "steps" / "steps.json").exists()
    assert "Score 1.33 / 6" in answer.stdout


def test_practice_runs_the_public_tests_only_and_says_so_in_the_command(lab, tmp_path):
    answer = grade(lab, "-s", tmp_path / "bert", "--practice")
    assert "random numbers" not in answer.stdout
    assert "practice" in answer.stdout
    assert "PRACTICE=1" in answer.stdout


def test_hidden_tests_keep_their_data_unless_staff_asks(lab, tmp_path):
    shown = grade(lab, "-s", tmp_path / "bert").stdout
    assert "random numbers [1]" in shown
    assert "in[0] =" not in shown
    seen = grade(lab, "-s", tmp_path / "bert", "--test", "random_numbers[1]", "--reveal").stdout
    assert "in[0] =" in seen


def test_verbose_tells_every_test_as_it_ends(lab, tmp_path):
    answer = grade(lab, "-s", tmp_path / "anna", "--verbose")
    assert answer.stdout.startswith("building\n✓ small numbers\n✓ random numbers [0]\n")


def test_what_the_labs_tests_print_stays_inside(lab, tmp_path):
    (lab.folder / "test_public.py").write_text(
        "import sys\ndef test_x():\n    print('noise')\n    print('noise', file=sys.stderr)\n"
    )
    answer = grade(lab, "-s", tmp_path / "anna")
    assert "noise" not in answer.output


def test_a_duel_is_drawn(lab, tmp_path):
    words = ["grade", "steps", "--root", str(lab.root), "-s", str(tmp_path / "anna")]
    answer = CliRunner().invoke(app, words, catch_exceptions=False)
    assert answer.exit_code == 0
    assert "steady work vs plain C" in answer.stdout
    assert (lab.root / "reports" / "steps" / "anna.benchmark.json").exists()


# --- What it writes -------------------------------------------------------------------------------


def test_the_result_is_kept_with_the_course_and_where_it_was_asked_for(lab, tmp_path):
    grade(lab, "-s", tmp_path / "anna", "--json", tmp_path / "new" / "r.json", "--junit", tmp_path / "r.xml")
    result = document.read(tmp_path / "new" / "r.json")
    assert document.read(lab.root / "reports" / "steps" / "anna.json") == result
    assert (result.submission, result.score) == ("anna", 6)
    assert not (tmp_path / "new" / "r.benchmark.json").exists()  # nothing was timed
    suites = ElementTree.parse(tmp_path / "r.xml").getroot()
    names = [case.get("name") for case in suites.iter("testcase")]
    assert len(names) == 4 + 1, names  # the fifth says that the timed tests' points wait
    assert not list(suites.iter("failure"))


def test_the_junit_report_of_a_wrong_submission_has_its_failures(lab, tmp_path):
    grade(lab, "-s", tmp_path / "bert", "--junit", tmp_path / "r.xml")
    assert len(list(ElementTree.parse(tmp_path / "r.xml").getroot().iter("failure"))) == 3


def test_a_result_that_cannot_be_written_is_told_after_the_report(lab, tmp_path):
    (tmp_path / "file").write_text("in the way")
    answer = grade(lab, "-s", tmp_path / "anna", "--json", tmp_path / "file" / "r.json")
    assert answer.exit_code == CANNOT_WORK
    assert "Score 6 / 6" in answer.stdout
    assert "grader: the result could not be written: " in answer.stderr


def test_a_seed_replays_a_run(lab, tmp_path):
    grade(lab, "-s", tmp_path / "bert", "--seed", 7, "--json", tmp_path / "a.json")
    grade(lab, "-s", tmp_path / "bert", "--seed", 7, "--json", tmp_path / "b.json")
    first, second = (document.read(tmp_path / name) for name in ("a.json", "b.json"))
    assert first.seeds == second.seeds == {"run": 7}
    assert [test.failure for test in first.tests] == [test.failure for test in second.tests]


# --- How it ends when it cannot work --------------------------------------------------------------


def test_an_unknown_lab_names_those_that_there_are(lab):
    answer = CliRunner().invoke(app, ["grade", "step", "--root", str(lab.root)])
    assert answer.exit_code == BAD_COMMAND
    assert answer.stderr == "grader: step: no such lab; did you mean steps? The labs here are: steps\n"


def test_an_unknown_test_is_a_mistake_in_the_command(lab, tmp_path):
    answer = grade(lab, "-s", tmp_path / "anna", "--test", "smal numbers")
    assert answer.exit_code == BAD_COMMAND
    assert "no test of steps is called 'smal numbers'" in answer.stderr
    assert not (lab.root / "reports").exists()


def test_an_unknown_test_is_told_also_when_something_else_is_remarked(lab, tmp_path):
    (tmp_path / "anna" / "notes.txt").write_text("not handed in, and the report says so")
    answer = grade(lab, "-s", tmp_path / "anna", "--test", "smal numbers")
    assert answer.exit_code == BAD_COMMAND
    assert "no test of steps is called 'smal numbers'" in answer.stderr


def test_a_lab_whose_conftest_cannot_be_loaded_is_not_an_unknown_test(lab, tmp_path):
    (lab.folder / "conftest.py").write_text("import nonsense_that_is_not_there\n")
    answer = grade(lab, "-s", tmp_path / "anna", "--test", "small numbers")
    assert answer.exit_code == CANNOT_WORK
    assert "is called" not in answer.stderr


def test_a_test_file_that_cannot_be_loaded_is_not_an_unknown_test(lab, tmp_path):
    (lab.folder / "test_public.py").write_text("import nonsense_that_is_not_there\n")
    answer = grade(lab, "-s", tmp_path / "anna", "--test", "small numbers")
    assert answer.exit_code == CANNOT_WORK
    assert "nonsense_that_is_not_there" in answer.stderr


@pytest.mark.parametrize("option", [["--seed", "-1"], ["--seed", "x"], ["--nonsense"]])
def test_a_wrong_option_is_a_mistake_in_the_command(lab, option):
    assert grade(lab, *option).exit_code == BAD_COMMAND


def test_a_lab_without_hidden_tests_is_told_and_practised(lab, tmp_path):
    (lab.folder / "test_hidden.py").unlink()
    answer = grade(lab, "-s", tmp_path / "anna")
    assert answer.exit_code == CANNOT_WORK
    assert "labs/steps/lab.yaml: test_hidden.py is missing" in answer.stderr
    assert grade(lab, "-s", tmp_path / "anna", "--practice").exit_code == 0


def test_tests_that_stop_midway_leave_no_result(lab, tmp_path):
    (lab.folder / "test_hidden.py").write_text("import pytest\ndef test_x(): pytest.exit('enough')\n")
    answer = grade(lab, "-s", tmp_path / "anna")
    assert answer.exit_code == CANNOT_WORK
    assert "the tests of steps stopped before their end" in answer.stderr
    assert not (lab.root / "reports").exists()


def test_tests_that_cannot_be_loaded_leave_no_result(lab, tmp_path):
    (lab.folder / "test_hidden.py").write_text("import nonsense_that_is_not_there\n")
    answer = grade(lab, "-s", tmp_path / "anna")
    assert answer.exit_code == CANNOT_WORK
    assert (
        "test_hidden.py: ModuleNotFoundError: No module named 'nonsense_that_is_not_there'" in answer.stderr
    )
    assert not (lab.root / "reports").exists()


def test_interrupting_leaves_no_result(lab, tmp_path):
    (lab.folder / "test_hidden.py").write_text("def test_x(): raise KeyboardInterrupt\n")
    answer = grade(lab, "-s", tmp_path / "anna")
    assert answer.exit_code not in (0, BAD_COMMAND, CANNOT_WORK)
    assert not (lab.root / "reports").exists()


# --- The real command -----------------------------------------------------------------------------


def grader(*arguments: object, folder: Path = COURSE) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(COURSE)}
    command = [sys.executable, "-m", "grader", *map(str, arguments)]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120)


def test_it_runs_as_a_module_in_any_folder(lab, tmp_path):
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    answer = grader(
        "grade", "steps", "--root", lab.root, "-s", tmp_path / "anna", "--no-duels", folder=folder
    )
    assert (answer.returncode, answer.stderr) == (0, "")
    assert "Score 6 / 6" in answer.stdout
    assert list(folder.iterdir()) == []
    assert json.loads((lab.root / "reports" / "steps" / "anna.json").read_text())["score"] == 6


@needs("gcc", "tier A")
@pytest.mark.parametrize(
    ("test", "ranks"),
    [("large messages over your own transport", 4), ("gradients travel while others are computed", 2)],
    ids=["in a duel", "in a training step"],
)
def test_nothing_is_left_of_a_killed_grading_of_several_ranks(tmp_path, test, ranks):
    """SIGKILL to the grader alone while its ranks run: no process, no socket, no shared memory, no file."""
    shutil.copytree(COURSE / "solutions_hidden" / "ddp_lite", tmp_path / "ada")
    slot = 717
    words = ["grade", "ddp_lite", "-s", tmp_path / "ada", "--slot", slot, "--no-history", "--test", test]
    killed = subprocess.Popen(
        [sys.executable, "-m", "grader", *map(str, words), "--json", str(tmp_path / "result.json")],
        cwd=COURSE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    family: dict[int, str] = {}

    def all_have_been_started() -> bool:
        family.update((pid, command_line(pid)) for pid, _ in descendants(killed.pid))
        runners = [words for words in family.values() if "guest.py" in words and "bwrap" not in words]
        return len(runners) >= ranks and killed.poll() is None

    try:
        assert eventually(all_have_been_started, 60)
        time.sleep(0.3)  # now they work
    finally:
        killed.kill()
    assert killed.wait() == -signal.SIGKILL
    folders = {Path(words.split()[-1]) for words in family.values() if words.startswith("sh -c read _;")}
    assert folders
    assert eventually(
        lambda: not [pid for pid, words in family.items() if words and command_line(pid) == words]
    )
    assert eventually(lambda: not sandboxed(FIRST_SANDBOX_UID + slot))
    assert eventually(lambda: not any(folder.exists() for folder in folders))
    cache.sweep()  # as the next grader does, before it begins
    assert list(Path(tempfile.gettempdir()).glob(f"grader-*-{killed.pid}-*")) == []
    assert not (tmp_path / "result.json").exists()


def command_line(pid: int) -> str:
    """The words of a process; nothing when it has ended."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    except OSError:
        return ""


def test_help_names_the_commands():
    answer = grader("--help")
    assert answer.returncode == 0
    assert all(f" {command} " in answer.stdout for command in ("grade", "report", "doctor", "lab"))


def test_without_a_command_it_says_what_there_is():
    assert "Usage: " in CliRunner().invoke(app, []).output


def test_help_of_a_command_explains_its_exit_status():
    answer = CliRunner().invoke(app, ["grade", "--help"])
    assert answer.exit_code == 0
    assert "Exit status: 0 when it was graded, whatever the score" in answer.stdout
