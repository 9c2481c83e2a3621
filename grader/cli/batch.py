"""`grader batch`: a whole class; what was graded before is not graded again."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.text import Text

from grader.batch import course, executors, intake, outputs, plan, resume, roster, scheduler
from grader.batch.archives import NotTaken
from grader.batch.book import POLICY, Told
from grader.batch.course import BadCourse, Course
from grader.batch.executors import ExecutorMissing
from grader.batch.intake import Cohort
from grader.batch.orders import Terms
from grader.batch.outputs import Written
from grader.batch.plan import Job
from grader.batch.progress import Progress
from grader.batch.roster import BadRoster, Roster
from grader.batch.store import Store
from grader.cli.say import BAD_COMMAND, CANNOT_WORK, leave, stop
from grader.lab import ContractError, Lab, list_labs, load_lab
from grader.reports.text import one_line
from grader.result import Result
from grader.trouble import CannotWork


@dataclass(frozen=True)
class Setting:
    """What batch and regrade are told alike. `course_file` and `roster_file`: None where there is none."""

    root: Path
    out: Path
    terms: Terms
    roster_file: Path | None = None
    course_file: Path | None = None
    executor: str = "local"


def run(folder: Path, names: list[str], setting: Setting) -> None:
    """Grade what is new in `folder`, and write everything; exit with 1 when something could not be graded."""
    console = Console(highlight=False)
    labs = labs_of(names, setting.root)
    rules, students = rules_of(setting), roster_of(setting)
    try:
        handed_in = intake.cohort(folder, list(labs.values()), setting.out / "work", students, rules)
        strangers = not_on(students, handed_in)
        _show(handed_in, strangers, console)
        place = executors.place(setting.executor, plan.here(labs.values()))
        jobs = plan.jobs(handed_in.found, labs, setting.terms, place, (setting.out / "work").resolve())
    except NotTaken as error:
        stop(f"{folder} {error}", BAD_COMMAND)
    except OSError as error:
        stop(f"cannot be read: {error}", BAD_COMMAND)
    except CannotWork as error:
        stop(str(error))
    unclear = {
        (student, lab): f"handed in something, but {item.name} {item.reason}"
        for item in handed_in.unknown
        for student in item.students
        for lab in labs
    }
    with opened(setting.out) as store:
        rules = remembered(store, rules, "", console)
        number = store.begin_run("batch")
        failed = grade(jobs, store, number, setting, console)
        unknown = [(item.name, item.reason) for item in handed_in.unknown]
        note = f"Not on the roster: {', '.join(strangers)}." if strangers else ""
        notes = (note,) if note else ()
        told = Told(
            list(labs), outputs.now(), handed_in.layout, failed, unknown, notes=notes, unclear=unclear
        )
        finish(store, labs, rules, students, told, setting, console)
    leave(1 if failed else 0)


def labs_of(names: Sequence[str], root: Path) -> dict[str, Lab]:
    """The labs of these names, all of the course for none."""
    try:
        return {name: load_lab(name, root.resolve()) for name in names or list_labs(root.resolve())}
    except ContractError as error:
        stop(str(error), BAD_COMMAND)


def rules_of(setting: Setting) -> Course:
    """The course's rules: of the file that was named, else of course.yaml beside labs/."""
    file = setting.course_file or setting.root / "course.yaml"
    if setting.course_file is None and not file.is_file():
        return Course()
    try:
        return course.read(file)
    except (BadCourse, OSError) as error:
        stop(str(error), BAD_COMMAND)


def remembered(store: Store, rules: Course, asked: str, console: Console) -> Course:
    """The rules with which attempt counts as it was asked for, now or before; the store keeps it for every command.

    An edit of course.yaml is newer than what was asked for before it.
    """
    if asked:
        store.choose(asked, rules.attempts)
    chosen = store.chosen()
    if chosen is None or chosen[1] != rules.attempts or chosen[0] == rules.attempts:
        return rules
    words = f"Counts: {POLICY[chosen[0]]}, as `make regrade COUNTS={chosen[0].replace('_', '-')}` asked for"
    console.print(Text(f"{words}; COUNTS=… there, or `attempts` of course.yaml, changes it"), soft_wrap=True)
    return Course.model_validate({**rules.model_dump(), "attempts": chosen[0]})


def roster_of(setting: Setting) -> Roster:
    """The students of the roster; an empty one knows nobody."""
    try:
        return roster.read(setting.roster_file) if setting.roster_file else Roster()
    except (BadRoster, OSError) as error:
        stop(str(error), BAD_COMMAND)


@contextlib.contextmanager
def _told_kindly(file: Path) -> Iterator[None]:
    """A store that cannot be opened, in one message."""
    try:
        yield
    except (sqlite3.DatabaseError, CannotWork) as error:
        stop(f"{file}: {error}", CANNOT_WORK)


