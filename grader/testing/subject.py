"""The submission under test: its builds, and how to start a runner, a simulation or a duel on it."""

from __future__ import annotations

import functools
import shutil
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from grader import cache
from grader.lab import Lab
from grader.runner import group, invoke, programs
from grader.runner.group import Group, SharedFolder
from grader.runner.host import (
    UNLIMITED_ADDRESSES_MIB,
    FailureKind,
    Guest,
    GuestFailed,
    GuestLimits,
    GuestSpec,
    cure,
)
from grader.runner.invoke import Invocation
from grader.runner.programs import ProgramRunner
from grader.runner.relay import PLAIN, Wire
from grader.sandbox import gpu
from grader.sandbox.confine import Tier, beside, fixed_addresses_allowed
from grader.testing.checks import CheckFailed, NotJudged
from grader.testing.library import Library
from grader.testing.program import Program
from grader.testing.ranks import Ranks
from grader.testing.simulation import Simulator
from grader.testing.watching import Watcher
from grader.timing.duel import Side
from grader.toolchain import build, gpu_trial, module, nvcc, probe, reference, stacks
from grader.toolchain import programs as furniture
from grader.toolchain.build import Built
from grader.toolchain.interface import Interface
from grader.toolchain.module import Module
from grader.toolchain.recipe import Variant

_PROBE_ITERATIONS = 2_000_000
_PROBE_FLOPS = 192
_READ_BYTES = 1 << 27  # more than the last cache of a core's share
_MAX_TEXT = 256
_HALVINGS = 4
_TRIAL_STARTS = 60
_MAX_REFUSALS = 3
_GPU_MIB = 1 << 14
"""Memory of a runner on a GPU, generous: the driver takes some gibibytes of its own."""

_SANITIZED = {
    "ASAN_OPTIONS": "detect_leaks=0:abort_on_error=0:allocator_may_return_null=1:exitcode=99",
    "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1:exitcode=99",
}


