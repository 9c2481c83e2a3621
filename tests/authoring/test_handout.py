"""What students receive: all they need, and nothing that is hidden."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path

import pytest
import yaml

from grader.authoring.handout import NotEmpty, handout
from grader.lab import list_labs, load_lab
from tests.borrowed import borrow_packages
from tests.conftest import needs

ROOT = Path(__file__).resolve().parent.parent.parent
LABS = list_labs(ROOT)
TELLING = 30  # characters of a line that is not there by chance


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The handout of every lab at once."""
    folder = tmp_path_factory.mktemp("handout") / "course"
    handout([load_lab(name, ROOT) for name in LABS], folder)
    return folder


def lines(path: Path) -> set[str]:
    text = path.read_bytes().decode("utf-8", "replace")
    return {line.strip() for line in text.splitlines() if len(line.strip()) >= TELLING}


def hidden_files(lab: str) -> list[Path]:
    folders = [
        ROOT / "solutions_hidden" / lab,
        ROOT / "labs" / lab / "mutants",
        ROOT / "labs" / lab / "cheats",
    ]
    found = [
        path
        for folder in folders
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    ]
    return [*found, ROOT / "labs" / lab / "test_hidden.py"]


@pytest.mark.parametrize("lab", LABS)
def test_no_line_of_a_hidden_file_is_in_it(made, lab):
    """But those that a student has anyway: a line of the starter may also stand in the solution."""
    public = {line for path in made.rglob("*") if path.is_file() for line in lines(path)}
    own = {ROOT / path.relative_to(made) for path in made.rglob("*") if path.is_file()}
    shared = {line for path in own if path.is_file() for line in lines(path)}
    for path in hidden_files(lab):
        assert path not in own
        assert lines(path) & public <= shared
    only_hidden = lines(ROOT / "labs" / lab / "test_hidden.py") - shared
    assert len(only_hidden) > 20
    assert not only_hidden & public


@pytest.mark.parametrize("lab", LABS)
def test_its_contract_says_nothing_about_solutions(made, lab):
    loaded = load_lab(lab, made)
    assert loaded.rungs == {}
    assert loaded.points == load_lab(lab, ROOT).points
    assert "rung" not in (made / "labs" / lab / "lab.yaml").read_text()


def test_no_name_in_it_is_a_placeholder(made):
    for path in ("README.md", "Makefile", ".github/workflows/grade.yml", ".devcontainer/devcontainer.json"):
        assert not re.search("@[A-Z]+@", (made / path).read_text())


def test_its_workflow_and_container_can_be_read(made):
    workflow = yaml.safe_load((made / ".github/workflows/grade.yml").read_text())
    job = workflow["jobs"]["grade"]
    assert job["strategy"]["matrix"]["lab"] == LABS
    assert workflow["permissions"] == {"contents": "read"}
    assert "secrets" not in json.dumps(workflow)
    assert json.loads((made / ".devcontainer/devcontainer.json").read_text())["image"]


def test_nobodys_work_is_overwritten(made):
    with pytest.raises(NotEmpty, match="is not empty"):
        handout([load_lab(LABS[0], ROOT)], made)


@needs("gcc")
def test_a_bare_clone_of_it_grades_with_make(made, tmp_path):
    """As a student has it: cloned from a bare repository. Only the packages are borrowed from here."""
    source = tmp_path / "source"
    source.mkdir()
    commands = [
        *(["git", "init", "-q"], ["git", "add", "-A"]),
        ["git", "-c", "user.name=a", "-c", "user.email=a@b", "commit", "-q", "-m", "start"],
    ]
    subprocess.run(["cp", "-a", f"{made}/.", str(source)], check=True)
    for command in commands:
        subprocess.run(command, cwd=source, check=True)
    bare, clone = tmp_path / "bare.git", tmp_path / "clone"
    subprocess.run(["git", "clone", "-q", "--bare", str(source), str(bare)], check=True)
    subprocess.run(["git", "clone", "-q", str(bare), str(clone)], check=True)
    borrow_packages(clone)
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    command = ["make", "-C", str(clone), "grade", "LAB=gemm_cpu", "TEST=whole numbers multiply exactly"]
    answer = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300)
    assert answer.returncode == 0, answer.stderr
    assert "gemm_f32 is not written yet" in answer.stdout
    assert "hidden tests run at grading" in answer.stdout


def test_the_compiler_for_gpus_comes_only_with_labs_that_need_it(made, tmp_path):
    with_gpu = (made / "requirements.txt").read_text()
    assert "nvidia-cuda-nvcc==" in with_gpu
    handout([load_lab("gemm_cpu", ROOT)], tmp_path / "plain")
    plain = (tmp_path / "plain" / "requirements.txt").read_text()
    assert "nvidia" not in plain
    assert "cffi==" in plain
    assert (made / "grader" / "runner" / "gpu_support.cuh").is_file()
