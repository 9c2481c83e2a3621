"""The lab contract: what `labs/<id>/lab.yaml` says, as validated plain data, and where the lab's files lie.

The only I/O is reading the lab's own files. Whatever is wrong with a contract is told at once, each problem
with file, line, dotted field and what to do, in one `ContractError`; nothing else is raised for a bad file.
The fields are documented in `docs/lab-contract.md`, whose tables are made from the descriptions below.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping, Sized
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal, TypeVar, get_args

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, ValidationInfo

FILE = "lab.yaml"
MAX_BYTES = 256 * 1024
MAX_DEPTH = 12
MAX_NUMBER_LENGTH = 40  # characters
MAX_PROBLEMS = 50  # told at a time; also bounds the work that a hostile file can cause
MAX_ENTRIES = 64  # sources, duels, rungs

Tier = Literal["pass", "bronze", "silver", "gold", "bonus"]
TIERS: tuple[Tier, ...] = get_args(Tier)
NO_TIER = "none"

# What the folder of a lab holds beside what judges; these do not enter the digest.
_NOT_JUDGING = {"mutants", "cheats", "__pycache__"}

_ID = r"[a-z][a-z0-9_]{0,39}"
_PLAIN_NAME = r"[A-Za-z0-9_][A-Za-z0-9_+.-]{0,79}"
_LANGUAGES = {".c": "c", ".cu": "cuda", ".h": "header", ".cuh": "header"}

FieldPath = tuple[str | int, ...]
_Entries = TypeVar("_Entries", bound=Sized)


# --- Errors ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong in a contract. `line` counts from 1; 0 means the file as a whole."""

    line: int
    field: str
    message: str


class ContractError(ValueError):
    """A contract that cannot be used; one line per problem, as `labs/x/lab.yaml:31: field: what is wrong`."""

    def __init__(self, file: str, problems: list[Problem]) -> None:
        self.file = file
        self.problems = sorted(problems, key=lambda problem: problem.line)
        lines = [self._text(problem) for problem in self.problems[:MAX_PROBLEMS]]
        if len(problems) > MAX_PROBLEMS:
            lines.append(f"{file}: there are more problems; correct these first")
        super().__init__("\n".join(lines))

    def __reduce__(self) -> tuple[type[ContractError], tuple[str, list[Problem]]]:
        # Exceptions are rebuilt from their arguments when they come back from a worker process.
        return type(self), (self.file, self.problems)

    def _text(self, problem: Problem) -> str:
        place = f"{self.file}:{problem.line}" if problem.line else self.file
        return ": ".join(part for part in (place, problem.field, problem.message) if part)


# --- Kinds of values ------------------------------------------------------------------------------


def _shown(value: object) -> str:
    """A value as people wrote it, short and without control characters."""
    if value is None:
        return "nothing"
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, tuple):
        return "a list"
    text = json.dumps(value, ensure_ascii=True)
    return text if len(text) <= 60 else text[:56] + '..."'


def _number(value: float) -> str:
    return f"{value:.2f}" if round(value, 2) == value else f"{value:g}"


def _matching(pattern: str, advice: str) -> AfterValidator:
    """Text that matches the whole pattern; `advice` completes the sentence '"x" ...'."""

    def check(text: str) -> str:
        if not re.fullmatch(pattern, text):
            raise ValueError(f"{_shown(text)} {advice}")
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
    if len(text) > 160 or not all(re.fullmatch(_PLAIN_NAME, part) for part in text.split("/")):
        raise ValueError(
            f"{_shown(text)} is not a plain path: ASCII letters, digits, _ + - and . in each part, "
            "parts joined by /, none beginning with . or -, as in gemm.c or src/gemm.c"
        )
    if PurePosixPath(text).suffix not in _LANGUAGES:
        raise ValueError(f"{_shown(text)} has no known language: end the name in {', '.join(_LANGUAGES)}")
    return text


