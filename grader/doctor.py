"""What this machine can judge and what not: findings about its tools and hardware, and one about each lab.

Looking changes nothing but the cache, and survives whatever is missing: a check that breaks is a finding too.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from grader import cache, cc, cores
from grader.lab import ContractError, Lab, list_labs, load_lab
from grader.runner.host import cure
from grader.sandbox import gpu, probe
from grader.testing import readiness
from grader.testing.checks import NotJudged
from grader.testing.subject import reference_of
from grader.timing import fitness
from grader.timing.duel import BUSY_SHARE
from grader.toolchain import nvcc, programs
from grader.toolchain.recipe import Variant
from grader.trouble import CannotWork, pip_install

Status = Literal["yes", "partly", "no"]

_PATIENCE_S = 20.0
_WATCHED_S = 0.5


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at. `mend` is the command that mends it, or what to do, if there is."""

    name: str
    status: Status
    found: str
    means: str
    mend: str = ""


def findings(root: Path) -> list[Finding]:
    """Look at everything: the machine first, then each lab of the course in `root`. Never raises."""
    labs = [_loaded(root, lab) for lab in _lab_names(root)]
    trial = next((lab for lab in labs if isinstance(lab, Lab) and lab.language == "c"), None)
    looks: list[tuple[str, Callable[[], Finding]]] = [
        ("C compiler", partial(_compiler, trial)),
        ("sanitizers", partial(_sanitizers, trial)),
        ("Python", _python),
        ("CPU", _cpu),
        ("cores", _cores),
        ("sandbox", _sandbox),
        ("quiet", _quiet),
        ("valgrind", partial(_valgrind, trial)),
        ("GPU", _gpu),
        ("nvcc", _nvcc),
        ("CuPy", _cupy),
        ("cache", _cache),
    ]
    machine = [_survived(name, look) for name, look in looks]
    references = {
        lab.id: _survived(f"reference of {lab.id}", partial(_reference, lab))
        for lab in labs
        if isinstance(lab, Lab) and lab.reference is not None
    }
    known = {finding.name: finding for finding in machine}
    judged = [
        _survived(f"lab {lab.id}", partial(lab_finding, lab, known, references.get(lab.id)))
        if isinstance(lab, Lab)
        else lab
        for lab in labs
    ]
    return [*machine, *references.values(), *judged]


def lab_finding(lab: Lab, machine: dict[str, Finding], reference: Finding | None) -> Finding:
    """What of this lab can be judged here, from the findings about machine (by name) and reference."""
    name = f"lab {lab.id}"
    missing = [isa for isa in lab.hardware.isa if isa not in fitness.cpu_info().isa]
    obstacles = [
        (machine["C compiler"].status == "no", "no C compiler"),
        (machine["Python"].status == "no", "Python.h is missing"),
        (machine["cache"].status == "no", "no folder to build in"),
        (bool(missing), f"this CPU has no {', '.join(missing)}"),
        (lab.language == "cuda" and machine["nvcc"].status != "yes", "no nvcc"),
    ]
    stopped = [reason for applies, reason in obstacles if applies]
    if stopped:
        return Finding(name, "no", f"nothing: {'; '.join(stopped)}", "not judged here")
    tests = "".join(path.read_text("utf-8", "replace") for path in lab.test_files(practice=False))
    here = cores.usable()
    absent = programs.missing(lab)
    losses = [
        (bool(absent), f"what needs {', '.join(absent)} (apt-get install {' '.join(absent)})"),
        (lab.hardware.gpu and machine["GPU"].status != "yes", "what runs on a GPU"),
        (lab.hardware.gpu and machine["CuPy"].status != "yes", "what CuPy checks"),
        (machine["sandbox"].status == "no", "hidden tests (no sandbox: practice only)"),
        (reference is not None and reference.status == "no", "duels with the reference"),
        (here < lab.hardware.cores, f"what needs {lab.hardware.cores} cores (here: {here})"),
        (
            machine["valgrind"].status != "yes" and "simulate" in tests,
            "tests on a simulated CPU (no valgrind)",
        ),
        (machine["sanitizers"].status != "yes" and "variant(" in tests, "tests with sanitizers"),
    ]
    lost = [what for applies, what in losses if applies]
    if lost:
        return Finding(
            name, "partly", f"all but: {'; '.join(lost)}", "the rest is judged; the score says of how much"
        )
    return Finding(name, "yes", "all of it", "official grades")


# --- The machine --------------------------------------------------------------------------------------------


def _compiler(lab: Lab | None) -> Finding:
    """`lab`: a lab in C on which to try it, as grading will; without one it is only named."""
    means = "submissions can be built"
    try:
        version = cc.find().version
        reason = readiness.compiler(lab, probe.best_tier()) if lab else ""
    except cc.Missing as missing:
        version, reason = "no C compiler", str(missing)
    if reason:
        return Finding("C compiler", "no", reason, f"no {means}", _mend(reason))
    return Finding("C compiler", "yes", version, means)


