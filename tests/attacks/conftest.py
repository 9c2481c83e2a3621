"""Which attacks are run in which tiers, and the table of what came of them: `pytest tests/attacks --tier A,B --all`."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from grader.result import Result
from tests.attacks.catalogue import Attack


@dataclass(frozen=True)
class Row:
    """One line of the table; without results where there is no GPU."""

    attack: Attack
    tier: str
    result: Result | None
    twin: Result | None

    @property
    def cells(self) -> tuple[str, ...]:
        said = self.attack.said
        outcome = f"{self.result.score:g} / {said.max_score:g}" if self.result else "needs a GPU"
        honest = f"{self.twin.score:g} / {self.twin.max_score:g}" if self.twin else ""
        return (self.attack.name, said.boundary, self.tier, outcome, honest, said.defence)


HEAD = ("attack", "boundary", "tier", "score / most allowed", "honest twin", "what holds")
ROWS = pytest.StashKey[list[Row]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    options = parser.getgroup("attacks", "the attack suite")
    options.addoption(
        "--tier", default="A", help="tiers to run all in: A (unless told), A,B,C, or 'here' for what there is"
    )
    options.addoption("--all", action="store_true", help="also those that take long")


def pytest_configure(config: pytest.Config) -> None:
    config.stash[ROWS] = []


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    rows = config.stash[ROWS]
    if not rows:
        return
    terminalreporter.section("attacks")
    lines = [HEAD, *(row.cells for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEAD) - 1)]
    for line in lines:
        cells = [cell.ljust(width) for cell, width in zip(line, widths, strict=False)]
        terminalreporter.write_line("  ".join([*cells, line[-1]]))
