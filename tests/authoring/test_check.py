"""What a proof complains about, and what not. Results are made up; real ones are graded in tests/test_labs.py."""

from __future__ import annotations

from pathlib import Path

import pytest

from grader.authoring import check, matrix
from grader.authoring.candidates import Candidate
from grader.authoring.check import (
    Outcome,
    Proof,
    failed_tests,
    idle_tests,
    problems_of,
    remarks_of,
)
from grader.lab import load_lab
from grader.result import Duel, Failure, Result
from tests import sample_results as sample

ROOT = Path(__file__).resolve().parent.parent.parent
HERE = Path()


def graded(
    *failed: str, hidden: tuple[str, ...] = ("test_a", "test_b"), duels: tuple[Duel, ...] = ()
) -> Result:
    tests = [
        sample.test(
            name,
            "correctness",
            "failed" if name in failed else "passed",
            of=1,
            id=f"test_hidden.py::{name}",
            hidden=True,
            failure=Failure(summary="wrong") if name in failed else None,
        )
        for name in hidden
    ]
    return sample.result(tests, list(duels))


def complaints(candidate: Candidate, document: Result) -> str:
    return "; ".join(problems_of(candidate, document))


def test_a_solution_that_loses_a_point_is_named_with_its_test() -> None:
    solution = Candidate("solution", "solution", HERE)
    assert complaints(solution, graded()) == ""
    assert "loses points in 'test_a'" in complaints(solution, graded("test_a"))


def test_what_the_solution_loses_points_for_can_be_run_again() -> None:
    """A generated case may not come again for a year: the complaint says the case, and the seed that draws it."""
    failure = Failure(summary="another output", case="a \\\n", expected="[a]\n", got="x" * 999)
    lost = sample.test("drawn", "correctness", "failed", message="another output", failure=failure)
    document = sample.result([lost])
    (said,) = problems_of(Candidate("solution", "solution", HERE), document)
    assert r"loses points in 'drawn': another output; case 'a \\\n', expected '[a]\n', got 'xxx" in said
    assert said.endswith(f"; seed {document.seeds['run']}")
    assert len(said) < 700


def test_on_a_busy_machine_a_solution_may_miss_the_top_tier_and_nothing_else() -> None:
    solution = Candidate("solution", "solution", HERE)
    slow = sample.test("fast", "performance", points=1, of=2, id="test_performance.py::test_fast")
    document = sample.result([slow], [sample.duel("fast", 0.7, "silver", test_id=slow.id)])
    assert list(problems_of(solution, document)) != []
    assert list(problems_of(solution, document, quick=True)) == []
    below = sample.result([slow.model_copy(update={"status": "failed"})], document.duels)
    assert list(problems_of(solution, below, quick=True)) != []
    counted = sample.result([slow])
    assert list(problems_of(solution, counted, quick=True)) != []


def test_what_could_not_be_judged_is_remarked_and_no_failure() -> None:
    solution = Candidate("solution", "solution", HERE)
    waiting = sample.result([sample.test("x", "gpu", "not_judged", message="no GPU")])
    assert complaints(solution, waiting) == ""
    assert list(remarks_of(solution, waiting)) == ["'x' was not judged: no GPU"]


@pytest.mark.parametrize(
    ("failed", "complaint"),
    [
        ((), "survives: no test fails"),
        (("test_b",), "is not caught by test_a, but by test_b"),
        (("test_a",), ""),
        (("test_a", "test_b"), ""),
    ],
)
def test_a_mutant_must_die_by_the_test_that_it_names(failed: tuple[str, ...], complaint: str) -> None:
    assert complaints(Candidate("mutant", "m", HERE, caught_by=("test_a",)), graded(*failed)) == complaint


def test_a_cheat_must_stay_under_its_limit() -> None:
    cheat = Candidate("cheat", "c", HERE, max_score=1.0)
    assert "scores 2.0, above its limit of 1" in complaints(cheat, graded())
    assert complaints(cheat, graded("test_a")) == ""


def test_a_rung_must_land_in_one_of_its_tiers() -> None:
    fast = sample.duel("large", 0.9, "gold", test_id="test_hidden.py::test_a")
    assert (
        complaints(Candidate("rung", "r", HERE, tiers={"large": ("gold", "bonus")}), graded(duels=(fast,)))
        == ""
    )
    wrong = complaints(Candidate("rung", "r", HERE, tiers={"large": ("none",)}), graded(duels=(fast,)))
    assert wrong == "the duel 'large' ended in gold (0.9), not in none"
    missing = complaints(Candidate("rung", "r", HERE, tiers={"mix": ("none",)}), graded(duels=(fast,)))
    assert missing == "the duel 'mix' did not take place"


def test_a_shut_gate_is_no_kill() -> None:
    failure = Failure(summary="not measured yet. Fix it first.")
    shut = sample.test("fast", "performance", "failed", failure=failure)
    assert failed_tests(sample.result([shut])) == frozenset()


def test_a_hidden_test_that_catches_nothing_is_idle() -> None:
    mutant = Outcome(Candidate("mutant", "m", HERE, caught_by=("test_a",)), graded("test_a"), ())
    assert idle_tests(graded(), [mutant]) == ["test_b"]


def test_the_matrix_shows_who_kills_whom() -> None:
    lab = load_lab("gemm_cpu", ROOT)
    mutant = Candidate("mutant", "m01_slip", HERE, caught_by=("test_a",))
    text = matrix.markdown(
        Proof(lab, (Outcome(mutant, graded("test_a", "test_b"), ()),), ("nothing adds up",))
    )
    assert "| mutant m01_slip | 0.0 /" in text
    assert "| a | K |" in text and "| b | x |" in text
    assert "- nothing adds up" in text


def waiting(*names: str) -> Result:
    tests = [
        sample.test(
            name,
            "correctness",
            "not_judged",
            of=1,
            id=f"test_hidden.py::{name}",
            message="needs an NVIDIA GPU",
        )
        for name in names
    ]
    return sample.result(tests)


def test_what_lacks_a_tool_is_remarked_and_no_complaint() -> None:
    mutant = Candidate("mutant", "m01", HERE, caught_by=("test_a",))
    assert complaints(mutant, waiting("test_a")) == ""
    assert list(remarks_of(mutant, waiting("test_a"))) == ["not proven here: test_a could not be judged"]
    noisy = waiting("test_a").model_copy(
        update={
            "tests": [test.model_copy(update={"message": "too noisy"}) for test in waiting("test_a").tests]
        }
    )
    assert complaints(mutant, noisy) == "survives: no test fails"


def test_a_mutant_that_only_a_gpu_can_show_is_laid_aside_where_there_is_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    graded: list[str] = []

    def run(self: check.Trials, folder: Path, name: str, **_: object) -> Result:
        graded.append(name)
        return waiting("test_sums_of_every_length", "test_two_streams_at_once")

    monkeypatch.setattr(check.gpu, "present", lambda: None)
    monkeypatch.setattr(check.Trials, "run", run)
    lab = load_lab("cuda_reduce_transpose", ROOT)
    (outcome,) = check.check(lab, 1, "m01_tail_dropped", quick=True).outcomes
    assert graded == ["without-a-gpu"]
    assert outcome.problems == ()
    assert outcome.remarks == ("not proven here: needs a GPU for test_sums_of_every_length",)
