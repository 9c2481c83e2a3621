"""`hint`, `history` and `watch`: what helps a student between two runs."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from grader import history
from grader.cli import app
from grader.cli.history import file_of
from grader.cli.watch import follow
from tests import sample_results
from tests.sample_results import result
from tests.sample_results import test as make_test

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.fixture
def course(tmp_path):
    """A copy of a course whose reports are its own."""
    for name in ("labs", "starter"):
        (tmp_path / name).symlink_to(ROOT / name)
    return tmp_path


def run(*words):
    return CliRunner().invoke(app, [str(word) for word in words])


class TestHint:
    def test_hints_come_one_at_a_time_and_the_last_one_stays(self, course):
        texts = [run("hint", "gemm_cpu", "alpha and beta", "--root", course).stdout for _ in range(4)]
        assert [text.splitlines()[0] for text in texts[:3]] == [
            f"alpha and beta, hint {number} of 3" for number in (1, 2, 3)
        ]
        assert len(set(texts[:3])) == 3
        assert "hint 3 of 3" in texts[3]

    def test_again_shows_those_seen_so_far(self, course):
        for _ in range(2):
            run("hint", "gemm_cpu", "alpha and beta", "--root", course)
        shown = run("hint", "gemm_cpu", "alpha and beta", "--again", "--root", course).stdout
        assert "Each factor belongs to one term" in shown
        assert "NaN * 0 is NaN" in shown
        assert "later ones add" not in shown

    def test_without_a_name_it_is_about_the_first_failure_of_the_last_run(self, course):
        failed = make_test(
            "alpha and beta", "correctness", "failed", id="test_public.py::test_alpha_and_beta[1]"
        )
        path = course / "reports" / "gemm_cpu" / "gemm_cpu.json"
        path.parent.mkdir(parents=True)
        path.write_text(result([failed]).to_json())
        assert "alpha and beta, hint 1" in run("hint", "gemm_cpu", "--root", course).stdout

    def test_an_unknown_test_is_told_with_those_that_have_hints(self, course):
        answer = run("hint", "gemm_cpu", "nothing", "--root", course)
        assert answer.exit_code == 2
        assert "alpha_and_beta" in answer.stderr

    def test_without_a_name_and_a_run_it_says_what_to_do(self, course):
        assert "make grade LAB=gemm_cpu first" in run("hint", "gemm_cpu", "--root", course).stderr


class TestHistory:
    def test_the_last_runs_have_a_line_each(self, course):
        folder = course / "starter" / "gemm_cpu"
        for _ in range(6):
            history.keep(file_of(course, "gemm_cpu"), history.of(sample_results.mixed(), folder))
        lines = run("history", "gemm_cpu", "--root", course).stdout.splitlines()
        assert len(lines) == 6
        assert "53.3 / 68" in lines[-1]
        assert "large 0.73" in lines[-1]

    def test_without_runs_it_says_so(self, course):
        assert "no run of" in run("history", "gemm_cpu", "--root", course).stderr


class TestWatch:
    """`follow` is one turn of the loop; grading is a stand-in that answers what it is told to."""

    FAILED = result(
        [make_test("edges", "c", "failed", id="test_public.py::test_edges[3]"), make_test("rest", "c")]
    )
    ALONE_STILL = result([make_test("edges", "c", "failed")])
    ALONE_FIXED = result([make_test("edges", "c")])
    ALL = result([make_test("edges", "c"), make_test("rest", "c")])

    def turn(self, last, answers):
        asked: list[list[str]] = []

        def grade(options):
            asked.append(options)
            return answers[len(asked) - 1]

        newest = follow(grade, last, Console(file=io.StringIO()))
        return asked, newest

    def test_the_first_turn_runs_everything(self):
        assert self.turn(None, [self.ALL]) == ([[]], self.ALL)

    def test_while_the_failing_test_fails_nothing_else_runs(self):
        assert self.turn(self.FAILED, [self.ALONE_STILL]) == ([["--test=test_edges[3]"]], self.FAILED)

    def test_when_it_passes_everything_runs(self):
        asked, newest = self.turn(self.FAILED, [self.ALONE_FIXED, self.ALL])
        assert (asked, newest) == ([["--test=test_edges[3]"], []], self.ALL)

    def test_after_a_failed_build_everything_runs(self):
        broken = result([make_test("the submission builds", "build", "failed", id="build")])
        assert self.turn(broken, [self.ALL]) == ([[]], self.ALL)

    def test_a_run_without_a_result_keeps_the_last_one(self):
        assert self.turn(self.FAILED, [None]) == ([["--test=test_edges[3]"]], self.FAILED)
