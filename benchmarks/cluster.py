"""Does a class get the same scores wherever it is graded, and is nobody lost when something dies?

    python benchmarks/cluster.py [--students 10] [--slurm FOLDER] [--only NAME]

Grades one class on this machine, by Parsl here, and, with `--slurm` (the folder of a running one-node Slurm: its
slurm.conf), by Parsl on that Slurm; then again while a worker is killed, a Slurm job is cancelled, and Parsl's
interchange is killed; and looks whether anything goes on after the batch itself was killed. Needs `grader[cluster]`.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

import cohort  # noqa: E402

from grader.lab import load_lab  # noqa: E402

Disturb = Callable[["Run"], str]


@dataclass(frozen=True)
class Run:
    """A batch that is under way."""

    process: subprocess.Popen[bytes]
    out: Path


def command(folder: Path, name: str, executor: str, arguments: argparse.Namespace) -> list[str]:
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
    words += ["--no-duels", "--out", str(folder / name), "--roster", str(folder / "class-roster.csv")]
    words += ["--slots", "2", "--first-slot", str(arguments.first_slot), "--executor", executor]
    return [*words, "--root", str(ROOT)]


def rows(out: Path) -> list[tuple[str, ...]]:
    """What the gradebook says of everybody."""
    with (out / "gradebook.csv").open() as file:
        return sorted(tuple(row) for row in csv.reader(file))


def of_this(run_folder: Path, name: str) -> list[int]:
    """Processes of this class, here or in a Slurm job of this machine, with a word in their command line."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                line, environment = (entry / "cmdline").read_bytes(), (entry / "environ").read_bytes()
            except OSError:
                continue
            if name.encode() in line and f"GRADER_CLASS={run_folder}".encode() in environment:
                found.append(int(entry.name))
    return found


def named(word: str) -> list[int]:
    """Processes with this word in their command line. Parsl's write over what tells whose they are."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                if word.encode() in (entry / "cmdline").read_bytes():
                    found.append(int(entry.name))
    return found


def parent_of(pid: int) -> int:
    """The process that started this one; 0 when it is gone."""
    with contextlib.suppress(OSError):
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    return 0


def wait_for(look: Callable[[], list[int]], seconds: float = 60) -> list[int]:
    """The processes that `look` finds, as soon as there are some."""
    deadline = time.monotonic() + seconds
    while not (found := look()) and time.monotonic() < deadline:
        time.sleep(0.1)
    return found


def kill_a_grading(run: Run) -> str:
    """SIGKILL to a process that grades (on this machine, also where Slurm started it)."""
    found = wait_for(lambda: of_this(run.out.parent, "grader.batch.worker"))
    os.kill(found[0], signal.SIGKILL)
    return f"killed grading process {found[0]}"


def kill_a_parsl_worker(run: Run) -> str:
    """SIGKILL to one of Parsl's workers while it has an order."""
    wait_for(lambda: of_this(run.out.parent, "grader.batch.worker"))
    found = wait_for(
        lambda: (
            of_this(run.out.parent, "parsl: HTEX worker") or of_this(run.out.parent, "process_worker_pool")
        )
    )
    os.kill(found[-1], signal.SIGKILL)
    return f"killed Parsl's worker {found[-1]}"


def cancel_a_job(run: Run) -> str:
    """scancel of one of the jobs."""
    wait_for(lambda: of_this(run.out.parent, "grader.batch.worker"))
    jobs = subprocess.run(
        ["squeue", "-h", "-t", "R", "-o", "%i"], capture_output=True, text=True
    ).stdout.split()
    subprocess.run(["scancel", jobs[0]], check=True)
    return f"cancelled job {jobs[0]}"


def kill_the_interchange(run: Run) -> str:
    """SIGKILL to Parsl's interchange."""
    wait_for(lambda: of_this(run.out.parent, "grader.batch.worker"))
    found = [pid for pid in named("interchange") if parent_of(pid) == run.process.pid]
    os.kill(found[0], signal.SIGKILL)
    return f"killed interchange {found[0]}"


