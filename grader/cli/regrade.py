"""`grader regrade`: the submissions of a batch again, and what that changed for whom."""

from __future__ import annotations

import re
from collections.abc import Sequence

from rich.console import Console
from rich.text import Text

from grader.batch import executors, outputs, plan
from grader.batch import regrade as again
from grader.batch.book import Told
from grader.batch.regrade import Change
from grader.cli.batch import Setting, finish, grade, labs_of, opened, remembered, roster_of, rules_of
from grader.cli.say import BAD_COMMAND, leave, stop
from grader.reports.text import one_line
from grader.result import write_atomically

CHANGES = "changes.csv"
_SHOWN = 40


def run(labs: list[str], since: str, changed_only: bool, asked: Sequence[str], setting: Setting) -> None:
    """Grade again and show the difference; exit with 1 when something could not be graded."""
    if len(asked) > 1:
        stop("choose one of --best, --latest and --never-lower", BAD_COMMAND)
    if since and not re.fullmatch(r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d)?Z?)?", since):
        stop(f"--since {since!r} is no date such as 2026-11-20 or 2026-11-20T18:00", BAD_COMMAND)
    if not (setting.out / outputs.STORE).is_file():
        stop(f"{setting.out} holds no grades; `grader batch` makes them, and --out says where", BAD_COMMAND)
    console = Console(highlight=False)
    by_name = labs_of(labs, setting.root)
    rules, students = rules_of(setting), roster_of(setting)
    work = (setting.out / "work").resolve()
    with opened(setting.out) as store:
        rules = remembered(store, rules, asked[0] if asked else "", console)
        place = executors.place(setting.executor, plan.here(by_name.values()))
        round_ = again.begin(store, changed_only)
        moment = since.replace(" ", "T")
        jobs, refused = again.jobs(store, by_name, rules, moment, setting.terms, place, round_.again, work)
        for item in refused:
            line = (
                f"  ? {one_line(item.student)}: {item.lab} was refused at intake; `grader batch` looks again"
            )
            console.print(Text(line, "yellow"), soft_wrap=True)
        failed = grade(jobs, store, round_.run, setting, console)
        changes = again.changes(store, round_.first_run)
        show(changes, console)
        if changes or not (setting.out / CHANGES).exists():  # the last changes are worth more than none
            write_atomically(setting.out / CHANGES, again.table(changes))
        told = Told(list(by_name), outputs.now(), "regrade", failed, changes=changes)
        finish(store, by_name, rules, students, told, setting, console)
        if not failed:
            store.end_run(round_.run)
    leave(1 if failed else 0)


def show(changes: Sequence[Change], console: Console) -> None:
    """Who won and who lost, test by test; those who lost first."""
    if not changes:
        console.print(f"No result changed; {CHANGES} keeps the last changes that there were.")
    for item in sorted(changes, key=lambda change: change.points)[:_SHOWN]:
        style = "red" if item.points < 0 else "green" if item.points > 0 else ""
        head = f"{one_line(item.student)}  {item.lab}  {item.old.score:.2f} → {item.new.score:.2f}"
        reasons = ", ".join(item.reasons)
        console.print(Text(f"{head} as judged  ({reasons})", style), soft_wrap=True)
        for test in item.tests:
            points = f"{test.old_points:g} → {test.new_points:g}"
            line = f"    {one_line(test.name)}: {test.old} → {test.new}, {points} points"
            console.print(Text(line, "dim"), soft_wrap=True)
    if len(changes) > _SHOWN:
        console.print(f"and {len(changes) - _SHOWN} more, all of them in {CHANGES}")
