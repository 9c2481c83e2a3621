"""What the shell may have limited for whatever it starts (setrlimit(2)), lifted as far as the grader may."""

from __future__ import annotations

import contextlib
import resource

from grader.cli.say import stop

FILES = 256
"""Open files that a grading needs at a time; most of them are pytest's and the runners' pipes."""


def lift() -> None:
    """Let this process and its children open enough files and have all addresses, which sanitizers reserve by the TiB.

    Ends the command where too few files are allowed. Addresses that stay limited are told by what needs them.
    """
    for what, wanted in ((resource.RLIMIT_NOFILE, 4 * FILES), (resource.RLIMIT_AS, resource.RLIM_INFINITY)):
        soft, hard = resource.getrlimit(what)
        if soft != resource.RLIM_INFINITY and (wanted == resource.RLIM_INFINITY or soft < wanted):
            for more in ((wanted, hard if _covers(hard, wanted) else wanted), (hard, hard)):
                with contextlib.suppress(ValueError, OSError):  # without the right to raise the hard limit
                    resource.setrlimit(what, more)
                    break
    allowed, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if allowed != resource.RLIM_INFINITY and allowed < FILES:
        stop(
            f"this shell allows {allowed} open files, and grading needs {FILES}: ulimit -n 1024 in a new shell"
        )


def _covers(hard: int, wanted: int) -> bool:
    return hard == resource.RLIM_INFINITY or (wanted != resource.RLIM_INFINITY and hard >= wanted)
