"""What a worker grades, and what it refuses to."""

from __future__ import annotations

import io
import os
import subprocess
from pathlib import Path

import pytest

from grader import grading
from grader.batch import worker
from grader.batch.orders import Order, Terms
from grader.batch.slot import COMMAND
from grader.grading import NotOfficial
from grader.sandbox.confine import Tier
from tests.testing import steps


def test_a_batch_is_not_official_either_on_a_machine_that_does_not_isolate(tmp_path, monkeypatch):
    monkeypatch.setattr(grading, "best_tier", lambda slot: Tier("D", "not isolated", ("file isolation",)))
    lab = steps.course(tmp_path)
    (tmp_path / "ada").mkdir()
    (tmp_path / "ada" / "steps.c").write_text(steps.source())
    teller = worker.Teller(io.StringIO())
    with pytest.raises(NotOfficial, match="this machine offers D"):
        worker._grade(Order("k", lab.id, str(tmp_path / "ada"), str(lab.root), Terms()), 0, teller)


def test_a_worker_leaves_nothing_in_the_folder_where_it_starts(tmp_path):
    course = Path(__file__).parents[2]
    environment = {**os.environ, "PYTHONPATH": str(course)}
    subprocess.run(
        COMMAND, cwd=tmp_path, env=environment, input="", check=True, capture_output=True, text=True
    )
    assert list(tmp_path.iterdir()) == []
