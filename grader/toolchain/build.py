"""Building a submission: the grader's command line, inside the sandbox, into one shared library per variant, and an
executable beside it where the lab has one.

The student's build files are never used and hidden files are not mounted, so neither `#include "/…"` nor `.incbin`
finds them. What was built, and what the compiler said, is kept under the hash of everything that went into it.
"""

from __future__ import annotations

import functools
import json
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from grader import cache
from grader.lab import Lab
from grader.sandbox.confine import Tier, hand_over
from grader.toolchain import diagnostics, module, nvcc, policy
from grader.toolchain.steps import Outcome, Step

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


@dataclass(frozen=True)
class Built:
    """A library ready to be loaded, and the compiler's remarks about it; `program` is the executable, if any."""

    folder: Path
    variant: Variant
    remarks: tuple[diagnostics.Diagnostic, ...]
    said: str = ""
    """Everything the compiler printed, e.g. what ptxas says of each kernel."""
    program: Path | None = None
    """The executable, in labs that have one."""


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
    flags = _flags(lab, variant)
    parts = [piece for name in sorted(files) for piece in (name, files[name])]
    glue = [path.read_bytes() for path in _staff_files(lab, variant)]
    if lab.main_path:
        glue += [str(_program(lab, variant)).encode(), lab.main_path.read_bytes()]
    recipe: list[cache.Piece] = [
        "build 3",
        compiler(),
        *([nvcc.find().version, nvcc.architecture(), " ".join(nvcc.FLAGS)] if lab.language == "cuda" else []),
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
    program = folder / wanted if wanted else None
    return Built(folder, variant, tuple(remarks), record["output"], program)


def _flags(lab: Lab, variant: Variant) -> tuple[str, ...]:
    """The flags of a variant. Raises RuntimeError for one that nvcc does not have."""
    wrapped = _wraps(lab) if variant == "faults" else ()
    if lab.language == "cuda" and variant not in ("release", "faults"):
        raise RuntimeError(
            f"{lab.id} is written in CUDA: it has no {variant} build, compute-sanitizer watches it"
        )
    common = () if lab.language == "cuda" else COMMON_FLAGS
    return (*common, *lab.build.flags, *_VARIANT_FLAGS[variant], *wrapped)


def _compile(
    place: Path, tier: Tier, lab: Lab, files: Mapping[str, bytes], variant: Variant, flags: Sequence[str]
) -> None:
    """Fill `place` with the library and build.json, which also records a failure: the same files fail the same way."""
    prepared = module.for_submissions(lab)
    scratch = cache.scratch_folder()
    try:
        _lay_out(scratch, lab, files, variant, prepared)
        hand_over(tier, scratch)
        making = _compile_cuda if lab.language == "cuda" else _compile_c
        compiled, preprocessed = making(tier, lab, scratch, files, variant, flags)
        for step in (*compiled, *preprocessed):
            if step.could_not_start:
                raise RuntimeError(f"the sandbox could not start the compiler: {step.stderr.strip()[-400:]}")
        failure = _judge(compiled[0], preprocessed, files, scratch / "src")
        for step in compiled[1:]:
            failure = failure or _judge(step, [], files, scratch / "src")
        if failure and any(step.was_stopped for step in (*compiled, *preprocessed)):
            raise BuildFailed(failure["summary"], failure["detail"])  # not kept: next time it may be faster
        if failure is None:
            _keep(scratch / "out", place, [name for name in (module.LIBRARY, _program(lab, variant)) if name])
        (place / "build.json").write_text(json.dumps({"failure": failure, "output": compiled[0].stderr}))
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _compile_c(
    tier: Tier, lab: Lab, scratch: Path, files: Mapping[str, bytes], variant: Variant, flags: Sequence[str]
) -> tuple[list[Outcome], list[Outcome]]:
    """Compile and link with gcc; beside it, the sources of the release variant as the preprocessor sees them."""
    sources = [name for name in sorted(files) if name.endswith(".c")]
    staff = [f"../lab/{path.name}" for path in _staff_sources(lab, variant)]
    objects = _prepared_objects(variant)
    libraries = [f"-l{name}" for name in lab.build.libraries]
    command = ["gcc", "-fdiagnostics-format=json", *flags, "-iquote", "../lab"]
    link = ["-shared", *(f"-Wl,{option}" for option in _LINK), *libraries, "-o", f"../out/{module.LIBRARY}"]
    steps = [Step(tier, lab, scratch, [*command, *sources, *staff, *objects, *link])]
    program = _program(lab, variant)
    if program and lab.main_path:
        parts = [f"../lab/{lab.main_path.name}", *sources, *staff, *objects[1:], "-Wl,-z,noexecstack"]
        steps.append(Step(tier, lab, scratch, [*command, *parts, *libraries, "-o", f"../out/{program}"]))
    checked = sources if variant == "release" else []  # the other variants share its source
    with_macros = [Step(tier, lab, scratch, _preprocess(flags, source)) for source in checked]
    compiled = [step.finish(lab.limits.build_s) for step in steps]
    return compiled, [step.finish(lab.limits.build_s) for step in with_macros]


def _compile_cuda(
    tier: Tier, lab: Lab, scratch: Path, files: Mapping[str, bytes], variant: Variant, flags: Sequence[str]
) -> tuple[list[Outcome], list[Outcome]]:
    """Compile with nvcc, the sources side by side, and link. The student's PTX stays in the folder `out`."""
    compiler = nvcc.find()
    own = [name for name in sorted(files) if name.endswith(".cu")]
    staff = [f"../lab/{path.name}" for path in _staff_sources(lab, variant)]
    steps, objects = [], []
    for number, source in enumerate((*own, *staff)):
        kept = scratch / (f"kept{number}" if source in staff else "out")
        kept.mkdir(exist_ok=True)
        hand_over(tier, kept)
        objects.append(f"../out/{number}.o")
        options = (*lab.build.flags, "-I../lab")
        command = nvcc.compile_command(compiler, options, source, objects[-1], f"../{kept.name}")
        steps.append(Step(tier, lab, scratch, command, compiler.mounts))
    outcomes = [step.finish(lab.limits.build_s) for step in steps]
    failed = next((outcome for outcome in outcomes if outcome.status != 0), None)
    said = "".join(nvcc.as_gcc_says_it(outcome.stderr) for outcome in outcomes[: len(own)])
    if failed:
        return [replace(failed, stderr=nvcc.as_gcc_says_it(failed.stderr))], []
    wrapped = [flag.removeprefix("-Wl,") for flag in flags if flag.startswith("-Wl,--wrap=")]
    options = (*_LINK, *wrapped)
    link = nvcc.link_command(
        compiler, [*objects, *_prepared_objects(variant)], options, f"../out/{module.LIBRARY}"
    )
    linked = Step(tier, lab, scratch, link, compiler.mounts).finish(lab.limits.build_s)
    return [replace(linked, stderr=said + linked.stderr)], []


_LINK = ("-z,defs", "-z,noexecstack", f"-soname,{module.LIBRARY}")


def _prepared_objects(variant: Variant) -> list[str]:
    return ["../lab/promises.o", *(["../lab/faults.o"] if variant == "faults" else [])]


def _program(lab: Lab, variant: Variant) -> str | None:
    """The name of the executable that this variant has; a program of several processes has no use for tsan."""
    return lab.build.program.name if lab.build.program and variant != "tsan" else None


def _keep(made: Path, place: Path, names: Sequence[str]) -> None:
    """Copy what was built, and the kernels' PTX. Raises RuntimeError when something is not there."""
    for name in names:
        if (made / name).is_symlink() or not (made / name).is_file():
            raise RuntimeError(f"the compiler said nothing was wrong, but {name} is not there")
        shutil.copyfile(made / name, place / name)
        (place / name).chmod(0o755)
    for path in sorted(made.glob("*.ptx")):
        if path.is_file() and not path.is_symlink():
            shutil.copyfile(path, place / path.name)


def _staff_sources(lab: Lab, variant: Variant) -> tuple[Path, ...]:
    return (*lab.glue_paths, *(lab.fault_paths if variant == "faults" else ()))


def _staff_files(lab: Lab, variant: Variant) -> list[Path]:
    """Staff's sources and their headers."""
    sources = _staff_sources(lab, variant)
    shared = [module.GPU_SUPPORT] if lab.language == "cuda" else []
    return shared + [
        path for source in sources for path in (source, source.with_suffix(".h")) if path.exists()
    ]


def _wraps(lab: Lab) -> tuple[str, ...]:
    """The linker's flags for every __wrap_NAME that the lab's fault sources define."""
    texts = [path.read_text(encoding="utf-8") for path in lab.fault_paths]
    names = dict.fromkeys(name for text in texts for name in re.findall(r"\b__wrap_(\w+)\s*\(", text))
    return tuple(f"-Wl,--wrap={name}" for name in names if name not in _WRAPPED)


def _lay_out(
    scratch: Path, lab: Lab, files: Mapping[str, bytes], variant: Variant, prepared: module.Module
) -> None:
    for folder in ("src", "lab", "out", "tmp"):
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


def _judge(
    compiled: Outcome, preprocessed: Sequence[Outcome], files: Mapping[str, bytes], folder: Path
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
    if any(name.endswith(".cu") for name in sources):
        violations = [item for item in violations if not policy.fits_kernels(item)]
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
