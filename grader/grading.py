"""Grading one submission of one lab: intake, build, tests, duels, score, result."""

from __future__ import annotations

import contextlib
import datetime
import functools
import io
import os
import secrets
import shutil
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pytest
import pytest_benchmark.plugin

import grader
from grader import cache, cc, scoring
from grader.lab import Lab
from grader.result import Failure, Machine, Result, Sandbox, TestResult
from grader.sandbox import gpu
from grader.sandbox.confine import Tier
from grader.sandbox.probe import best_tier
from grader.submission import Refused, Submission, take
from grader.testing.checks import NotJudged
from grader.testing.plugin import GradingPlugin, Listener
from grader.testing.subject import Subject
from grader.timing import fitness
from grader.toolchain import nvcc, recipe
from grader.toolchain.build import BuildFailed
from grader.trouble import CannotWork

Mode = Literal["practice", "official"]


@dataclass(frozen=True)
class Options:
    """How to grade. `only`: these tests by name, all when empty; `seed`: replays inputs; `slot`: which sandbox user;
    `alone`: entered around every timed test, to have the machine alone meanwhile."""

    mode: Mode = "official"
    only: tuple[str, ...] = ()
    seed: int | None = None
    performance: bool = True
    slot: int = 0
    alone: Callable[[], contextlib.AbstractContextManager[None]] = contextlib.nullcontext


@dataclass(frozen=True)
class Graded:
    """The result, and pytest-benchmark's own JSON of the timed tests ('' when nothing was timed)."""

    result: Result
    benchmark_json: str


class NotOfficial(CannotWork):
    """This machine cannot isolate student code well enough for an official grade."""


class LabBroken(RuntimeError):
    """The lab's own tests are wrong, whoever hands in: nobody gets a grade from them."""


class UnknownTest(LookupError):
    """None of the lab's tests has a name that was asked for."""


def grade(lab: Lab, folder: Path, options: Options, listener: Listener) -> Graded:
    """Grade the submission in `folder`.

    Never raises for what a submission does. Raises NotOfficial for an official run on a machine whose sandbox is of
    tier D, UnknownTest when `options.only` names nothing, RuntimeError when the grader itself cannot work (no compiler,
    no Python headers).
    """
    started, clock = datetime.datetime.now(datetime.timezone.utc), time.monotonic()
    cc.find()
    tier = best_tier(options.slot)
    if options.mode == "official" and tier.name == "D":
        raise NotOfficial(
            "official grading needs a sandbox of tier A, B or C, and this machine offers D (not isolated). "
            "`make doctor` says how to get one; PRACTICE=1 runs the public tests without it."
        )
    seed = secrets.randbits(48) if options.seed is None else options.seed
    maximum = lab.maximum(practice=options.mode == "practice")
    before = fitness.snapshot()
    own_before = sum(os.times()[:4])
    try:
        submission = take(folder, lab)
        plugin, benchmark_json = _judge(lab, submission, tier, seed, options, listener)
        tests = [_with_source(test, submission) for test in plugin.tests]
        duels, shown, series = plugin.duels, plugin.shown, plugin.series
        notes, lab_errors = [*submission.notes, *plugin.notes], plugin.lab_errors
        name, digest = submission.name, submission.digest
    except Refused as refused:
        tests, duels, shown, series, notes = [_refusal(refused, lab, maximum)], [], [], [], []
        benchmark_json, lab_errors = "", []
        name, digest = _name(folder), ""
    elsewhere = fitness.taken_elsewhere(before, fitness.snapshot(), sum(os.times()[:4]) - own_before)
    totals = scoring.totals(tests)
    result = Result(
        lab=lab.id,
        lab_title=lab.title,
        submission=name,
        mode=options.mode,
        score=totals.score,
        max_score=totals.max_score,
        judged_max=totals.judged_max,
        maximum=maximum,
        status=scoring.overall_status(tests),
        tests=tests,
        duels=duels,
        evidence=shown,
        series=series,
        sandbox=Sandbox(tier=tier.name, description=tier.description, missing=list(tier.missing)),
        machine=_machine(lab, elsewhere),
        toolchain=_toolchain(lab, duels),
        hashes={"submission": digest, "lab": lab.digest, "grader": grader_digest()},
        seeds={"run": seed},
        notes=notes,
        lab_errors=lab_errors,
        started_at=started.isoformat(timespec="seconds"),
        duration_s=round(time.monotonic() - clock, 3),
    )
    return Graded(result, benchmark_json)


