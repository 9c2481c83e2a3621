from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from grader.cli import app
from tests import sample_results


@pytest.fixture
def step(tmp_path, monkeypatch):
    """`step(document)` runs the command as a step of GitHub Actions: (answer, summary, outputs)."""

    def run(document):
        files = {name: tmp_path / name for name in ("GITHUB_STEP_SUMMARY", "GITHUB_OUTPUT")}
        for name, file in files.items():
            monkeypatch.setenv(name, str(file))
        path = Path(tmp_path / "result.json")
        path.write_text(document.to_json())
        answer = CliRunner().invoke(app, ["github", str(path)])
        lines = files["GITHUB_OUTPUT"].read_text().splitlines()
        return answer, files["GITHUB_STEP_SUMMARY"].read_text(), dict(line.split("=", 1) for line in lines)

    return run


def test_the_step_gets_a_summary_and_the_job_its_outputs(step):
    document = sample_results.mixed()
    answer, summary, outputs = step(document)
    assert answer.exit_code == 1
    assert summary.startswith("## Matrix multiplication on a CPU: 53.3 / 86")
    assert outputs["score"] == "53.3"
    assert json.loads(base64.b64decode(outputs["result"]))["status"] == "fail"


def test_the_report_is_fenced_with_a_new_word_every_time(step):
    fences = set()
    for _ in range(2):
        lines = step(sample_results.hostile())[0].stdout.splitlines()
        opening = next(line for line in lines if line.startswith("::stop-commands::"))
        fences.add(opening)
        assert f"::{opening.rpartition(':')[2]}::" in lines
    assert len(fences) == 2


def test_outside_of_github_only_the_log_is_written(tmp_path, monkeypatch):
    for name in ("GITHUB_STEP_SUMMARY", "GITHUB_OUTPUT"):
        monkeypatch.delenv(name, raising=False)
    path = tmp_path / "result.json"
    path.write_text(sample_results.perfect().to_json())
    assert CliRunner().invoke(app, ["github", str(path)]).exit_code == 0


def test_what_is_no_result_is_told(tmp_path):
    answer = CliRunner().invoke(app, ["github", str(tmp_path / "none.json")])
    assert answer.exit_code == 2