def _flag(text: str) -> str:
    if not re.fullmatch(r"-[!-~]{1,199}", text):
        raise ValueError(f"{_shown(text)} is not a compiler flag: begin with -, no spaces, one flag per item")
    if text.startswith("-l"):
        raise ValueError(f"{_shown(text)} names a library; put it under build.libraries")
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
Name = Annotated[str, _matching(_ID, "must be 1 to 40 small letters, digits and _, beginning with a letter")]
Category = Annotated[
    str, _matching(r"[a-z][a-z0-9 _-]{0,39}", "must be 1 to 40 small letters, digits, spaces, _ and -")
]
FileName = Annotated[
    str, _matching(_PLAIN_NAME, "is no plain file name (ASCII letters, digits, _ + - and .)")
]
HeaderName = Annotated[FileName, _matching(r".*\.(h|cuh)", "is not a header: end the name in .h or .cuh")]
StaffSource = Annotated[FileName, _matching(r".*\.(c|cu)", "is not a source: end the name in .c or .cu")]
Library = Annotated[str, _matching(r"[A-Za-z0-9_][A-Za-z0-9_+.-]{0,59}", "is no library: write m, not -lm")]
Package = Annotated[str, _matching(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}", "is not the name of a PyPI package")]
Variable = Annotated[str, _matching(r"[A-Za-z_][A-Za-z0-9_]{0,79}", "is not the name of a variable")]
Value = Annotated[str, _matching(r"[ -~]{0,200}", "must be at most 200 printable ASCII characters")]
Extension = Annotated[str, _matching(r"[a-z0-9_.]{1,30}", "is not an extension such as avx2 or avx512f")]
Folder = Annotated[
    str,
    Field(max_length=160),
    _matching(
        rf"\.|{_PLAIN_NAME}(/{_PLAIN_NAME})*", "is not a folder below the solution: write . or a/b, no .."
    ),
]
Ratio = Annotated[float, Field(gt=0, le=1000)]
Points = Annotated[float, Field(gt=0, le=10000)]


# --- The contract ---------------------------------------------------------------------------------


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


class Build(_Record):
    """How a submission is built. The grader adds `-std=gnu11 -fPIC -pthread -g -Wall -Wextra` itself."""

    flags: tuple[Annotated[str, AfterValidator(_flag)], ...] = Field(
        default=("-O2",), description="Compiler flags, one per item; they are also what the handout promises"
    )
    libraries: tuple[Library, ...] = Field(
        default=(), description="Libraries to link, by the name after `-l`"
    )
    glue: tuple[StaffSource, ...] = Field(
        default=(), description="Staff sources in `labs/<id>/`, linked into every build"
    )


class Limits(_Record):
    """What a build and a call may use before they are stopped."""

    build_s: float = Field(default=30, ge=1, le=600, description="Seconds for one build")
    build_memory_mib: int = Field(default=2048, ge=64, le=65536, description="Memory of the compiler, in MiB")
    call_s: float = Field(default=10, ge=0.1, le=600, description="Seconds for one call into the submission")
    memory_mib: int = Field(default=4096, ge=16, le=1048576, description="Memory of the runner, in MiB")
    output_kib: int = Field(
        default=256, ge=1, le=65536, description="What may be printed, in KiB; more is cut"
    )
    threads: int = Field(default=64, ge=1, le=4096, description="Threads and processes at one time")


class Reference(_Record):
    """What duels are fought against."""

    source: StaffSource = Field(
        description="File in `labs/<id>/` with the lab's functions, `reference_name()` and `reference_isa()`"
    )
    package: Package | None = Field(
        default=None, description="PyPI package whose shared library the source links"
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
    clock: Literal["cpu", "wall"] = Field(
        default="cpu", description="`cpu`: processor time of the runner; `wall`: for several threads or a GPU"
    )
    cap_s: float = Field(
        default=20, ge=1, le=600, description="Seconds after which an unclear duel is not judged"
    )
    unit: Text = Field(default="GFLOP/s", description="Unit of the two rates")
    bound: Literal["compute", "memory"] | None = Field(
        default=None, description="Which roofline the report compares with; left out: none"
    )
    against: Literal["reference", "self"] = Field(
        default="reference", description="`self`: the submission itself, called another way"
    )


class Hardware(_Record):
    """What the machine must offer for the lab to be judged."""

    isa: tuple[Extension, ...] = Field(default=(), description="Vector extensions, e.g. `[avx2, fma]`")
    cores: int = Field(default=1, ge=1, le=4096, description="Cores at least")
    gpu: bool = Field(default=False, description="Needs a GPU")


class Rung(_Record):
    """One step on the way to the full solution, kept to prove that the tiers are where they should be."""

    folder: Folder = Field(description="Folder below `solutions_hidden/<id>/`; `.` is the full solution")
    tiers: dict[Name, Literal["none", "pass", "bronze", "silver", "gold", "bonus"]] = Field(
        default_factory=dict, description="Duel -> the tier it must land in; `none`: below the first"
    )


def _default_credit() -> dict[Tier, float]:
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
    reference: Reference | None = Field(default=None, description="What duels are fought against")
    points: Annotated[dict[Category, Points], AfterValidator(_not_empty)] = Field(
        description="Category -> points; what the tests of the category must add up to"
    )
    gate: Gate = Field(default=Gate(), description="What opens the performance points")
    duels: dict[Name, Duel] = Field(default_factory=dict, max_length=MAX_ENTRIES, description="Name -> duel")
    credit: Annotated[dict[Tier, Annotated[float, Field(gt=0, le=2)]], AfterValidator(_rising)] = Field(
        default_factory=_default_credit, description="Tier -> share of a duel's points at that tier; rising"
    )
    hardware: Hardware = Field(default=Hardware(), description="What the machine must offer")
    starter_floor: float = Field(
        default=0, ge=0, le=10000, description="Points that the starter may earn at most"
    )
    rungs: dict[Name, Rung] = Field(
        default_factory=dict, max_length=MAX_ENTRIES, description="Name -> rung, slowest first"
    )


class Lab(Contract):
    """A contract, and where its files lie. Made by `load_lab`."""

    root: Path = Field(description="The course: the folder that holds labs/, starter/ and solutions_hidden/")
    folder: Path = Field(description="labs/<id>")

    @property
    def starter(self) -> Path:
        """What a student receives: starter/<id>."""
        return self.root / "starter" / self.id

    @property
    def solution(self) -> Path:
        """The full-credit solution: solutions_hidden/<id>. Rungs lie below it."""
        return self.root / "solutions_hidden" / self.id

    @property
    def header_path(self) -> Path:
        """The header that submissions and the grader share."""
        return self.starter / self.interface.header

    @property
    def reference_path(self) -> Path | None:
        """The reference's source, or None where the lab has no reference."""
        return self.folder / self.reference.source if self.reference else None

    @property
    def glue_paths(self) -> tuple[Path, ...]:
        """Staff sources that are linked into every build."""
        return tuple(self.folder / name for name in self.build.glue)

    @property
    def max_points(self) -> float:
        """The sum over all categories."""
        return sum(self.points.values())

    def test_files(self, practice: bool) -> list[Path]:
        """The test modules to run, in order; practice leaves out the hidden ones.

        Raises ContractError when one is missing: without the hidden tests a grade means nothing.
        """
        names = ["test_public.py"] + ([] if practice else ["test_hidden.py"])
        if self.duels or _is_file(self.folder / "test_performance.py"):
            names.append("test_performance.py")
        missing = [name for name in names if not _is_file(self.folder / name)]
        if missing:
            advice = "write it" if practice else "write it, or grade in practice mode without hidden tests"
            file = _relative(self.folder / FILE, self.root)
            raise ContractError(file, [Problem(0, "", f"{name} is missing; {advice}") for name in missing])
        return [self.folder / name for name in names]

    @property
    def digest(self) -> str:
        """SHA-256 (hex) over what judges: the header and every file in labs/<id>, read now.

        Left out: mutants/, cheats/, Python's caches, and names that begin with a dot. Raises ContractError
        when a file cannot be read.
        """
        total = hashlib.sha256()
        try:
            header = (f"starter/{self.interface.header}", self.header_path)
            for name, path in [header, *_judging_files(self.folder)]:
                content = hashlib.sha256(path.read_bytes()).hexdigest()
                total.update(json.dumps([name, content]).encode() + b"\n")
        except OSError as error:
            file = _relative(self.folder / FILE, self.root)
            raise ContractError(file, [Problem(0, "", f"cannot read a file of the lab: {error}")]) from error
        return total.hexdigest()


def _judging_files(folder: Path) -> list[tuple[str, Path]]:
    """(name below the folder, path) of the files that judge, sorted by name."""
    found = []
    for parent, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if name not in _NOT_JUDGING and not name.startswith(".")]
        for name in names:
            path = Path(parent) / name
            if not name.startswith(".") and _is_file(path):
                found.append((path.relative_to(folder).as_posix(), path))
    return sorted(found)


# --- Loading --------------------------------------------------------------------------------------


def list_labs(root: Path) -> list[str]:
    """The ids of the labs in `root`/labs, sorted: folders with a proper name that hold a lab.yaml."""
    try:
        names = sorted(entry.name for entry in (root / "labs").iterdir())
    except OSError:
        return []
    return [name for name in names if re.fullmatch(_ID, name) and _is_file(root / "labs" / name / FILE)]


def load_lab(lab: str | Path, root: Path) -> Lab:
    """Load and validate a lab, by its id or by the path of its folder or its lab.yaml.

    Raises ContractError listing every problem: no such lab (the message names those that exist), a file that
    is not proper YAML, unknown, missing or wrong fields, names that do not fit together, missing files.
    """
    root = root.resolve()
    folder = _lab_folder(lab, root)
    path = folder / FILE
    file = _relative(path, root)
    reading = _Reading(file)
    tree = reading.tree(_read_text(path, file))
    problems = [*reading.problems]
    contract = None
    try:
        contract = Contract.model_validate(tree)
    except ValidationError as error:
        problems += [_problem(details, reading) for details in error.errors()[:MAX_PROBLEMS]]
    found = islice(_contradictions(tree, folder, root), MAX_PROBLEMS)
    problems += [Problem(reading.line(where), _dotted(where), text) for where, text in found]
    if contract is None or problems:
        raise ContractError(file, problems)
    values = {name: getattr(contract, name) for name in Contract.model_fields}
    values["schema"] = values.pop("schema_version")
    return Lab(**values, root=root, folder=folder)


def _lab_folder(lab: str | Path, root: Path) -> Path:
    text = str(lab)
    folder = root / "labs" / text if re.fullmatch(_ID, text) else Path(text)
    if folder.name == FILE:
        folder = folder.parent
    if _is_file(folder / FILE):
        return folder.resolve()
    labs = list_labs(root)
    near = _nearest(PurePosixPath(text).name, labs)
    advice = f"The labs here are: {', '.join(labs)}" if labs else f"{root / 'labs'} holds no labs"
    raise ContractError(_shown(text)[1:-1], [Problem(0, "", f"no such lab{near or '.'} {advice}")])


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # a name too long, a NUL in it
        return False


def _relative(path: Path, root: Path) -> str:
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else str(path)


def _nearest(word: str, known: list[str]) -> str:
    """'; did you mean x?' or nothing."""
    near = difflib.get_close_matches(word[:80].lower(), known[:MAX_ENTRIES], n=1)
    return f"; did you mean {_key(near[0])}?" if near else ""


def _read_text(path: Path, file: str) -> str:
    try:
        with path.open("rb") as stream:
            data = stream.read(MAX_BYTES + 1)
    except OSError as error:
        raise ContractError(file, [Problem(0, "", f"cannot be read: {error.strerror or error}")]) from error
    if len(data) > MAX_BYTES:
        text = f"is larger than {MAX_BYTES // 1024} KiB; a contract is short"
        raise ContractError(file, [Problem(0, "", text)])
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ContractError(file, [Problem(line, "", "is not UTF-8 text; save the file as UTF-8")]) from error
    tabs = [number for number, line in enumerate(text.split("\n"), 1) if "\t" in line]
    if tabs:
        more = f" (and {len(tabs) - 1} more lines)" if len(tabs) > 1 else ""
        raise ContractError(file, [Problem(tabs[0], "", f"holds a tab{more}; YAML wants spaces")])
    return text


# --- YAML, without its surprises ------------------------------------------------------------------


class _Refusal(yaml.MarkedYAMLError):
    """Proper YAML that has no place in a contract."""


class _Loader(yaml.SafeLoader):
    """The safe loader, less what makes YAML dangerous and a contract does not need: aliases, tags, depth."""

    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        event = self.peek_event()  # type: ignore[no-untyped-call]
        refusal = ""
        if isinstance(event, yaml.AliasEvent) or event.anchor is not None:
            refusal = "anchors and aliases (& and *) have no place in a contract; write it out, or quote it"
        elif event.tag is not None:
            refusal = "tags (!) have no place in a contract; leave it out, or quote the value"
        elif self.depth >= MAX_DEPTH:
            refusal = f"is nested more than {MAX_DEPTH} levels deep; a contract never is"
        if refusal:
            raise _Refusal(problem=refusal, problem_mark=event.start_mark)
        self.depth += 1
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node


@dataclass
class _Reading:
    """One file being read: the line of every field, and the problems so far."""

    file: str
    lines: dict[FieldPath, int] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def tree(self, text: str) -> dict[str, object]:
        """The document as dicts, tuples and scalars. Raises ContractError where it is not YAML at all."""
        try:
            node = yaml.compose(text, Loader=_Loader)
        except yaml.reader.ReaderError as error:
            line = text.count("\n", 0, error.position) + 1
            raise self._stop(line, "holds a control character; remove it") from error
        except yaml.MarkedYAMLError as error:
            line = error.problem_mark.line + 1 if error.problem_mark else 0
            raise self._stop(line, _yaml_message(error)) from error
        except (yaml.YAMLError, ValueError, OverflowError) as error:
            raise self._stop(0, f"is not valid YAML: {error}") from error
        if node is None:
            raise self._stop(0, "is empty; copy the example in docs/lab-contract.md")
        if not isinstance(node, yaml.MappingNode):
            raise self._stop(node.start_mark.line + 1, "must be a mapping of fields, as in `id: gemm_cpu`")
        return self._mapping(node, ())

    def line(self, where: FieldPath) -> int:
        """The line of a field, or of the nearest enclosing one that the file has."""
        while where and where not in self.lines:
            where = where[:-1]
        return self.lines.get(where, 1)

    def _stop(self, line: int, message: str) -> ContractError:
        return ContractError(self.file, [Problem(line, "", message)])

    def _plain(self, node: yaml.Node, where: FieldPath) -> object:
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, where)
        if isinstance(node, yaml.SequenceNode):
            items = []
            for index, item in enumerate(node.value):
                at = (*where, index)
                self.lines[at] = item.start_mark.line + 1
                items.append(self._plain(item, at))
            return tuple(items)
        return self._word(node, where)

    def _word(self, node: yaml.Node, where: FieldPath) -> object:
        text: str = node.value
        if _has_surrogate(text):
            self._note(node, where, "holds half a character (a lone surrogate); remove it")
            return ""
        quoted = not isinstance(node, yaml.ScalarNode) or node.style is not None
        value = text if quoted else _scalar(text)
        if value is _TOO_LONG:
            self._note(node, where, "has too many digits; round it")
            return 1
        return value

    def _note(self, node: yaml.Node, where: FieldPath, message: str) -> None:
        self.problems.append(Problem(node.start_mark.line + 1, _dotted(where), message))

    def _mapping(self, node: yaml.MappingNode, where: FieldPath) -> dict[str, object]:
        result: dict[str, object] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode) or _has_surrogate(key_node.value):
                self._note(key_node, where, "has a key that is not a plain word; write key: value")
                continue
            key = key_node.value
            at = (*where, key)
            if key in result:
                self._note(key_node, at, f"is given twice (first on line {self.lines[at]}); keep one")
                continue
            self.lines[at] = key_node.start_mark.line + 1
            result[key] = self._plain(value_node, at)
        return result


