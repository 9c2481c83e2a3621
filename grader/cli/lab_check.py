"""`grader lab check`: grade everything that proves a lab, and say what does not hold."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from rich.text import Text

from grader import result
from grader.authoring import matrix
from grader.authoring.candidates import BadCandidate
from grader.authoring.check import Outcome, check
from grader.cli.say import BAD_COMMAND, stop
from grader.lab import ContractError, load_lab


def run(
    lab_name: str, root: Path, runs: int, only: str | None, quick: bool, matrix_path: Path | None
) -> None:
    """Check the lab; exit with 1 when an expectation does not hold."""
    console = Console(highlight=False)
    try:
        lab = load_lab(lab_name, root.resolve())
        proof = check(
            lab,
            runs,
            only,
            quick=quick,
            told=lambda outcome, number, total: _tell(console, outcome, number, total),
        )
    except (ContractError, BadCandidate) as error:
        stop(str(error), BAD_COMMAND)
    text = matrix.markdown(proof)
    result.write_atomically(matrix_path or root / "reports" / lab.id / "proof.md", text)
    console.print(Text("\n" + text), soft_wrap=True)
    count = sum(len(outcome.problems) for outcome in proof.outcomes) + len(proof.problems)
    if not proof.holds:
        console.print(Text(f"✗ {count} expectations do not hold", "red"))
        raise SystemExit(1)
    console.print(Text(f"✓ {lab.id} proves itself: {len(proof.outcomes)} trials", "green"))


def _tell(console: Console, outcome: Outcome, number: int, total: int) -> None:
    graded = outcome.result
    score = f"{graded.score:6.1f} / {graded.judged_max:g}, {graded.duration_s:.0f} s" if graded else ""
    mark, style = ("✗", "red") if outcome.problems else ("✓", "green")
    line = Text.assemble((f"{mark} ", style), f"[{number}/{total}] {outcome.candidate.label}  {score}")
    if graded:
        tiers = ", ".join(f"{duel.id} {duel.ratio or 0:.3g} {duel.tier or '-'}" for duel in graded.duels)
        line.append(f"  {tiers}" if tiers else "", "dim")
    console.print(line, soft_wrap=True)
    for problem in outcome.problems:
        console.print(Text(f"    {problem}", "red"), soft_wrap=True)
    for remark in outcome.remarks:
        console.print(Text(f"    {remark}", "yellow"), soft_wrap=True)
