"""The result: the one versioned document of a graded submission, from which every report is made.

Plain data with validation, plus reading and atomic writing of its own file. Only the trusted process makes one;
a missing or incomplete document is an error and never a pass.
"""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

SCHEMA = "grader/result/v1"

Status = Literal["passed", "failed", "not_judged"]


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Failure(_Record):
    """What a student needs to find the mistake. Every text is plain text, already free of control characters."""

    summary: str = Field(description="One sentence: what went wrong")
    case: str = Field("", description="The smallest failing case, e.g. 'm=1 n=17 k=3, lda=20'")
    expected: str = ""
    got: str = ""
    where: str = Field("", description="Element, byte, source line or function")
    why: str = Field("", description="Why this usually happens and what to try")
    detail: str = Field(
        "", description="More lines: compiler output, sanitizer report, the program's own output"
    )


class TestResult(_Record):
    """One test. `points` may exceed `max_points` only through a duel's bonus tier."""

    id: str = Field(
        description="Stable id, unique in the document, e.g. 'test_hidden.py::test_skinny_shapes'"
    )
    name: str = Field(description="What people read: 'skinny shapes'")
    category: str
    status: Status
    points: float = Field(ge=0)
    max_points: float = Field(ge=0)
    message: str = Field(
        "", description="One line for humans: why it failed or was not judged; a metric's value"
    )
    duration_s: float = Field(ge=0)
    hidden: bool = Field(False, description="Hidden from students: reports show its name and category only")
    must: bool = Field(False, description="Gates performance")
    failure: Failure | None = None


class Roofline(_Record):
    """How close the submission comes to a bound measured on this machine in this run."""

    bound: Literal["compute", "memory"]
    value: float = Field(description="What the submission reached, in `unit`")
    ceiling: float = Field(description="What the machine's probe reached, in `unit`")
    unit: str


class Duel(_Record):
    """Submission and reference timed in turn; ratio = time of reference / time of submission (higher is better)."""

    id: str
    test_id: str
    title: str
    reference: str = Field(description="Who was measured against, e.g. 'OpenBLAS 0.3.34 Haswell, 1 thread'")
    ratio: float | None = Field(
        None, description="Median of the rounds' ratios; null when nothing was measured"
    )
    interval: tuple[float, float] | None = Field(
        None, description="99 % order-statistic interval of the median"
    )
    tier: str | None = Field(None, description="Highest tier reached, null below the first")
    tiers: dict[str, float] = Field(description="Tier name -> ratio, rising")
    verdict: Status
    reason: str = Field("", description="Why it was not judged, or what was noticed")
    rounds: int = Field(0, ge=0)
    clock: Literal["cpu", "wall"] = "cpu"
    unit: str = Field("", description="Unit of the two rates, e.g. 'GFLOP/s'")
    submission_rate: float | None = None
    reference_rate: float | None = None
    roofline: Roofline | None = None


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

    schema_id: Literal["grader/result/v1"] = Field("grader/result/v1", alias="schema")
    lab: str
    lab_title: str
    submission: str = Field(description="Name of the submission, e.g. its folder")
    mode: Literal["practice", "official"]
    score: float = Field(ge=0)
    max_score: float = Field(ge=0)
    judged_max: float = Field(ge=0, description="Points that could be judged here; the rest waits")
    status: Status
    tests: list[TestResult]
    duels: list[Duel]
    sandbox: Sandbox
    machine: Machine
    toolchain: dict[str, str] = Field(description="Compiler, flags, reference library, grader version")
    hashes: dict[str, str] = Field(description="SHA-256 of submission, lab, grader")
    seeds: dict[str, int] = Field(description="'run': replays every test's inputs")
    notes: list[str] = Field(
        default_factory=list, description="Said once for the whole run, e.g. 'valgrind is missing'"
    )
    started_at: str = Field(description="ISO 8601, UTC")
    duration_s: float = Field(ge=0)

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, populate_by_name=True)

    def to_json(self) -> str:
        """The document as JSON text, two-space indented, ending in a newline."""
        return self.model_dump_json(by_alias=True, indent=2) + "\n"


def json_schema() -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of the result document."""
    schema = Result.model_json_schema(by_alias=True)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def read(path: Path) -> Result:
    """Read a result document.

    Raises ValueError naming the file when it is missing, truncated, or not a result of version 1.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: cannot read the result: {error}") from error
    try:
        return Result.model_validate(json.loads(text))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: not a {SCHEMA} document: {error}") from error


def write_atomically(path: Path, text: str) -> None:
    """Write `text` so that readers see the old file or the whole new one, never a part; parents are created."""
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
