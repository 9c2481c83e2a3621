"""How commands end when they cannot work: one clear message, one exit status, no traceback."""

from __future__ import annotations

import sys
from typing import NoReturn

BAD_COMMAND, CANNOT_WORK = 2, 3


def stop(message: str, status: int = CANNOT_WORK) -> NoReturn:
    """Print `message` on standard error and exit with `status`."""
    print(f"grader: {message}", file=sys.stderr)
    raise SystemExit(status)
