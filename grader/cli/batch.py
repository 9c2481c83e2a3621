"""`grader batch`: a whole class; what was graded before is not graded again."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from rich.text import Text

from grader import result
from grader.batch import scheduler
from grader.batch.gradebook import gradebook, students_of
from grader.batch.intake import Cohort, cohort
from grader.batch.scheduler import Done, Job, Terms
from grader.batch.store import Store
from grader.cli.say import BAD_COMMAND, stop
from grader.lab import ContractError, list_labs, load_lab

STORE, GRADEBOOK = "grades.sqlite", "gradebook.csv"


def run(folder: Path, names: list[str], root: Path, out: Path, roster: Path | None, terms: Terms) -> None:
    """Grade what is new in `folder`, and write the gradebook; exit with 1 when something could not be graded."""
    if terms.slots > 1 and terms.duels:
        stop("timed tests need the machine alone: --slots 1, or --no-duels", BAD_COMMAND)
    console = Console(highlight=False)
    try:
        labs = {name: load_lab(name, root.resolve()) for name in names or list_labs(root.resolve())}
        handed_in = cohort(folder, list(labs.values()), out / "work")
        students = students_of(roster.read_text(encoding="utf-8-sig")) if roster else []
    except (ContractError, ValueError) as error:
        stop(str(error), BAD_COMMAND)
    except OSError as error:
        stop(f"cannot be read: {error}", BAD_COMMAND)
    _show(handed_in, console)
    with Store(out / STORE) as store:
        failed = _grade(scheduler.jobs(handed_in.found, labs, terms), store, root, terms, console)
        book = gradebook(students, list(labs), store.latest(), failed)
    result.write_atomically(out / GRADEBOOK, book)
    console.print(Text(f"{out / GRADEBOOK}: {len(book.splitlines()) - 1} students"), soft_wrap=True)
    raise SystemExit(1 if failed else 0)


def _show(handed_in: Cohort, console: Console) -> None:
    """What was recognised, before anything is graded, and what was not."""
    by_lab: dict[str, int] = {}
    for item in handed_in.found:
        by_lab[item.lab] = by_lab.get(item.lab, 0) + 1
    counts = ", ".join(f"{count} of {lab}" for lab, count in by_lab.items()) or "none"
    console.print(Text(f"Submissions: {counts}"), soft_wrap=True)
    for other in handed_in.unknown:
        console.print(Text(f"  ? {other.name}: {other.reason}", "yellow"), soft_wrap=True)


def _grade(
    jobs: list[Job], store: Store, root: Path, terms: Terms, console: Console
) -> dict[tuple[str, str], str]:
    """Grade what has no result yet; why some of it could not be, by (student, lab)."""
    for job in jobs:
        if store.has(job.key):
            store.own(job.key, list(job.owners))
    todo = [job for job in jobs if not store.has(job.key)]
    console.print(Text(f"{len(jobs) - len(todo)} graded before, {len(todo)} to grade"), soft_wrap=True)
    failed: dict[tuple[str, str], str] = {}
    try:
        for number, done in enumerate(scheduler.graded(todo, root, terms), 1):
            if done.result is not None:
                store.add(done.job.key, done.result, list(done.job.owners))
            else:
                failed.update(dict.fromkeys(done.job.owners, done.reason))
            console.print(_line(number, len(todo), done), soft_wrap=True)
    except KeyboardInterrupt:
        stop("stopped; what is graded is kept, and the same command goes on from here")
    return failed


def _line(number: int, total: int, done: Done) -> Text:
    names = ", ".join(student for student, _ in done.job.owners)
    if done.result is None:
        return Text(f"– [{number}/{total}] {names}  {done.job.lab}  not graded: {done.reason}", "yellow")
    score = f"{done.result.score:g} / {done.result.judged_max:g}"
    return Text(f"✓ [{number}/{total}] {names}  {done.job.lab}  {score}")