@dataclass(eq=False)
class Subject:
    """One submission of one lab on this machine. Builds are made once and in the background; close it at the end."""

    lab: Lab
    files: Mapping[str, bytes]
    tier: Tier
    _pool: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(2))
    _builds: dict[Variant, Future[Built]] = field(default_factory=dict)
    _libraries: dict[Variant, Library] = field(default_factory=dict)
    _ranks: dict[tuple[Variant, int], Ranks] = field(default_factory=dict)
    _programs: dict[str, Program] = field(default_factory=dict)
    _hangs: int = 0
    _refusals: int = 0

    def prefetch(self, variant: Variant) -> None:
        """Start building a variant in the background."""
        if variant not in self._builds:
            job = self._pool.submit(build.build, self.tier, self.lab, self.files, variant)
            self._builds[variant] = job

    def built(self, variant: Variant = "release") -> Built:
        """The build of a variant.

        Raises BuildFailed when the submission does not compile, NotJudged where there is no compiler for it.
        """
        self.prefetch(variant)
        try:
            return self._builds[variant].result()
        except (nvcc.Missing, build.CannotBuild) as missing:
            raise NotJudged(str(missing)) from missing

    @functools.cached_property
    def module(self) -> Module:
        """The lab's cffi module."""
        return module.for_submissions(self.lab)

    @functools.cached_property
    def shelf(self) -> Path:
        """A folder for files of tests: every runner, the reference's too, sees it read-only at the same path."""
        folder = cache.scratch_folder()
        folder.chmod(0o755)
        return folder

    def spec(self, variant: Variant = "release") -> GuestSpec:
        """How a runner of this variant is started. Sanitizers need more address space than any limit allows.

        Raises CheckFailed for a submission that has taken all the memory it could get too often.
        """
        self._check_greed()
        limits = limits_of(self.lab, variant, self._patience_s())
        library = self.built(variant).folder
        spec = GuestSpec(
            self.module.folder,
            library,
            self.module.interface.names,
            variant,
            read_only=(self.shelf,),
            limits=limits,
        )
        return _with_gpu(spec) if self.lab.hardware.gpu else spec

    def start(self, variant: Variant, inputs: int, outputs: int) -> Guest:
        """A new runner with arenas of at least these sizes in bytes."""
        return Guest(self.tier, _with_room(self.spec(variant), inputs, outputs))

    def library(self, variant: Variant = "release") -> Library:
        """The submission's functions. One library, and so one runner, serves the tests of a variant in turn."""
        if variant not in self._libraries:
            self._libraries[variant] = Library(
                lambda inputs, outputs: self.start(variant, inputs, outputs),
                self.module.interface,
                tuple(self.files),
                self._count,
                lambda text: stacks.explained(self.tier, text, self.built(variant).folder / module.LIBRARY),
            )
        return self._libraries[variant]

    def ranks(
        self,
        variant: Variant,
        world: int,
        wire: Wire | None = None,
        cut: Mapping[int, int] | None = None,
        folder: SharedFolder | None = None,
    ) -> Ranks:
        """`world` runners of the submission. With plain wires they serve one test after the other, as a library does;
        else they are new, and the caller closes them."""

        def start(inputs: int, outputs: int) -> Group:
            spec = _with_room(self.spec(variant), inputs, outputs)
            return Group(self.tier, spec, world, wire or PLAIN, cut, folder)

        def made() -> Ranks:
            return Ranks(start, self.module.interface, self.library(variant).explain)

        if wire or cut or folder:
            return made()
        if (variant, world) not in self._ranks:
            self._ranks[variant, world] = made()
        return self._ranks[variant, world]

    @functools.cached_property
    def lacks(self) -> str | None:
        """What this machine lacks so that the submission cannot run at all, and what to do; None: nothing."""
        if not self.lab.hardware.gpu:
            return None
        if gpu.present() is None:
            return "needs an NVIDIA GPU"
        if not gpu.driver_libraries():
            return "needs the driver's library libcuda.so.1, which is not where the loader looks: set LD_LIBRARY_PATH"
        return gpu_trial.why_not() or None

    def program(self, variant: Variant = "release") -> Program:
        """The submission's executable. One sandbox serves the tests of a variant in turn.

        Raises RuntimeError for a lab without one, NotJudged when something that its sandbox must hold is missing.
        """
        if variant not in self._programs:
            executable = self._executable(variant)
            spec = _furnished(self.lab, executable)
            if variant == "asan":
                roomy = max(UNLIMITED_ADDRESSES_MIB, spec.resident_mib)
                spec = replace(
                    spec, memory_mib=None, resident_mib=roomy, environment=_SANITIZED, fixed_addresses=True
                )
                self._try_starts(spec)
            start = functools.partial(ProgramRunner, self.tier, spec)
            patience = 4.0 if variant == "asan" else 1.0
            self._programs[variant] = Program(start, [str(executable)], tuple(self.files), patience=patience)
        return self._programs[variant]

    def _try_starts(self, spec: programs.ProgramSpec) -> None:
        """Raises NotJudged where a program with AddressSanitizer may die before its first line, whoever wrote it.

        Staff's own program, which does nothing, must start; where the kernel does not fix addresses so often that one
        death in four cannot hide (.75^60 = 3 in 10^8).
        """
        try:
            program = probe.stand_in(self.tier, self.lab, "asan")
        except probe.CannotBuild as error:
            raise NotJudged(str(error)) from error
        spec = replace(spec, read_only=(*spec.read_only, program))
        with ProgramRunner(self.tier, spec) as runner:
            for _ in range(1 if fixed_addresses_allowed() else _TRIAL_STARTS):
                if runner.run(programs.Run((str(program),))).status != 0:
                    raise NotJudged(cure("asan"))

    def model(self, name: str) -> Program:
        """A program of this machine with the same job, in a sandbox like the submission's."""
        key = f"model {name}"
        if key not in self._programs:
            self._programs[key] = model_of(self.lab, self.tier, name)
        return self._programs[key]

    def _executable(self, variant: Variant) -> Path:
        executable = self.built(variant).program
        if executable is None:
            raise RuntimeError(f"{self.lab.id} has no executable in the {variant} variant")
        return executable

    def simulator(self) -> Simulator:
        """The submission on a simulated machine."""
        return Simulator(lambda spec: Guest(self.tier, spec), self.spec(), self.module.interface)

    def watcher(self) -> Watcher:
        """The submission under compute-sanitizer."""
        start = functools.partial(Guest, self.tier)
        return Watcher(start, self.spec(), self.module.interface, tuple(self.files))

    def side(self, ranks: int = 0) -> Side:
        """The submission as a contestant: in a runner of its own, or in so many runners that share a folder.

        Where the reference is a program, it is the submission's executable.
        """
        if self.lab.reference is not None and self.lab.reference.program is not None:
            return _program_side(self.tier, _furnished(self.lab, self._executable("release")))
        return _side(self.tier, self.spec(), self.module.interface, ranks)

    def close(self) -> None:
        """Stop building what nobody waits for any more, and kill the runners."""
        for library in self._libraries.values():
            library.close()
        for ranks in self._ranks.values():
            ranks.close()
        for program in self._programs.values():
            program.close()
        self._pool.shutdown(wait=True, cancel_futures=True)
        shutil.rmtree(self.shelf, ignore_errors=True)

    def _count(self, kind: FailureKind) -> None:
        self._hangs += kind == "hung"
        self._refusals += kind == "greedy"

    def _check_greed(self) -> None:
        """Raises CheckFailed when it has often taken all it could get: in every test again, that would take minutes."""
        if self._refusals >= _MAX_REFUSALS:
            raise CheckFailed(
                f"not run: it has wanted more memory than the lab allows {self._refusals} times",
                why="Does a loop take memory and never give it back?",
            )

    def _patience_s(self) -> float:
        """Seconds for a call. Halved by every hang seen, so that a submission that always hangs is soon judged."""
        return self.lab.limits.call_s / float(2 ** min(self._hangs, _HALVINGS))


