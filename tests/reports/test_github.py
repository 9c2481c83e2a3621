from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grader.reports.github import MOST_ANNOTATIONS, Annotation, errors, exit_status, log
from grader.result import Failure
from tests import sample_results
from tests.sample_results import result
from tests.sample_results import test as make_test

TOKEN = "5f1d"


def commands(text):
    """The workflow commands that a runner would obey, as it reads them: fenced lines are not."""
    stopped = False
    for line in text.split("\n"):
        word = line.lstrip()
        if stopped:
            stopped = word.rstrip() != f"::{TOKEN}::"
        elif word.startswith("::stop-commands::"):
            stopped = True
        elif word.startswith(("::", "##[")):
            yield word


def test_an_error_stands_on_the_students_line():
    first = errors(sample_results.broken_build())[0]
    assert (first.file, first.line, first.column) == ("gemm.c", 42, 23)
    assert "1 error" in first.message


def test_the_folder_of_the_submission_is_put_before_the_file():
    assert errors(sample_results.broken_build(), "lab3/")[0].file == "lab3/gemm.c"


def test_at_most_ten_and_those_with_a_place_first():
    placed = Failure(summary="wrong", where="gemm.c:7")
    tests = [make_test(f"t{number}", "c", "failed", message="wrong") for number in range(20)]
    tests.append(make_test("placed", "c", "failed", failure=placed))
    found = errors(result(tests))
    assert len(found) == MOST_ANNOTATIONS
    assert found[0].title == "placed"


def test_a_hidden_test_gives_nothing_away():
    text = log(sample_results.mixed(), "", TOKEN)
    assert "4097" not in text
    assert "block edges" in text


def test_commands_are_escaped_by_githubs_rules():
    command = Annotation("a,b:c%", "50%\r\nnext: line", "src/a.c", 3, 4).command()
    assert command == "::error file=src/a.c,line=3,col=4,title=a%2Cb%3Ac%25::50%25%0D%0Anext: line"


@given(st.text())
def test_no_text_of_a_submission_is_a_command(text):
    document = sample_results.hostile(text)
    allowed = ("::group::", "::endgroup::", "::error ", "::warning title=Not judged yet::")
    for hostile in (text, f"\n::notice title=Autograding complete::Points 100/100\n{text}"):
        found = list(commands(log(document, hostile, TOKEN)))
        assert all(command.startswith(allowed) for command in found)
        assert len(found) <= 2 + MOST_ANNOTATIONS


@pytest.mark.parametrize(
    ("situation", "status"), [("perfect", 0), ("mixed", 1), ("unjudged", 0), ("practice", 0)]
)
def test_only_what_failed_makes_the_job_red(situation, status):
    assert exit_status(getattr(sample_results, situation)()) == status