_TOO_LONG = object()


def _scalar(text: str) -> object:
    """An unquoted word by the core rules of YAML 1.2: `no` and `1:30` are words, `010` and `0x1F` too."""
    if text in ("", "~", "null"):
        return None
    if text in ("true", "false"):
        return text == "true"
    if re.fullmatch(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)", text):
        return float(text.replace(".", ""))
    whole = re.fullmatch(r"[-+]?(0|[1-9][0-9]*)", text)
    if not whole and not re.fullmatch(r"[-+]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][-+]?[0-9]+)?", text):
        return text
    if re.fullmatch(r"[-+]?0[0-9]+", text):
        return text
    if len(text) > MAX_NUMBER_LENGTH:
        return _TOO_LONG
    return int(text) if whole else float(text)


def _has_surrogate(text: str) -> bool:
    return any("\ud800" <= character <= "\udfff" for character in text)


def _yaml_message(error: yaml.MarkedYAMLError) -> str:
    problem = str(error.problem or "cannot be understood")
    if isinstance(error, _Refusal):
        return problem
    if "single document" in str(error.context):
        return "holds a second document (---); keep one"
    context = f"{error.context}, " if error.context else ""
    return f"is not valid YAML: {context}{problem}; check indentation, colons and quotes near here"


# --- Messages -------------------------------------------------------------------------------------