def _sanitizers(lab: Lab | None) -> Finding:
    """Each started as often as `readiness.STARTS` says, with grading's own sandbox and limits."""
    means = "memory errors and data races are found"
    if lab is None:
        return Finding("sanitizers", "partly", "not tried: there is no lab in C here", "unknown")
    tier = probe.best_tier()
    tried: dict[Variant, tuple[str, int]] = {
        "asan": readiness.sanitizer(lab, tier, "asan"),
        "tsan": readiness.sanitizer(lab, tier, "tsan"),
    }
    reasons = [reason for reason, _ in tried.values() if reason]
    if reasons:
        lost = "tests of memory errors or data races: not judged"
        return Finding("sanitizers", "no", "; ".join(reasons), lost, _mend(reasons[0]))
    found = f"address, undefined, thread: each started {readiness.STARTS} times"
    died = {variant: count for variant, (_, count) in tried.items() if count}
    if died:
        found += "".join(f"; {count} starts with {variant} died" for variant, count in died.items())
        return Finding(
            "sanitizers", "partly", found, "found, by starting again", _mend(cure(next(iter(died))))
        )
    return Finding("sanitizers", "yes", found, means)


def _python() -> Finding:
    version = ".".join(map(str, sys.version_info[:3]))
    header = Path(sysconfig.get_paths()["include"]) / "Python.h"
    if not header.exists():
        found = f"{version}, without Python.h (looked for {header})"
        return Finding("Python", "no", found, "submissions cannot be called", _install("python3-dev"))
    return Finding("Python", "yes", f"{version} with Python.h", "submissions can be called")


def _cpu() -> Finding:
    info = fitness.cpu_info()
    found = f"{info.name}: {' '.join(info.isa) or 'no vector extensions that labs use'}"
    if {"avx2", "fma"} <= set(info.isa):
        return Finding("CPU", "yes", found, "runs code for AVX2 and FMA")
    return Finding(
        "CPU", "partly", found, "labs that need AVX2 and FMA: not judged", "use an x86-64 machine with AVX2"
    )


def _cores() -> Finding:
    here, memory, limit = cores.usable(), fitness.cpu_info().memory_gib, cores.quota()
    found = f"{here} usable, {memory:g} GiB of memory"
    if limit is not None and limit < len(os.sched_getaffinity(0)):
        found += f"; a control group gives the time of {limit:g}"
    if here == 1:
        return Finding(
            "cores", "partly", found, "speed-up by threads cannot show", "give it two cores or more"
        )
    return Finding("cores", "yes", found, "timed tests, threads too")


def _sandbox() -> Finding:
    tier = probe.best_tier()
    version = _first(_said("bwrap", "--version") or "no bubblewrap")
    found = f"tier {tier.name} ({version}): {tier.description}"
    reason, _, command = probe.why_not_better(tier).partition(": ")
    if tier.missing:
        found += f"; missing: {', '.join(tier.missing)}"
    if tier.name == "A":
        return Finding("sandbox", "yes", found, "official grades")
    if shutil.which("bwrap") is None:
        command = _install("bubblewrap")
    if tier.name == "D":
        return Finding("sandbox", "no", f"{found}; {reason}", "practice only; no official grades", command)
    return Finding("sandbox", "partly", f"{found}; {reason}", "official grades, less well isolated", command)


def _quiet() -> Finding:
    before, own = fitness.snapshot(), fitness.own_cpu_s()
    time.sleep(_WATCHED_S)
    after = fitness.snapshot()
    taken = fitness.taken_elsewhere(before, after, fitness.own_cpu_s() - own)
    stolen = max(0.0, after.stolen_s - before.stolen_s) / (_WATCHED_S * len(os.sched_getaffinity(0)))
    found = (
        f"others take {taken:.0%} of the cores, of it stolen by the hypervisor {stolen:.0%}; "
        f"load {os.getloadavg()[0]:.1f}"
    )
    if taken > BUSY_SHARE:
        means = "timed tests take longer or are not judged, never wrongly failed"
        return Finding("quiet", "partly", found, means, "top  # shows what is running; stop it or wait")
    return Finding("quiet", "yes", found, "fit to measure")


def _valgrind(lab: Lab | None) -> Finding:
    version = _said("valgrind", "--version")
    reason = readiness.valgrind(lab, probe.best_tier()) if lab else ""
    if version is None or reason:
        means = "tests on a simulated CPU (instructions, cache misses): not judged"
        mend = _install("valgrind") if version is None else _mend(reason)
        return Finding("valgrind", "no", reason or "not installed", means, mend)
    return Finding("valgrind", "yes", _first(version), "instructions and cache misses are counted")


def _gpu() -> Finding:
    answer = _said("nvidia-smi", "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader")
    if not answer:
        means = "labs that need a GPU: not judged. No other lab needs one"
        return Finding(
            "GPU", "partly", "none that nvidia-smi knows", means, "use a machine with an NVIDIA GPU"
        )
    gpus = [line for line in answer.splitlines() if line.strip()]
    more = f" and {len(gpus) - 1} more" if len(gpus) > 1 else ""
    return Finding("GPU", "yes", gpus[0] + more, "labs that need a GPU")


