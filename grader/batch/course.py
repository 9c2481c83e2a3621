"""The course's rules for a batch, `course.yaml`: due dates, late days, and which attempt counts."""

from __future__ import annotations

import datetime
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
    late: Late = Late()
    labs: dict[str, LabPlan] = Field(default_factory=dict)

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
