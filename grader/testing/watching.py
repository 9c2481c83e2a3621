"""Calls of a submission on the GPU under compute-sanitizer, which watches every access of its kernels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from grader.runner import invoke, runtime
from grader.runner.host import Guest, GuestFailed, GuestLimits, GuestSpec
from grader.runner.invoke import Invocation
from grader.testing.checks import CheckFailed, NotJudged
from grader.toolchain import compute_sanitizer
from grader.toolchain.compute_sanitizer import Tool
from grader.toolchain.interface import Interface

_WATCHED_S = 120.0
"""A watched kernel is a hundred times slower."""

_AFTER_A_HANG_S = 30.0
"""What hangs under one tool mostly hangs under the next."""

_OPTIONS: dict[Tool, tuple[str, ...]] = {"memcheck": ("--padding", "4096")}
"""Allocations that lie next to each other would hide the step from one into the next: room lies between them."""


class Watcher:
    """`watch("memcheck", [Invocation("drive_sum", …)])` fails with the first thing that the tool found."""

    def __init__(
        self,
        start: Callable[[GuestSpec], Guest],
        spec: GuestSpec,
        interface: Interface,
        sources: Sequence[str],
    ) -> None:
        self._start = start
        self._spec = spec
        self._interface = interface
        self._sources = sources
        self._patience_s = _WATCHED_S

    def __call__(self, tool: Tool, invocations: Sequence[Invocation], case: str = "") -> None:
        """Make the calls in a new runner under the tool; outputs are written back as for plain calls.

        Raises CheckFailed with the first finding, NotJudged where compute-sanitizer is missing or cannot run.
        """
        program = compute_sanitizer.find()
        if program is None:
            raise NotJudged("needs compute-sanitizer, which comes with NVIDIA's CUDA toolkit")
        spec = replace(
            self._spec,
            arena_bytes=invoke.needed_bytes(self._interface, invocations),
            read_only=(*self._spec.read_only, program.parent, *runtime.needs(program)),
            prefix=(
                str(program),
                "--tool",
                tool,
                "--print-limit",
                "5",
                "--kernel-name-exclude",
                "kns=drive_",
                *_OPTIONS.get(tool, ()),
            ),
            policy="watched",
            limits=replace(GuestLimits(), memory_mib=None, tasks=0, output_kib=1024),
        )
        with self._start(spec) as guest:
            try:
                invoke.run(guest, self._interface, invocations, edge="inside", timeout_s=self._patience_s)
                said = guest.finish(20.0).decode("utf-8", "replace")
            except invoke.Damage as damage:
                raise CheckFailed(f"{invocations[0].function} {damage}", case=case) from None
            except GuestFailed as failure:
                said = failure.output.decode("utf-8", "replace")
                if failure.kind == "hung":
                    self._patience_s = _AFTER_A_HANG_S
                if not compute_sanitizer.parse(said, tool, self._sources):
                    raise NotJudged(f"compute-sanitizer could not watch: {failure} {said[-300:]}") from None
            except RuntimeError as error:
                raise NotJudged(f"compute-sanitizer could not start here: {str(error)[-300:]}") from None
        findings = compute_sanitizer.parse(said, tool, self._sources)
        if findings:
            first = findings[0]
            where = f"{first.file}:{first.line}" if first.file else first.function
            why = f"compute-sanitizer's {tool} watched this run."
            raise CheckFailed(first.message, case=case, where=where, why=why, detail=first.detail)
        if not compute_sanitizer.ran(said):
            raise NotJudged(f"compute-sanitizer did not report: {said.strip()[-300:] or 'no output'}")
