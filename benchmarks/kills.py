"""Kills a batch again and again: `python benchmarks/kills.py [--kills 100] [--students 12] [--slots 2]`.

Grades a small class undisturbed, then once more with SIGKILL at random moments, until so many kills are through and it
has come to its end; then compares. Every result must be there exactly once, and the gradebooks must be equal. Nothing
of a killed batch may go on: no worker, no compiler, no student's process.
"""

from __future__ import annotations

import argparse
import csv
import os
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

import cohort  # noqa: E402

from grader.lab import load_lab  # noqa: E402
from grader.sandbox.confine import FIRST_SANDBOX_UID  # noqa: E402


def command(folder: Path, out: str, slots: int, first: int) -> list[str]:
    words = [
        sys.executable,
        "-m",
        "grader",
        "batch",
        str(folder / "class"),
        "--lab",
        "gemm_cpu",
        "--practice",
    ]
    words += ["--no-duels", "--out", str(folder / out), "--roster", str(folder / "class-roster.csv")]
    return [*words, "--slots", str(slots), "--first-slot", str(first), "--root", str(ROOT)]


def verdicts(folder: Path, out: str) -> list[tuple[str, ...]]:
    """Rows of the gradebook."""
    with (folder / out / "gradebook.csv").open() as file:
        return sorted(tuple(row) for row in csv.reader(file))


def of_batch(folder: Path, users: range) -> list[int]:
    """Processes with this class's folder in their command line or environment, and those of its sandbox users."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                text = (entry / "cmdline").read_bytes() + (entry / "environ").read_bytes()
                user = entry.stat().st_uid
            except OSError:
                continue
            if str(folder).encode() in text or user in users:
                found.append(int(entry.name))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--students", type=int, default=12)
    parser.add_argument("--slots", type=int, default=2)
    parser.add_argument("--first-slot", type=int, default=0)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    rng = random.Random(arguments.seed)
    first_user = FIRST_SANDBOX_UID + arguments.first_slot
    users = range(first_user, first_user + arguments.slots)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        told = cohort.make(
            folder / "class", load_lab("gemm_cpu", ROOT), arguments.students, arguments.seed, ("mutant",)
        )
        environment = {**os.environ, "GRADER_CLASS": name}
        options = {
            "stdout": subprocess.DEVNULL,
            "stderr": subprocess.DEVNULL,
            "cwd": ROOT,
            "env": environment,
        }
        begin = time.monotonic()
        subprocess.run(command(folder, "whole", arguments.slots, arguments.first_slot), check=True, **options)
        whole_s = time.monotonic() - begin
        print(f"{len(told)} students, undisturbed in {whole_s:.1f} s", flush=True)
        rounds, ends, orphans = 0, 0, 0
        for kill in range(arguments.kills):
            # A batch that has come to its end begins anew, so that every kill meets one at work.
            out = f"killed-{rounds}"
            process = subprocess.Popen(command(folder, out, arguments.slots, arguments.first_slot), **options)
            try:
                process.wait(rng.uniform(0.05, whole_s / 4))
                ends += 1
                rounds += verified(folder, out)
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)
                process.wait()
                deadline = time.monotonic() + 10
                while of_batch(folder, users) and time.monotonic() < deadline:
                    time.sleep(0.05)
                orphans += len(of_batch(folder, users))
            if kill % 20 == 19:
                print(f"  {kill + 1} kills, {rounds} times to the end so far", flush=True)
        out = f"killed-{rounds}"
        subprocess.run(command(folder, out, arguments.slots, arguments.first_slot), check=True, **options)
        rounds += verified(folder, out)
        print(
            f"{arguments.kills} kills, {ends} came too late; {rounds} batches ended, all equal to the undisturbed one"
        )
        print(f"processes left behind: {orphans}")
    raise SystemExit(1 if orphans else 0)


def verified(folder: Path, out: str) -> int:
    """1. Raises AssertionError when this batch is not what the undisturbed one was."""
    assert verdicts(folder, out) == verdicts(folder, "whole"), f"{out}: another gradebook"
    base = sqlite3.connect(folder / out / "grades.sqlite")
    counts = base.execute("SELECT student, lab, count(*) FROM attempts GROUP BY student, lab").fetchall()
    assert all(count == 1 for _, _, count in counts), f"{out}: {counts}"
    assert base.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert base.execute("PRAGMA foreign_key_check").fetchall() == []
    base.close()
    return 1


if __name__ == "__main__":
    main()
