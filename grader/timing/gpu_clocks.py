"""The GPU's clock while a duel is fought: both sides must have had the same one, and none that was held back.

Read by the grader from the driver (NVML), right after each timed call, when the GPU still runs as it did in it.
What the power limit takes is not looked at: a kernel that draws more power runs slower for it, and that is its own.
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from statistics import median
from typing import Any, Literal

import numpy as np

from grader.timing.duel import Case, Task

SideName = Literal["submission", "reference"]

APART = 0.03
"""Clocks that differ by more than this share would show in a ratio."""

SHARE_HELD_BACK = 0.1

_IDLE, _POWER = 0x1, 0x4
_HELD_BACK = {
    0x08: "slowed down by its hardware",
    0x20: "too hot",
    0x40: "too hot",
    0x80: "held back by its power supply",
}
"""NVML's clocks event reasons (nvml.h, nvmlClocksEventReasons) that no submission is to blame for."""


@dataclass(frozen=True)
class Reading:
    """The SM clock in MHz, and NVML's reasons why it is not higher, as bits."""

    mhz: int
    reasons: int


@dataclass
class Clocks:
    """The readings of one duel, by side."""

    read: Callable[[], Reading | None]
    readings: dict[SideName, list[Reading]] = field(
        default_factory=lambda: {"submission": [], "reference": []}
    )

    def watching(self, case: Case) -> Case:
        """The case, with a reading after every timed call."""

        def tasks(rng: np.random.Generator) -> tuple[Task, Task]:
            ours, theirs = case.tasks(rng)
            return self._read_after(ours, "submission"), self._read_after(theirs, "reference")

        return replace(case, tasks=tasks)

    def _read_after(self, task: Task, side: SideName) -> Task:
        def verify(values: Sequence[Any]) -> None:
            reading = self.read()
            if reading is not None:
                self.readings[side].append(reading)
            task.verify(values)

        return replace(task, verify=verify)

    def disturbed(self) -> str:
        """Why this duel cannot be judged, and what to do; '' when the clocks allow it, or could not be read."""
        every = [reading for side in self.readings.values() for reading in side]
        for bit, words in _HELD_BACK.items():
            if sum(bool(reading.reasons & bit) for reading in every) > SHARE_HELD_BACK * len(every):
                return f"the GPU was {words} while it measured: run it again when nvidia-smi -q shows no slowdown"
        ours, theirs = (
            [reading.mhz for reading in self.readings[side] if not reading.reasons & (_IDLE | _POWER)]
            for side in ("submission", "reference")
        )
        if not ours or not theirs:
            return ""
        first, second = median(ours), median(theirs)
        if abs(first - second) > APART * max(first, second):
            return (
                f"the GPU's clock changed between the sides ({first:.0f} MHz for the submission, "
                f"{second:.0f} MHz for the reference): fix it (nvidia-smi -lgc) or run it again"
            )
        return ""


def reader(uuid: str) -> Callable[[], Reading | None]:
    """Reads the clock of the GPU with this UUID; gives None for ever where NVML cannot be asked."""
    try:
        nvml = ctypes.CDLL("libnvidia-ml.so.1")
        device = ctypes.c_void_p()
        if nvml.nvmlInit_v2() or nvml.nvmlDeviceGetHandleByUUID(uuid.encode(), ctypes.byref(device)):
            return lambda: None
        reasons = _symbol(
            nvml, "nvmlDeviceGetCurrentClocksEventReasons", "nvmlDeviceGetCurrentClocksThrottleReasons"
        )
    except (OSError, AttributeError):
        return lambda: None
    return functools.partial(_read, nvml, device, reasons)


_SM = 1  # nvmlClockType_t: NVML_CLOCK_SM


def _read(nvml: ctypes.CDLL, device: ctypes.c_void_p, reasons: Any) -> Reading | None:
    mhz, bits = ctypes.c_uint(), ctypes.c_ulonglong()
    failed = nvml.nvmlDeviceGetClockInfo(device, _SM, ctypes.byref(mhz)) or reasons(
        device, ctypes.byref(bits)
    )
    return None if failed else Reading(mhz.value, bits.value)


def _symbol(nvml: ctypes.CDLL, *names: str) -> Any:
    """The first of these that this driver has: the second is what drivers before 535 call it. Raises AttributeError."""
    return next((getattr(nvml, name) for name in names if hasattr(nvml, name)), None) or getattr(
        nvml, names[-1]
    )
