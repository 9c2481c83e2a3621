"""The pytest plugin: fixtures and marks for a lab's tests, and one TestResult per test.

pytest runs in the trusted process; the submission never does.
"""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import traceback
import zlib
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pytest
from pydantic import ValidationError

from grader import cache, scoring
from grader.result import Axis, Duel, Evidence, Failure, Series, Status, TestResult
from grader.runner.group import SharedFolder
from grader.sandbox import gpu
from grader.testing import marks
from grader.testing.checks import CheckFailed, NotJudged
from grader.testing.dueling import DuelRunner, replay_clock
from grader.testing.library import Library
from grader.testing.program import Program
from grader.testing.ranks import Ranks
from grader.testing.simulation import Simulator
from grader.testing.subject import Reference, Subject, reference_of
from grader.testing.watching import Watcher
from grader.timing.duel import Outcome
from grader.timing.fitness import cpu_info
from grader.toolchain import disassembly, kernels, module
from grader.toolchain.build import BuildFailed, Built
from grader.toolchain.disassembly import MachineCode
from grader.toolchain.kernels import Kernel
from grader.trouble import CannotWork, pip_install

PERFORMANCE = "performance"
HIDDEN = "test_hidden.py"
_MAX_DETAIL = 6000
_OF_THE_MACHINE = (CannotWork, OSError, MemoryError)
"""Errors that say nothing about the lab: a full disk, too few descriptors, a sandbox that does not start."""

_MAX_EVIDENCE = 32
_MAX_SERIES = 16


class Listener(Protocol):
    """Who is told about the progress."""

    def start(self, total: int) -> None: ...
    def running(self, name: str) -> None: ...
    def finished(self, test: TestResult) -> None: ...
    def phase(self, text: str) -> None: ...


