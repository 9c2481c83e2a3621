"""How commands end when they cannot work: one clear message, one exit status, no traceback."""

from __future__ import annotations

import os
import sys
import threading
from typing import NoReturn

BAD_COMMAND, CANNOT_WORK = 2, 3


def stop(message: str, status: int = CANNOT_WORK) -> NoReturn:
    """Print `message` on standard error and exit with `status`."""
    print(f"grader: {message}", file=sys.stderr)
    raise SystemExit(status)


def leave(status: int) -> NoReturn:
    """Exit with `status`, also where a library has left threads behind that wait for something that has died."""
    if any(not thread.daemon for thread in threading.enumerate() if thread is not threading.main_thread()):
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    raise SystemExit(status)
