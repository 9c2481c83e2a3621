"""The command line: `python -m grader …`. One small module per command, imported when it is run."""

from __future__ import annotations

import enum
from pathlib import Path
from typing import Annotated, Optional

import typer

from grader.cli import limits
from grader.cli.say import going_on_later

app = typer.Typer(
    name="grader",
    help="Grades systems, HPC and CUDA labs: builds them, tests them, measures them against a reference.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

LabName = Annotated[str, typer.Argument(help="The lab's id, e.g. gemm_cpu.", show_default=False)]
Root = Annotated[Path, typer.Option("--root", help="The course: the folder that holds labs/ and starter/.")]


@app.command()
def grade(
    lab: LabName,
    submission: Annotated[
        Optional[Path],  # noqa: UP045 - typer evaluates this at run time, also on Python 3.10
        typer.Option(
            "--submission", "-s", help="Folder to grade.  [default: starter/LAB]", show_default=False
        ),
    ] = None,
    practice: Annotated[
        bool, typer.Option("--practice", help="Only what students have: the public tests.")
    ] = False,
    test: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Option("--test", "-t", help="Run this test only; may be given several times."),
    ] = None,
    seed: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option("--seed", min=0, help="Replay the inputs of a run."),
    ] = None,
    duels: Annotated[bool, typer.Option(help="Measure performance too.")] = True,
    reveal: Annotated[bool, typer.Option("--reveal", help="For staff: show hidden tests in full.")] = False,
    json: Annotated[Optional[Path], typer.Option("--json", help="Write the result here.")] = None,  # noqa: UP045
    junit: Annotated[Optional[Path], typer.Option("--junit", help="Write JUnit XML here.")] = None,  # noqa: UP045
    html: Annotated[Optional[Path], typer.Option("--html", help="Write an HTML page here.")] = None,  # noqa: UP045
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="A line per test while it runs.")] = False,
    slot: Annotated[int, typer.Option(min=0, max=999, help="Sandbox user; one per grader at a time.")] = 0,
    history: Annotated[bool, typer.Option(help="Remember this run, and show the last ones.")] = True,
    root: Root = Path(),
) -> None:
    """Grade one submission and print the report.

    Exit status: 0 when it was graded, whatever the score; 2 for a mistake in the command; 3 when the grader could
    not work.
    """
    from grader.cli.grade import run

    run(
        lab,
        root,
        submission,
        practice,
        tuple(test or ()),
        seed,
        duels,
        reveal,
        json,
        junit,
        html,
        verbose,
        slot,
        history,
    )


@app.command()
def doctor() -> None:
    """Say what this machine can judge and what not, and the command that mends each."""
    from grader.cli.doctor import run

    run()


@app.command()
def report(
    result: Annotated[Path, typer.Argument(help="A result document.", show_default=False)],
    html: Annotated[Optional[Path], typer.Option("--html", help="Write an HTML page here.")] = None,  # noqa: UP045
    junit: Annotated[Optional[Path], typer.Option("--junit", help="Write JUnit XML here.")] = None,  # noqa: UP045
    markdown: Annotated[Optional[Path], typer.Option("--markdown", help="Write Markdown here.")] = None,  # noqa: UP045
    autograding: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option("--autograding", help="Write the JSON of autograding-grading-reporter here."),
    ] = None,
    classroom50: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option("--classroom50", help="Write Classroom 50's result.json here."),
    ] = None,
    gradescope: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option("--gradescope", help="Write Gradescope's results.json here."),
    ] = None,
    reveal: Annotated[bool, typer.Option("--reveal", help="For staff: show hidden tests in full.")] = False,
) -> None:
    """Print the report of a result document again, or turn it into other formats."""
    from grader.cli.report import run

    written = {
        "html": html,
        "junit": junit,
        "markdown": markdown,
        "autograding": autograding,
        "classroom50": classroom50,
        "gradescope": gradescope,
    }
    run(result, written, reveal)


