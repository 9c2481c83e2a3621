"""The kill matrix: which test catches which mutant, as Markdown that people read."""

from __future__ import annotations

from grader.authoring.check import Outcome, Proof, failed_tests, function_name


def markdown(proof: Proof) -> str:
    """Summary table of all trials, then tests x mutants: K the mutant names this test, x it fails here too."""
    lines = [f"# Proof of {proof.lab.id}", "", "| trial | score | expectation |", "|---|---|---|"]
    lines += [_row(outcome) for outcome in proof.outcomes]
    mutants = [outcome for outcome in proof.outcomes if outcome.candidate.kind == "mutant" and outcome.result]
    if mutants:
        lines += ["", "## Kill matrix", "", "K: the mutant names this test; x: fails here too.", ""]
        lines += _matrix(mutants)
    if proof.problems:
        lines += ["", "## Problems of the lab", "", *(f"- {problem}" for problem in proof.problems)]
    return "\n".join(lines) + "\n"


def _row(outcome: Outcome) -> str:
    result = outcome.result
    score = f"{result.score:.1f} / {result.judged_max:g}" if result else "-"
    words = "; ".join(outcome.problems) or "; ".join(("holds", *outcome.remarks))
    return f"| {outcome.candidate.label} | {score} | {words} |".replace("\n", " ")


def _matrix(mutants: list[Outcome]) -> list[str]:
    numbers = [outcome.candidate.name.partition("_")[0] for outcome in mutants]
    tests = dict.fromkeys(
        function_name(test)
        for outcome in mutants
        for test in (outcome.result.tests if outcome.result else ())
        if test.id != "build"
    )
    header = ["| test | " + " | ".join(numbers) + " |", "|---|" + ":-:|" * len(numbers)]
    rows = []
    for test in tests:
        cells = []
        for outcome in mutants:
            failed = outcome.result is not None and test in failed_tests(outcome.result)
            named = test in outcome.candidate.caught_by
            cells.append("K" if failed and named else "x" if failed else "!" if named else " ")
        rows.append(f"| {test.removeprefix('test_')} | " + " | ".join(cells) + " |")
    return [*header, *rows]
