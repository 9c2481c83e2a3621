"""Do right submissions keep their points where sanitizers die in a quarter of their starts, having loaded nothing?

    python benchmarks/sanitizer_starts.py [--gradings 500] [--seconds 3600] [--deaths 0.25] [--slot 0]

Grades the solutions of all labs that have a test with AddressSanitizer or ThreadSanitizer, one such test a grading, in
turn. Runners die by chance as they do with vm.mmap_rnd_bits=32 where personality(2) is refused: before the guest's
Python a file is to be executed that is not there. Programs are graded as if personality(2) were refused: theirs is an
executable at a fixed place, which no draw of the kernel moves. Prints points lost and gradings not judged; exit status
1 unless both are 0. Measured: docs/measurements/sanitizers.md.
"""

from __future__ import annotations

import argparse
import itertools
import random
import re
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from grader import grading  # noqa: E402
from grader.grading import Options  # noqa: E402
from grader.lab import Lab, list_labs, load_lab  # noqa: E402
from grader.runner import host  # noqa: E402
from grader.sandbox.confine import Tier  # noqa: E402
from grader.testing import subject  # noqa: E402

SANITIZED = re.compile(r"(?:asan|tsan)\b[^\n]*\n(?:@[^\n]*\n)*def test_(\w+)")


class Silent:
    """Progress is not wanted."""

    def __getattr__(self, name: str) -> object:
        return lambda *event: None


def sanitized(lab: Lab) -> list[str]:
    """The names of the lab's tests that run with a sanitizer."""
    texts = [path.read_text() for path in lab.test_files(practice=False)]
    return [name.replace("_", " ") for text in texts for name in SANITIZED.findall(text)]


def in_turn(labs: list[Lab]) -> Iterator[tuple[Lab, str]]:
    """Lab after lab, of each its tests in turn."""
    tests = {lab.id: itertools.cycle(sanitized(lab)) for lab in labs}
    for lab in itertools.cycle(labs):
        yield lab, next(tests[lab.id])


def dying(share: float, chance: random.Random) -> Counter[str]:
    """From now on this share of runners with a sanitizer dies in its start. Counts starts and deaths."""
    seen: Counter[str] = Counter()
    launch = host._launch

    def imitated(tier: Tier, spec: host.GuestSpec, *rest: Any) -> Any:
        if spec.variant in host.SANITIZED:
            seen["starts"] += 1
            if chance.random() < share:
                seen["deaths"] += 1
                spec = replace(spec, prefix=("/nonexistent/python",))
        return launch(tier, spec, *rest)

    host._launch = imitated
    subject.fixed_addresses_allowed = lambda: False  # type: ignore[attr-defined]
    return seen


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gradings", type=int, default=500)
    parser.add_argument("--seconds", type=float, default=3600.0, help="begin no grading after so long")
    parser.add_argument("--deaths", type=float, default=0.25)
    parser.add_argument("--slot", type=int, default=0)
    arguments = parser.parse_args()
    labs = [lab for name in list_labs(ROOT) if sanitized(lab := load_lab(name, ROOT))]
    seen = dying(arguments.deaths, random.Random(1))
    lost, waits, begun = 0.0, 0, time.monotonic()
    per_lab: Counter[str] = Counter()
    for number, (lab, test) in enumerate(itertools.islice(in_turn(labs), arguments.gradings)):
        if time.monotonic() - begun > arguments.seconds:
            break
        options = Options("official", (test,), seed=number, performance=False, slot=arguments.slot)
        result = grading.grade(lab, ROOT / "solutions_hidden" / lab.id, options, Silent()).result  # type: ignore[arg-type]
        per_lab[lab.id] += 1
        for item in result.tests:
            judged = item.status != "not_judged"
            waits += not judged
            lost += item.max_points - item.points if judged else 0.0
            if item.status != "passed":
                print(f"{lab.id}, {item.name}, seed {number}: {item.status}: {item.message}", flush=True)
    print(", ".join(f"{name} {count}" for name, count in sorted(per_lab.items())))
    print(
        f"{sum(per_lab.values())} gradings in {time.monotonic() - begun:.0f} s, {seen['starts']} runners started, "
        f"{seen['deaths']} died: {lost:g} points lost, {waits} not judged"
    )
    return 1 if lost or waits else 0


if __name__ == "__main__":
    raise SystemExit(main())
