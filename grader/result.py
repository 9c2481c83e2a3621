"""The result: the one versioned document of a graded submission, from which every report is made.

Plain data with validation, plus reading and atomic writing of its own file. Only the trusted process makes
one; a missing or incomplete document is an error and never a pass.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import tempfile
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

SCHEMA = "grader/result/v1"

Status = Literal["passed", "failed", "not_judged"]


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _with_whole_characters(cls, fields: Any) -> Any:
        """A submission's half characters must not cost it its result: JSON in UTF-8 cannot hold them."""
        return _whole(fields)


def _whole(value: Any) -> Any:
    """The same value with U+FFFD in place of every lone surrogate, also inside lists and mappings."""
    if isinstance(value, str):
        return re.sub("[\ud800-\udfff]", "\ufffd", value)
    if isinstance(value, dict):
        return {_whole(key): _whole(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_whole(item) for item in value)
    return value


class Failure(_Record):
    """What a student needs to find the mistake. Plain text; control characters are left to the reports."""

    summary: str = Field(description="One sentence: what went wrong")
    case: str = Field(default="", description="The smallest failing case, e.g. 'm=1 n=17 k=3, lda=20'")
    expected: str = ""
    got: str = ""
    where: str = Field(default="", description="Element, byte, source line or function")
    why: str = Field(default="", description="Why this usually happens and what to try")
    source: str = Field(
        default="",
        description="Lines of the submission's file around `where`, numbered; the line itself is marked",
    )
    detail: str = Field(
        default="", description="More lines: compiler output, sanitizer report, the program's own output"
    )


class TestResult(_Record):
    """One test. `points` may exceed `max_points` only through a duel's bonus tier."""

    __test__: ClassVar[bool] = False  # its name must not make pytest collect it

    id: str = Field(
        description="Stable id, unique in the document, e.g. 'test_hidden.py::test_skinny_shapes'"
    )
    name: str = Field(description="What people read: 'skinny shapes'")
    category: str
    status: Status
    points: float = Field(ge=0)
    max_points: float = Field(ge=0)
    message: str = Field(
        default="", description="One line for humans: why it failed or was not judged; a metric's value"
    )
    duration_s: float = Field(ge=0)
    hidden: bool = Field(
        default=False, description="Hidden from students: reports show its name and category only"
    )
    must: bool = Field(default=False, description="Gates performance")
    smoke: bool = Field(default=False, description="Need not catch a mutant of its own")
    failure: Failure | None = None


class Evidence(_Record):
    """What a test looked at, for people: instructions of a hot loop, a compiler's account of registers, PTX."""

    test_id: str
    title: str
    text: str = Field(max_length=20_000)


class Axis(_Record):
    """What one axis of a plot shows. Points are in plain units: bytes, not KiB."""

    label: str = Field(max_length=60)
    unit: str = Field(default="", max_length=20)


class Series(_Record):
    """Numbers that the submission has measured, for a plot: lines of points over the same two axes."""

    test_id: str
    title: str = Field(max_length=120)
    x: Axis
    y: Axis
    lines: dict[str, list[tuple[float, float]]] = Field(
        description="Name -> points (x, y), x rising and above 0, y above 0"
    )

    @field_validator("lines")
    @classmethod
    def _drawable(cls, lines: dict[str, list[tuple[float, float]]]) -> dict[str, list[tuple[float, float]]]:
        """At most 8 lines of at most 256 points, which logarithmic axes can show."""
        if not 1 <= len(lines) <= 8 or any(len(name) > 60 for name in lines):
            raise ValueError("must be 1 to 8 lines with names of at most 60 characters")
        for name, points in lines.items():
            if not 1 <= len(points) <= 256:
                raise ValueError(f"the line {name!r} has {len(points)} points; 1 to 256 are kept")
            steps = [0.0, *(x for x, _ in points)]
            if any(high <= low for low, high in pairwise(steps)) or any(y <= 0 for _, y in points):
                raise ValueError(f"the line {name!r} must have x above 0 and rising, and y above 0")
        return lines


class Roofline(_Record):
    """How close the submission comes to a bound measured on this machine in this run."""

    bound: Literal["compute", "memory"]
    value: float = Field(description="What the submission reached, in `unit`")
    ceiling: float = Field(description="What the machine's probe reached, in `unit`")
    unit: str
    intensity: float | None = Field(default=None, gt=0, description="FLOPs per byte from memory, at best")
    peak: float | None = Field(
        default=None, gt=0, description="GFLOP/s of one core from registers, in this run"
    )
    bandwidth: float | None = Field(default=None, gt=0, description="GB/s that one core reads, in this run")


class DuelCase(_Record):
    """One kind of work in a duel, e.g. one size: its own ratio, and both rates in the duel's unit."""

    name: str
    ratio: float
    submission_rate: float
    reference_rate: float


class Duel(_Record):
    """Submission and reference timed in turn. The ratio is the reference's time over the submission's.

    Higher is better, 1 is equally fast. Where values are compared it is their agreement, at most 1, and the rates of
    the cases are the values. The tiers rise, from the lowest to the highest.
    """

    id: str
    test_id: str
    title: str
    reference: str = Field(description="Who was measured against, e.g. 'OpenBLAS 0.3.34 Haswell, 1 thread'")
    ratio: float | None = Field(
        default=None, description="Median of the rounds' ratios; null when nothing was measured"
    )
    interval: tuple[float, float] | None = Field(
        default=None, description="99 % order-statistic interval of the median"
    )
    tier: str | None = Field(default=None, description="Highest tier reached, null below the first")
    tiers: dict[str, float] = Field(description="Tier name -> ratio, rising")
    verdict: Status
    reason: str = Field(default="", description="Why it was not judged, or what was noticed")
    rounds: int = Field(default=0, ge=0)
    clock: Literal["cpu", "wall"] = "cpu"
    compares: Literal["time", "values"] = Field(
        default="time", description="'values': how well both agree on a number, not how long they take"
    )
    unit: str = Field(default="", description="Unit of the two rates, e.g. 'GFLOP/s'")
    submission_rate: float | None = None
    reference_rate: float | None = None
    roofline: Roofline | None = None
    cases: list[DuelCase] = Field(
        default_factory=list, description="Its kinds of work, when there are several"
    )

    @field_validator("tiers")
    @classmethod
    def _rise(cls, tiers: dict[str, float]) -> dict[str, float]:
        steps = [0.0, *tiers.values()]
        if not tiers or any(high <= low for low, high in pairwise(steps)):
            raise ValueError("must name at least one tier, and their ratios must be positive and rise")
        return tiers


class Sandbox(_Record):
    """How student code was confined: tier A (best) to D (not isolated; never an official grade)."""

    tier: Literal["A", "B", "C", "D"]
    description: str
    missing: list[str] = Field(default_factory=list, description="What this tier does not give")


class Machine(_Record):
    """Where it ran, and whether it was quiet."""

    hostname: str
    cpu: str
    cores: int
    isa: list[str] = Field(description="Vector extensions, e.g. ['avx2', 'fma', 'avx512f']")
    memory_gib: float
    gpu: str | None = None
    kernel: str
    fitness: dict[str, float | str] = Field(default_factory=dict, description="Noise seen before and after")


class Result(_Record):
    """One graded submission."""

    schema_id: Literal["grader/result/v1"] = Field(default="grader/result/v1", alias="schema")
    lab: str
    lab_title: str
    submission: str = Field(description="Name of the submission, e.g. its folder")
    mode: Literal["practice", "official"]
    score: float = Field(ge=0)
    max_score: float = Field(ge=0)
    judged_max: float = Field(ge=0, description="Points that could be judged here; the rest waits")
    maximum: float | None = Field(
        default=None,
        ge=0,
        description="Points of the lab in this mode by its contract, also of tests that did not run; "
        "null in documents of older graders",
    )
    status: Status
    tests: list[TestResult]
    duels: list[Duel]
    evidence: list[Evidence] = Field(default_factory=list, max_length=64, description="Shown, never judged")
    series: list[Series] = Field(
        default_factory=list,
        max_length=16,
        description="What the submission measured, drawn and never judged",
    )
    sandbox: Sandbox
    machine: Machine
    toolchain: dict[str, str] = Field(description="Compiler, flags, reference library, grader version")
    hashes: dict[str, str] = Field(description="SHA-256 of submission, lab, grader")
    seeds: dict[str, int] = Field(description="'run': replays every test's inputs")
    notes: list[str] = Field(
        default_factory=list, description="Said once for the whole run, e.g. 'valgrind is missing'"
    )
    lab_errors: list[str] = Field(
        default_factory=list,
        description="What is wrong with the lab itself: tests that broke, points that do not add up. Not a grade then",
    )
    started_at: str = Field(description="ISO 8601, UTC")
    duration_s: float = Field(ge=0)

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, populate_by_name=True)

    @field_validator("tests")
    @classmethod
    def _one_id_each(cls, tests: list[TestResult]) -> list[TestResult]:
        counts = Counter(test.id for test in tests)
        twice = [name for name, count in counts.items() if count > 1]
        if twice:
            raise ValueError(f"the id {twice[0]!r} is given to {counts[twice[0]]} tests")
        return tests

    @property
    def possible(self) -> float:
        """The lab's maximum in this mode: the same for everybody who hands in, whatever ran here."""
        return self.max_score if self.maximum is None else self.maximum

    @property
    def waiting(self) -> float:
        """Points of the lab that nobody has judged yet: not earned and not lost."""
        rest = self.possible - self.judged_max
        return rest if rest > 1e-6 else 0.0

    @property
    def complete(self) -> bool:
        """Is every point of the lab judged? Only then the score is a grade."""
        return not self.waiting

    def to_json(self) -> str:
        """The document as JSON text, two-space indented, ending in a newline."""
        return self.model_dump_json(by_alias=True, indent=2) + "\n"


def json_schema() -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of the result document."""
    schema = Result.model_json_schema(by_alias=True)
    schema["required"] = ["schema", *schema["required"]]
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def read(path: Path) -> Result:
    """Read a result document.

    Raises ValueError naming the file when it is missing, truncated, or does not say that it is of version 1.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: cannot read the result: {error}") from error
    try:
        fields = json.loads(text)
        version = fields.get("schema") if isinstance(fields, dict) else None
        if isinstance(version, str) and version != SCHEMA:
            raise ValueError(f"it says {version!r}, and this grader reads {SCHEMA!r} only")
        if version is None:
            raise ValueError("it has no key 'schema'")
        return Result.model_validate(fields)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: not a {SCHEMA} document: {error}") from error


def write_atomically(path: Path, text: str) -> None:
    """Write `text`: readers see the old file or the whole new one, never a part. Parents are created."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            Path(temporary).unlink()
        raise
