"""The submission's executable, as a test runs it: `program.run("-c", "echo hi")`, in a sandbox of its own."""

from __future__ import annotations

import collections
import contextlib
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pexpect.fdpexpect

from grader.runner import observation
from grader.runner.host import GuestFailed
from grader.runner.programs import Ended, ProgramRunner, Run, Session
from grader.testing.checks import CheckFailed, NotJudged
from grader.toolchain import sanitizers

_SHOWN = 2000
_HALVINGS = 3
_SECOND_TRY = 5
"""So many times as long may a run take that is repeated since its time was over."""
_PATIENCE = 3
"""So many sandboxes may a program break before it is not run any more."""


class Program:
    """One executable in one sandbox, which serves one run after the other until something goes wrong with it.

    `argv` is the beginning of every command line. A hang, a flood of output or a sanitizer's finding becomes
    CheckFailed. `blame` False: it is not the submission's but a model, whose failures judge nobody.
    """

    def __init__(
        self,
        start: Callable[[], ProgramRunner],
        argv: Sequence[str],
        sources: Sequence[str] = (),
        *,
        blame: bool = True,
        patience: float = 1.0,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._launch = start
        self.argv = tuple(argv)
        self._sources = tuple(sources)
        self._blame = blame
        self._patience = patience
        self._environment = dict(environment or {})
        self._runner: ProgramRunner | None = None
        self._hangs = 0
        self._broken_sandboxes = 0

    def run(self, *arguments: str | bytes, case: str = "", **how: Any) -> Ended:
        """Run it once with these arguments; `how` are fields of `Run`. Returns what came of it.

        Raises CheckFailed when it does not end in time, prints too much, or a sanitizer finds something.
        """
        run = self._made(arguments, how)
        ended = self.attempt(run, case)
        label = case or _words(run)
        self._hangs += ended.timed_out
        if ended.over:
            raise self._failed(ended.over, label, ended, "The lab allows no more. What grows without end?")
        if ended.timed_out:
            raise self._failed(
                f"did not end within {run.timeout_s:g} s",
                label,
                ended,
                "Does somebody wait for what never comes?",
            )
        if ended.flooded:
            raise self._failed(f"printed more than {run.output_kib} KiB", label, ended, "A loop without end?")
        findings = sanitizers.parse(ended.stderr.decode("utf-8", "replace"), self._sources)
        if findings:
            found = findings[0]
            raise CheckFailed(
                found.message,
                case=label,
                where=f"{found.file}:{found.line}" if found.file else found.function,
                why=f"{found.tool} watched this run and stopped it at the first mistake.",
                detail=found.detail,
            )
        return ended

    def attempt(self, run: Run, case: str = "") -> Ended:
        """One run, made by `command`, whose end may be any. Raises CheckFailed when the sandbox died.

        A run of the submission that was stopped at its time without having worked for half of it is repeated with
        far more: it may have waited for the machine. Who works all the time has had the time.
        """
        try:
            ended = self.start().run(run)
            if self._blame and ended.timed_out and ended.cpu_s < run.timeout_s / 2:
                ended = self.start().run(replace(run, timeout_s=run.timeout_s * _SECOND_TRY))
            return ended
        except GuestFailed as failure:
            self.close()
            raise self._broken(failure, case or _words(run)) from None

    def traced(self, *arguments: str | bytes, **how: Any) -> collections.Counter[str]:
        """The system calls of the program's own process in one run, by name, counted from outside.

        Loading it takes some 70 of them. Raises NotJudged without strace, and what `run` raises.
        """
        runner = self.start()
        runner.wait_until_ready()
        try:
            with observation.tracing(runner.pid) as traced:
                self.run(*arguments, **{"timeout_s": 30.0, **how})
        except observation.Unobservable as error:
            raise NotJudged(str(error)) from None
        return next(iter(traced.processes.values()), collections.Counter())

    def command(self, *arguments: str | bytes, **how: Any) -> Run:
        """The run that `run` would make."""
        return self._made(arguments, how)

    @contextlib.contextmanager
    def terminal(self, *arguments: str | bytes, **how: Any) -> Iterator[Terminal]:
        """Run it on a terminal of its own, to be typed at; see `Terminal`."""
        run = self._made(arguments, {"timeout_s": 60.0, **how})
        try:
            with self.start().session(run) as session:
                yield Terminal(session)
        except GuestFailed as failure:
            self.close()
            raise self._broken(failure, _words(run)) from None

    def start(self) -> ProgramRunner:
        """The sandbox, started when there is none. It ends with the thread that started it.

        Raises CheckFailed when the program has broken too many: to wait for each of them would take hours.
        """
        if self._broken_sandboxes >= _PATIENCE:
            raise CheckFailed(
                f"not run: it has ended or stopped the server of its sandbox {self._broken_sandboxes} times",
                why="Signals and descriptors that are not yours are to be left alone.",
            )
        if self._runner is None:
            self._runner = self._launch()
        return self._runner

    def close(self) -> None:
        """End the sandbox; the next run starts a new one."""
        if self._runner is not None:
            self._runner.close()
            self._runner = None

    def _made(self, arguments: Sequence[str | bytes], how: Mapping[str, Any]) -> Run:
        given = Run((*self.argv, *arguments), **how)
        variables = {**self._environment, **given.environment}
        # Halved by every hang seen, so that a program that always hangs is soon judged.
        patience = self._patience / 2 ** min(self._hangs, _HALVINGS)
        return replace(given, timeout_s=given.timeout_s * patience, environment=variables)

    def _failed(self, words: str, case: str, ended: Ended, why: str) -> Exception:
        if not self._blame:
            return NotJudged(f"{self.argv[0]} {words}: {case}")
        printed = (ended.stdout + ended.stderr)[-_SHOWN:].decode("utf-8", "replace")
        return CheckFailed(
            words, case=case, why=why, detail=f"It printed:\n{printed}" if printed.strip() else ""
        )

    def _broken(self, failure: GuestFailed, case: str) -> Exception:
        self._broken_sandboxes += 1
        if not self._blame:
            return NotJudged(f"{self.argv[0]} {failure.summary}: {case}")
        return CheckFailed(
            failure.summary, case=case, why="Signals and descriptors that are not yours are to be left alone."
        )


class Terminal:
    """A program on a terminal. `expect` and `send` are pexpect's; what does not come in time is a failure."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._seen = io.StringIO()
        self._spawn: Any = pexpect.fdpexpect.fdspawn(session.fd, encoding="utf-8", codec_errors="replace")
        self._spawn.logfile_read = self._seen

    def expect(self, pattern: str, what: str, timeout_s: float = 10.0) -> str:
        """Wait until the program has printed what matches; the text before it. Raises CheckFailed that says `what`."""
        try:
            self._spawn.expect(pattern, timeout=timeout_s)
        except (pexpect.TIMEOUT, pexpect.EOF, OSError):
            raise CheckFailed(
                f"on a terminal: {what} did not come", got=self.seen(), expected=f"something like {pattern}"
            ) from None
        return str(self._spawn.before)

    def send(self, text: str) -> None:
        """Type something. Ctrl-C is '\\x03', Ctrl-Z '\\x1a', Ctrl-D '\\x04'."""
        with contextlib.suppress(OSError):  # what is missing then is told by the next `expect`
            self._spawn.send(text)

    def line(self, text: str) -> None:
        """Type a line and press Enter."""
        self.send(text + "\r")

    def seen(self) -> str:
        """The last of everything that the terminal has shown."""
        return self._seen.getvalue()[-_SHOWN:]

    def wait(self) -> Ended:
        """Wait for the program's end."""
        return self._session.wait()


def _words(run: Run) -> str:
    """A command line for people, without the program's folder."""
    words = [word if isinstance(word, str) else word.decode("utf-8", "backslashreplace") for word in run.argv]
    return " ".join([words[0].rpartition("/")[2], *words[1:]])[:500]
