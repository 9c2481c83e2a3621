"""One confined run of a compiler: started beside others, waited for with a limit, its words kept and cut."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from grader.lab import Lab
from grader.sandbox.confine import Confinement, Tier, end, start
from grader.sandbox.probe import SYSTEM, SYSTEM_LINKS

_KEPT_OUTPUT = 256 * 1024
_MAX_PREPROCESSED = 32 << 20
_LAUNCHERS = ("bwrap: ", "launch: ")


@dataclass(frozen=True)
class Outcome:
    """How a step ended (status None: it was stopped) and what it printed, cut."""

    status: int | None
    stdout: str
    stderr: str
    is_whole: bool
    """Is all of the standard output here?"""

    @property
    def was_stopped(self) -> bool:
        """Did it run into a limit, or did the machine run out of memory?"""
        return self.status is None or "Killed signal terminated program" in self.stderr

    @property
    def could_not_start(self) -> bool:
        """Was it the sandbox that failed, not the compiler?"""
        return self.status != 0 and self.stderr.startswith(_LAUNCHERS)


class Step:
    """One confined run of the compiler; two of them run side by side."""

    def __init__(
        self,
        tier: Tier,
        lab: Lab,
        scratch: Path,
        command: Sequence[str],
        more: tuple[Path, ...] = (),
    ) -> None:
        """`more`: what it sees beside /usr and the scratch folder."""
        self._files = (tempfile.TemporaryFile(), tempfile.TemporaryFile())  # noqa: SIM115 - finish() closes them
        confinement = Confinement(
            read_only=(*SYSTEM, *more),
            writable=(scratch,),
            symlinks=SYSTEM_LINKS,
            environment={
                "PATH": "/usr/bin:/bin",
                "LC_ALL": "C",
                "TMPDIR": "/tmp" if tier.has_namespaces else str(scratch / "tmp"),
            },
            working_directory=scratch / "src",
            policy="processes",
            proc=False,
            tmp_mib=256,
            cpu_s=int(lab.limits.build_s) + 1,
            memory_mib=lab.limits.build_memory_mib,
        )
        self._process = start(tier, confinement, command, stdout=self._files[0], stderr=self._files[1])

    def finish(self, timeout_s: float) -> Outcome:
        """Wait, kill what takes too long (status None), and return what was printed, cut."""
        try:
            status: int | None = self._process.wait(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            end(self._process)
            self._process.wait()
            status = None
        is_whole = os.fstat(self._files[0].fileno()).st_size <= _MAX_PREPROCESSED
        texts = []
        for file, limit in zip(self._files, (_MAX_PREPROCESSED, _KEPT_OUTPUT), strict=True):
            file.seek(0)
            texts.append(file.read(limit).decode("utf-8", "replace"))
            file.close()
        return Outcome(status, texts[0], texts[1], is_whole)
