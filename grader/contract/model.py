"""What `lab.yaml` may say: the kinds of values and the records, as frozen plain data.

The fields are documented in `docs/lab-contract.md`, whose tables are made from the descriptions below.
"""

from __future__ import annotations

import re
from collections.abc import Sized
from pathlib import PurePosixPath
from typing import Annotated, Literal, TypeVar, get_args

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo

from grader.contract.problems import shown

Tier = Literal["pass", "bronze", "silver", "gold", "bonus"]
TIERS: tuple[Tier, ...] = get_args(Tier)

MAX_ENTRIES = 64  # sources, duels, rungs
ID = r"[a-z][a-z0-9_]{0,39}"
PLAIN_NAME = r"[A-Za-z0-9_][A-Za-z0-9_+.-]{0,79}"
_LANGUAGES = {".c": "c", ".cu": "cuda", ".h": "header", ".cuh": "header"}

_Entries = TypeVar("_Entries", bound=Sized)


# --- Kinds of values --------------------------------------------------------------------------------


def _number(value: float) -> str:
    return f"{value:.2f}" if round(value, 2) == value else f"{value:g}"


def _matching(pattern: str, advice: str) -> AfterValidator:
    """Text that matches the whole pattern; `advice` completes the sentence '"x" ...'."""

    def check(text: str) -> str:
        if not re.fullmatch(pattern, text):
            raise ValueError(f"{shown(text)} {advice}")
        return text

    return AfterValidator(check)


def _one_line(text: str) -> str:
    line = " ".join(text.split())
    if not line:
        raise ValueError("is empty; write a few words")
    if not line.isprintable():
        raise ValueError("holds an invisible or control character; retype it")
    return line


def _source_path(text: str) -> str:
    if len(text) > 160 or not all(re.fullmatch(PLAIN_NAME, part) for part in text.split("/")):
        raise ValueError(
            f"{shown(text)} is not a plain path: ASCII letters, digits, _ + - and . in each part, "
            "parts joined by /, none beginning with . or -, as in gemm.c or src/gemm.c"
        )
    if PurePosixPath(text).suffix not in _LANGUAGES:
        raise ValueError(f"{shown(text)} has no known language: end the name in {', '.join(_LANGUAGES)}")
    return text


def _flag(text: str) -> str:
    if not re.fullmatch(r"-[!-~]{1,199}", text):
        raise ValueError(f"{shown(text)} is not a compiler flag: begin with -, no spaces, one flag per item")
    if text.startswith("-l"):
        raise ValueError(f"{shown(text)} names a library; put it under build.libraries")
    return text


def _rising(steps: dict[Tier, float], info: ValidationInfo) -> dict[Tier, float]:
    """The steps in the order of TIERS, each above the one before."""
    if not steps:
        raise ValueError(f"is empty; name at least one of {', '.join(TIERS)}")
    ordered = {tier: steps[tier] for tier in TIERS if tier in steps}
    for (lower, low), (upper, high) in zip(list(ordered.items()), list(ordered.items())[1:], strict=False):
        if high <= low:
            relation = "below" if high < low else "the same as"
            raise ValueError(
                f"{info.field_name} must rise: {upper} {_number(high)} is {relation} {lower} {_number(low)}"
            )
    return ordered


def _not_empty(entries: _Entries) -> _Entries:
    if not entries:
        raise ValueError("is empty; write at least one entry")
    return entries


def _schema_version(version: int) -> int:
    if version != 1:
        raise ValueError(f"this grader reads schema 1, not {version}; update the grader or write schema: 1")
    return version