def limits_of(lab: Lab, variant: Variant, call_s: float) -> GuestLimits:
    """The limits of a runner of this variant; with a sanitizer calls take longer, and addresses cannot be limited."""
    sanitized = variant in ("asan", "tsan")
    return GuestLimits(
        call_s=call_s * (4 if sanitized else 1),
        memory_mib=None if sanitized else lab.limits.memory_mib,
        resident_mib=UNLIMITED_ADDRESSES_MIB if sanitized else None,
        output_kib=lab.limits.output_kib,
        tasks=lab.limits.threads + 8,
        cpu_s=lab.limits.cpu_s,
        file_mib=lab.limits.file_mib,
    )


def _with_gpu(spec: GuestSpec, more: tuple[Path, ...] = ()) -> GuestSpec:
    """A runner that can use the GPU: its nodes, the driver's libraries and `more`, and no limit on addresses.

    Kernels are loaded when the library is, not at their first call, and no code is kept for later runs. The driver
    needs a Unix socket: without, the first cudaMalloc answers 2 (out of memory).
    """
    libraries = (*gpu.driver_libraries(), *more)
    return replace(
        spec,
        read_only=(*spec.read_only, *libraries),
        library_path=tuple(dict.fromkeys(path.parent for path in libraries)),
        devices=gpu.nodes(),
        policy="peers",
        environment=(*spec.environment, ("CUDA_MODULE_LOADING", "EAGER"), ("CUDA_CACHE_DISABLE", "1")),
        limits=replace(spec.limits, memory_mib=None, resident_mib=_GPU_MIB),
    )


@dataclass(frozen=True)
class Reference:
    """The lab's reference on this machine: who it is, and its contestant."""

    name: str
    isa: str
    side: Side
    peak: float
    """Floating-point operations per second that one core reaches from registers, measured now."""
    bandwidth: float | None
    """Bytes per second that one core reads from memory, measured now; None where no duel of the lab asks for it."""
    grouped: Callable[[int], Side]
    """The contestant in so many runners that share a folder."""


