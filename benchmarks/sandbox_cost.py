"""What the sandbox costs: `python benchmarks/sandbox_cost.py [--rounds 25] [--slot 0]`.

Starts programs, compilers and runners bare and in every tier that works here, turn and turn about, and prints medians
of wall time with their 99 % intervals: what a start costs, and what each repetition of a call in a runner costs then.
"bare" is the same without any sandbox; tier D has resource limits only, so that A against D is what isolation costs.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import numpy as np  # noqa: E402

from grader.runner import invoke  # noqa: E402
from grader.runner.host import Guest, GuestSpec  # noqa: E402
from grader.runner.invoke import Invocation  # noqa: E402
from grader.sandbox import probe  # noqa: E402
from grader.sandbox.confine import Confinement, Tier, hand_over, start  # noqa: E402
from grader.sandbox.probe import SYSTEM, SYSTEM_LINKS  # noqa: E402
from grader.timing import fitness  # noqa: E402
from grader.timing.interval import median, median_interval  # noqa: E402
from grader.toolchain import build  # noqa: E402
from grader.toolchain.steps import Step  # noqa: E402
from tests.fixtures import tiny  # noqa: E402

ARRAY_MIB, CALLS, SYSTEM_CALLS = 16, 50, 100_000
MANY_CALLS = """#define _GNU_SOURCE
#include <unistd.h>
#include <sys/syscall.h>
#include "tiny.h"
int tiny_act(int what, const float *input, float *output, size_t count)
{
    (void)input, (void)output, (void)count;
    for (int i = 0; i < what; i++)
        syscall(SYS_getppid);
    return 0;
}
"""

Sample = Callable[[], float]
"""One measurement, in seconds."""


def timed(work: Callable[[], object]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


# --- Starts ---------------------------------------------------------------------------------------------------------


def of_a_program(tier: Tier | None) -> Sample:
    """A program that does nothing, from its start to its end."""
    confinement = Confinement(read_only=SYSTEM, symlinks=SYSTEM_LINKS, environment={"PATH": "/usr/bin:/bin"})

    def bare() -> object:
        return subprocess.run(["true"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=True)

    def confined(tier: Tier) -> None:
        process = start(tier, confinement, ["true"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        assert process.wait() == 0

    return lambda: timed(bare if tier is None else lambda: confined(tier))


def of_a_compiler(tier: Tier | None, scratch: Path) -> Sample:
    """gcc -O1 of a file of 80 lines into a library."""
    lab = tiny.lab()
    for name in ("src", "lab", "out", "tmp"):
        (scratch / name).mkdir(parents=True)
    (scratch / "src" / "tiny.c").write_bytes(tiny.source()["tiny.c"])
    shutil.copy(lab.header_path, scratch / "lab")
    command = ["gcc", "-O1", "-shared", "-fPIC", "-iquote", "../lab", "tiny.c", "-o", "../out/tiny.so"]
    if tier is None:
        return lambda: timed(lambda: subprocess.run(command, cwd=scratch / "src", check=True))
    hand_over(tier, scratch)

    def confined() -> None:
        outcome = Step(tier, lab, scratch, command).finish(60.0)
        assert outcome.status == 0, f"tier {tier.name}: {outcome.stderr}"

    return lambda: timed(confined)


def of_a_runner(tier: Tier, spec: GuestSpec) -> Sample:
    """A runner until it has loaded the build and waits for calls. Its end is not counted."""

    def sample() -> float:
        begun = time.perf_counter()
        with Guest(tier, spec) as guest:
            guest.wait_until_ready()
            return time.perf_counter() - begun

    return sample


# --- Repetitions ----------------------------------------------------------------------------------------------------


def of_a_repetition(guest: Guest) -> Sample:
    """Thaw, a call that returns at once, freeze."""
    staged = invoke.stage(guest, tiny.interface(), [Invocation("tiny_add", (1, 2))])
    guest.call(staged.calls, staged.windows)
    return lambda: timed(lambda: [guest.call(staged.calls) for _ in range(CALLS)]) / CALLS


def of_arrays(guest: Guest, do: Callable[..., object]) -> Sample:
    """Putting an input in place, or copying an output back: seconds for a MiB."""
    items = (ARRAY_MIB << 20) // 4
    arrays = (np.ones(items, np.int32), np.zeros(items, np.int32))
    staged = invoke.stage(guest, tiny.interface(), [Invocation("tiny_copy", (*arrays, items))])
    invoke.write(guest, tiny.interface(), staged)
    guest.call(staged.calls, staged.windows)
    copies = 2 if do is invoke.write else 1  # an output is poisoned, too
    return lambda: timed(lambda: do(guest, tiny.interface(), staged)) / ARRAY_MIB / copies


def of_a_system_call(guest: Guest) -> Sample:
    """getppid, by the CPU time of the runner. Without a filter where the tier has none."""
    small = np.ones(4, np.float32)
    call = [Invocation("tiny_act", (SYSTEM_CALLS, small, small.copy(), 4))]
    return lambda: invoke.run(guest, tiny.interface(), call, timeout_s=60.0)[1].cpu_s / SYSTEM_CALLS


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=25)
    parser.add_argument("--slot", type=int, default=0)
    arguments = parser.parse_args()
    here = list(probe.working_tiers(arguments.slot))
    names = ["bare", *(tier.name for tier in here)]
    rows: dict[tuple[str, str, float], dict[str, Sample]] = {}
    with contextlib.ExitStack() as stack:
        room = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        room.chmod(0o755)
        rows["a program that does nothing", "ms", 1e3] = {"bare": of_a_program(None)} | {
            tier.name: of_a_program(tier) for tier in here
        }
        rows["gcc of 80 lines", "ms", 1e3] = {
            name: of_a_compiler(tier, room / name) for name, tier in zip(names, [None, *here], strict=True)
        }
        wide = (2 * ARRAY_MIB << 20, 2 * ARRAY_MIB << 20)
        for tier in here:
            spec = tiny.spec(tier, tiny.source(MANY_CALLS))
            rows.setdefault(("a runner, until it can be called", "ms", 1e3), {})[tier.name] = of_a_runner(
                tier, spec
            )
            guest = stack.enter_context(Guest(tier, replace(spec, arena_bytes=wide)))
            for title, unit, scale, sample in (
                ("a repetition: thaw, empty call, freeze", "µs", 1e6, of_a_repetition(guest)),
                ("a MiB of inputs put in place", "µs", 1e6, of_arrays(guest, invoke.write)),
                ("a MiB of outputs copied back", "µs", 1e6, of_arrays(guest, invoke.read_back)),
                ("a system call", "ns", 1e9, of_a_system_call(guest)),
            ):
                rows.setdefault((title, unit, scale), {})[tier.name] = sample
        cells = measured(rows, arguments.rounds)
    print_table(rows, cells, names)
    info = fitness.cpu_info()
    print(
        f"\n{info.name}, {info.cores} cores, Linux {platform.release()}, Python {platform.python_version()},"
    )
    print(f"{build.compiler()}; {arguments.rounds} rounds, load {os.getloadavg()[0]:.1f} at the end")


def measured(
    rows: dict[tuple[str, str, float], dict[str, Sample]], rounds: int
) -> dict[tuple[str, str], list[float]]:
    """Samples of every row and tier, in its unit; each round takes one of all, so that all see the same machine."""
    found: dict[tuple[str, str], list[float]] = {}
    for number in range(-1, rounds):  # the first one only warms up
        for (title, _, scale), samples in rows.items():
            for name, sample in samples.items():
                value = sample() * scale
                if number >= 0:
                    found.setdefault((title, name), []).append(value)
    return found


def print_table(
    rows: dict[tuple[str, str, float], dict[str, Sample]],
    cells: dict[tuple[str, str], list[float]],
    names: list[str],
) -> None:
    print(f"{'':42}" + "".join(f"{name:>22}" for name in names))
    for title, unit, _ in rows:
        line = f"{title + ', ' + unit:42}"
        for name in names:
            samples = cells.get((title, name))
            if samples is None:
                line += f"{'':>22}"
                continue
            low, high = median_interval(samples) or (min(samples), max(samples))
            line += f"{f'{shown(median(samples))} ({shown(low)} – {shown(high)})':>22}"
        print(line)


def shown(value: float) -> str:
    """Three digits, and never an exponent."""
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


if __name__ == "__main__":
    main()