@dataclass(eq=False)
class GradingPlugin:
    """One run of a lab's tests against one subject. Afterwards `tests` and `duels` hold the verdicts."""

    subject: Subject
    seed: int
    listener: Listener
    only: tuple[str, ...] = ()
    """Run only the tests of these names: as shown, or the function's, with or without its case. None: all."""
    with_performance: bool = True
    alone: Callable[[], contextlib.AbstractContextManager[None]] = contextlib.nullcontext
    """Entered around every test that fights a duel: nobody else uses the machine meanwhile."""
    tests: list[TestResult] = field(default_factory=list)
    duels: list[Duel] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    shown: list[Evidence] = field(default_factory=list)
    series: list[Series] = field(default_factory=list)
    expected: int = 0
    """Tests that were chosen; with fewer verdicts the run is not complete."""
    unloadable: list[str] = field(default_factory=list)
    """Files of tests that cannot be loaded, and why; pytest then runs no test at all."""
    lab_errors: list[str] = field(default_factory=list)
    """Tests that broke by themselves, and points that are not what lab.yaml promises: for staff to mend."""
    interrupted: bool = False
    _left_out: bool = False
    _shares: dict[str, int] = field(default_factory=dict)
    _awards: dict[str, tuple[float, str]] = field(default_factory=dict)
    _reference: Reference | None = None

    # --- What pytest asks -----------------------------------------------------------------------------------------

    def pytest_configure(self, config: pytest.Config) -> None:
        for name, meaning in marks.MARKS.items():
            config.addinivalue_line("markers", f"{name}: {meaning}")

    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        """Choose the tests, share points among parametrized cases, and start the builds that they need."""
        for item in items:
            self._shares[_function_id(item)] = self._shares.get(_function_id(item), 0) + 1
        self.lab_errors += self._wrong_sums(items)
        chosen = [item for item in items if self._wanted(item)]
        config.hook.pytest_deselected(items=[item for item in items if item not in chosen])
        items[:] = chosen
        for name in dict.fromkeys(_mark(item, "variant", "release") for item in items):
            self.subject.prefetch(name)
        self.listener.start(len(items))

    def _wrong_sums(self, items: Sequence[pytest.Item]) -> Iterator[str]:
        """Categories whose tests are not worth what lab.yaml promises, in a run that has all tests at hand."""
        if self._left_out or not any(item.path.name == HIDDEN for item in items):
            return
        sums = dict.fromkeys(self.subject.lab.points, 0.0)
        for item in items:
            name = _mark(item, "category", "other")
            sums[name] = sums.get(name, 0.0) + self._possible(item)
        for name, given in sorted(sums.items()):
            promised = self.subject.lab.points.get(name, 0.0)
            if abs(promised - given) > 1e-6:
                yield f"the tests of '{name}' are worth {given:g} points, lab.yaml promises {promised:g}"

    def pytest_runtestloop(self, session: pytest.Session) -> None:
        self.expected = len(session.items)

    def pytest_keyboard_interrupt(self, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
        """pytest ends quietly after Ctrl-C, and what has run until then is no result."""
        self.interrupted = type(excinfo.value) is KeyboardInterrupt

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        """A timed test has the machine alone, also while its reference starts and its sizes are chosen."""
        timed = "duel" in getattr(item, "fixturenames", ()) and self._gate_reason(item) is None
        with self.alone() if timed else contextlib.nullcontext():
            return (yield)

    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        self.listener.running(shown_name(item.name))
        if _mark(item, "category", "") == PERFORMANCE and not self.only:
            self._needs_hardware()
        reason = self._gate_reason(item)
        if reason is not None:
            raise CheckFailed(f"not measured yet. {reason}")

    def _gate_reason(self, item: pytest.Item) -> str | None:
        """Why a test of the performance is not run yet; None for all that may run."""
        if _mark(item, "category", "") != PERFORMANCE or self.only:
            return None
        return scoring.gate_reason(self.tests, self.subject.lab.gate.correctness)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        report = yield
        error = call.excinfo.value if call.excinfo else None
        if report.when == "call" or (report.when == "setup" and error is not None):
            result = self._result(item, error, report.duration)
            self.tests.append(result)
            self.listener.finished(result)
        elif report.when == "teardown" and error is not None:
            self.notes.append(f"{shown_name(item.name)}: cleaning up failed: {error}")
        return report

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            last = str(report.longrepr).strip().splitlines()[-1].removeprefix("E").strip()
            self.unloadable.append(f"{report.nodeid}: {last}")
        elif report.skipped:
            reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
            self._left_out = True
            self.notes.append(f"{report.nodeid} was left out: {reason.removeprefix('Skipped: ')}")

    def pytest_benchmark_generate_machine_info(self, config: pytest.Config) -> dict[str, object]:
        """What pytest-benchmark's JSON says about the machine, without its slow look-up."""
        info = cpu_info()
        return {
            "node": info.hostname,
            "release": info.kernel,
            "cpu": {"brand_raw": info.name, "count": info.cores},
        }

    def pytest_benchmark_generate_commit_info(self) -> dict[str, object]:
        """Nothing about a repository, for which pytest-benchmark would start nine processes."""
        return {"id": "unversioned", "project": self.subject.lab.id}

    # --- What tests use -------------------------------------------------------------------------------------------

    @pytest.fixture
    def build(self) -> Built:
        """The release build with the compiler's remarks."""
        return self.subject.built()

    @pytest.fixture
    def library(self, request: pytest.FixtureRequest) -> Iterator[Library]:
        """The submission's functions, of the build that the test's `variant` names."""
        variant = _mark(request.node, "variant", "release")
        self.subject.built(variant)
        self._needs_hardware()
        opened = self.subject.library(variant)
        yield opened
        if self._failed(request.node):
            opened.close()  # what a failed test left behind must not meet the next one

    @pytest.fixture(scope="session")
    def kernels(self) -> tuple[Kernel, ...]:
        """The submission's CUDA kernels: their PTX, registers, spills and shared memory. Needs no GPU."""
        built = self.subject.built()
        texts = [text.decode("utf-8", "replace") for text in self.subject.files.values()]
        return kernels.read(built.folder, built.said, texts)

    @pytest.fixture(scope="session")
    def watch(self) -> Watcher:
        """`watch("racecheck", [Invocation(…)])`: the calls under compute-sanitizer."""
        self._needs_hardware()
        return self.subject.watcher()

    @pytest.fixture(scope="session")
    def on_gpu(self) -> Any:
        """CuPy, for oracles on the GPU in the grader's own process."""
        self._needs_hardware()
        try:
            import cupy
        except ImportError:
            raise NotJudged(f"needs CuPy for the expected results: {pip_install(gpu.cupy())}") from None
        return cupy

    @pytest.fixture
    def ranks(self, request: pytest.FixtureRequest) -> Iterator[Callable[..., Ranks]]:
        """`ranks(4)`: runners of the test's variant, connected by wires that the grader watches; see `Ranks`.

        `wire=Wire(…)`, `cut={rank: bytes}` and `folder=` ask for new ones, which end with the test.
        """
        variant = _mark(request.node, "variant", "release")
        self.subject.built(variant)
        opened: list[tuple[Ranks, bool]] = []

        def start(world: int, **how: Any) -> Ranks:
            opened.append((self.subject.ranks(variant, world, **how), bool(how)))
            return opened[-1][0]

        yield start
        failed = self._failed(request.node)
        for made, is_new in opened:
            if is_new or failed or not made.quiet():
                made.close()

    @pytest.fixture
    def program(self, request: pytest.FixtureRequest) -> Iterator[Program]:
        """The submission's executable, of the build that the test's `variant` names."""
        opened = self.subject.program(_mark(request.node, "variant", "release"))
        yield opened
        if self._failed(request.node):
            opened.close()

    @pytest.fixture
    def model(self) -> Callable[[str], Program]:
        """`model("dash")`: a program of this machine with the same job, in a sandbox like the submission's."""
        return self.subject.model

    @pytest.fixture
    def shared_folder(self) -> Iterator[SharedFolder]:
        """A folder that outlives the ranks that are given it: `ranks(2, folder=shared_folder)`."""
        folder = SharedFolder(self.subject.tier)
        yield folder
        folder.close()

    @pytest.fixture
    def files(self) -> Iterator[Path]:
        """An empty folder for this test's files; the submission sees it at the same path and can only read it."""
        folder = cache.open_to_all(Path(tempfile.mkdtemp(dir=self.subject.shelf)))
        yield folder
        shutil.rmtree(folder, ignore_errors=True)

    @pytest.fixture(scope="session")
    def files_of_run(self) -> Path:
        """A folder like `files` that lasts as long as the run, for large files that several tests share."""
        return cache.open_to_all(Path(tempfile.mkdtemp(dir=self.subject.shelf)))

    @pytest.fixture
    def rng(self, request: pytest.FixtureRequest) -> np.random.Generator:
        """Random numbers of this test in this run: SEED=… gives the same again."""
        return np.random.default_rng([self.seed, zlib.crc32(test_id(request.node).encode())])

    @pytest.fixture
    def award(self, request: pytest.FixtureRequest) -> Callable[[float, str], None]:
        """`award(0.7, "1.2 million misses")`: a passing test earns this share of its points."""

        def keep(fraction: float, message: str = "") -> None:
            self._awards[request.node.nodeid] = (fraction, message)

        return keep

    @pytest.fixture
    def failed_before(self) -> int:
        """How many tests of this run have failed so far: a long search may be shorter when there is enough to mend."""
        return sum(test.status == "failed" for test in self.tests)

    @pytest.fixture
    def evidence(self, request: pytest.FixtureRequest) -> Callable[[str, str], None]:
        """`evidence("the loop of gemv_f32", listing)`: shown in the report, whether the test passes or not."""

        def keep(title: str, text: str) -> None:
            if len(self.shown) < _MAX_EVIDENCE:
                record = Evidence(test_id=test_id(request.node), title=title[:200], text=text[:_MAX_DETAIL])
                self.shown.append(record)

        return keep

    @pytest.fixture
    def keep_series(self, request: pytest.FixtureRequest) -> Callable[..., None]:
        """`keep_series("latency", x=("size", "bytes"), y=("a load", "ns"), lines={"random": points})`: what the
        submission has measured, for a plot in the report. Points are pairs; x rises, and both are above 0."""

        def keep(
            title: str,
            x: tuple[str, str],
            y: tuple[str, str],
            lines: Mapping[str, Sequence[tuple[float, float]]],
        ) -> None:
            axes = [Axis(label=label, unit=unit) for label, unit in (x, y)]
            points = {name: [(float(a), float(b)) for a, b in pairs] for name, pairs in lines.items()}
            try:
                record = Series(
                    test_id=test_id(request.node), title=title[:120], x=axes[0], y=axes[1], lines=points
                )
            except ValidationError as error:
                why = error.errors()[0]["msg"].removeprefix("Value error, ")
                raise CheckFailed(f"what was measured cannot be drawn: {why}", case=title) from None
            if len(self.series) < _MAX_SERIES:
                self.series.append(record)

        return keep

    @pytest.fixture(scope="session")
    def simulate(self) -> Simulator:
        """The submission on a simulated CPU with a fixed cache."""
        return self.subject.simulator()

    @pytest.fixture(scope="session")
    def machine_code(self) -> MachineCode:
        """What the compiler made of the submission: the instructions of its loops, in the release build."""
        if not disassembly.available():
            raise NotJudged("needs objdump: apt-get install binutils")
        return MachineCode(self.subject.built().folder / module.LIBRARY)

    @pytest.fixture(scope="session")
    def seed_of_run(self) -> int:
        """The run's seed, for inputs that several tests share; `rng` is a test's own stream."""
        return self.seed

    @pytest.fixture
    def reference(self) -> Reference:
        """The lab's reference on this machine, started and checked once per run."""
        self._needs_hardware()
        if self._reference is None:
            self.listener.phase("starting the reference")
            self._reference = reference_of(self.subject.lab, self.subject.tier, (self.subject.shelf,))
        return self._reference

    @pytest.fixture
    def duel(
        self,
        request: pytest.FixtureRequest,
        rng: np.random.Generator,
        award: Callable[[float, str], None],
        benchmark: Any,
    ) -> DuelRunner:
        """Fights a duel of lab.yaml; pytest-benchmark records the submission's times."""
        self.subject.built()
        self._needs_hardware()

        def keep(record: Duel, outcome: Outcome) -> None:
            self.duels.append(record)
            _record(benchmark, record, outcome)

        def on_round(number: int, ratio: float) -> None:
            self.listener.running(f"{shown_name(request.node.name)}: round {number}, ratio {ratio:.2f}")

        return DuelRunner(
            self.subject,
            lambda: request.getfixturevalue("reference"),
            rng,
            test_id(request.node),
            award,
            keep,
            on_round,
        )

    def _needs_hardware(self) -> None:
        """Raise NotJudged where this machine cannot run the submission at all."""
        if self.subject.lacks is not None:
            raise NotJudged(self.subject.lacks)

    # --- Verdicts -------------------------------------------------------------------------------------------------

    def _failed(self, item: pytest.Item) -> bool:
        """Has the test that just ran failed?"""
        return bool(self.tests) and self.tests[-1].id == test_id(item) and self.tests[-1].status != "passed"

    def _wanted(self, item: pytest.Item) -> bool:
        if not self.with_performance and _mark(item, "category", "") == PERFORMANCE:
            return False
        names = {_plain(item.name), _plain(shown_name(item.name)), _plain(item.name.split("[")[0])}
        return not self.only or any(_plain(wanted) in names for wanted in self.only)

    def _possible(self, item: pytest.Item) -> float:
        """What the test is worth: its function's points, shared among its cases."""
        return float(_mark(item, "points", 0)) / self._shares.get(_function_id(item), 1)

    def _result(self, item: pytest.Item, error: BaseException | None, duration_s: float) -> TestResult:
        fraction, message = self._awards.get(item.nodeid, (1.0 if error is None else 0.0, ""))
        possible = self._possible(item)
        status: Status = "passed"
        failure: Failure | None = None
        if error is not None:
            status, failure = _verdict(error, item)
            message = message or (failure.summary if failure else _one_line(str(error)))
        if status == "not_judged":
            fraction = 0.0
            if isinstance(error, _OF_THE_MACHINE) or type(error) is RuntimeError:
                self.notes.append(f"'{shown_name(item.name)}' could not run here (not your fault): {message}")
            elif not isinstance(error, (NotJudged, pytest.skip.Exception)):
                self.lab_errors.append(_broken_test(item, error))
        return TestResult(
            id=test_id(item),
            name=shown_name(item.name),
            category=_mark(item, "category", "other"),
            status=status,
            points=possible * fraction,
            max_points=possible,
            message=message,
            duration_s=duration_s,
            hidden=item.path.name == HIDDEN,
            must=item.get_closest_marker("must") is not None,
            smoke=item.get_closest_marker("smoke") is not None,
            failure=failure,
        )


def test_id(item: pytest.Item) -> str:
    """'test_hidden.py::test_skinny_shapes'; 'test_hidden.py::TestEdges::test_last_row' inside a class."""
    return f"{item.path.name}::{item.nodeid.partition('::')[2]}"


test_id.__test__ = False  # type: ignore[attr-defined]  # its name must not make pytest collect it


def shown_name(name: str) -> str:
    """'test_skinny_shapes[row]' -> 'skinny shapes [row]'."""
    function, bracket, case = name.removeprefix("test_").partition("[")
    return function.replace("_", " ") + (f" [{case}" if bracket else "")


def _plain(name: str) -> str:
    return name.removeprefix("test_").replace("_", " ").replace(" [", "[").strip().lower()


def _function_id(item: pytest.Item) -> str:
    return item.nodeid.split("[")[0]


def _mark(item: pytest.Item, name: str, default: Any) -> Any:
    marker = item.get_closest_marker(name)
    return marker.args[0] if marker else default


def _verdict(error: BaseException, item: pytest.Item) -> tuple[Status, Failure | None]:
    """Status and explanation. A lab's test that breaks by itself judges nobody."""
    if isinstance(error, CheckFailed):
        why = error.why or _explanation(item)
        return "failed", Failure(
            summary=_one_line(error.summary),
            case=error.case,
            expected=error.expected,
            got=error.got,
            where=error.where,
            why=why,
            detail=error.detail[:_MAX_DETAIL],
        )
    if isinstance(error, BuildFailed):
        return "failed", Failure(summary="not run: the submission does not build", detail="")
    if isinstance(error, (AssertionError, pytest.fail.Exception)):
        return "failed", Failure(summary=_one_line(str(error)) or "the check failed", why=_explanation(item))
    return "not_judged", None


def _explanation(item: pytest.Item) -> str:
    """The test's docstring, as one paragraph: it says the fact, and why it usually fails."""
    return (
        " ".join((getattr(item.obj, "__doc__", None) or "").split())
        if isinstance(item, pytest.Function)
        else ""
    )


def _one_line(text: str) -> str:
    return text.strip().split("\n", 1)[0][:300]


def _broken_test(item: pytest.Item, error: BaseException | None) -> str:
    """The error and its place in one line; authors see the whole traceback with plain pytest."""
    frames = traceback.extract_tb(error.__traceback__) if error else []
    place = f", at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    words = f"{type(error).__name__}: {_one_line(str(error))}{place}"
    return f"the test '{shown_name(item.name)}' itself broke (not the submission's fault): {words}"


def _record(benchmark: Any, record: Duel, outcome: Outcome) -> None:
    """Give the submission's times to pytest-benchmark, with what they were compared with."""
    if not outcome.submission_s:
        return
    benchmark._timer = replay_clock(outcome.submission_s)
    benchmark.extra_info.update(
        duel=record.id,
        ratio=record.ratio,
        interval=record.interval,
        tier=record.tier,
        clock=record.clock,
        reference=record.reference,
        reference_s=list(outcome.reference_s),
    )
    benchmark.pedantic(lambda: None, rounds=len(outcome.submission_s), iterations=1, warmup_rounds=0)
