"""Building a submission: the grader's command line, inside the sandbox, into one shared library per variant, and an
executable beside it where the lab has one.

The student's build files are never used and hidden files are not mounted, so neither `#include "/…"` nor `.incbin`
finds them. What was built, and what the compiler said, is kept under the hash of everything that went into it.
"""

from __future__ import annotations

import functools
import json
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from grader.lab import Lab
from grader.sandbox.confine import Confinement, Tier, end, hand_over, start
from grader.sandbox.probe import SYSTEM, SYSTEM_LINKS
from grader.toolchain import cache, diagnostics, module, policy

Variant = Literal["release", "asan", "tsan", "faults"]

COMMON_FLAGS = ("-std=gnu11", "-fPIC", "-pthread", "-g", "-Wall", "-Wextra", "-Wbidi-chars=any")
_WRAPPED = (
    *("malloc", "calloc", "realloc", "aligned_alloc", "posix_memalign", "free", "mmap", "munmap"),
    "pthread_create",
)
_VARIANT_FLAGS: Mapping[Variant, tuple[str, ...]] = {
    "release": (),
    "asan": (
        "-O1",
        "-g",
        "-fno-omit-frame-pointer",
        "-fsanitize=address,undefined",
        "-fno-sanitize-recover=all",
    ),
    "tsan": ("-O1", "-g", "-fno-omit-frame-pointer", "-fsanitize=thread"),
    "faults": tuple(f"-Wl,--wrap={name}" for name in _WRAPPED),
}
_KEPT_OUTPUT = 256 * 1024
_MAX_PREPROCESSED = 32 << 20
_LAUNCHERS = ("bwrap: ", "prlimit: ", "setpriv: ")


@dataclass(frozen=True)
class Built:
    """A library ready to be loaded, and the compiler's remarks about it; `program` is the executable, if any."""

    folder: Path
    variant: Variant
    remarks: tuple[diagnostics.Diagnostic, ...]
    program: Path | None = None


class BuildFailed(Exception):
    """The submission does not build. `summary` is one line, `detail` the explained diagnostics."""

    def __init__(self, summary: str, detail: str) -> None:
        super().__init__(summary)
        self.summary = summary
        self.detail = detail


