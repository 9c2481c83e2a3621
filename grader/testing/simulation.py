"""Noise-free evidence: what a call costs on a simulated machine, the same on every computer and in every run.

Valgrind's cache simulator with a fixed, small cache, counting inside the named function only (callgrind's
--toggle-collect; cachegrind itself has no such switch). Valgrind 3.19 knows AVX2 and no AVX-512.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from grader.runner import invoke
from grader.runner.host import (
    UNLIMITED_ADDRESSES_MIB,
    CannotStart,
    Guest,
    GuestFailed,
    GuestLimits,
    GuestSpec,
)
from grader.runner.invoke import Invocation
from grader.testing.checks import CheckFailed, NotJudged
from grader.toolchain.interface import Interface

# Debian's `valgrind` is a shell script.
_PROGRAMS = (Path("/usr/bin/valgrind.bin"), Path("/usr/bin/valgrind"))
_TOOLS = tuple(
    Path(folder, "valgrind") for folder in ("/usr/libexec", "/usr/lib/x86_64-linux-gnu", "/usr/lib")
)
_SIMULATION_S = 120.0
_EVENTS = ("Ir", "Dr", "Dw", "D1mr", "D1mw", "DLmr", "DLmw")


@dataclass(frozen=True)
class Cache:
    """Sizes of the simulated caches: (bytes, ways, bytes per line) of the first and of the last level."""

    d1: tuple[int, int, int] = (32768, 8, 64)
    ll: tuple[int, int, int] = (1048576, 16, 64)


@dataclass(frozen=True)
class Counts:
    """Events inside the function: instructions, data accesses, misses of the first and of the last level; and, where
    they were asked for, conditional jumps and those that the simulated predictor got wrong."""

    instructions: int
    accesses: int
    d1_misses: int
    ll_misses: int
    branches: int = 0
    mispredicted: int = 0


class Simulator:
    """`simulate.call("gemm_f32", …)` runs one call on the simulated machine and returns its Counts."""

    def __init__(self, start: Callable[[GuestSpec], Guest], spec: GuestSpec, interface: Interface) -> None:
        self._start = start
        self._spec = spec
        self._interface = interface

    def why_not(self) -> str:
        """Why nothing can be simulated here, and the cure; '' when valgrind starts a runner as it will in tests."""
        read_end, write_end = os.pipe2(os.O_CLOEXEC)
        try:
            spec = self._confined(_program(), "main", Cache(), False, write_end, [])
            with self._start(spec) as guest:
                guest.wait_until_started()
        except (NotJudged, CannotStart) as error:
            return str(error)
        finally:
            os.close(read_end)
            os.close(write_end)
        return ""

    def struct(self, name: str) -> Any:
        """A zeroed struct of the lab's header, passed by pointer; see `Library.struct`."""
        return self._interface.ffi.new(f"{name} *")

    def call(
        self,
        function: str,
        *arguments: Any,
        cache: Cache | None = None,
        inside: str | None = None,
        branches: bool = False,
    ) -> Counts:
        """Simulate one call; outputs are written back as for a real one. It cannot start threads.

        What happens in `inside` is counted, a function that `function` calls; without it, all of the call. With
        `branches` jumps are simulated too (a two-level predictor of 16384 counters). Raises NotJudged without
        valgrind, CheckFailed when the call fails on the simulated machine.
        """
        program = _program()
        invocations = [Invocation(function, arguments)]
        read_end, write_end = os.pipe2(os.O_CLOEXEC)
        spec = self._confined(program, inside or function, cache or Cache(), branches, write_end, invocations)
        try:
            guest = self._start(spec)
            os.close(write_end)
            write_end = -1
            with guest:
                invoke.run(guest, self._interface, invocations, edge="inside", timeout_s=_SIMULATION_S)
                guest.finish(10.0)
                log = _read_all(read_end)
        except invoke.Damage as damage:
            raise CheckFailed(f"{function}, on a simulated CPU, {damage}") from None
        except GuestFailed as failure:
            log = _read_all(read_end)
            text = failure.output.decode("utf-8", "replace") + log
            raise CheckFailed(
                f"{function}, on a simulated CPU, {failure.summary}", detail=text[-2000:]
            ) from None
        finally:
            os.close(read_end)
            if write_end >= 0:
                os.close(write_end)
        return parse(log)

    def _confined(
        self,
        program: Path,
        counted: str,
        cache: Cache,
        branches: bool,
        log_fd: int,
        invocations: list[Invocation],
    ) -> GuestSpec:
        first, last = (",".join(str(number) for number in level) for level in (cache.d1, cache.ll))
        return replace(
            self._spec,
            arena_bytes=invoke.needed_bytes(self._interface, invocations),
            read_only=(*self._spec.read_only, *(path for path in (program, *_TOOLS) if path.exists())),
            prefix=(
                *(
                    str(program),
                    "--tool=callgrind",
                    "--vgdb=no",
                    "--callgrind-out-file=/dev/null",
                    f"--log-fd={log_fd}",
                ),
                *("--cache-sim=yes", f"--D1={first}", "--I1=32768,8,64", f"--LL={last}"),
                f"--branch-sim={'yes' if branches else 'no'}",
                f"--toggle-collect={counted}",
            ),
            pass_fds=(log_fd,),
            limits=replace(
                GuestLimits(), memory_mib=None, resident_mib=UNLIMITED_ADDRESSES_MIB, tasks=1
            ),  # callgrind would not count other threads
        )


