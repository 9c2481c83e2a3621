"""The course's rules for a batch, `course.yaml`: due dates, late days, and which attempt counts."""

from __future__ import annotations

import datetime
import zoneinfo
from pathlib import Path
from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

Policy = Literal["latest", "best", "never_lower"]
"""Which attempt counts: the newest; the one with most points; the newest submission, which no regrade makes worse."""


class BadCourse(ValueError):
    """course.yaml cannot be used; the message says where and why."""


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Late(_Record):
    """What lateness costs. Every begun day counts as one."""

    free_days: int = Field(default=0, ge=0, description="Late days of each student, for all labs together")
    per_day: float = Field(
        default=0.0, ge=0, le=1, description="Share of the points lost on each day beyond those"
    )
    most_days: int | None = Field(
        default=None, ge=0, description="Later than this counts nothing; null: no end"
    )
    grace_minutes: int = Field(default=0, ge=0, description="So long after the due date is still in time")


class LabPlan(_Record):
    """One lab in this course."""

    due: datetime.datetime | None = Field(
        default=None, description="ISO 8601 with an offset; null: never late"
    )
    canvas: str = Field(default="", description="Canvas' column, e.g. 'Lab 1 (1234)'")
    moodle: str = Field(default="", description="Moodle's grade item")
    take: dict[str, dict[str, str]] = Field(
        default_factory=dict,
        description="Files to take under another name: student -> {name in the hand-in: the lab's name}",
    )

    @field_validator("due")
    @classmethod
    def _somewhere(cls, due: datetime.datetime | None) -> datetime.datetime | None:
        if due is not None and due.tzinfo is None:
            raise ValueError("needs its offset from UTC, e.g. 2026-11-20T23:59:00+01:00")
        return due


class Course(_Record):
    """All of course.yaml. Without the file: nothing is late, the latest attempt counts."""

    title: str = ""
    attempts: Policy = "latest"
    refused_counts: bool = Field(
        default=False,
        description="Does a hand-in that cannot be taken displace an earlier one, with 0 points?",
    )
    incomplete: Literal["hold", "upload"] = Field(
        default="hold",
        description="A grade with points that wait: an empty cell for Canvas and Moodle, or its points",
    )
    timezone: str = Field(
        default="",
        description="Where Moodle's worksheet tells the time, e.g. Europe/Berlin; '' as the due date",
    )
    late: Late = Late()
    labs: dict[str, LabPlan] = Field(default_factory=dict)

    @field_validator("timezone")
    @classmethod
    def _known(cls, name: str) -> str:
        try:
            return name if not name or zoneinfo.ZoneInfo(name) else ""
        except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
            raise ValueError(
                f"there is no time zone {name!r}; a name such as Europe/Berlin is wanted"
            ) from None

    def zone(self, lab: str) -> datetime.tzinfo | None:
        """Where times without a zone were told: the course's, else the due date's; None when nobody says."""
        due = self.plan(lab).due
        return zoneinfo.ZoneInfo(self.timezone) if self.timezone else due.tzinfo if due else None

    def plan(self, lab: str) -> LabPlan:
        """What it says of a lab."""
        return self.labs.get(lab, LabPlan())


def read(path: Path) -> Course:
    """Read course.yaml. Raises BadCourse naming the place of the mistake, OSError."""
    try:
        told = yaml.safe_load(path.read_text(encoding="utf-8"))
        return Course.model_validate(told if told is not None else {})
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise BadCourse(f"{path} is no YAML: {error}") from error
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "the file"
        raise BadCourse(f"{path}: {place}: {first['msg']}") from error