@app.command()
def github(
    result: Annotated[Path, typer.Argument(help="A result document.", show_default=False)],
    folder: Annotated[str, typer.Option(help="Folder of the submission's files in the repository.")] = "",
) -> None:
    """Show a result in a GitHub Actions step: log, annotations, step summary, outputs.

    Exit status: 1 when something failed, 0 otherwise; what could not be judged makes no job red.
    """
    from grader.cli.github import run

    run(result, folder)


LabNames = Annotated[
    Optional[list[str]],  # noqa: UP045
    typer.Option("--lab", help="A lab's id; several times for several.  [default: all]", show_default=False),
]
Out = Annotated[Path, typer.Option(help="Where grades, gradebooks and the class report go.")]
RosterFile = Annotated[Optional[Path], typer.Option(help="CSV of the students.")]  # noqa: UP045
CourseFile = Annotated[
    Optional[Path],  # noqa: UP045
    typer.Option(
        "--course", help="Due dates, late days, policy.  [default: course.yaml, if there]", show_default=False
    ),
]
Slots = Annotated[int, typer.Option(min=1, max=900, help="Gradings at a time; timed tests run alone anyway.")]
FirstSlot = Annotated[int, typer.Option(min=0, max=999, help="The first one's sandbox user.")]
ExecutorName = Annotated[str, typer.Option(help="Where gradings run: local, parsl, parsl-slurm.")]


@app.command()
def batch(
    submissions: Annotated[
        Path, typer.Argument(help="Folder or export (zip) of what was handed in.", show_default=False)
    ],
    labs: LabNames = None,
    out: Out = Path("reports/batch"),
    roster: RosterFile = None,
    course: CourseFile = None,
    slots: Slots = 1,
    first_slot: FirstSlot = 0,
    executor: ExecutorName = "local",
    practice: Annotated[bool, typer.Option("--practice", help="The public tests only.")] = False,
    duels: Annotated[bool, typer.Option(help="Measure performance too.")] = True,
    root: Root = Path(),
) -> None:
    """Grade a class. What was graded before is not graded again, so that the same command goes on after a stop."""
    with going_on_later():
        from grader.batch.orders import Terms
        from grader.cli.batch import Setting, run

        terms = Terms(practice, duels, slots, first_slot)
        run(submissions, _split(labs), Setting(root, out, terms, roster, course, executor))


@app.command()
def regrade(
    labs: LabNames = None,
    out: Out = Path("reports/batch"),
    since: Annotated[str, typer.Option(help="Only what was graded since: 2026-11-20, or with a time.")] = "",
    changed_only: Annotated[
        bool, typer.Option("--changed-only", help="Only where lab, grader, compiler or machine has changed.")
    ] = False,
    best: Annotated[bool, typer.Option("--best", help="The attempt with most points counts.")] = False,
    latest: Annotated[bool, typer.Option("--latest", help="The latest attempt counts.")] = False,
    never_lower: Annotated[
        bool, typer.Option("--never-lower", help="The latest submission counts, at its best result.")
    ] = False,
    roster: RosterFile = None,
    course: CourseFile = None,
    slots: Slots = 1,
    first_slot: FirstSlot = 0,
    executor: ExecutorName = "local",
    practice: Annotated[bool, typer.Option("--practice", help="The public tests only.")] = False,
    duels: Annotated[bool, typer.Option(help="Measure performance too.")] = True,
    root: Root = Path(),
) -> None:
    """Grade the submissions of a batch again, and say what changed for whom and why. Nothing is overwritten."""
    with going_on_later():
        from grader.batch.orders import Terms
        from grader.cli.batch import Setting
        from grader.cli.regrade import run

        asked = {"best": best, "latest": latest, "never_lower": never_lower}
        setting = Setting(root, out, Terms(practice, duels, slots, first_slot), roster, course, executor)
        run(_split(labs), since, changed_only, [name for name, wanted in asked.items() if wanted], setting)