def _judge(
    lab: Lab, submission: Submission, tier: Tier, seed: int, options: Options, listener: Listener
) -> tuple[GradingPlugin, str]:
    """Run the lab's tests in this process; student code runs in runners only."""
    subject = Subject(lab, submission.files, tier)
    plugin = GradingPlugin(subject, seed, listener, options.only, options.performance, options.alone)
    listener.phase("building")
    subject.prefetch("release")
    files = [str(path) for path in lab.test_files(options.mode == "practice")]
    scratch = cache.scratch_folder()
    recorded = scratch / "benchmark.json"
    arguments = [
        *files,
        *("-c", os.devnull, f"--rootdir={lab.root}", f"--confcutdir={lab.folder}"),
        *(
            "--import-mode=importlib",
            "--strict-markers",
            "--capture=no",
        ),  # or it takes the listener's output too
        *("-p", "no:cacheprovider", "-o", f"pythonpath={lab.root}", "--no-header", "-q", "--tb=no"),
        *(f"--benchmark-json={recorded}", f"--benchmark-storage=file://{scratch}"),
    ]
    try:
        with _alone() as told, _modules_of(lab), _gpu_held(lab, options.performance):
            status = pytest.main(arguments, plugins=[pytest_benchmark.plugin, plugin])
        if plugin.interrupted:
            raise KeyboardInterrupt
        if plugin.unloadable:
            raise CannotWork(
                f"the tests of {lab.id} cannot be loaded, whoever hands in: {'; '.join(plugin.unloadable)}"
            )
        if len(plugin.tests) < plugin.expected or status in _BROKEN:
            raise CannotWork(f"the tests of {lab.id} stopped before their end: {told.getvalue()[-800:]}")
        if options.only and not plugin.expected and not plugin.notes:  # a note: tests of a file were left out
            names = " or ".join(map(repr, options.only))
            raise UnknownTest(
                f"no test of {lab.id} is called {names}; the report of a full run lists the names"
            )
        plugin.tests[:0] = _build_verdict(subject)
        return plugin, recorded.read_text() if recorded.exists() and plugin.duels else ""
    finally:
        subject.close()
        shutil.rmtree(scratch, ignore_errors=True)


def _gpu_held(lab: Lab, alone: bool) -> contextlib.AbstractContextManager[None]:
    here = gpu.present() if lab.hardware.gpu else None
    return gpu.held(here, alone=alone) if here else contextlib.nullcontext()


@contextlib.contextmanager
def _alone() -> Iterator[io.StringIO]:
    """pytest without options, plugins or warning filters from outside; gives what it and the tests print.

    The listener writes to the stream that it had before.
    """
    told, outside = io.StringIO(), {name: os.environ.pop(name, None) for name in _OF_PYTEST}
    # Nor does it look for plugins in all that is installed, which would take time and might find some.
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    try:
        with contextlib.redirect_stdout(told), contextlib.redirect_stderr(told), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield told
    finally:
        del os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"]
        os.environ.update({name: value for name, value in outside.items() if value is not None})


_OF_PYTEST = ("PYTEST_ADDOPTS", "PYTEST_PLUGINS", "PYTEST_DISABLE_PLUGIN_AUTOLOAD")
_BROKEN = (pytest.ExitCode.INTERNAL_ERROR, pytest.ExitCode.USAGE_ERROR)


