"""What travels between who hands out the work and who does it: plain data that any executor can carry."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Terms:
    """How everything is graded: `slots` at a time on this machine, with sandbox users from `first_slot` on.

    Timed tests have the machine alone whatever `slots` is.
    """

    practice: bool = False
    duels: bool = True
    slots: int = 1
    first_slot: int = 0

    @property
    def how(self) -> str:
        """The part of the terms that decides a result."""
        return f"practice={self.practice} duels={self.duels}"


@dataclass(frozen=True)
class Order:
    """One submission to grade: folders as the worker sees them, so that a cluster needs a file system in common."""

    key: str
    lab: str
    folder: str
    root: str
    terms: Terms

    def to_json(self) -> str:
        """One line of JSON."""
        return json.dumps(asdict(self))

    @staticmethod
    def of_json(line: str) -> Order:
        """The order of one line. Raises ValueError, KeyError or TypeError for anything else."""
        fields = json.loads(line)
        return Order(**{**fields, "terms": Terms(**fields["terms"])})


@dataclass(frozen=True)
class Answer:
    """What became of an order: the result document as JSON text, or '' and the reason why there is none."""

    key: str
    document: str
    reason: str = ""
