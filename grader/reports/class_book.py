"""What a report of a whole class shows, as plain data; who grades a class fills it in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Cell:
    """One student's lab: what counts. Scores in points; `page` is a relative link, '' where there is none."""

    score: float | None
    max_score: float = 0.0
    judged_max: float = 0.0
    note: str = ""
    page: str = ""


@dataclass(frozen=True)
class Row:
    """One student. `cells` by lab; `total` None when nothing counts."""

    student: str
    name: str
    cells: Mapping[str, Cell]

    @property
    def total(self) -> float | None:
        scores = [cell.score for cell in self.cells.values() if cell.score is not None]
        return sum(scores) if scores else None


@dataclass(frozen=True)
class Fought:
    """One student's duel; `tier` None below the first."""

    student: str
    ratio: float
    tier: str | None


@dataclass(frozen=True)
class DuelBook:
    """One duel over the class. `tiers`: name to ratio, rising."""

    id: str
    title: str
    tiers: Mapping[str, float]
    fought: tuple[Fought, ...]


@dataclass(frozen=True)
class HardTest:
    """How often a test failed, of those where it was judged."""

    name: str
    category: str
    failed: int
    judged: int
    points_lost: float

    @property
    def share(self) -> float:
        return self.failed / self.judged if self.judged else 0.0


@dataclass(frozen=True)
class LabBook:
    """One lab over the class. `scores` as judged, before lateness."""

    id: str
    max_score: float
    scores: tuple[float, ...]
    duels: tuple[DuelBook, ...] = ()
    hardest: tuple[HardTest, ...] = ()


@dataclass(frozen=True)
class Waiting:
    """What could not be judged of one student's lab, and why."""

    student: str
    lab: str
    what: str
    reason: str


@dataclass(frozen=True)
class Alike:
    """Two submissions with much in common. Shares of each, 0 to 1, without what the starter gives to all."""

    lab: str
    one: str
    other: str
    share_of_one: float
    share_of_other: float
    identical: bool = False
    lines: str = ""
    """Where: 'gemm.c 10-48 and 12-50'."""


@dataclass(frozen=True)
class Flaky:
    """A test that did not always say the same of one submission."""

    lab: str
    test: str
    students: tuple[str, ...]
    verdicts: str


@dataclass(frozen=True)
class Moved:
    """What a regrade changed for one student and lab."""

    student: str
    lab: str
    old: float
    new: float
    reason: str
    tests: tuple[str, ...]


@dataclass(frozen=True)
class ClassBook:
    """Everything on the page."""

    title: str
    made_at: str
    layout: str
    labs: tuple[LabBook, ...]
    rows: tuple[Row, ...]
    waiting: tuple[Waiting, ...] = ()
    not_graded: tuple[Waiting, ...] = ()
    unknown: tuple[tuple[str, str], ...] = ()
    alike: tuple[Alike, ...] = ()
    copies_note: str = ""
    flaky: tuple[Flaky, ...] = ()
    moved: tuple[Moved, ...] = ()
    policy: str = ""
    notes: tuple[str, ...] = field(default=())
