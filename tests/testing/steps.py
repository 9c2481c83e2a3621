"""A small lab for the grader's own tests: `steps_apply` makes 3x + 1 of x, and costs what the test says."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from grader import grading
from grader.grading import Graded, Options
from grader.lab import Lab, load_lab
from grader.result import TestResult
from grader.runner.channel import Value
from grader.runner.invoke import Invocation
from grader.sandbox.probe import best_tier
from grader.testing.checks import assert_same
from grader.testing.subject import Subject
from grader.timing.duel import Case, Rules, Task

STEPS = 1_000_000
"""Additions and multiplications of the reference, one waiting for the other: a few milliseconds."""
COUNT = 256

HEADER = """\
#ifndef STEPS_H
#define STEPS_H
#include <stddef.h>
#include <stdint.h>

/* out[i] = 3 * in[i] + 1, as 32 bits wrap. */
void steps_apply(size_t count, const uint32_t *in, uint32_t *out);
#endif
"""

CONTRACT = """\
schema: 1
id: steps
title: Steps
summary: Three times x and one more.
sources:
  - {path: steps.c}
interface: {header: steps.h}
build: {flags: [-O1]}
limits: {build_s: 20, call_s: 2, memory_mib: 1024, output_kib: 64, threads: 8}
reference: {source: reference.c, isa: plain}
points: {correctness: 6, performance: 4}
duels:
  steady: {title: steady work, tiers: {pass: 0.4, gold: 0.9}, cap_s: 10, unit: steps/s}
"""

PUBLIC = '''\
import numpy as np
from grader.testing import assert_same, category, must, points

pytestmark = category("correctness")

@must
@points(2)
def test_small_numbers(library):
    """One element first."""
    given = np.array([1, 2, 3], np.uint32)
    out = np.zeros(3, np.uint32)
    library.call("steps_apply", 3, given, out)
    assert_same(out, np.array([4, 7, 10], np.uint32), what="out")
'''

HIDDEN = '''\
import numpy as np
import pytest
from grader.testing import assert_same, category, points

pytestmark = category("correctness")

@points(4)
@pytest.mark.parametrize("count", [0, 1, 33])
def test_random_numbers(library, rng, count):
    """Numbers near 2**32 wrap."""
    given = rng.integers(0, 2**32, count, np.uint32)
    out = np.zeros(count, np.uint32)
    library.call("steps_apply", count, given, out)
    assert_same(out, given * np.uint32(3) + np.uint32(1), what="out", case=f"in[0] = {given[:1]}")
'''

PERFORMANCE = """\
from grader.testing import category, points
from tests.testing import steps

@category("performance")
@points(4)
def test_keeps_up(duel):
    duel("steady", [steps.case()])
"""

REFERENCE_NAMES = 'const char *reference_name(void) { return "plain C"; }\n'
REFERENCE_NAMES += 'const char *reference_isa(void) { return "plain"; }\n'

LOOP = """\
    for (size_t i = 0; i < count; i++)
        out[i] = 3 * in[i] + 1;
"""


def source(cost: float = 1.0, before: str = "", body: str = LOOP) -> str:
    """steps.c: takes `cost` times the reference's steps, then does `body`; `before` stands above all."""
    return f"""\
#include "steps.h"
static void burn(long loops)
{{
    uint32_t chain = 1;
    for (long n = 0; n < loops; n++) {{
        chain = chain * 1664525u + 1013904223u;
        __asm__ volatile("" : "+r"(chain));
    }}
}}
{before}
void steps_apply(size_t count, const uint32_t *in, uint32_t *out)
{{
    burn({int(cost * STEPS)}L);
{body}}}
"""


def course(
    folder: Path,
    public: str = PUBLIC,
    hidden: str = HIDDEN,
    performance: str = PERFORMANCE,
    contract: str = CONTRACT,
) -> Lab:
    """Write a course whose only lab is this one into `folder`, and load it."""
    files = {
        "labs/steps/lab.yaml": contract,
        "labs/steps/reference.c": source() + REFERENCE_NAMES,
        "labs/steps/test_public.py": public,
        "labs/steps/test_hidden.py": hidden,
        "labs/steps/test_performance.py": performance,
        "starter/steps/steps.h": HEADER,
        "starter/steps/steps.c": source(0.0, body="    (void)count, (void)in, (void)out;\n"),
        "solutions_hidden/steps/steps.c": source(),
    }
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return load_lab("steps", folder)


class Listener:
    """Remembers what it was told."""

    def __init__(self) -> None:
        self.total = 0
        self.told: list[str] = []
        self.verdicts: list[TestResult] = []

    def start(self, total: int) -> None:
        self.total = total

    def running(self, name: str) -> None:
        self.told.append(name)

    def phase(self, text: str) -> None:
        self.told.append(text)

    def finished(self, test: TestResult) -> None:
        self.verdicts.append(test)


def grade(lab: Lab, code: str = "", listener: Listener | None = None, **options: object) -> Graded:
    """Hand in `code` (the solution unless told) and grade it."""
    folder = lab.root / "handed_in"
    folder.mkdir(exist_ok=True)
    (folder / "steps.c").write_text(code or source())
    return grading.grade(lab, folder, Options(**options), listener or Listener())  # type: ignore[arg-type]


def subject(lab: Lab, code: str) -> Subject:
    """A submission of the lab, to be closed."""
    return Subject(lab, {"steps.c": code.encode()}, best_tier())


Seen = Callable[[Sequence[Value]], None]


def task(rng: np.random.Generator) -> Task:
    """Fresh numbers, one call, and the exact check of what comes back."""
    given = rng.integers(0, 2**32, COUNT, np.uint32)
    out = np.full(COUNT, 0xDEADBEEF, np.uint32)

    def verify(values: Sequence[Value]) -> None:
        assert_same(out, given * np.uint32(3) + np.uint32(1), what="out")

    return Task((Invocation("steps_apply", (COUNT, given, out)),), verify)


def case(name: str = "steps", warm_up: bool = True) -> Case:
    """The case of every duel here; both sides get numbers of their own."""
    return Case(name, lambda rng: (task(rng), task(rng)), work=STEPS, warm_up=warm_up)


def rules(**changes: object) -> Rules:
    """Pass from 0.4, gold from 0.9, on the CPU's clock, for ten seconds at most."""
    fields: dict[str, object] = {"tiers": {"pass": 0.4, "gold": 0.9}, "clock": "cpu", "cap_s": 10.0}
    return Rules(**{**fields, **changes})  # type: ignore[arg-type]