def opened(out: Path) -> Store:
    """The store below `out`."""
    with _told_kindly(out / outputs.STORE):
        return Store(out / outputs.STORE)


def not_on(students: Roster, handed_in: Cohort) -> list[str]:
    """Who handed something in and is not on the roster; nobody where there is none."""
    known = {student.id for student in students.students}
    return sorted({item.student for item in handed_in.found} - known) if known else []


def _show(handed_in: Cohort, strangers: Sequence[str], console: Console) -> None:
    """What was recognised, before anything is graded, and what was not."""
    by_lab: dict[str, int] = {}
    for item in handed_in.found:
        by_lab[item.lab] = by_lab.get(item.lab, 0) + 1
    counts = ", ".join(f"{count} of {lab}" for lab, count in by_lab.items()) or "none"
    console.print(Text(f"Recognised: {handed_in.layout}. Submissions: {counts}"), soft_wrap=True)
    for other in handed_in.unknown:
        line = f"  ? {one_line(other.name)}: {one_line(other.reason)}"
        console.print(Text(line, "yellow"), soft_wrap=True)
    for name in strangers:
        console.print(
            Text(f"  ? {one_line(name)}: not on the roster, graded all the same", "yellow"), soft_wrap=True
        )


def grade(
    jobs: Sequence[Job], store: Store, number: int, setting: Setting, console: Console
) -> dict[tuple[str, str], str]:
    """Grade what has no result yet, in run `number`; why some of it could not be, by (student, lab)."""
    todo, waited = resume.left(jobs, store, number)
    again = f" ({waited} of them again: some of their points could not be judged before)" if waited else ""
    line = f"{len(jobs) - len(todo)} graded before, {len(todo)} to grade{again}"
    console.print(Text(line), soft_wrap=True)
    failed: dict[tuple[str, str], str] = {}
    by_key = {job.key: job for job in todo}
    root = setting.root.resolve()
    orders = [job.order(root, setting.terms) for job in todo]
    progress = Progress(console, todo, len(jobs) - len(todo), setting.terms.slots)
    try:
        with progress, executors.hands(setting.executor, setting.terms, progress.told) as hands:
            for answer in scheduler.answers(orders, hands):
                job, result = by_key[answer.key], _document(answer.document)
                if result is not None:
                    store.add(job.key, job.pieces, result, job.owners, number)
                else:
                    owners = ((owner.student, owner.lab) for owner in job.owners)
                    failed.update(dict.fromkeys(owners, answer.reason))
                progress.ended(answer, result)
    except ExecutorMissing as error:
        stop(str(error), BAD_COMMAND)
    except CannotWork as error:
        stop(str(error))
    return failed


def _document(text: str) -> Result | None:
    return Result.model_validate_json(text) if text else None


def finish(
    store: Store,
    labs: Mapping[str, Lab],
    rules: Course,
    students: Roster,
    told: Told,
    setting: Setting,
    console: Console,
) -> None:
    """Write all that a batch leaves behind; say where it is, whose grade changed, and what is no grade yet."""
    try:
        written = outputs.write(setting.out, store, labs, rules, students, told, setting.terms.practice)
    except OSError as error:
        stop(f"cannot be written: {error}")
    console.print(
        Text(f"{setting.out}: {written.students} students in {', '.join(written.files)}"), soft_wrap=True
    )
    for line in (*_changed(written, rules), *_unknown_times(written), *_incomplete(written, rules)):
        console.print(Text(line, "yellow"), soft_wrap=True)


def _changed(written: Written, rules: Course) -> Iterator[str]:
    """A line for each grade that gradebooks have shown and show another now."""
    for student, lab, before, now in written.changed:
        waits = ("", " with points that wait")
        words = f"{before.score:.2f}{waits[before.waits]} → {now.score:.2f}{waits[now.waits]}"
        yield f"  ! the grade of {one_line(student)} in {lab} changed: {words} ({POLICY[rules.attempts]})"


def _unknown_times(written: Written) -> Iterator[str]:
    """Who cannot be late, since nobody knows when it was handed in."""
    for lab in dict.fromkeys(lab for _, lab in written.untimed):
        who = ", ".join(one_line(student) for student, of in written.untimed if of == lab)
        yield f"  ? {lab} has a due date; time unknown, not counted as late: {who}"


def _incomplete(written: Written, rules: Course) -> Iterator[str]:
    """What is no grade yet, and what to do."""
    if not written.incomplete:
        return
    held = (
        "their cells for Canvas and Moodle are empty"
        if rules.incomplete == "hold"
        else "they are exported as they are"
    )
    yield f"Incomplete: {len(written.incomplete)} grades have points that wait, so {held}:"
    for student, lab, waits, possible in written.incomplete:
        yield f"  … {one_line(student)}: {lab}, {waits:g} of {possible:g} points wait"
    yield (
        "To finish them, give the same command again, with DUELS=1 and where the lab's hardware is; class.html says "
        "what each waits for."
    )
