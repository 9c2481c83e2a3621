"""What a worker writes when it is cut off in the middle of a line, or writes nonsense: every order gets an answer."""

from __future__ import annotations

import io
import os
import tempfile
from typing import Any
from unittest import mock

from grader.batch.orders import Order, Terms
from grader.batch.slot import Slot

_ORDER = Order("key", "lab", "/folder", "/root", Terms())


class _Worker:
    """Stands for a worker's process: what it writes is there already, then it has ended."""

    def __init__(self, said: bytes) -> None:
        read_end, write_end = os.pipe()
        os.write(write_end, said[:60_000])
        os.close(write_end)
        self.stdin, self.stdout, self.returncode = io.BytesIO(), os.fdopen(read_end, "rb"), 1

    def wait(self, timeout: float | None = None) -> int:
        return self.returncode

    def kill(self) -> None:
        """It has ended."""


def one_input(data: bytes) -> None:
    """All of it is what each worker writes."""
    told: list[tuple[str, str]] = []

    def start(slot: Slot) -> Any:
        slot._errors = tempfile.TemporaryFile()  # noqa: SIM115 - the slot closes it
        return _Worker(data)

    with mock.patch.object(Slot, "_start", start):
        with Slot(lambda key, what: told.append((key, what))) as slot:
            answer = slot.grade(_ORDER)
    assert answer.key == "key" and isinstance(answer.document, str) and isinstance(answer.reason, str)
    assert all(isinstance(what, str) for _, what in told)
