"""Is the store quick with 100,000 attempts? `python benchmarks/store_speed.py [--attempts 100000] [--students 2000]`.

Fills a store with a semester and a regrade of all of it, and prints the seconds for listing and comparing.
"""

from __future__ import annotations

import argparse
import random
import resource
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from grader.batch import policy, regrade  # noqa: E402
from grader.batch.course import Course  # noqa: E402
from grader.batch.store import Handed, Pieces, Store, outcome_of, ratios_of  # noqa: E402
from grader.result import Result  # noqa: E402
from tests import sample_results  # noqa: E402

LABS = ("mini_shell", "mmap_loader", "thread_pool", "gemv_simd", "gemm_cpu")


def fill(store: Store, attempts: int, students: int) -> int:
    """A semester of attempts, the last of each student and lab regraded; the number of the regrade's run."""
    rng = random.Random(1)
    result = sample_results.mixed()
    run, pairs = store.begin_run("batch"), students * len(LABS)
    base = store._base
    base.execute("BEGIN")
    for number in range(attempts):
        if number == attempts - pairs:
            run = store.begin_run("regrade")
        student, lab = f"s{number % students:05}", LABS[number // students % len(LABS)]
        shown = _varied(result, rng)
        pieces = Pieces(f"d{number}", lab, f"l{run}", "g", "gcc 12", "this machine", "official")
        row = (
            f"k{number}",
            *vars(pieces).values(),
            shown.score,
            shown.max_score,
            shown.judged_max,
            shown.status,
        )
        marks = ", ".join("?" * 16)
        base.execute(
            f"INSERT INTO results VALUES ({marks})",
            (*row, shown.duration_s, outcome_of(shown), ratios_of(shown)),
        )
        store._own(f"k{number}", [Handed(student, lab)], run)
    base.execute("COMMIT")
    return run


def _varied(result: Result, rng: random.Random) -> Result:
    """As real results are: one test in twenty fails, and the points of what is measured differ."""
    tests = [
        item.model_copy(update={"status": "failed", "points": 0.0})
        if rng.random() < 0.05
        else item.model_copy(update={"points": rng.random()})
        if item.category == "performance"
        else item
        for item in result.tests
    ]
    return result.model_copy(update={"tests": tests, "score": sum(item.points for item in tests)})


def timed(words: str, work: object) -> object:
    """Do it three times, print the median of the wall time, and of the CPU time, which a busy machine changes less."""
    assert callable(work)
    wall, cpu = [], []
    for _ in range(3):
        begin = (time.perf_counter(), time.process_time())
        answer = work()
        wall.append(time.perf_counter() - begin[0])
        cpu.append(time.process_time() - begin[1])
    print(f"  {sorted(wall)[1]:6.3f} s  {sorted(cpu)[1]:6.3f} s of CPU  {words}: {len(answer):,}", flush=True)
    return answer


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--attempts", type=int, default=100_000)
    parser.add_argument("--students", type=int, default=2_000)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "grades.sqlite"
        with Store(file) as store:
            begin = time.perf_counter()
            run = fill(store, arguments.attempts, arguments.students)
            filled = time.perf_counter() - begin
        print(f"{arguments.attempts:,} attempts, {file.stat().st_size >> 20} MiB, filled in {filled:.1f} s")
        with Store(file) as store:
            timed("newest attempt of every student and lab", store.latest)
            attempts = timed("all attempts", store.attempts)
            timed("what counts", lambda: policy.counted(attempts, Course(attempts="best")))  # type: ignore[arg-type]
            timed("what a regrade of everything changed", lambda: regrade.changes(store, run))
            timed("flaky candidates", store.repeated)
    print(f"  {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10} MiB at most")


if __name__ == "__main__":
    main()
