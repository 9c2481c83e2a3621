"""Makes a class: `python benchmarks/cohort.py FOLDER [--students 500] [--lab gemm_cpu] [--seed 1]`.

Submissions come from the lab's solution, rungs, starter, mutants and cheats. Each is made different from every other
by a comment; one in twenty is a plain copy of another student's, one in fifty has its names changed, one in a hundred
hands in nothing. Prints what it made.
"""

from __future__ import annotations

import argparse
import random
import re
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from grader.authoring.candidates import Candidate, lay_out, of_lab  # noqa: E402
from grader.lab import Lab, load_lab  # noqa: E402

_RENAMED = ("row", "col", "block", "pack", "tile", "panel", "kernel", "sum", "acc")


def make(folder: Path, lab: Lab, students: int, seed: int, kinds: tuple[str, ...] = ()) -> dict[str, str]:
    """Write the class below `folder`, and a roster beside it; what each student handed in, in words."""
    rng = random.Random(seed)
    candidates = [item for item in of_lab(lab) if not kinds or item.kind in kinds]
    told: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as scratch:
        made = [(item, _texts(item, lab, Path(scratch))) for item in candidates]
        for number in range(students):
            name = f"s{number:04}"
            told[name], files = _one(number, name, rng, made, folder)
            for path, text in files.items():
                target = folder / name / path
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_text(text)
    rows = "".join(f"{name},Student {name[1:]},{name}@example.org\n" for name in told)
    (folder.parent / f"{folder.name}-roster.csv").write_text(f"username,name,email\n{rows}")
    return told


def _one(
    number: int, name: str, rng: random.Random, made: list[tuple[Candidate, dict[str, str]]], folder: Path
) -> tuple[str, dict[str, str]]:
    """What a student hands in, in words and as files."""
    if number % 100 == 99:
        (folder / name).mkdir(parents=True, exist_ok=True)
        return "nothing", {}
    candidate, files = made[number % len(made)] if number < len(made) else rng.choice(made)
    if number % 20 == 19:
        other = f"s{number - rng.randint(1, 10):04}"
        copied = {path.name: path.read_text() for path in (folder / other).iterdir()}
        return f"copy of {other}", copied
    if number % 50 == 27:
        return f"{candidate.label}, names changed", {path: _disguised(text) for path, text in files.items()}
    return candidate.label, {path: f"/* {name} {rng.random()} */\n{text}" for path, text in files.items()}


def _texts(candidate: Candidate, lab: Lab, scratch: Path) -> dict[str, str]:
    folder = lay_out(candidate, lab, scratch)
    return {source.path: (folder / source.path).read_text() for source in lab.sources}


def _disguised(text: str) -> str:
    """Other names for what is the author's own, and other comments."""
    text = re.sub(r"/\*.*?\*/", "/* my own words */", text, flags=re.DOTALL)
    for word in _RENAMED:
        text = re.sub(rf"\b{word}(\w*)\b", rf"my_{word}\1", text)
    return text


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--students", type=int, default=500)
    parser.add_argument("--lab", default="gemm_cpu")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    told = make(arguments.folder, load_lab(arguments.lab, ROOT), arguments.students, arguments.seed)
    for name, what in told.items():
        print(f"{name}  {what}")


if __name__ == "__main__":
    main()
