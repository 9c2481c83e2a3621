"""Grading a candidate as users do: in a process of its own, through the command line, reading the result document."""

from __future__ import annotations

import os
import queue
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import grader
from grader import result
from grader.lab import Lab
from grader.result import Result

TRIAL_S = 1800.0


class TrialFailed(RuntimeError):
    """The grader itself failed; the message holds its last words."""


@dataclass(frozen=True)
class Trials:
    """Runs trials, each on a sandbox slot of its own, so that several at a time do not meet."""

    lab: Lab
    scratch: Path
    slots: queue.SimpleQueue[int] = field(default_factory=queue.SimpleQueue)

    def run(self, folder: Path, name: str, *, performance: bool, only: Sequence[str] = ()) -> Result:
        """Grade `folder` officially, by all tests or by some. Raises TrialFailed when no result came out."""
        slot = self.slots.get()
        try:
            return self._run(folder, name, slot, performance, only)
        finally:
            self.slots.put(slot)

    def _run(self, folder: Path, name: str, slot: int, performance: bool, only: Sequence[str]) -> Result:
        document = self.scratch / "results" / f"{name}.json"
        command = [sys.executable, "-m", "grader", "grade", self.lab.id, "--submission", str(folder)]
        command += ["--json", str(document), "--slot", str(slot), "--root", str(self.lab.root)]
        command += ["--no-history"]
        command += [] if performance else ["--no-duels"]
        command += [f"--test={test}" for test in only]
        try:
            answer = subprocess.run(
                command,
                capture_output=True,
                text=True,
                cwd=self.lab.root,
                env=_environment(),
                timeout=TRIAL_S,
            )
        except subprocess.TimeoutExpired as error:
            raise TrialFailed(f"{name}: no result after {TRIAL_S:.0f} s") from error
        if answer.returncode != 0 or not document.is_file():
            raise TrialFailed(f"{name}: exit status {answer.returncode}: {answer.stderr.strip()[-800:]}")
        return result.read(document)


def _environment() -> dict[str, str]:
    """This environment, in which `-m grader` is this grader, wherever the course lies."""
    folders = [str(Path(grader.__file__).parent.parent), os.environ.get("PYTHONPATH", "")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, folders))}