@functools.lru_cache(maxsize=1)
def compiler() -> str:
    """The compiler's own one-line name and version, e.g. 'gcc (Debian 12.2.0-14) 12.2.0'.

    Raises RuntimeError when there is none.
    """
    try:
        answer = subprocess.run(["gcc", "--version"], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise RuntimeError("no C compiler: apt-get install gcc libc6-dev") from error
    return answer.stdout.splitlines()[0]


def build(tier: Tier, lab: Lab, files: Mapping[str, bytes], variant: Variant) -> Built:
    """Build one variant of a submission's `files`, or take it from the cache.

    Raises BuildFailed with what the student should mend, and RuntimeError when the grader's own part fails.
    """
    wrapped = _wraps(lab) if variant == "faults" else ()
    flags = (*COMMON_FLAGS, *lab.build.flags, *_VARIANT_FLAGS[variant], *wrapped)
    parts = [piece for name in sorted(files) for piece in (name, files[name])]
    glue = [path.read_bytes() for path in _staff_files(lab, variant)]
    if lab.main_path:
        glue += [str(_program(lab, variant)).encode(), lab.main_path.read_bytes()]
    recipe: list[cache.Piece] = [
        "build 3",
        compiler(),
        " ".join(flags),
        " ".join(lab.build.libraries),
        lab.header_path.read_bytes(),
        module.FAULTS.read_bytes(),
    ]
    name = cache.key(*recipe, *glue, "|", *parts)
    folder = cache.fetch("build", name, lambda place: _compile(place, tier, lab, files, variant, flags))
    record = json.loads((folder / "build.json").read_text())
    if record["failure"]:
        raise BuildFailed(record["failure"]["summary"], record["failure"]["detail"])
    remarks = diagnostics.parse(record["output"])
    wanted = _program(lab, variant)
    return Built(folder, variant, tuple(remarks), folder / wanted if wanted else None)


def _compile(
    place: Path, tier: Tier, lab: Lab, files: Mapping[str, bytes], variant: Variant, flags: Sequence[str]
) -> None:
    """Fill `place` with the library and build.json, which also records a failure: the same files fail the same way."""
    prepared = module.for_submissions(lab)
    scratch = cache.scratch_folder()
    try:
        _lay_out(scratch, lab, files, variant, prepared)
        hand_over(tier, scratch)
        sources = [name for name in sorted(files) if name.endswith(".c")]
        staff = [f"../lab/{path.name}" for path in _staff_sources(lab, variant)]
        objects = ["../lab/promises.o", *(["../lab/faults.o"] if variant == "faults" else [])]
        libraries = [f"-l{name}" for name in lab.build.libraries]
        link = ["-shared", "-Wl,-z,defs", "-Wl,-z,noexecstack", f"-Wl,-soname,{module.LIBRARY}"]
        compiler_of_all = ["gcc", "-fdiagnostics-format=json", *flags, "-iquote", "../lab"]
        command = [*compiler_of_all, *sources, *staff, *objects]
        compiling = _Step(tier, lab, scratch, [*command, *link, *libraries, "-o", f"../out/{module.LIBRARY}"])
        program, linking = _program(lab, variant), []
        if program and lab.main_path:
            parts = [f"../lab/{lab.main_path.name}", *sources, *staff, *objects[1:], "-Wl,-z,noexecstack"]
            command = [*compiler_of_all, *parts, *libraries, "-o", f"../out/{program}"]
            linking.append(_Step(tier, lab, scratch, command))
        checked = sources if variant == "release" else []  # the other variants share its source
        with_macros = [_Step(tier, lab, scratch, _preprocess(flags, source)) for source in checked]
        compiled = compiling.finish(lab.limits.build_s)
        linked = [step.finish(lab.limits.build_s) for step in linking]
        preprocessed = [step.finish(lab.limits.build_s) for step in with_macros]
        for step in (compiled, *linked, *preprocessed):
            if step.status != 0 and step.stderr.startswith(_LAUNCHERS):
                raise RuntimeError(f"the sandbox could not start the compiler: {step.stderr.strip()[-400:]}")
        failure = _judge(compiled, preprocessed, files, scratch / "src")
        for step in linked:
            failure = failure or _judge(step, [], files, scratch / "src")
        if failure and any(_was_stopped(step) for step in (compiled, *linked, *preprocessed)):
            raise BuildFailed(failure["summary"], failure["detail"])  # not kept: next time it may be faster
        for name in (module.LIBRARY, *([program] if program else [])) if failure is None else ():
            made = scratch / "out" / name
            if made.is_symlink() or not made.is_file():
                raise RuntimeError(f"the compiler said nothing was wrong, but {name} is not there")
            shutil.copyfile(made, place / name)
            (place / name).chmod(0o755)
        (place / "build.json").write_text(json.dumps({"failure": failure, "output": compiled.stderr}))
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _program(lab: Lab, variant: Variant) -> str | None:
    """The name of the executable that this variant has; a program of several processes has no use for tsan."""
    return lab.build.program.name if lab.build.program and variant != "tsan" else None


def _staff_sources(lab: Lab, variant: Variant) -> tuple[Path, ...]:
    return (*lab.glue_paths, *(lab.fault_paths if variant == "faults" else ()))


def _staff_files(lab: Lab, variant: Variant) -> list[Path]:
    """Staff's sources and their headers."""
    sources = _staff_sources(lab, variant)
    return [path for source in sources for path in (source, source.with_suffix(".h")) if path.exists()]


def _wraps(lab: Lab) -> tuple[str, ...]:
    """The linker's flags for every __wrap_NAME that the lab's fault sources define."""
    texts = [path.read_text(encoding="utf-8") for path in lab.fault_paths]
    names = dict.fromkeys(name for text in texts for name in re.findall(r"\b__wrap_(\w+)\s*\(", text))
    return tuple(f"-Wl,--wrap={name}" for name in names if name not in _WRAPPED)


def _lay_out(
    scratch: Path, lab: Lab, files: Mapping[str, bytes], variant: Variant, prepared: module.Module
) -> None:
    for folder in ("src", "lab", "out"):
        (scratch / folder).mkdir()
    for name, data in files.items():
        target = scratch / "src" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
    mains = [lab.main_path] if lab.main_path else []
    for path in (lab.header_path, prepared.promises, prepared.faults, *mains, *_staff_files(lab, variant)):
        shutil.copyfile(path, scratch / "lab" / path.name)


def _preprocess(flags: Sequence[str], source: str) -> list[str]:
    return ["gcc", "-E", *flags, "-g0", "-iquote", "../lab", source]  # -g would add a marker for the folder


@dataclass(frozen=True)
class _Outcome:
    status: int | None
    stdout: str
    stderr: str
    is_whole: bool
    """Is all of the standard output here?"""


class _Step:
    """One confined run of the compiler; two of them run side by side."""

    def __init__(self, tier: Tier, lab: Lab, scratch: Path, command: Sequence[str]) -> None:
        self._files = (tempfile.TemporaryFile(), tempfile.TemporaryFile())  # noqa: SIM115 - finish() closes them
        confinement = Confinement(
            read_only=SYSTEM,
            writable=(scratch,),
            symlinks=SYSTEM_LINKS,
            environment={"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TMPDIR": "/tmp"},
            working_directory=scratch / "src",
            policy="processes",
            proc=False,
            tmp_mib=256,
            cpu_s=int(lab.limits.build_s) + 1,
            memory_mib=lab.limits.build_memory_mib,
        )
        self._process = start(tier, confinement, command, stdout=self._files[0], stderr=self._files[1])

    def finish(self, timeout_s: float) -> _Outcome:
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
        return _Outcome(status, texts[0], texts[1], is_whole)


def _was_stopped(step: _Outcome) -> bool:
    """Did it run into a limit, or did the machine run out of memory?"""
    return step.status is None or "Killed signal terminated program" in step.stderr


def _judge(
    compiled: _Outcome, preprocessed: Sequence[_Outcome], files: Mapping[str, bytes], folder: Path
) -> dict[str, str] | None:
    """None when the build may be used, else the failure's summary and detail."""
    sources = {name: data.decode("utf-8", "replace") for name, data in files.items()}
    unread = any(step.status != 0 or not step.is_whole for step in preprocessed)
    if unread and (compiled.status == 0 or not all(step.is_whole for step in preprocessed)):
        detail = (
            "Its macros and #include lines together make more than the grader reads; write less by macro."
        )
        return {"summary": "the preprocessor took too long or made too much text", "detail": detail}
    violations = policy.check("".join(step.stdout for step in preprocessed), sources)
    if violations:
        lines = [f"{item.file}:{item.line}: {item.text}\n    {item.message}" for item in violations]
        return {
            "summary": f"the source changes what the lab fixes: {violations[0].message}",
            "detail": "\n".join(lines),
        }
    if compiled.status == 0:
        return None
    if compiled.status is None:
        return {"summary": "the compiler took too long", "detail": "Compiling this ran into the time limit."}
    found = diagnostics.parse(compiled.stderr, folder=str(folder))
    shown = [diagnostics.render(item, sources.get(item.file)) for item in found if item.severity == "error"]
    if not shown:
        return {"summary": "the compiler gave up", "detail": compiled.stderr[-4000:]}
    return {"summary": diagnostics.summarise(found), "detail": "\n".join(shown[:5])}