Text = Annotated[str, Field(max_length=80), AfterValidator(_one_line)]
LongText = Annotated[str, Field(max_length=600), AfterValidator(_one_line)]
Name = Annotated[str, _matching(ID, "must be 1 to 40 small letters, digits and _, beginning with a letter")]
Category = Annotated[
    str, _matching(r"[a-z][a-z0-9 _-]{0,39}", "must be 1 to 40 small letters, digits, spaces, _ and -")
]
FileName = Annotated[str, _matching(PLAIN_NAME, "is no plain file name (ASCII letters, digits, _ + - and .)")]
PlainName = Annotated[
    str, _matching(r"[A-Za-z0-9_\[][A-Za-z0-9_+.-]{0,39}", "is not the name of a program, such as msh or cat")
]
HeaderName = Annotated[FileName, _matching(r".*\.(h|cuh)", "is not a header: end the name in .h or .cuh")]
StaffSource = Annotated[FileName, _matching(r".*\.(c|cu)", "is not a source: end the name in .c or .cu")]
Library = Annotated[str, _matching(r"[A-Za-z0-9_][A-Za-z0-9_+.-]{0,59}", "is no library: write m, not -lm")]
Package = Annotated[str, _matching(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}", "is not the name of a PyPI package")]
Variable = Annotated[str, _matching(r"[A-Za-z_][A-Za-z0-9_]{0,79}", "is not the name of a variable")]
Value = Annotated[str, _matching(r"[ -~]{0,200}", "must be at most 200 printable ASCII characters")]
Architecture = Annotated[str, _matching(r"sm_\d{2,3}", "is no GPU architecture such as sm_90")]
Extension = Annotated[str, _matching(r"[a-z0-9_.]{1,30}", "is not an extension such as avx2 or avx512f")]
Folder = Annotated[
    str,
    Field(max_length=160),
    _matching(
        rf"\.|{PLAIN_NAME}(/{PLAIN_NAME})*", "is not a folder below the solution: write . or a/b, no .."
    ),
]
Ratio = Annotated[float, Field(gt=0, le=1000)]
Points = Annotated[float, Field(gt=0, le=10000)]


# --- The records ------------------------------------------------------------------------------------


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class Source(_Record):
    """One file that is taken from a submission."""

    path: Annotated[str, AfterValidator(_source_path)] = Field(
        description="Plain ASCII file name, or a relative path such as `src/gemm.c`; its ending says the "
        "language (`.c`, `.cu`, or `.h` and `.cuh` for headers)"
    )
    max_bytes: int = Field(
        default=262144, ge=1, le=16 * 1024 * 1024, description="Largest size accepted, in bytes"
    )

    @property
    def language(self) -> str:
        """'c', 'cuda' or 'header'."""
        return _LANGUAGES[PurePosixPath(self.path).suffix]


class Interface(_Record):
    """What the submission must offer."""

    header: HeaderName = Field(
        description="Header in `starter/<id>/`; its declarations are what tests may call. The grader uses "
        "this copy, never the student's"
    )


class Program(_Record):
    """An executable made of the submission's files and staff's `main`, beside the library."""

    name: PlainName = Field(description="What the executable is called")
    main: StaffSource = Field(description="File in `labs/<id>/` that holds `main`")


class Build(_Record):
    """How a submission is built. The grader adds `-std=gnu11 -fPIC -pthread -g -Wall -Wextra` itself."""

    flags: tuple[Annotated[str, AfterValidator(_flag)], ...] = Field(
        default=("-O2",), description="Compiler flags, one per item; they are also what the handout promises"
    )
    libraries: tuple[Library, ...] = Field(
        default=(), description="Libraries to link, by the name after `-l`"
    )
    glue: tuple[StaffSource, ...] = Field(
        default=(),
        description="Staff sources in `labs/<id>/`, linked into every build, the reference's too; the "
        "header of the same name declares what tests may call",
    )
    faults: tuple[StaffSource, ...] = Field(
        default=(),
        description="Staff sources of the `faults` build only, like glue; each `__wrap_NAME` that they "
        "define stands in for the submission's calls of `NAME` (the linker's `--wrap`)",
    )
    program: Program | None = Field(
        default=None,
        description="Build an executable as well, in the `release`, `asan` and `faults` variants; left out: none",
    )


class Sandbox(_Record):
    """What the submission's executable finds around it: these programs, and no other; no shell unless one is named."""

    programs: tuple[PlainName, ...] = Field(
        default=(),
        max_length=MAX_ENTRIES,
        description="Programs of this machine that it may start, by name; a missing one leaves the tests not judged",
    )
    helpers: tuple[StaffSource, ...] = Field(
        default=(),
        max_length=MAX_ENTRIES,
        description="Staff programs of one file each in `labs/<id>/`; `args.c` becomes the program `args`",
    )
    models: dict[PlainName, Annotated[tuple[Value, ...], AfterValidator(_not_empty)]] = Field(
        default_factory=dict,
        max_length=MAX_ENTRIES,
        description="Programs of this machine that do the same job, each with its command line; each runs in a sandbox "
        "of its own with the same things around it. The name is also that of the Debian package",
    )


class Limits(_Record):
    """What a build and a call may use before they are stopped."""

    build_s: float = Field(default=30, ge=1, le=600, description="Seconds for one build")
    build_memory_mib: int = Field(default=2048, ge=64, le=65536, description="Memory of the compiler, in MiB")
    call_s: float = Field(default=10, ge=0.1, le=600, description="Seconds for one call into the submission")
    memory_mib: int = Field(
        default=4096,
        ge=16,
        le=1048576,
        description="Memory of the runner, in MiB; of a program and its processes",
    )
    output_kib: int = Field(
        default=256, ge=1, le=65536, description="What may be printed, in KiB; more is cut"
    )
    threads: int = Field(default=64, ge=1, le=4096, description="Threads and processes at one time")
    cpu_s: int = Field(
        default=600,
        ge=1,
        le=86400,
        description="Seconds of CPU time of one process: of a runner in all its calls, or of a program",
    )
    file_mib: int = Field(default=64, ge=1, le=65536, description="Size of a file that it writes, in MiB")


class Reference(_Record):
    """What duels are fought against."""

    source: StaffSource | None = Field(
        default=None,
        description="File in `labs/<id>/` with the lab's functions, `reference_name()` and `reference_isa()`",
    )
    program: PlainName | None = Field(
        default=None,
        description="Instead of a source: the model that the submission's executable is timed against",
    )
    package: Package | None = Field(
        default=None, description="PyPI package whose shared library the source links"
    )
    libraries: tuple[Library, ...] = Field(
        default=(), description="System libraries to link statically, by the name after `-l`"
    )
    environment: dict[Variable, Value] = Field(
        default_factory=dict, description="Environment of the reference's process; values are text"
    )
    isa: Text | None = Field(
        default=None,
        description="What `reference_isa()` must answer; with any other answer nothing is judged",
    )


class Gate(_Record):
    """What opens the performance points."""

    correctness: float = Field(
        default=0.95, gt=0, le=1, description="Share of the judged correctness points that opens performance"
    )


class Duel(_Record):
    """Submission and reference timed in turn; the outcome is a ratio, higher is better."""

    title: Text = Field(description="What people read above the bar, e.g. `n = 3072`")
    tiers: Annotated[dict[Tier, Ratio], AfterValidator(_rising)] = Field(
        description="Ratio at which each tier begins; some or all of `pass bronze silver gold bonus`, rising"
    )
    tiers_on: dict[Architecture, Annotated[dict[Tier, Ratio], AfterValidator(_rising)]] = Field(
        default_factory=dict,
        description="Other tiers on GPUs of these architectures, e.g. `sm_90: {pass: 0.05, ...}`",
    )
    clock: Literal["cpu", "wall"] = Field(
        default="cpu", description="`cpu`: processor time of the runner; `wall`: for several threads or a GPU"
    )
    cap_s: float = Field(
        default=20, ge=1, le=600, description="Seconds after which an unclear duel is not judged"
    )
    unit: Text = Field(
        default="GFLOP/s",
        description="Unit of the two rates; where it begins with k, M, G or T, that is its SI prefix",
    )
    bound: Literal["compute", "memory"] | None = Field(
        default=None, description="Which roofline the report compares with; left out: none"
    )
    intensity: Annotated[float, Field(gt=0, le=1e6)] | None = Field(
        default=None,
        description="Floating-point operations per byte that must come from memory at least once; with it the report "
        "draws the duel under both roofs",
    )
    limit: Ratio | None = Field(
        default=None,
        description="Ratio that no honest work reaches: above it nothing is judged until a person has looked",
    )
    against: Literal["reference", "self", "roofline"] = Field(
        default="reference",
        description="`self`: the submission itself, called another way; `roofline`: the reference's probe of what "
        "this core can do (`probe_read`, `probe_fma`), so that the ratio is the fraction of `bound`",
    )
    compares: Literal["time", "values"] = Field(
        default="time",
        description="`values`: not how long both take, but the numbers that they come to; the ratio is then their "
        "agreement, min(r, 1 / r), and `unit` is theirs",
    )


class Hardware(_Record):
    """What the machine must offer for the lab to be judged."""

    isa: tuple[Extension, ...] = Field(default=(), description="Vector extensions, e.g. `[avx2, fma]`")
    cores: int = Field(default=1, ge=1, le=4096, description="Cores at least")
    gpu: bool = Field(default=False, description="Needs a GPU")


Landing = Literal["none", "pass", "bronze", "silver", "gold", "bonus"]


def _as_list(value: object) -> object:
    """One tier may be written without brackets."""
    return (value,) if isinstance(value, str) else value


class Rung(_Record):
    """One step on the way to the full solution, kept to prove that the tiers are where they should be."""

    folder: Folder = Field(description="Folder below `solutions_hidden/<id>/`; `.` is the full solution")
    tiers: dict[Name, Annotated[tuple[Landing, ...], BeforeValidator(_as_list)]] = Field(
        default_factory=dict,
        description="Duel -> the tier it must land in, or several where machines differ; `none`: below the first",
    )


def default_credit() -> dict[Tier, float]:
    return {"pass": 0.4, "bronze": 0.6, "silver": 0.8, "gold": 1.0, "bonus": 1.1}


class Contract(_Record):
    """Everything that `lab.yaml` may say."""

    schema_version: Annotated[int, AfterValidator(_schema_version)] = Field(
        alias="schema", description="Version of this format: 1"
    )
    id: Name = Field(description="Equal to the folder's name")
    title: Text = Field(description="What people read")
    summary: LongText = Field(description="One or two sentences: what is built")
    sources: Annotated[tuple[Source, ...], AfterValidator(_not_empty)] = Field(
        max_length=MAX_ENTRIES, description="The only files taken"
    )
    interface: Interface = Field(description="What the submission must offer")
    build: Build = Field(default=Build(), description="How it is built")
    limits: Limits = Field(default=Limits(), description="What it may use")
    sandbox: Sandbox = Field(default=Sandbox(), description="What its executable may start")
    reference: Reference | None = Field(default=None, description="What duels are fought against")
    points: Annotated[dict[Category, Points], AfterValidator(_not_empty)] = Field(
        description="Category -> points; what the tests of the category must add up to"
    )
    gate: Gate = Field(default=Gate(), description="What opens the performance points")
    duels: dict[Name, Duel] = Field(default_factory=dict, max_length=MAX_ENTRIES, description="Name -> duel")
    credit: Annotated[dict[Tier, Annotated[float, Field(gt=0, le=2)]], AfterValidator(_rising)] = Field(
        default_factory=default_credit, description="Tier -> share of a duel's points at that tier; rising"
    )
    hardware: Hardware = Field(default=Hardware(), description="What the machine must offer")
    starter_floor: float = Field(
        default=0, ge=0, le=10000, description="Points that the starter may earn at most"
    )
    rungs: dict[Name, Rung] = Field(
        default_factory=dict, max_length=MAX_ENTRIES, description="Name -> rung, slowest first"
    )
