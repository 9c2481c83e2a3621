"""Does a shell answer like real ones? `python benchmarks/shell_scripts.py [--count 10000] [--seed N]`.

Draws scripts from the grammar of mini_shell, runs them with the lab's solution and with dash, bash and busybox, and
prints how many were answered differently from all of these where they agree: the smallest one, if any.
"""

from __future__ import annotations

import argparse
import secrets
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from grader.lab import load_lab  # noqa: E402
from grader.sandbox.probe import best_tier  # noqa: E402
from grader.submission import take  # noqa: E402
from grader.testing.subject import Subject  # noqa: E402
from labs.mini_shell import campaign, oracle  # noqa: E402

_STEP = 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=secrets.randbits(32))
    parser.add_argument("--submission", type=Path)
    parser.add_argument("--slot", type=int, default=0)
    arguments = parser.parse_args()
    lab = load_lab("mini_shell", ROOT)
    subject = Subject(lab, take(arguments.submission or lab.solution, lab).files, best_tier(arguments.slot))
    begun, done = time.monotonic(), 0
    try:
        while done < arguments.count:
            step = min(_STEP, arguments.count - done)
            number = arguments.seed + done
            ran, difference = campaign.first_difference(subject.program(), subject.model, number, step)
            done += ran
            if difference is not None:
                words = oracle.explained(difference)
                raise SystemExit(f"{words}:\n{words.case}\nexpected: {words.expected}\ngot: {words.got}")
            print(f"{done} scripts, {time.monotonic() - begun:.0f} s: no difference", flush=True)
    finally:
        subject.close()
    print(f"seed {arguments.seed}: {done} scripts, none answered differently from dash, bash and busybox")


if __name__ == "__main__":
    main()
