"""How fast is a class graded, and where does the time go? `python benchmarks/scale.py [--students 500] [--slots 2]`.

Makes a class of gemm_cpu from rungs, mutants and cheats, grades it by practice tests without duels, and prints
submissions a minute, the share of the CPU time that is neither compilers nor student code, and the memory of the
batch process at every tenth of the way.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from contextlib import ExitStack
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

import cohort  # noqa: E402

from grader.batch import intake, outputs, plan, policy, scheduler, worker  # noqa: E402
from grader.batch.book import Told  # noqa: E402
from grader.batch.course import Course  # noqa: E402
from grader.batch.orders import Order, Terms  # noqa: E402
from grader.batch.roster import read  # noqa: E402
from grader.batch.store import Store  # noqa: E402
from grader.lab import load_lab  # noqa: E402
from grader.result import Result  # noqa: E402
from grader.runner.host import Guest  # noqa: E402
from grader.sandbox.confine import Confinement, start  # noqa: E402
from grader.sandbox.probe import SYSTEM, SYSTEM_LINKS, best_tier  # noqa: E402
from grader.toolchain import steps  # noqa: E402

COSTS = "GRADER_BENCHMARK_COSTS"
PR_SET_CHILD_SUBREAPER = 36


def measured_worker() -> None:
    """A worker that writes the seconds of CPU that each of its gradings spent on what, a line for each."""
    original, ready, closed, confined = worker._grade, Guest.wait_until_ready, Guest.close, steps.start
    spent: dict[str, float] = defaultdict(float)

    def wait_until_ready(guest: Guest) -> None:
        known = guest._greeted
        ready(guest)
        if not known:
            spent["starting runners"] += guest.cpu_ns() * 1e-9
            spent["sandboxes"] += 1
            spent["runners"] += 1

    def close(guest: Guest) -> None:
        with contextlib.suppress(Exception):  # it is gone already: what it used is lost
            spent["guests"] += guest.cpu_ns() * 1e-9
        closed(guest)

    def start(*arguments: Any, **options: Any) -> Any:
        spent["sandboxes"] += 1
        return confined(*arguments, **options)

    def grade(order: Order, slot: int, teller: worker.Teller) -> str:
        # bubblewrap leaves what it started to its nearest ancestor that cares; only so is its CPU time ever counted.
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)
        before = time.process_time()  # of the fork: 0, but for what it took to get here
        document = original(order, slot, teller)
        spent["grading process: tests, oracle, comparisons"] = time.process_time() - before
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, 0):
                pass
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        spent["children"] = used.ru_utime + used.ru_stime
        with Path(os.environ[COSTS]).open("a") as file:
            file.write(json.dumps(spent) + "\n")
        return document

    Guest.wait_until_ready, Guest.close = wait_until_ready, close  # type: ignore[method-assign]
    steps.start, worker._grade = start, grade
    worker.main()


def of_a_sandbox_s() -> float:
    """CPU seconds that starting and ending an empty sandbox takes."""
    tier, count = best_tier(0), 20
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    for _ in range(count):
        confinement = Confinement(
            read_only=SYSTEM, symlinks=SYSTEM_LINKS, environment={"PATH": "/usr/bin:/bin"}
        )
        start(tier, confinement, ["true"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).wait()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) / count


def memory_mib() -> float:
    """What this process holds in memory now."""
    fields = Path("/proc/self/statm").read_text().split()
    return int(fields[1]) * os.sysconf("SC_PAGE_SIZE") / (1 << 20)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--students", type=int, default=500)
    parser.add_argument("--slots", type=int, default=2)
    parser.add_argument("--first-slot", type=int, default=0)
    parser.add_argument(
        "--seed", type=int, help="the same class again; without, every file is new to the cache"
    )
    parser.add_argument("--out", type=Path, help="keep the class and its grades here")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        measured_worker()
        return
    folder = arguments.out or Path(tempfile.mkdtemp())
    folder.mkdir(parents=True, exist_ok=True)
    os.environ[COSTS] = str(folder / "costs.jsonl")
    lab = load_lab("gemm_cpu", ROOT)
    terms = Terms(practice=True, duels=False, slots=arguments.slots, first_slot=arguments.first_slot)
    seed = time.time_ns() % 10**6 if arguments.seed is None else arguments.seed
    cohort.make(folder / "class", lab, arguments.students, seed)
    began = time.perf_counter()
    handed_in = intake.cohort(folder / "class", [lab], folder / "work")
    jobs = plan.jobs(handed_in.found, {lab.id: lab}, terms, plan.here(), folder / "work")
    intake_s = time.perf_counter() - began
    print(f"{len(handed_in.found)} submissions, {len(jobs)} different, taken in {intake_s:.1f} s", flush=True)
    by_key, memory = {job.key: job for job in jobs}, []
    command = (sys.executable, str(Path(__file__).resolve()), "--worker")
    with ExitStack() as stack:
        store = stack.enter_context(Store(folder / "grades.sqlite"))
        run = store.begin_run("batch")
        hands_are_gone = stack.enter_context(ExitStack())
        hands = hands_are_gone.enter_context(scheduler.local(terms, command=command))
        before_s = time.process_time()
        began = time.perf_counter()
        failed = 0
        for number, answer in enumerate(
            scheduler.answers([job.order(ROOT, terms) for job in jobs], hands), 1
        ):
            job = by_key[answer.key]
            if answer.document:
                store.keep_files(job.pieces.submission, job.files)
                store.add(job.key, job.pieces, Result.model_validate_json(answer.document), job.owners, run)
            else:
                failed += 1
                print(f"not graded: {[owner.student for owner in job.owners]}: {answer.reason}", flush=True)
            if number % max(1, len(jobs) // 10) == 0:
                memory.append(memory_mib())
                print(
                    f"  {number:4} graded, {time.perf_counter() - began:6.1f} s, {memory[-1]:.0f} MiB",
                    flush=True,
                )
        grading_s = time.perf_counter() - began
        hands_are_gone.close()  # so that their CPU time is counted
        used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        cpu_s = sum(item.ru_utime + item.ru_stime for item in used) - before_s
        began = time.perf_counter()
        outputs.write(
            folder,
            store,
            {lab.id: lab},
            Course(),
            read(folder / "class-roster.csv"),
            Told([lab.id], outputs.now()),
        )
        outputs_s = time.perf_counter() - began
        graded = len(policy.counted(store.attempts(), Course()))
    costs = [json.loads(line) for line in (folder / "costs.jsonl").read_text().splitlines()]
    spent: dict[str, float] = defaultdict(float)
    for cost in costs:
        for name, seconds in cost.items():
            spent[name] += seconds
    spent["sandboxes"] *= of_a_sandbox_s()
    children, guests, runners = spent.pop("children"), spent.pop("guests"), spent.pop("runners")
    own = spent["grading process: tests, oracle, comparisons"]
    spent["batch, workers, forks"] = cpu_s - own - children
    compilers, students = children - spent["sandboxes"] - guests, guests - spent["starting runners"]
    spent |= {"COMPILERS": compilers, "STUDENT CODE": students}
    useful = compilers + students
    print(f"{runners / len(costs):.1f} runners a submission")
    print(f"{graded} students graded, {failed} not, {len(handed_in.unknown)} not recognised")
    print(
        f"{60 * len(jobs) / grading_s:.1f} submissions a minute on {arguments.slots} slots ({grading_s:.1f} s)"
    )
    print(f"outputs for all of them in {outputs_s:.1f} s; memory {memory[0]:.0f} to {memory[-1]:.0f} MiB")
    print(f"share of the CPU time that is neither compilers nor student code: {1 - useful / cpu_s:.1%}")
    for name, seconds in sorted(spent.items(), key=lambda item: -item[1]):
        print(f"  {seconds / len(costs):7.3f} s of CPU a submission  {seconds / cpu_s:6.1%}  {name}")
    print(f"  {cpu_s / grading_s:.2f} of {len(os.sched_getaffinity(0))} cores busy with it")
    if arguments.out is None:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