def kill_the_batch(run: Run) -> str:
    """SIGKILL to the batch itself."""
    wait_for(lambda: of_this(run.out.parent, "grader.batch.worker"))
    run.process.kill()
    return "killed the batch"


def graded(
    folder: Path, name: str, executor: str, arguments: argparse.Namespace, disturb: Disturb | None
) -> float:
    """Grade; seconds. Ends by itself or is killed after ten minutes, which is told."""
    begin = time.monotonic()
    with (folder / f"{name}.log").open("wb") as log:
        words = command(folder, name, executor, arguments)
        run = Run(subprocess.Popen(words, stdout=log, stderr=log, cwd=ROOT), folder / name)
        if disturb is not None:
            print(f"  {disturb(run)} after {time.monotonic() - begin:.1f} s", flush=True)
        try:
            status: int | str = run.process.wait(600)
        except subprocess.TimeoutExpired:
            run.process.kill()
            status = "HANGS"
    seconds = time.monotonic() - begin
    print(f"  {name}: exit status {status}, {seconds:.1f} s", flush=True)
    for line in (folder / f"{name}.log").read_text(errors="replace").splitlines():
        if "not graded" in line or "Error" in line:
            print(f"    {line[:150]}", flush=True)
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--students", type=int, default=10)
    parser.add_argument("--first-slot", type=int, default=0)
    parser.add_argument("--slurm", type=Path)
    parser.add_argument("--only", default="", help="only scenes with this word")
    arguments = parser.parse_args()
    if arguments.slurm is not None:
        os.environ["SLURM_CONF"] = str(arguments.slurm / "slurm.conf")
        os.environ["GRADER_PARSL_ADDRESS"] = "127.0.0.1"
        paths = f"export PATH={Path(sys.executable).parent}:$PATH PYTHONPATH={ROOT}"
        os.environ["GRADER_SLURM_INIT"] = paths
    os.environ["PATH"] = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    os.environ["PYTHONPATH"] = str(ROOT)
    scenes: list[tuple[str, str, Disturb | None]] = [
        ("parsl", "parsl", None),
        ("parsl-grading-killed", "parsl", kill_a_grading),
        ("parsl-worker-killed", "parsl", kill_a_parsl_worker),
        ("parsl-interchange-killed", "parsl", kill_the_interchange),
        ("parsl-batch-killed", "parsl", kill_the_batch),
    ]
    if arguments.slurm is not None:
        scenes += [
            ("slurm", "parsl-slurm", None),
            ("slurm-job-cancelled", "parsl-slurm", cancel_a_job),
            ("slurm-interchange-killed", "parsl-slurm", kill_the_interchange),
            ("slurm-batch-killed", "parsl-slurm", kill_the_batch),
        ]
    folder = Path(tempfile.mkdtemp())
    os.environ["GRADER_CLASS"] = str(folder)
    wrong = 0
    cohort.make(folder / "class", load_lab("gemm_cpu", ROOT), arguments.students, 1, ("mutant",))
    graded(folder, "local", "local", arguments, None)
    wanted = rows(folder / "local")
    for name, executor, disturb in scenes:
        if arguments.only not in name:
            continue
        print(name, flush=True)
        graded(folder, name, executor, arguments, disturb)
        begin = time.monotonic()
        while (left := of_this(folder, "")) and time.monotonic() - begin < 60:
            time.sleep(0.2)
        print(f"  nothing of it runs any more after {time.monotonic() - begin:.1f} s", flush=True)
        if left:
            print(f"  ✗ still there: {left}")
        if disturb is not None and (disturb in (kill_the_batch, kill_the_interchange)):
            graded(folder, name, executor, arguments, None)  # the same command goes on
        same = rows(folder / name) == wanted
        print(f"  {'✓ the same gradebook as on this machine' if same else '✗ another gradebook'}", flush=True)
        wrong += not same or bool(left)
    shutil.rmtree(folder)
    raise SystemExit(1 if wrong else 0)


if __name__ == "__main__":
    main()
