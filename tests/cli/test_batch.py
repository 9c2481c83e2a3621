"""Which attempt counts holds for every command on a store, until somebody says otherwise; and is told."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from grader.batch.course import Course
from grader.batch.store import Store
from grader.cli.batch import remembered


@pytest.fixture
def store(tmp_path):
    with Store(tmp_path / "grades.sqlite") as store:
        yield store


def policy(store, rules, asked=""):
    """(the policy in force, what was said)"""
    said = io.StringIO()
    return remembered(store, rules, asked, Console(file=said, width=300)).attempts, said.getvalue()


def test_what_was_asked_for_once_holds_for_the_next_command(store):
    assert policy(store, Course()) == ("latest", "")
    assert policy(store, Course(), "never_lower")[0] == "never_lower"
    counts, said = policy(store, Course())
    assert counts == "never_lower" and "COUNTS=never-lower" in said
    assert policy(store, Course(), "latest") == ("latest", "")
    assert policy(store, Course()) == ("latest", "")


def test_an_edit_of_the_courses_file_is_newer(store):
    policy(store, Course(), "never_lower")
    assert policy(store, Course(attempts="best")) == ("best", "")