def reference_of(lab: Lab, tier: Tier, read_only: tuple[Path, ...] = ()) -> Reference:
    """Start the reference, ask who it is, and measure the core's peak.

    It sees the folders `read_only`. Raises NotJudged when something that it is built from is not installed, or when
    its kernels are not those that the lab pins, so that ratios would mean something else.
    """
    tier = beside(tier)
    if lab.reference is not None and lab.reference.program is not None:
        return _program_reference(lab, tier, lab.reference.program)
    try:
        built = reference.prepare(lab)
    except reference.Missing as error:
        raise NotJudged(str(error)) from error
    interface = built.module.interface
    environment = tuple((lab.reference.environment if lab.reference else {}).items())
    limits = GuestLimits(call_s=120.0, memory_mib=None, tasks=0)
    spec = GuestSpec(
        built.module.folder,
        built.folder,
        interface.names,
        read_only=read_only,
        environment=environment,
        limits=limits,
    )
    if lab.hardware.gpu:
        spec = _with_gpu(spec, built.needs)
    side = _side(tier, spec, interface)
    try:
        with Guest(tier, _with_room(spec, 1 << 16, 1 << 16)) as guest:
            name, isa = (_text(guest, interface, which) for which in (0, 1))
            peak = 0.0 if lab.hardware.gpu else max(_peak(guest, interface) for _ in range(5))
        wanted_roof = any(item.intensity is not None for item in lab.duels.values())
        bandwidth = _bandwidth(tier, spec, interface) if wanted_roof else None
    except GuestFailed as failure:
        output = failure.output.decode("utf-8", "replace")
        raise NotJudged(f"the reference failed: {failure} {output}") from failure
    wanted = lab.reference.isa if lab.reference else None
    if wanted is not None and isa != wanted:
        raise NotJudged(f"the reference runs kernels for {isa}, the lab's tiers are for {wanted}")
    return Reference(name, isa, side, peak, bandwidth, lambda ranks: _side(tier, spec, interface, ranks))


def model_of(lab: Lab, tier: Tier, name: str) -> Program:
    """A model of the lab in a sandbox of its own; the caller closes it. Raises NotJudged when it is not installed."""
    try:
        spec = furniture.furnish(lab, model=name)
        argv = furniture.find_model(lab, name).argv
    except furniture.Missing as error:
        raise NotJudged(str(error)) from error
    return Program(functools.partial(ProgramRunner, beside(tier), spec), argv, blame=False)


def _furnished(lab: Lab, executable: Path) -> programs.ProgramSpec:
    try:
        return furniture.furnish(lab, executable)
    except furniture.Missing as error:
        raise NotJudged(str(error)) from error


def _program_reference(lab: Lab, tier: Tier, name: str) -> Reference:
    """A model as the other contestant; it has neither kernels nor a roof."""
    try:
        side = _program_side(tier, furniture.furnish(lab, model=name))
    except furniture.Missing as error:
        raise NotJudged(str(error)) from error
    return Reference(name, "", side, 0.0, None, lambda ranks: side)


def _program_side(tier: Tier, spec: programs.ProgramSpec) -> Side:
    return Side(lambda inputs, outputs: ProgramRunner(tier, spec), None, programs)


def _peak(guest: Guest, interface: Interface) -> float:
    call = Invocation("probe_fma", (_PROBE_ITERATIONS,))
    _, timing = invoke.run(guest, interface, [call], timeout_s=60.0)
    return _PROBE_ITERATIONS * _PROBE_FLOPS / timing.cpu_s


def _bandwidth(tier: Tier, spec: GuestSpec, interface: Interface) -> float:
    """The best of five readings of an array that no cache holds; the first one also maps its pages."""
    data = np.zeros(_READ_BYTES // 4, np.float32)
    call = Invocation("probe_read", (data, data.size, 1))
    with Guest(tier, _with_room(spec, _READ_BYTES + (1 << 20), 1 << 16)) as guest:
        seconds = [invoke.run(guest, interface, [call], timeout_s=60.0)[1].cpu_s for _ in range(6)]
    return _READ_BYTES / min(seconds[1:])


def _text(guest: Guest, interface: Interface, which: int) -> str:
    text = np.zeros(_MAX_TEXT, np.uint8)
    invoke.run(guest, interface, [Invocation("reference_text", (which, text, _MAX_TEXT))], timeout_s=60.0)
    return bytes(text).split(b"\0", 1)[0].decode("ascii", "replace")


def _side(tier: Tier, spec: GuestSpec, interface: Interface, ranks: int = 0) -> Side:
    if ranks:
        return Side(
            lambda inputs, outputs: Group(tier, _with_room(spec, inputs, outputs), ranks, wire=None),
            interface,
            group,
        )
    return Side(lambda inputs, outputs: Guest(tier, _with_room(spec, inputs, outputs)), interface)


def _with_room(spec: GuestSpec, inputs: int, outputs: int) -> GuestSpec:
    room = (max(inputs, spec.arena_bytes[0]), max(outputs, spec.arena_bytes[1]))
    return replace(spec, arena_bytes=room)
