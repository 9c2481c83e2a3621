"""The composite action, step by step as a runner of GitHub would run it."""

from __future__ import annotations

import base64
import json
import os
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.borrowed import borrow_packages
from tests.conftest import needs

ROOT = Path(__file__).resolve().parent.parent.parent
ACTION = yaml.safe_load((ROOT / "action.yml").read_text())
STEPS = {step["name"]: step for step in ACTION["runs"]["steps"]}


@pytest.fixture
def job(tmp_path):
    """A workspace with a student's repository, and the files of a runner; the action's folder is a course's copy."""
    action = tmp_path / "action"
    action.mkdir()
    for name in ("labs", "starter", "grader"):
        (action / name).symlink_to(ROOT / name)
    borrow_packages(action)
    workspace, temporary = tmp_path / "work", tmp_path / "temp"
    temporary.mkdir()
    (workspace / "lab").mkdir(parents=True)
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "GITHUB_ACTION_PATH": str(action),
        "RUNNER_TEMP": str(temporary),
        "GITHUB_STEP_SUMMARY": str(tmp_path / "summary.md"),
        "GITHUB_OUTPUT": str(tmp_path / "output"),
    }
    return workspace, environment


def run(name, job, **inputs):
    """One step, with its inputs filled in as the runner does: through `env` only."""
    workspace, environment = job
    step = STEPS[name]
    assert "${{" not in step["run"], "inputs reach a script through env, never by being pasted into it"
    given = {key: value.split("inputs.")[1].split(" ")[0] for key, value in step.get("env", {}).items()}
    filled = {key: inputs[name] for key, name in given.items()}
    command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]]
    return subprocess.run(command, cwd=workspace, env=environment | filled, capture_output=True, text=True)


def test_every_step_names_its_shell():
    assert all(step["shell"] == "bash" for step in STEPS.values())


def test_every_output_comes_from_a_step_that_there_is():
    ids = {step.get("id") for step in STEPS.values()}
    assert all(output["value"].split(".")[1] in ids for output in ACTION["outputs"].values())


def test_a_link_to_the_solution_is_no_submission(job):
    workspace, environment = job
    (workspace / "linked").symlink_to(ROOT / "solutions_hidden")
    graded = run("Grade", job, lab="gemm_cpu", submission="linked/gemm_cpu", mode="official")
    assert graded.returncode == 1
    assert "is a link" in graded.stderr
    assert not list(Path(environment["RUNNER_TEMP"]).iterdir())


@needs("gcc")
def test_a_submission_is_graded_and_reported(job, tmp_path):
    workspace, _ = job
    (workspace / "lab" / "gemm.c").write_text('#include "gemm.h"\nint broken(void) { return 1 }\n')
    inputs = {"lab": "gemm_cpu", "submission": "lab", "mode": "practice"}
    graded = run("Grade", job, **inputs)
    assert graded.returncode == 0, graded.stderr
    assert graded.stdout == ""
    reported = run("Report", job, **inputs)
    assert reported.returncode == 1  # the job is red: something failed
    assert "::error file=lab/gemm.c,line=2" in reported.stdout
    assert (tmp_path / "summary.md").read_text().startswith("## Matrix multiplication")
    outputs = dict(line.split("=", 1) for line in (tmp_path / "output").read_text().splitlines())
    assert set(outputs) == set(ACTION["outputs"])
    assert json.loads(base64.b64decode(outputs["result"]))["status"] == "fail"


@needs("gcc")
def test_a_mistake_in_the_workflow_stops_the_job(job):
    answer = run("Grade", job, lab="no_such_lab", submission="lab", mode="practice")
    assert answer.returncode == 2
    assert "no such lab" in answer.stderr
