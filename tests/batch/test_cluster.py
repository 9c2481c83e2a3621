"""`EXECUTOR=parsl` as the documentation has it: `make batch`, and nothing in the environment that helps."""

from __future__ import annotations

import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from grader.batch import cluster, outputs
from grader.batch.orders import Terms
from grader.batch.store import Store
from grader.trouble import CannotWork
from tests.conftest import needs

ROOT = Path(__file__).parents[2]
pytestmark = needs("parsl", "make")


def test_a_batch_on_parsl_needs_nothing_of_the_environment(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "starter" / "gemm_cpu", tmp_path / "class" / "ada")
    answer = subprocess.run(
        [
            *("make", "--no-print-directory", "--old-file=setup", f"GRADER={sys.executable} -m grader"),
            *("batch", f"SUBMISSIONS={tmp_path / 'class'}", "LABS=gemm_cpu", f"OUT={tmp_path / 'out'}"),
            *("PRACTICE=1", "DUELS=0", "EXECUTOR=parsl"),
        ],
        cwd=ROOT,
        env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert answer.returncode == 0, answer.stdout + answer.stderr
    assert "gradebook" in " ".join(path.name for path in (tmp_path / "out").iterdir())
    with Store(tmp_path / "out" / outputs.STORE) as store:
        assert [attempt.student for attempt in store.latest()] == ["ada"]


def test_a_script_of_parsls_that_is_not_there_is_named_at_once(monkeypatch) -> None:
    monkeypatch.setattr(sysconfig, "get_path", lambda name: "/nowhere")
    with pytest.raises(CannotWork, match=r"interchange\.py is not in /nowhere: .* -m pip install"):
        with cluster.hands("parsl", Terms(True, False, 1, 0)):
            pass


def test_job_scripts_for_slurm_lie_where_the_nodes_see_them(monkeypatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GRADER_PARSL_FOLDER", raising=False)
    assert cluster._folder("parsl-slurm") == str(tmp_path / "reports")
    assert cluster._folder("parsl") is None
    monkeypatch.setenv("GRADER_PARSL_FOLDER", "/scratch/ada")
    assert cluster._folder("parsl-slurm") == "/scratch/ada"