def _key(name: str) -> str:
    """A key as it stands in the file, in quotes where it is not a plain word."""
    return name if re.fullmatch(r"[A-Za-z0-9_ -]{1,60}", name) else _shown(name)


def _dotted(where: FieldPath) -> str:
    text = ""
    for part in where:
        text += f"[{part}]" if isinstance(part, int) else f".{_key(part)}"
    return text.removeprefix(".")


def _problem(details: Any, reading: _Reading) -> Problem:
    """A problem from one of pydantic's error records."""
    where: FieldPath = details["loc"]
    if where and where[-1] == "[key]" and where not in reading.lines:
        where = where[:-1]
    return Problem(reading.line(where), _dotted(where), _message(details, where))


def _message(details: Any, where: FieldPath) -> str:
    kind, value, context = details["type"], details["input"], details.get("ctx", {})
    if kind == "missing":
        return f"is missing: {_description(where)}"
    if kind == "extra_forbidden":
        known = _known_keys(where[:-1])
        return "unknown key" + (_nearest(str(where[-1]), known) or f"; the keys here are: {', '.join(known)}")
    if kind == "value_error":
        return str(context["error"])
    if kind == "string_type" and isinstance(value, int | float):
        return f'must be text, not {_shown(value)}; put it in quotes: "{_shown(value)}"'
    if kind == "literal_error":
        return f"must be {context['expected']}, not {_shown(value)}"
    if kind == "too_long":
        return f"must have at most {context['max_length']} entries"
    if kind == "string_too_long":
        return f"must have at most {context['max_length']} characters"
    bounds = {"gt": "above", "ge": "at least", "lt": "below", "le": "at most"}
    for bound, words in bounds.items():
        if bound in context:
            return f"must be {words} {context[bound]:g}, not {_shown(value)}"
    wanted = _WANTED.get(kind)
    return f"must be {wanted}, not {_shown(value)}" if wanted else str(details["msg"])


