"""What one submission costs whoever hands out the work: `python benchmarks/batch_costs.py`. For docs/scaling.md.

Milliseconds a submission for taking and naming it, for reading and keeping a result, for all that is written in the
end; and seconds and files for starting a worker. Nothing is graded: the results are samples.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

import cohort  # noqa: E402

from grader.batch import intake, outputs, plan  # noqa: E402
from grader.batch.book import Told  # noqa: E402
from grader.batch.course import Course  # noqa: E402
from grader.batch.orders import Terms  # noqa: E402
from grader.batch.roster import Roster  # noqa: E402
from grader.batch.store import Store  # noqa: E402
from grader.lab import load_lab  # noqa: E402
from grader.result import Result  # noqa: E402
from tests import sample_results  # noqa: E402

COUNT = 200


def each(words: str, count: int, work: Callable[[], object]) -> None:
    """Do it once, and print the milliseconds of CPU for each of so many."""
    begin = time.process_time()
    work()
    print(f"{1000 * (time.process_time() - begin) / count:8.2f} ms  {words}", flush=True)


def worker_start() -> None:
    """CPU seconds and opened files of a worker until it could take an order."""
    code = "import grader.batch.worker as w; w._warm_up(); import sys; print(len(sys.modules))"
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    print(f"{1000 * cpu:8.0f} ms  to start a worker: {int(answer.stdout.split()[-1])} modules are loaded")


def main() -> None:
    lab = load_lab("gemm_cpu", ROOT)
    document = sample_results.mixed().model_copy(update={"lab": lab.id}).to_json()
    with tempfile.TemporaryDirectory() as name, Store(Path(name) / "grades.sqlite") as store:
        folder = Path(name)
        cohort.make(folder / "class", lab, COUNT, 1, ("mutant",))
        found = intake.cohort(folder / "class", [lab], folder / "work").found
        each(
            "to find, take and name a submission",
            COUNT,
            lambda: intake.cohort(folder / "class", [lab], folder / "w"),
        )
        jobs: list[plan.Job] = []
        here, terms = plan.here(), Terms()
        each(
            "  and to copy its files",
            COUNT,
            lambda: jobs.extend(plan.jobs(found, {lab.id: lab}, terms, here, folder)),
        )
        order = jobs[0].order(ROOT, terms).to_json()
        print(
            f"{len(order):8} bytes of an order; {len(document)} of a result with {document.count('max_points')} tests"
        )
        results: list[Result] = []
        each(
            "to read a result",
            COUNT,
            lambda: results.extend(Result.model_validate_json(document) for _ in range(COUNT)),
        )
        run = store.begin_run("batch")

        def keep() -> None:
            for job, result in zip(jobs, results, strict=False):
                store.keep_files(job.pieces.submission, job.files)
                store.add(job.key, job.pieces, result, job.owners, run)

        begin = time.perf_counter()
        each("to keep it", len(jobs), keep)
        print(
            f"{1000 * (time.perf_counter() - begin) / len(jobs):8.2f} ms  of wall time: what one writer can keep"
        )
        told = Told([lab.id], outputs.now())
        labs = {lab.id: lab}
        each(
            "for pages, tables and copies",
            COUNT,
            lambda: outputs.write(folder, store, labs, Course(), Roster(), told),
        )
    worker_start()


if __name__ == "__main__":
    main()