def _split(labs: list[str] | None) -> list[str]:
    return [name for item in labs or [] for name in item.split(",") if name]


@app.command()
def watch(
    lab: LabName,
    submission: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(
            "--submission", "-s", help="Folder to watch.  [default: starter/LAB]", show_default=False
        ),
    ] = None,
    duels: Annotated[bool, typer.Option(help="Measure performance too.")] = False,
    root: Root = Path(),
) -> None:
    """Run the public tests whenever a file is saved, the one that failed last first; Ctrl-C ends it."""
    from grader.cli.watch import run

    run(lab, root, submission, duels)


@app.command()
def hint(
    lab: LabName,
    test: Annotated[str, typer.Argument(help="The test; the one that failed first when left out.")] = "",
    again: Annotated[bool, typer.Option("--again", help="Show the hints seen so far.")] = False,
    root: Root = Path(),
) -> None:
    """Show the next hint for a test, one at a time."""
    from grader.cli.hint import run

    run(lab, test, root, again)


@app.command()
def history(
    lab: LabName,
    submission: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option("--submission", "-s", help="Folder.  [default: starter/LAB]", show_default=False),
    ] = None,
    root: Root = Path(),
) -> None:
    """Show the last five runs of a folder, with the ratios of their duels."""
    from grader.cli.history import run

    run(lab, root, submission)


@app.command()
def handout(
    labs: Annotated[list[str], typer.Argument(help="The labs' ids.", show_default=False)],
    out: Annotated[Path, typer.Option(help="A new folder.")] = Path("handout"),
    root: Root = Path(),
) -> None:
    """Make the repository that students start from: starter, handout, public tests, practice grader, workflow."""
    from grader.cli.handout import run

    run(labs, root, out)


class System(str, enum.Enum):
    """Who runs the archive."""

    gradescope = "gradescope"
    classroom50 = "classroom50"


@app.command()
def bundle(
    system: Annotated[System, typer.Argument(help="Who runs it.", show_default=False)],
    lab: LabName,
    out: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(help="The archive.  [default: LAB-SYSTEM.zip or .tar.gz]", show_default=False),
    ] = None,
    practice: Annotated[
        bool,
        typer.Option("--practice", help="Gradescope: public tests only, where its image cannot isolate."),
    ] = False,
    root: Root = Path(),
) -> None:
    """Make the archive that Gradescope (hidden tests too) or Classroom 50 (public tests) unpacks and runs."""
    from grader.cli.bundle import run

    run(system.value, lab, root, out, practice)


lab_app = typer.Typer(
    help="For authors: prove a lab before it ships.", no_args_is_help=True, rich_markup_mode=None
)
app.add_typer(lab_app, name="lab")


@lab_app.command()
def new(
    name: Annotated[str, typer.Argument(help="The new lab's id, e.g. hash_table.", show_default=False)],
    title: Annotated[str, typer.Option(help="What people read.")] = "",
    root: Root = Path(),
) -> None:
    """Begin a lab: a small one that is complete and proves itself, to be changed step by step."""
    from grader.cli.lab_new import run

    run(name, title, root)


@lab_app.command()
def check(
    lab: LabName,
    runs: Annotated[int, typer.Option(min=1, help="Official runs of the solution.")] = 5,
    only: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(help="Only this part: solution, starter, rungs, mutants, cheats, or one mutant's name."),
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Run only the tests that a mutant names; no kill matrix.")
    ] = False,
    matrix: Annotated[Optional[Path], typer.Option(help="Write the kill matrix here.")] = None,  # noqa: UP045
    root: Root = Path(),
) -> None:
    """Prove that the lab's tests tell right from wrong: solution, starter, rungs, mutants, cheats."""
    from grader.cli.lab_check import run

    run(lab, root, runs, only, quick, matrix)


def main() -> None:
    """Entry point of the `grader` script."""
    limits.lift()
    app()
