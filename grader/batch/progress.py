"""What is going on, for people: a live table of students and labs in a terminal, plain lines anywhere else."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from types import TracebackType

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from grader.batch.orders import Answer
from grader.batch.plan import Job
from grader.reports.text import one_line
from grader.result import Result

_ROWS = 14
"""Lines of the table that name a student; what runs is shown first, then what ended last."""


class Progress:
    """Use as a context manager around a batch. `told` may be called from any thread."""

    def __init__(self, console: Console, jobs: Sequence[Job], before: int, slots: int) -> None:
        self._console, self._slots = console, slots
        self._jobs = {job.key: job for job in jobs}
        self._before = before
        self._running: dict[str, tuple[str, float]] = {}
        self._ended: list[Text] = []
        self._done = self._failed = 0
        self._lock = threading.Lock()
        self._began = time.monotonic()
        self._live: Live | None = None
        if console.is_terminal:
            # Two pictures a second: drawing more often would take time from what is measured.
            self._live = Live(
                get_renderable=self._picture, console=console, refresh_per_second=2, transient=True
            )

    def __enter__(self) -> Progress:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def told(self, key: str, what: str) -> None:
        """A grading says what it does now."""
        with self._lock:
            began = self._running.get(key, ("", time.monotonic()))[1]
            self._running[key] = (what, began)

    def ended(self, answer: Answer, result: Result | None) -> None:
        """A grading has ended."""
        job = self._jobs[answer.key]
        with self._lock:
            self._running.pop(answer.key, None)
            self._done += result is not None
            self._failed += result is None
            count = f"[{self._done + self._failed}/{len(self._jobs)}]"
            line = self._line(job, answer, result)
            self._ended.append(line)
            del self._ended[:-_ROWS]
        if self._live is None:
            self._console.print(Text(f"{count} ").append_text(line), soft_wrap=True)

    def _line(self, job: Job, answer: Answer, result: Result | None) -> Text:
        who = f"{_names(job)}  {job.lab}  "
        if result is None:
            return Text(f"– {who}not graded: {one_line(answer.reason)}", "yellow")
        style = "" if result.status == "passed" else "dim"
        return Text(f"✓ {who}{result.score:g} / {result.judged_max:g}", style)

    def _picture(self) -> RenderableType:
        with self._lock:
            running, ended = sorted(self._running.items(), key=lambda item: item[1][1]), list(self._ended)
            done, failed = self._done, self._failed
        table = Table(box=None, pad_edge=False, header_style="dim")
        for name in ("student", "lab", "now", "for"):
            table.add_column(name, no_wrap=True)
        for key, (what, began) in running[:_ROWS]:
            job, seconds = self._jobs[key], time.monotonic() - began
            table.add_row(Text(_names(job)), job.lab, Text(one_line(what, 50)), f"{seconds:.0f} s")
        if len(running) > _ROWS:
            table.add_row(f"and {len(running) - _ROWS} more", "", "", "")
        parts: list[RenderableType] = [*ended[-max(0, _ROWS - len(running)) :], table]
        return Group(*parts, Text(self._summary(done, failed, len(running)), "bold"))

    def _summary(self, done: int, failed: int, running: int) -> str:
        total, over = len(self._jobs), done + failed
        words = f"{done} done, {running} running, {total - over - running} waiting"
        words += f", {failed} not graded" if failed else ""
        words += f", {self._before} from before" if self._before else ""
        left = eta_s(over, total, time.monotonic() - self._began)
        return words if left is None else f"{words}; about {duration(left)} left"


def eta_s(over: int, total: int, elapsed_s: float) -> float | None:
    """Seconds that the rest takes at the speed so far; None before the first has ended and after the last."""
    return elapsed_s / over * (total - over) if 0 < over < total else None


def duration(seconds: float) -> str:
    """'40 s', '12 min', '3 h 20 min'."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"


def _names(job: Job) -> str:
    names = [owner.student for owner in job.owners]
    shown = ", ".join(one_line(name, 40) for name in names[:3])
    return shown if len(names) <= 3 else f"{shown} and {len(names) - 3} more"