_WANTED = {
    "string_type": "text",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "tuple_type": "a list, as in [a, b]",
    "dict_type": "a mapping, as in {key: value}",
    "model_type": "a mapping, as in {key: value}",
    "model_attributes_type": "a mapping, as in {key: value}",
}


def _known_keys(where: FieldPath) -> list[str]:
    return [info.alias or name for name, info in _model_at(where).model_fields.items()]


def _description(where: FieldPath) -> str:
    fields = _model_at(where[:-1]).model_fields.items()
    return next((info.description or "" for name, info in fields if (info.alias or name) == where[-1]), "")


def _model_at(where: FieldPath) -> type[BaseModel]:
    """The record that describes a mapping of the file; names and indices on the way keep the record."""
    model: type[BaseModel] = Contract
    for part in where:
        info = model.model_fields.get(str(part))
        model = (_model_in(info.annotation) if info else None) or model
    return model


def _model_in(annotation: object) -> type[BaseModel] | None:
    if isinstance(annotation, type) and not get_args(annotation) and issubclass(annotation, BaseModel):
        return annotation
    return next(filter(None, (_model_in(inner) for inner in get_args(annotation))), None)


# --- What must fit together -----------------------------------------------------------------------
# These look at the unvalidated tree, so that they speak up beside the other problems and not only after them.