def _program() -> Path:
    """Valgrind's own executable. Raises NotJudged when it is not installed."""
    found = next((path for path in _PROGRAMS if path.exists()), None)
    if found is None:
        raise NotJudged("needs valgrind: apt-get install valgrind")
    return found


def parse(log: str) -> Counts:
    """Read callgrind's totals. The guest closes the log's descriptor before it loads the submission.

    Raises NotJudged when they are not there, not whole, or there twice.
    """
    names = re.findall(r"^==\d+== Events\s*:(.*)$", log, re.MULTILINE)
    numbers = re.findall(r"^==\d+== Collected\s*:([\d ]{0,400})$", log, re.MULTILINE)
    columns = names[0].split() if len(names) == 1 else []
    values = [int(number) for number in numbers[0].split()] if len(numbers) == 1 else []
    missing = len(columns) - len(values)
    counts = dict(zip(columns, [*values, *[0] * missing], strict=False))
    if (
        not set(_EVENTS) <= set(counts)
        or not values
        or missing < 0
        or (missing and not _is_whole(log, counts))
    ):
        raise NotJudged(f"valgrind did not report: {log.strip()[-300:] or 'no output'}")
    return Counts(
        instructions=counts["Ir"],
        accesses=counts["Dr"] + counts["Dw"],
        d1_misses=counts["D1mr"] + counts["D1mw"],
        ll_misses=counts["DLmr"] + counts["DLmw"],
        branches=counts.get("Bc", 0),
        mispredicted=counts.get("Bcm", 0),
    )


def _is_whole(log: str, counts: dict[str, int]) -> bool:
    """Callgrind leaves zeros at the end of its totals out; its summary tells them from totals that were cut."""
    wanted = {r"LLd misses:\s*([\d,]+)": counts["DLmr"] + counts["DLmw"]}
    if "Bcm" in counts:
        wanted[r"Mispredicts:\s*[\d,]+\s*\(\s*([\d,]+) cond"] = counts["Bcm"]
    found = [re.findall(rf"^==\d+== {line}", log, re.MULTILINE) for line in wanted]
    return found == [[f"{number:,}"] for number in wanted.values()]


def _read_all(descriptor: int) -> str:
    pieces = []
    while piece := os.read(descriptor, 1 << 16):
        pieces.append(piece)
    return b"".join(pieces).decode("utf-8", "replace")
