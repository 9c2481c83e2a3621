"""A class of twelve through each layout in which work arrives: what intake makes of it. Grades nothing; a few seconds.

Usage: .venv/bin/python benchmarks/layouts.py

Everybody hands in the starter's gemm.c, but number 11 (another name) and number 12 (nothing).
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from grader.batch.course import Course
from grader.batch.intake import cohort
from grader.batch.roster import Roster, roster
from grader.lab import load_lab

ROOT = Path(__file__).resolve().parent.parent
LAB = load_lab("gemm_cpu", ROOT)
TEXT = (LAB.starter / "gemm.c").read_text()
NAMES = [f"s{number:02}" for number in range(1, 13)]
COURSE = Course.model_validate(
    {"timezone": "Europe/Berlin", "labs": {LAB.id: {"due": "2026-11-20T23:59:00+01:00"}}}
)


def file_of(name: str) -> str:
    """What the student calls the file."""
    return "gemm_final(2).c" if name == "s11" else "gemm.c"


def folders(place: Path) -> Roster:
    for name in NAMES[:11]:
        (place / name).mkdir(parents=True)
        (place / name / file_of(name)).write_text(TEXT)
    return roster("username\n" + "\n".join(NAMES))


def clones(place: Path) -> Roster:
    students = folders(place)
    told = {
        **os.environ,
        "GIT_COMMITTER_DATE": "2026-11-20T20:00:00Z",
        "GIT_AUTHOR_DATE": "2026-11-20T20:00:00Z",
    }
    who = ("-c", "user.name=a", "-c", "user.email=a@x", "-c", "commit.gpgSign=false")
    for number, name in enumerate(NAMES[:11]):
        kind = "sha256" if number % 2 else "sha1"
        for words in (
            ("init", "-q", f"--object-format={kind}"),
            ("add", "-A"),
            (*who, "commit", "-q", "-m", "x"),
        ):
            subprocess.run(["git", *words], cwd=place / name, env=told, check=True)
    return students


def canvas(place: Path) -> Roster:
    place.mkdir()
    with zipfile.ZipFile(place / "submissions.zip", "w") as archive:
        for number, name in enumerate(NAMES[:11], 101):
            late = "LATE_" if name == "s03" else ""
            archive.writestr(f"{name}last_{late}{number}_{4000 + number}_{file_of(name)}", TEXT)
        archive.writestr("s04last_104_5000_gemm-1.c", TEXT)
    rows = [f'"Last, {name}",{number},{name},Mon' for number, name in enumerate(NAMES, 101)]
    return roster("\n".join(["Student,ID,SIS Login ID,Section", *rows, '"Student, Test",999,0f,Mon']))


def moodle(place: Path) -> Roster:
    when = '"Friday, 20 November 2026, 9:05 PM"'
    for number, name in enumerate(NAMES[:11], 101):
        entry = place / f"{name} Last_{number}_assignsubmission_file_"
        entry.mkdir(parents=True)
        (entry / file_of(name)).write_text(TEXT)
    rows = [f"Participant {number},{name} Last,{when},,-" for number, name in enumerate(NAMES, 101)]
    head = "Identifier,Full name,Last modified (submission),Grade,Last modified (grade)"
    return roster("\n".join([head, *rows]))


def gradescope(place: Path) -> Roster:
    lines = []
    for number, name in enumerate(NAMES[:11], 101):
        (place / f"submission_{number}").mkdir(parents=True)
        (place / f"submission_{number}" / file_of(name)).write_text(TEXT)
        lines += [
            f"submission_{number}:",
            "  :submitters:",
            f"  - :name: {name} Last",
            f"    :email: {name}@x.org",
        ]
        lines += ["  :created_at: 2026-11-20 20:05:00.000 Z"]
    (place / "submission_metadata.yml").write_text("\n".join(lines))
    return roster("username,email\n" + "\n".join(f"{name},{name}@x.org" for name in NAMES))


def main() -> None:
    """One line for each layout: how it was recognised, who was taken, whose time is known, and who was not taken."""
    kinds: tuple[Callable[[Path], Roster], ...] = (folders, clones, canvas, moodle, gradescope)
    for kind in kinds:
        with tempfile.TemporaryDirectory() as scratch:
            place = Path(scratch, "class")
            students = kind(place)
            source = place / "submissions.zip" if kind is canvas else place
            found = cohort(source, [LAB], Path(scratch, "work"), students, COURSE)
            known = {student.id for student in students.students}
            taken = [item for item in found.found if item.taken]
            others = [item for item in found.found if not item.taken]
            timed = sum(bool(item.at) for item in taken)
            print(
                f"{found.layout:38} on the roster {len(known)}, taken {len(taken)} (all known: "
                f"{ {item.student for item in found.found} <= known }), with a time {timed}, "
                f"not taken {[item.student for item in others]}, "
                f"LATE {[item.student for item in taken if any('LATE' in note for note in item.notes)]}"
            )


if __name__ == "__main__":
    main()
