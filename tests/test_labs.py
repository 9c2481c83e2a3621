"""Every lab of the course proves itself, as far as a busy machine can tell: the short form of `make check`.

What is timed runs once, may end as not judged, and need only reach the first tier; a mutant meets only the tests that
it names. `make check LAB=…` repeats the one and wants every point, lets all tests loose on the other, and adds what is
left: rungs and cheats.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from grader.authoring import check
from grader.lab import list_labs, load_lab
from tests.conftest import needs

ROOT = Path(__file__).resolve().parent.parent
pytestmark = needs("gcc", "tier A", "valgrind")


def complaints(lab: str, only: str) -> list[str]:
    proof = check.check(load_lab(lab, ROOT), runs=1, only=only, quick=True)
    assert proof.outcomes
    return [f"{item.candidate.label}: {problem}" for item in proof.outcomes for problem in item.problems]


@pytest.mark.parametrize("lab", list_labs(ROOT))
def test_every_mutant_is_caught_by_the_test_that_it_names(lab: str) -> None:
    assert complaints(lab, "mutants") == []


@pytest.mark.parametrize("lab", list_labs(ROOT))
def test_the_starter_stays_at_its_floor(lab: str) -> None:
    assert complaints(lab, "starter") == []


@pytest.mark.parametrize("lab", list_labs(ROOT))
def test_the_solution_loses_no_point_that_could_be_judged(lab: str) -> None:
    assert complaints(lab, "solution") == []
