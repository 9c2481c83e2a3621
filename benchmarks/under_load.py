"""Does the verdict hold on a busy machine? `python benchmarks/under_load.py [--runs 5] [--lab gemm_cpu]`.

Grades the lab's own solution officially, again and again, with `stress-ng --cpu N` beside it on every core
(apt-get install stress-ng), and prints one line per run. A lost point is a false verdict; "not judged" is not.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from grader import grading  # noqa: E402
from grader.grading import Options  # noqa: E402
from grader.lab import load_lab  # noqa: E402
from grader.result import Result  # noqa: E402

from where_the_time_goes import Silent  # noqa: E402  # isort: skip


def lost(result: Result) -> list[str]:
    """Tests that were judged and did not get all their points."""
    judged = [test for test in result.tests if test.status != "not_judged"]
    return [f"{test.name}: {test.message}" for test in judged if test.points < test.max_points - 1e-6]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lab", default="gemm_cpu")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--hogs", type=int, default=len(os.sched_getaffinity(0)))
    arguments = parser.parse_args()
    if arguments.hogs and shutil.which("stress-ng") is None:
        raise SystemExit("stress-ng is missing: apt-get install stress-ng")
    lab = load_lab(arguments.lab, ROOT)
    hogs = ["stress-ng", "--quiet", "--cpu", str(arguments.hogs), "--timeout", "3600"]
    load = subprocess.Popen(hogs) if arguments.hogs else None
    try:
        for run in range(1, arguments.runs + 1):
            result = grading.grade(lab, lab.solution, Options(), Silent()).result  # type: ignore[arg-type]
            duels = ", ".join(f"{duel.id} {duel.ratio or 0:.3f} {duel.verdict}" for duel in result.duels)
            words = "; ".join(lost(result)) or "no point lost"
            print(
                f"run {run}: {result.score:.1f} / {result.judged_max:g} judged; {duels}; {words}", flush=True
            )
    finally:
        if load is not None:
            load.terminate()
            load.wait()


if __name__ == "__main__":
    main()
