"""The other end of a worker: starts one, hands it an order, waits for the answer, replaces it when it dies or hangs."""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import grader
from grader.batch.orders import Answer, Order
from grader.batch.worker import WAITING

ATTEMPTS, SILENCE_S = 2, 1800.0
"""How often a grading that ends without a result is tried, and the seconds without a word after which it is stopped."""

COMMAND = (sys.executable, "-m", "grader.batch.worker")

Told = Callable[[str, str], None]
"""Is told the key of an order and what happens with it now."""


def silent(key: str, what: str) -> None:
    """Listens to nothing."""


class Slot:
    """Room for one grading at a time. Use as a context manager; its worker starts with the first order."""

    def __init__(
        self, told: Told = silent, command: Sequence[str] = COMMAND, silence_s: float = SILENCE_S
    ) -> None:
        self._told, self._command, self._silence_s = told, command, silence_s
        self._worker: subprocess.Popen[bytes] | None = None
        self._errors: Any = None
        self._unread = b""
        self._stopped = False

    def __enter__(self) -> Slot:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        self._close()

    def grade(self, order: Order) -> Answer:
        """The answer to one order. Never raises for what a submission, a worker or the machine does."""
        reasons: list[str] = []
        for _ in range(ATTEMPTS):
            if self._stopped:
                return Answer(order.key, "", "stopped")
            try:
                return Answer(order.key, self._ask(order))
            except _Lost as lost:
                reasons.append(str(lost))
                if lost.worker_too:
                    self._close()
            except OSError as error:
                reasons.append(f"the worker cannot be reached: {error}")
                self._close()
        return Answer(order.key, "", reasons[-1])

    def stop(self) -> None:
        """From another thread: kill the worker and what it grades; `grade` then returns without a result."""
        self._stopped = True
        if (worker := self._worker) is not None:
            worker.kill()

    def _close(self) -> None:
        if self._worker is not None:
            self._worker.kill()
            self._worker.wait()
            for stream in (self._worker.stdin, self._worker.stdout, self._errors):
                with contextlib.suppress(OSError):
                    if stream is not None:
                        stream.close()
            self._worker, self._unread = None, b""

    def _ask(self, order: Order) -> str:
        """The result document of one attempt. Raises _Lost."""
        worker = self._worker = self._worker or self._start()
        assert worker.stdin is not None
        worker.stdin.write(order.to_json().encode() + b"\n")
        worker.stdin.flush()
        patience: float | None = self._silence_s
        while True:
            event, text = self._event(worker, patience)
            if event == "done":
                return text
            if event == "lost":
                raise _Lost(text)
            patience = None if text == WAITING else self._silence_s
            self._told(order.key, text)

    def _event(self, worker: subprocess.Popen[bytes], patience_s: float | None) -> tuple[str, str]:
        """The next event. Raises _Lost when the worker ends, says nothing for too long, or cannot be understood."""
        assert worker.stdout is not None
        while b"\n" not in self._unread:
            ready, _, _ = select.select([worker.stdout], [], [], patience_s)
            if not ready:
                raise _Lost(f"not a word for {patience_s:.0f} s", worker_too=True)
            piece = os.read(worker.stdout.fileno(), 1 << 16)
            if not piece:
                raise _Lost(f"the worker ended: {self._last_words(worker)}", worker_too=True)
            self._unread += piece
        line, _, self._unread = self._unread.partition(b"\n")
        try:
            event, text = json.loads(line)
        except (ValueError, TypeError) as error:  # a fork that was killed in the middle of a line
            raise _Lost(f"what the worker said cannot be read: {line[:200]!r}", worker_too=True) from error
        return str(event), str(text)

    def _start(self) -> subprocess.Popen[bytes]:
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the worker
        environment = {**os.environ, "PYTHONPATH": str(Path(grader.__file__).parent.parent)}
        return subprocess.Popen(
            self._command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            env=environment,
            start_new_session=True,  # Ctrl-C is for who handed the work out
        )

    def _last_words(self, worker: subprocess.Popen[bytes]) -> str:
        with contextlib.suppress(subprocess.TimeoutExpired):
            worker.wait(5)
        self._errors.seek(0)
        words = self._errors.read().decode("utf-8", "replace").strip()[-300:]
        return f"exit status {worker.returncode}{f', {words}' if words else ''}"


class _Lost(Exception):
    """An attempt without a result. `worker_too`: its worker is gone or must go."""

    def __init__(self, reason: str, worker_too: bool = False) -> None:
        super().__init__(reason)
        self.worker_too = worker_too