def _mapping(value: object) -> dict[str, object]:
    return value if isinstance(value, dict) else {}


def _texts(value: object) -> list[str]:
    return [item for item in value if isinstance(item, str)] if isinstance(value, tuple) else []


def _contradictions(tree: dict[str, object], folder: Path, root: Path) -> Iterator[tuple[FieldPath, str]]:
    lab_id = tree.get("id")
    if isinstance(lab_id, str) and lab_id != folder.name:
        yield ("id",), f"is {_shown(lab_id)}, but the folder's name is {_shown(folder.name)}; make them equal"
    yield from _source_contradictions(tree)
    yield from _point_contradictions(tree)
    yield from _duel_contradictions(tree)
    yield from _missing_files(tree, folder, root)


def _inside(path: str, other: str) -> bool:
    return f"{path}/".startswith(f"{other}/")


def _source_contradictions(tree: dict[str, object]) -> Iterator[tuple[FieldPath, str]]:
    items = tree.get("sources")
    items = items[:MAX_ENTRIES] if isinstance(items, tuple) else ()
    paths = {index: _mapping(item).get("path") for index, item in enumerate(items)}
    header = _mapping(tree.get("interface")).get("header")
    glue = {name.lower() for name in _texts(_mapping(tree.get("build")).get("glue"))}
    seen: dict[str, str] = {}
    for index, path in paths.items():
        if not isinstance(path, str):
            continue
        lower, at = path.lower(), ("sources", index, "path")
        clash = next((old for old in seen if _inside(lower, old) or _inside(old, lower)), "")
        if clash:
            yield at, f"{_shown(path)} and {_shown(seen[clash])} are one file on some systems; rename one"
        elif isinstance(header, str) and PurePosixPath(lower).name == header.lower():
            yield at, f"{_shown(path)} is the lab's own header, never taken from a submission; leave it out"
        elif PurePosixPath(lower).name in glue:
            yield at, f"{_shown(path)} has the name of a glue file; rename one"
        seen[lower] = path
    names = [path for path in paths.values() if isinstance(path, str)]
    if names and not any(path.endswith((".c", ".cu")) for path in names):
        yield ("sources",), "holds no .c or .cu file, so there is nothing to build; add one"


