"""Mutants and cheats as folders: read strictly, laid out exactly, never quietly something else."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from grader.authoring.candidates import BadCandidate, lay_out, of_lab, selected
from grader.lab import Lab, load_lab

ROOT = Path(__file__).resolve().parent.parent.parent
MUTANT = "why: A loop ends early.\ncaught_by: [test_x]\nedits:\n  - {file: gemm.c, old: 'KC = 256', new: 'KC = 8'}\n"


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    """gemm_cpu in a course of its own, without mutants and cheats."""
    for part in ("labs", "starter", "solutions_hidden"):
        shutil.copytree(
            ROOT / part / "gemm_cpu",
            tmp_path / part / "gemm_cpu",
            ignore=shutil.ignore_patterns("mutants", "cheats", "__pycache__"),
        )
    return load_lab("gemm_cpu", tmp_path)


def add(lab: Lab, kind: str, text: str, name: str = "m1") -> Path:
    folder = lab.folder / f"{kind}s" / name
    folder.mkdir(parents=True)
    (folder / f"{kind}.yaml").write_text(text)
    return folder


def test_solution_starter_and_rungs_come_first_and_in_order(lab: Lab) -> None:
    labels = [item.label for item in of_lab(lab)]
    assert labels[:4] == ["solution", "starter", "rung naive", "rung reordered"]


def test_an_edit_replaces_exactly_its_text(lab: Lab, tmp_path: Path) -> None:
    add(lab, "mutant", MUTANT)
    [mutant] = selected(of_lab(lab), "mutants")
    text = (lay_out(mutant, lab, tmp_path / "out") / "gemm.c").read_text()
    original = (lab.solution / "gemm.c").read_text()
    assert text == original.replace("KC = 256", "KC = 8") != original


@pytest.mark.parametrize("old", ["not in the file", "size_t"])
def test_an_edit_that_does_not_fit_exactly_once_is_refused(lab: Lab, tmp_path: Path, old: str) -> None:
    add(lab, "mutant", MUTANT.replace("KC = 256", old))
    [mutant] = selected(of_lab(lab), "m1")
    with pytest.raises(BadCandidate, match=r"mutant m1: gemm\.c: .* occurs \d+ times in the base, not once"):
        lay_out(mutant, lab, tmp_path / "out")


def test_a_cheat_may_bring_whole_files(lab: Lab, tmp_path: Path) -> None:
    folder = add(lab, "cheat", "why: It guesses.\nmax_score: 3\n", "c1")
    (folder / "gemm.c").write_text("int guess;\n")
    [cheat] = selected(of_lab(lab), "cheats")
    assert cheat.max_score == 3
    assert (lay_out(cheat, lab, tmp_path / "out") / "gemm.c").read_text() == "int guess;\n"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("why: [", "mutant.yaml"),
        ("why: x\n", "caught_by"),
        (MUTANT + "colour: red\n", "colour"),
        ("why: x\ncaught_by: [test_x]\n", "no edits, and no gemm.c beside it"),
        (MUTANT.replace("[test_x]", "[]"), "caught_by"),
        ("\x00", "mutant.yaml"),
    ],
)
def test_a_mutant_that_says_nonsense_is_refused_with_its_file(lab: Lab, text: str, complaint: str) -> None:
    add(lab, "mutant", text)
    with pytest.raises(BadCandidate, match=r"m1/mutant\.yaml") as refusal:
        of_lab(lab)
    assert complaint in str(refusal.value)


def test_edits_and_own_files_at_once_are_refused(lab: Lab) -> None:
    folder = add(lab, "mutant", MUTANT)
    (folder / "gemm.c").touch()
    with pytest.raises(BadCandidate, match="keep one of the two"):
        of_lab(lab)