def _nvcc() -> Finding:
    try:
        found = nvcc.find()
    except nvcc.Missing:
        mend = pip_install(nvcc.PACKAGES)
        return Finding("nvcc", "partly", "not installed", "CUDA submissions cannot be built", mend)
    return Finding("nvcc", "yes", f"{found.version} in {found.folder}", "CUDA submissions can be built")


def _cupy() -> Finding:
    means = "results from a GPU cannot be checked"
    if importlib.util.find_spec("cupy") is None:
        mend = pip_install(gpu.cupy()) if shutil.which("nvidia-smi") else ""
        return Finding("CuPy", "partly", "not installed", means, mend)
    asks = "import cupy; print(cupy.__version__, 'sees', cupy.cuda.runtime.getDeviceCount(), 'GPUs')"
    answer = _said(sys.executable, "-c", asks)
    if answer is None:
        mend = f'{sys.executable} -c "{asks}"  # shows why'
        return Finding("CuPy", "partly", "installed, but sees no GPU", means, mend)
    return Finding("CuPy", "yes", _first(answer), "oracle for results from a GPU")


def _cache() -> Finding:
    means, mend = "nothing that is built can be kept", "export GRADER_CACHE=/a/folder/of/yours"
    try:
        folder = cache.root()
    except CannotWork as error:
        return Finding("cache", "no", str(error), means, mend)
    size = sum(path.stat().st_size for path in _files(folder))
    free = shutil.disk_usage(folder).free
    found = f"{folder}: {_mib(size)} used, {_mib(free)} free"
    if not os.access(folder, os.W_OK):
        return Finding("cache", "no", f"{found}; not writable", means, mend)
    if free < 1 << 30:
        return Finding("cache", "partly", found, "builds may fail for lack of space", f"rm -r {folder}")
    return Finding("cache", "yes", found, "what was built once is not built again")


def _reference(lab: Lab) -> Finding:
    """Build the lab's reference and ask it who it is; about two seconds the first time."""
    name = f"reference of {lab.id}"
    try:
        reference = reference_of(lab, probe.best_tier())
    except (NotJudged, CannotWork, OSError, subprocess.SubprocessError) as error:
        package = lab.reference.package if lab.reference else None
        broken = package is not None and importlib.util.find_spec(package.replace("-", "_")) is None
        mend = f"{sys.executable} -m pip install {package}" if broken else ""
        return Finding(name, "no", _first(str(error)), "duels with it: not judged", mend)
    kernels = f", kernels for {reference.isa}" if reference.isa else ""
    peak = f"; peak of a core {reference.peak / 1e9:.0f} GFLOP/s" if reference.peak else ""
    found = f"{reference.name}{kernels}{peak}"
    return Finding(name, "yes", found, "timed tests")


# --- Helpers ------------------------------------------------------------------------------------------------


def _survived(name: str, look: Callable[[], Finding]) -> Finding:
    """A look that breaks must not keep the others from being shown."""
    try:
        return look()
    except Exception as error:
        found = f"could not be looked at: {type(error).__name__}: {_first(str(error))}"
        return Finding(name, "no", found, "unknown")


def _lab_names(root: Path) -> list[str]:
    try:
        return list_labs(root)
    except (OSError, ValueError):
        return []


def _loaded(root: Path, name: str) -> Lab | Finding:
    try:
        return load_lab(name, root)
    except (ContractError, OSError) as error:
        found = f"its lab.yaml is wrong: {' '.join(str(error).split())}"
        return Finding(f"lab {name}", "no", found, "not judged here", f"edit labs/{name}/lab.yaml")


def _said(*command: str) -> str | None:
    """What a program prints; None when it is missing, fails or hangs."""
    try:
        answer = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=_PATIENCE_S, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout.decode("utf-8", "replace")


def _first(text: str) -> str:
    return text.strip().split("\n", 1)[0]


def _mend(reason: str) -> str:
    """What to do, which every reason of the grader's ends with."""
    return reason.rpartition(": ")[2]


def _install(*packages: str) -> str:
    names = " ".join(packages)
    if shutil.which("apt-get") is None:
        return f"install {names} with this system's package manager (Debian's names)"
    return f"{'' if os.geteuid() == 0 else 'sudo '}apt-get install {names}"


def _files(folder: Path) -> Iterable[Path]:
    """Regular files below `folder`; what vanishes or may not be read meanwhile is left out."""
    for where, _, names in os.walk(folder):
        for name in names:
            path = Path(where, name)
            if path.is_file() and not path.is_symlink():
                yield path


def _mib(size: int) -> str:
    return f"{size / (1 << 20):.0f} MiB" if size < 10 << 30 else f"{size / (1 << 30):.0f} GiB"
