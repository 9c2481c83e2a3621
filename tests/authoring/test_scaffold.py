"""A new lab is complete: it loads, and everything in it proves itself."""

from __future__ import annotations

import pytest

from grader.authoring import check
from grader.authoring.scaffold import BadName, scaffold
from grader.lab import load_lab
from tests.conftest import needs


@needs("gcc", "tier A", "valgrind")
def test_a_new_lab_proves_itself(tmp_path):
    tmp_path.chmod(0o755)
    files = scaffold("hash_table", "A table of hashes", tmp_path)
    assert all((tmp_path / file).is_file() for file in files)
    proof = check.check(load_lab("hash_table", tmp_path), runs=1)
    complaints = [
        f"{item.candidate.label}: {problem}" for item in proof.outcomes for problem in item.problems
    ]
    assert [*complaints, *proof.problems] == []
    kinds = {item.candidate.kind for item in proof.outcomes}
    assert kinds == {"solution", "starter", "mutant", "cheat"}


@pytest.mark.parametrize("name", ["", "Hash", "a-b", "../x", "1a", "a" * 41])
def test_a_name_that_is_none_is_refused(tmp_path, name):
    with pytest.raises(BadName, match="small letters"):
        scaffold(name, "title", tmp_path)


@pytest.mark.parametrize("title", ['say "hi"', "two\nlines", "x" * 81, "back\\slash"])
def test_a_title_that_no_contract_can_hold_is_refused(tmp_path, title):
    with pytest.raises(BadName, match="title"):
        scaffold("hash_table", title, tmp_path)


def test_a_lab_that_is_there_stays_as_it_is(tmp_path):
    scaffold("hash_table", "x", tmp_path)
    (tmp_path / "labs" / "hash_table" / "lab.yaml").write_text("mine")
    with pytest.raises(BadName, match="exists already"):
        scaffold("hash_table", "x", tmp_path)
    assert (tmp_path / "labs" / "hash_table" / "lab.yaml").read_text() == "mine"