@contextlib.contextmanager
def _modules_of(lab: Lab) -> Iterator[None]:
    """Forget the lab's modules afterwards: what they remember is of this submission, or of another course's lab."""
    package = lab.folder.parent.name
    try:
        yield
    finally:
        for name in [name for name in sys.modules if name.split(".")[0] == package]:
            del sys.modules[name]


def _build_verdict(subject: Subject) -> list[TestResult]:
    """A failed build is the first thing a student must see."""
    try:
        subject.built()
    except NotJudged:
        return []  # each test says so itself
    except BuildFailed as failed:
        failure = Failure(
            summary=failed.summary, detail=failed.detail, why="Nothing can be tested before it builds."
        )
        return [_build_test(failed.summary, failure)]
    return []


def _with_source(test: TestResult, submission: Submission) -> TestResult:
    """The test with the student's lines around the place that its failure names."""
    failure = test.failure
    if failure is None:
        return test
    source = submission.lines_around(f"{failure.where}\n{failure.summary}\n{failure.detail}")
    return (
        test.model_copy(update={"failure": failure.model_copy(update={"source": source})}) if source else test
    )


def _name(folder: Path) -> str:
    """What a refused submission is called, also when its folder's name is none."""
    with contextlib.suppress(OSError, ValueError, RuntimeError):
        return folder.resolve().name or "submission"
    return "submission"


def _refusal(refused: Refused, lab: Lab, maximum: float) -> TestResult:
    """The one test of a submission that was not taken: it costs all that the lab is worth."""
    wanted = ", ".join(source.path for source in lab.sources)
    failure = Failure(
        summary=refused.problems[0],
        why=f"The lab takes just these files from a submission: {wanted}.",
        detail="\n".join(refused.problems[1:]),
    )
    return _build_test(refused.problems[0], failure, maximum)


def _build_test(message: str, failure: Failure, worth: float = 0) -> TestResult:
    return TestResult(
        id="build",
        name="the submission builds",
        category="build",
        status="failed",
        points=0,
        max_points=worth,
        message=message,
        duration_s=0,
        must=True,
        failure=failure,
    )


def _machine(lab: Lab, elsewhere: float) -> Machine:
    info = fitness.cpu_info()
    loads: dict[str, float | str] = {
        **(gpu.state() if lab.hardware.gpu else {}),
        "share of the cores taken by others": round(elsewhere, 3),
        "load average": round(os.getloadavg()[0], 2),
    }
    return Machine(
        hostname=info.hostname,
        cpu=info.name,
        cores=info.cores,
        isa=list(info.isa),
        gpu=_gpu_name() if lab.hardware.gpu else None,
        memory_gib=info.memory_gib,
        kernel=info.kernel,
        fitness=loads,
    )


def _gpu_name() -> str | None:
    here = gpu.present()
    return f"{here.name} ({here.architecture}), {here.memory_mib} MiB, driver {here.driver}" if here else None


def _toolchain(lab: Lab, duels: list[Any]) -> dict[str, str]:
    references = dict.fromkeys(duel.reference for duel in duels)
    return {
        "compiler": _compiler(lab),
        "flags": " ".join((*_common_flags(lab), *lab.build.flags)),
        "reference": "; ".join(references),
        "grader": grader.__version__,
    }


def _compiler(lab: Lab) -> str:
    if lab.language == "c":
        return cc.find().version
    try:
        return f"{nvcc.find().version}, {cc.find().version}"
    except nvcc.Missing:
        return cc.find().version


def _common_flags(lab: Lab) -> tuple[str, ...]:
    return (
        (*nvcc.FLAGS, nvcc.code_for(nvcc.architecture())) if lab.language == "cuda" else recipe.COMMON_FLAGS
    )


@functools.lru_cache(maxsize=1)
def grader_digest() -> str:
    """Hash of the grader's own sources: equal digests judge alike."""
    package = Path(grader.__file__).parent
    files = sorted(path for path in package.rglob("*") if path.suffix in (".py", ".c", ".h", ".cuh", ".yaml"))
    pieces = [piece for path in files for piece in (str(path.relative_to(package)), path.read_bytes())]
    return cache.key(*pieces)
