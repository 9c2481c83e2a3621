"""Can this machine do what tests of a lab ask of it, whoever hands in? Tried as grading does it, and told in its words.

What doctor shows, what *not judged* says and what a batch's key holds come from here and from `toolchain.probe`: the
same command lines, sandbox and limits. Nothing is decided by a version number or by a file's presence.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

from grader import cache, cc
from grader.lab import Lab
from grader.runner.host import CannotStart, Guest, GuestSpec
from grader.sandbox.confine import Tier
from grader.testing.simulation import Simulator
from grader.testing.subject import limits_of
from grader.toolchain import module, probe
from grader.toolchain.recipe import Variant
from grader.trouble import CannotWork

STARTS = 20
"""Of each sanitizer. One that dies in a quarter of its starts shows it in all but .75^20 = 0.3 % of looks."""


def compiler(lab: Lab, tier: Tier) -> str:
    """Why the lab cannot be built here; '' when it can."""
    return probe.why_not(tier, lab, "release")


def sanitizer(lab: Lab, tier: Tier, variant: Variant, starts: int = STARTS) -> tuple[str, int]:
    """Why nothing can be judged with this variant, '' when it can; and how many of `starts` runners died in a start.

    Those that die are started again, here as in grading.
    """
    died = 0
    try:
        if reason := probe.why_not(tier, lab, variant):
            return reason, 0
        for _ in range(starts):
            with Guest(tier, _spec(lab, variant)) as guest:
                died += guest.launches - 1
    except (CannotStart, cc.Missing) as error:
        return str(error), died
    return "", died


def valgrind(lab: Lab, tier: Tier) -> str:
    """Why nothing can be simulated here; '' when it can."""
    interface = module.for_submissions(lab).interface
    return Simulator(lambda spec: Guest(tier, spec), _spec(lab, "release"), interface).why_not()


def lacking(lab: Lab, tier: Tier) -> tuple[str, ...]:
    """What tests of this lab in C may ask for and cannot have here, by name. Results hold where this is the same."""
    tried = {
        "the compiler": compiler(lab, tier),
        "AddressSanitizer": sanitizer(lab, tier, "asan", 1)[0],
        "ThreadSanitizer": sanitizer(lab, tier, "tsan", 1)[0],
        "valgrind": _still(valgrind, lab, tier),
    }
    return tuple(name for name, reason in tried.items() if reason)


def _still(trial: Callable[[Lab, Tier], str], lab: Lab, tier: Tier) -> str:
    """Why valgrind did not start, now; that this very program did start once is remembered, since it takes 3 s."""
    program = shutil.which("valgrind")
    stamp = cache.stamp([Path(program).resolve()]) if program else ""
    key = cache.key("worked 1", tier.name, os.uname().release, stamp, str(_spec(lab, "release").module))

    def try_it(place: Path) -> None:
        if reason := trial(lab, tier):
            raise CannotWork(reason)
        (place / "worked").touch()

    try:
        cache.fetch("worked", key, try_it)
    except CannotWork as cannot:
        return str(cannot)
    return ""


def _spec(lab: Lab, variant: Variant) -> GuestSpec:
    """A runner that has nothing to load: it is only started."""
    folder = module.for_submissions(lab).folder
    return GuestSpec(folder, folder, (), variant, limits=limits_of(lab, variant, lab.limits.call_s))