def _point_contradictions(tree: dict[str, object]) -> Iterator[tuple[FieldPath, str]]:
    points = _mapping(tree.get("points"))
    if points and "correctness" not in points:
        yield ("points",), "has no category correctness, which opens the performance points; add it"
    if points and _mapping(tree.get("duels")) and "performance" not in points:
        yield ("points",), "has no category performance, but there are duels; add it"
    values = [value for value in points.values() if isinstance(value, int | float)]
    floor = tree.get("starter_floor")
    if isinstance(floor, int | float) and len(values) == len(points) and floor > sum(values):
        yield ("starter_floor",), f"is {floor:g}, more than all the points there are ({sum(values):g})"


def _duel_contradictions(tree: dict[str, object]) -> Iterator[tuple[FieldPath, str]]:
    duels = {name: _mapping(duel) for name, duel in _mapping(tree.get("duels")).items()}
    credit = _mapping(tree.get("credit")) or _default_credit()
    for name, duel in duels.items():
        for tier in _mapping(duel.get("tiers")):
            if tier in TIERS and tier not in credit:
                yield ("duels", name, "tiers", tier), f"credit says nothing about {tier}; add it there"
        if duel.get("against", "reference") == "reference" and tree.get("reference") is None:
            yield (
                ("duels", name),
                "needs the lab's reference, but there is none; add it, or write against: self",
            )
    for rung, record in _mapping(tree.get("rungs")).items():
        for duel_name, landing in _mapping(_mapping(record).get("tiers")).items():
            at = ("rungs", rung, "tiers", duel_name)
            if duel_name not in duels:
                known = list(duels)[:MAX_ENTRIES]
                near = (
                    _nearest(duel_name, known) or f"; the duels are: {', '.join(map(_key, known)) or 'none'}"
                )
                yield at, f"there is no such duel{near}"
            elif landing in TIERS and landing not in _mapping(duels[duel_name].get("tiers")):
                yield at, f"the duel has no tier {landing}; name one of its tiers, or none"


def _missing_files(tree: dict[str, object], folder: Path, root: Path) -> Iterator[tuple[FieldPath, str]]:
    header = _mapping(tree.get("interface")).get("header")
    source = _mapping(tree.get("reference")).get("source")
    glue = _mapping(tree.get("build")).get("glue")
    glue = glue if isinstance(glue, tuple) else ()
    wanted: list[tuple[FieldPath, Path, object]] = [
        (("interface", "header"), root / "starter" / folder.name, header),
        (("reference", "source"), folder, source),
        *((("build", "glue", index), folder, name) for index, name in enumerate(glue)),
    ]
    for at, parent, name in wanted:
        if isinstance(name, str) and re.fullmatch(_PLAIN_NAME, name) and not _is_file(parent / name):
            yield at, f"{_relative(parent / name, root)} does not exist; write it, or correct the name"
