"""The archives, unpacked and run as Gradescope and Classroom 50 do."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from grader.authoring import bundles
from grader.lab import load_lab
from tests.borrowed import borrow_packages
from tests.conftest import needs

ROOT = Path(__file__).resolve().parent.parent.parent
LAB = load_lab("gemm_cpu", ROOT)
CLASSROOM50 = {
    "CLASSROOM": "hpc",
    "ASSIGNMENT": "gemm",
    "SUBMISSION_TAG": "submit/1",
    "COMMIT_URL": "https://c",
    "RELEASE_URL": "https://r",
    "REVIEW_URL": "https://v",
}


@pytest.fixture
def unpacked(tmp_path):
    """`unpacked(practice)` is a folder /autograder as Gradescope lays it out, with a submission."""

    def make(practice):
        archive = tmp_path / "gemm.zip"
        bundles.gradescope(LAB, archive, practice=practice)
        home = tmp_path / "autograder"
        with zipfile.ZipFile(archive) as source:
            source.extractall(home / "source")
            modes = {item.filename: item.external_attr >> 16 for item in source.infolist()}
        for name in ("run_autograder", "setup.sh", "scripts/setup"):
            assert modes[name] & 0o111, f"{name} must be executable"
            (home / "source" / name).chmod(0o755)
        borrow_packages(home / "source")
        (home / "submission").mkdir()
        (home / "submission" / "gemm.c").write_bytes((LAB.starter / "gemm.c").read_bytes())
        return home

    return make


def autograded(home):
    environment = {"PATH": os.environ["PATH"], "HOME": str(home), "AUTOGRADER": str(home)}
    return subprocess.run(
        [str(home / "source" / "run_autograder")], env=environment, capture_output=True, text=True
    )


@needs("gcc", "tier A")
def test_gradescope_gets_a_result_of_the_hidden_tests(unpacked):
    home = unpacked(practice=False)
    answer = autograded(home)
    assert answer.returncode == 0, answer.stderr
    document = json.loads((home / "results" / "results.json").read_text())
    assert document["score"] == 0
    assert any("hidden" in entry["tags"] for entry in document["tests"])


@needs("gcc")
def test_gradescope_in_practice_has_no_hidden_test(unpacked):
    home = unpacked(practice=True)
    assert autograded(home).returncode == 0
    assert not list(home.rglob("test_hidden.py"))
    assert json.loads((home / "results" / "results.json").read_text())["tests"]


@needs("gcc")
def test_when_the_grader_cannot_work_gradescope_gets_no_zero(unpacked):
    home = unpacked(practice=True)
    (home / "source" / "labs" / "gemm_cpu" / "test_public.py").unlink()
    assert autograded(home).returncode != 0
    assert not (home / "results").exists()


@needs("gcc")
def test_classroom50_gets_a_result_and_a_body_and_exit_status_0(tmp_path):
    archive = tmp_path / "gemm.tar.gz"
    bundles.classroom50(LAB, archive)
    bundle, checkout = tmp_path / "bundle", tmp_path / "checkout"
    with tarfile.open(archive) as source:
        source.extractall(bundle, filter="data") if sys.version_info >= (3, 12) else source.extractall(bundle)
    borrow_packages(bundle)
    (checkout / "starter" / "gemm_cpu").mkdir(parents=True)
    (checkout / "starter" / "gemm_cpu" / "gemm.c").write_bytes((LAB.starter / "gemm.c").read_bytes())
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), **CLASSROOM50}
    command = [sys.executable, str(bundle / "autograder.py")]
    answer = subprocess.run(command, cwd=checkout, env=environment, capture_output=True, text=True)
    assert answer.returncode == 0, answer.stderr
    document = json.loads((checkout / "result.json").read_text())
    assert (document["classroom"], document["score"]) == ("hpc", 0)
    assert (checkout / "release-body.md").read_text().startswith("## Matrix multiplication")
    assert not list(bundle.rglob("test_hidden.py"))
