"""The submission's functions, as a test calls them: `library.call("gemm_f32", …)`, in a runner of its own."""

from __future__ import annotations

import collections
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from grader.runner import invoke, observation
from grader.runner.arena import Edge
from grader.runner.channel import Value
from grader.runner.host import FailureKind, Guest, GuestFailed, Timing
from grader.runner.invoke import Invocation
from grader.testing.checks import CheckFailed, NotJudged
from grader.toolchain import sanitizers
from grader.toolchain.interface import Interface

_T = TypeVar("_T")

_WHY: dict[FailureKind, str] = {
    "crashed": "Look at the last index of every loop, and at what you write at the edges.",
    "greedy": "Does a loop take memory and never give it back, or is a size computed wrongly? malloc may answer NULL.",
    "hung": "A loop that never ends, or a thread that waits for ever. Which loop's condition never becomes false?",
    "exited": "A library must return to its caller: no exit(), no _exit(), no abort().",
    "flooded": "Remove debugging output from loops.",
    "forged": "Descriptors that you did not open are not yours to write to.",
    "broken": "",
}


class Library:
    """One variant of a submission, called in a runner. Arrays are numpy arrays or `struct`s.

    Outputs are written back into the arrays that were passed. A crash, a hang or a sanitizer's finding becomes
    CheckFailed with the case that did it. A runner serves one test after the other until one fails; then, and for
    a test that calls `close` first, a new one is started for the next call.
    """

    def __init__(
        self,
        start: Callable[[int, int], Guest],
        interface: Interface,
        sources: Sequence[str],
        on_failure: Callable[[FailureKind], None] = lambda kind: None,
        stacks: Callable[[str], tuple[str, str]] = lambda text: (text, ""),
    ) -> None:
        self._start = start
        self._on_failure = on_failure
        self._stacks = stacks
        self._interface = interface
        self._sources = sources
        self._guest: Guest | None = None
        self.timing = Timing(0.0, 0.0)
        """What the last call cost by the grader's clocks: CPU time of all threads, and wall time."""

    def struct(self, name: str) -> Any:
        """A zeroed struct of the lab's header, passed by pointer: `blocking = library.struct("gemm_blocking")`."""
        return self._interface.ffi.new(f"{name} *")

    def call(
        self,
        function: str,
        *arguments: Any,
        case: str = "",
        edge: Edge = "end",
        timeout_s: float | None = None,
    ) -> Value:
        """Call one function and return what it returned.

        `edge` says where arrays lie: against the closed page after them ("end", the default), before them
        ("start"), or somewhere inside their pages, aligned to 64 bytes ("inside").
        """
        return self.calls([Invocation(function, arguments)], case=case, edge=edge, timeout_s=timeout_s)[0]

    def calls(
        self,
        invocations: Sequence[Invocation],
        *,
        case: str = "",
        edge: Edge = "end",
        timeout_s: float | None = None,
    ) -> tuple[Value, ...]:
        """Several calls in a row in the same process."""
        named = next((item for item in invocations if item.function != "guest_mark"), invocations[0])
        label = case or _describe(self._interface, named)
        name = named.function
        try:
            guest = self._running(invocations)
            values, self.timing = invoke.run(
                guest, self._interface, invocations, edge=edge, timeout_s=timeout_s
            )
        except GuestFailed as failure:
            self.close()
            raise self.explain(failure, name, label) from None
        except invoke.Damage as damage:
            raise CheckFailed(f"{name} {damage}", case=label, why=_WHY["crashed"]) from None
        self._raise_findings(guest, name, label)
        return values

    def traced(
        self, invocations: Sequence[Invocation], *, case: str = "", timeout_s: float | None = None
    ) -> tuple[tuple[Value, ...], collections.Counter[str]]:
        """Like `calls`, and the system calls that were made meanwhile, by name, counted from outside.

        Python's own handling of the calls may add one or two that get memory. Raises NotJudged without strace.
        """
        mark = Invocation("guest_mark", ())
        guest = self._running(invocations)
        try:
            guest.wait_until_ready()
            with observation.tracing(guest.pid) as traced:
                values = self.calls([mark, *invocations, mark], case=case, timeout_s=timeout_s)
            guest.freeze()  # under a tracer stopping looks different
        except GuestFailed as failure:
            self.close()
            raise self.explain(failure, invocations[0].function, case) from None
        except observation.Unobservable as error:
            raise NotJudged(str(error)) from None
        return values[1:-1], traced.counts

    def mappings(self) -> list[observation.Mapping]:
        """The runner's address space, as the kernel tells it. Raises NotJudged where it does not."""
        return self._observed(observation.mappings) or []

    def descriptors(self) -> dict[int, str]:
        """The runner's open descriptors and what they are open on. Raises NotJudged where the kernel does not say."""
        return self._observed(observation.descriptors) or {}

    def resident_mib(self) -> float:
        """Memory that the runner has in MiB, pages of mapped files included; 0 before the first call."""
        return self._observed(observation.resident_mib) or 0.0

    def _observed(self, look: Callable[[int], _T]) -> _T | None:
        try:
            return look(self._guest.pid) if self._guest else None
        except observation.Unobservable as error:
            raise NotJudged(str(error)) from None

    def printed(self) -> str:
        """What the submission has printed since its runner started."""
        return self._guest.printed().decode("utf-8", "replace") if self._guest else ""

    def memory_mib(self) -> float:
        """Address space of the runner in MiB, as the kernel counts it; 0 before the first call."""
        return self._guest.memory_mib() if self._guest else 0.0

    def close(self) -> None:
        """Kill the runner; the next call starts a new one."""
        if self._guest is not None:
            self._guest.close()
            self._guest = None

    def _running(self, invocations: Sequence[Invocation]) -> Guest:
        """A guest whose arenas have room for these calls."""
        room = invoke.needed_bytes(self._interface, invocations)
        if self._guest and (room[0] > self._guest.inputs.size or room[1] > self._guest.outputs.size):
            self.close()
        if self._guest is None:
            self._guest = self._start(*room)
        return self._guest

    def explain(self, failure: GuestFailed, function: str, case: str) -> Exception:
        """A runner's failure as a verdict: CheckFailed, with what the submission printed."""
        if failure.kind == "broken":
            return NotJudged(
                f"the lab's own call of {function} is wrong: {failure.output.decode('utf-8', 'replace')}"
            )
        self._on_failure(failure.kind)
        text, stacks = self._stacks(failure.output.decode("utf-8", "replace"))
        findings = sanitizers.parse(text, self._sources)
        if findings:
            return _finding_failure(findings[0], function, case)
        if failure.kind == "hung" and failure.cpu_s < 0.1:
            why = (
                "It used no CPU time: it waits for something that never comes (a lock, a condition, a join)."
            )
        else:
            why = _WHY[failure.kind]
        printed = f"It printed:\n{text}" if text.strip() else ""
        detail = "\n".join(part for part in (stacks, printed) if part)
        return CheckFailed(f"{function} {failure.summary}", case=case, why=why, detail=detail)

    def _raise_findings(self, guest: Guest, function: str, case: str) -> None:
        """ThreadSanitizer reports and goes on: a report is a failure of the call that made it."""
        if guest.spec.variant not in ("asan", "tsan"):
            return
        findings = sanitizers.parse(guest.printed().decode("utf-8", "replace"), self._sources)
        if findings:
            self.close()
            raise _finding_failure(findings[0], function, case)


def _finding_failure(finding: sanitizers.Finding, function: str, case: str) -> CheckFailed:
    where = f"{finding.file}:{finding.line}" if finding.file else finding.function
    return CheckFailed(
        f"{function}: {finding.message}",
        case=case,
        where=where,
        why=f"{finding.tool} watched this run and stopped it at the first mistake.",
        detail=finding.detail,
    )


def _describe(interface: Interface, invocation: Invocation) -> str:
    """The scalars of a call by the header's names: 'm=1 n=17 k=3 alpha=1'."""
    parameters = interface.functions[invocation.function].parameters
    pairs = zip(parameters, invocation.arguments, strict=False)
    scalars = [(item.name, value) for item, value in pairs if isinstance(value, (int, float))]
    return f"{invocation.function}: " + " ".join(f"{name}={value:g}" for name, value in scalars)
