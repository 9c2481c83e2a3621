"""How commands end when they cannot work: one clear message, one exit status, no traceback."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Iterator
from typing import NoReturn

BAD_COMMAND, CANNOT_WORK = 2, 3
INTERRUPTED = 130
"""Exit status after Ctrl-C, as shells have it."""


def stop(message: str, status: int = CANNOT_WORK) -> NoReturn:
    """Print `message` on standard error and exit with `status`."""
    print(f"grader: {message}", file=sys.stderr)
    raise SystemExit(status)


@contextlib.contextmanager
def going_on_later() -> Iterator[None]:
    """Around a command that keeps what it has done: after Ctrl-C, at any moment, it says how to go on."""
    try:
        yield
    except KeyboardInterrupt:
        stop("stopped; what is graded is kept. The same command goes on from here", INTERRUPTED)


def leave(status: int) -> NoReturn:
    """Exit with `status`, also where a library has left threads behind that wait for something that has died."""
    if any(not thread.daemon for thread in threading.enumerate() if thread is not threading.main_thread()):
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    raise SystemExit(status)
