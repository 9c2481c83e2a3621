"""A class of a hundred, half of it hostile: `python benchmarks/attacks_batch.py [--students 100] [--slots 2]`.

Every attack of tests/attacks that needs no duel hands in, honest students fill the class up, and `grader batch` grades
them all by the public tests. Then: every honest student must have the score that the same submission gets alone, no
attack more than that, and nothing may be left on the machine.
"""

from __future__ import annotations

import argparse
import csv
import os
import random
import secrets
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from grader import result  # noqa: E402
from grader.authoring.candidates import Candidate, lay_out  # noqa: E402
from grader.lab import Lab  # noqa: E402
from grader.sandbox.confine import FIRST_SANDBOX_UID  # noqa: E402
from tests.attacks import catalogue, judge  # noqa: E402
from tests.attacks.catalogue import Attack, Places  # noqa: E402

LABS = ("gemm_cpu", "mini_shell")
CANARY = "nobody may read or write this\n"


def honest(lab: Lab) -> Candidate:
    """What an honest student hands in: a right solution, and a simple one where the lab has it."""
    rung = "rungs/naive" if lab.id == "gemm_cpu" else "."
    return Candidate("solution", "solution", lab.solution / rung)


def hostile() -> list[Attack]:
    return [
        item
        for item in catalogue.attacks()
        if item.said.lab in LABS and not item.said.timed and item.said.always
    ]


def make(class_: Path, students: int, places: Places, rng: random.Random) -> dict[str, tuple[str, bool]]:
    """The class's folders in random order; (lab, is honest) by student."""
    told: dict[str, tuple[str, bool]] = {}
    class_.mkdir()
    with tempfile.TemporaryDirectory() as scratch:
        for number, attack in enumerate(hostile()):
            name = f"{rng.randrange(10**6):06}-{attack.name}"
            parent = Path(scratch, str(number))
            made = catalogue.hand_in(attack.submission, attack.lab, parent, places, attack.said.beside)
            made.rename(class_ / name)
            told[name] = (attack.said.lab, False)
        for number in range(students - len(told)):
            lab = catalogue.lab(LABS[number % 10 == 0])
            name = f"{rng.randrange(10**6):06}-honest-{number}"
            made = lay_out(honest(lab), lab, Path(scratch, f"h{number}"))
            for source in lab.sources:  # every one is graded by itself
                with (made / source.path).open("a") as file:
                    file.write(f"/* handed in by {number} */\n")
            made.rename(class_ / name)
            told[name] = (lab.id, True)
    return told


def alone(lab: Lab, folder: Path, slot: int) -> float:
    """The score of the honest submission by itself."""
    made = lay_out(honest(lab), lab, folder / lab.id)
    document = folder / f"{lab.id}.json"
    command = [
        sys.executable,
        "-m",
        "grader",
        "grade",
        lab.id,
        "--submission",
        str(made),
        "--practice",
        "--no-duels",
    ]
    command += ["--json", str(document), "--no-history", "--slot", str(slot), "--root", str(ROOT)]
    subprocess.run(command, check=True, cwd=ROOT, stdout=subprocess.DEVNULL)
    return result.read(document).score


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--students", type=int, default=100)
    parser.add_argument("--slots", type=int, default=2)
    parser.add_argument("--first-slot", type=int, default=0)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    before = judge.host()
    with tempfile.TemporaryDirectory() as name, socket.create_server(("127.0.0.1", 0)) as listening:
        folder = Path(name)
        folder.chmod(0o755)
        canary = folder / "canary"
        canary.write_text(CANARY)
        canary.chmod(0o666)
        out = folder / "out"
        places = Places(canary, out / "grades.sqlite", listening.getsockname()[1], secrets.token_hex(8))
        told = make(folder / "class", arguments.students, places, random.Random(arguments.seed))
        expected = {
            lab_id: alone(catalogue.lab(lab_id), folder / "alone", arguments.first_slot) for lab_id in LABS
        }
        good = sum(is_honest for _, is_honest in told.values())
        print(
            f"{len(told)} students, {good} honest, {len(told) - good} hostile; honest scores {expected}",
            flush=True,
        )
        command = [sys.executable, "-m", "grader", "batch", str(folder / "class"), "--practice", "--no-duels"]
        command += [f"--lab={lab_id}" for lab_id in LABS]
        command += ["--out", str(out), "--root", str(ROOT)]
        command += ["--slots", str(arguments.slots), "--first-slot", str(arguments.first_slot)]
        begin = time.monotonic()
        status = subprocess.run(
            command, cwd=folder, stdout=subprocess.DEVNULL, env={**os.environ, "PYTHONPATH": str(ROOT)}
        )
        print(f"graded in {time.monotonic() - begin:.0f} s, exit status {status.returncode}")
        with (out / "gradebook.csv").open(newline="") as stream:
            rows = {row["student"]: row for row in csv.DictReader(stream)}
        scores = {who: rows.get(who, {}).get(f"{lab_id} score", "") for who, (lab_id, _) in told.items()}
        wrong = [
            f"{who}: {scores[who] or 'no score'} instead of {expected[lab_id]:.2f}"
            for who, (lab_id, is_honest) in told.items()
            if is_honest and scores[who] != f"{expected[lab_id]:.2f}"
        ]
        won = [
            f"{who}: {scores[who]}"
            for who, (lab_id, is_honest) in told.items()
            if not is_honest and float(scores[who] or "nan") > expected[lab_id] + 1e-6
        ]
        lost = [who for who, (_, is_honest) in told.items() if not is_honest and scores[who] == ""]
        users = range(
            FIRST_SANDBOX_UID + arguments.first_slot,
            FIRST_SANDBOX_UID + arguments.first_slot + arguments.slots,
        )
        left = [item for user in users for item in judge.left_by(user)]
        harmed = [key for key, value in judge.host().items() if value != before[key]]
        harmed += ["the canary"] if canary.read_text() != CANARY else []
    complaints = {
        "honest results lost or lowered": wrong,
        "attacks above their honest twin": won,
        "attacks without a result": lost,
        "left behind": left,
        "changed on this machine": harmed,
    }
    for what, items in complaints.items():
        print(f"{what}: {len(items)}", *items, sep="\n    " if items else " ")
    raise SystemExit(1 if any(complaints.values()) else 0)


if __name__ == "__main__":
    main()
