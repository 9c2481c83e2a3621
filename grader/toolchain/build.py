"""Building a submission: the grader's command line, inside the sandbox, into one shared library per variant, and an
executable beside it where the lab has one.

The student's build files are never used and hidden files are not mounted, so neither `#include "/…"` nor `.incbin`
finds them. What was built, and what the compiler said, is kept under the hash of everything that went into it.
"""

from __future__ import annotations

import functools
import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from grader import cache
from grader.lab import Lab
from grader.sandbox.confine import Tier, hand_over
from grader.toolchain import diagnostics, module, nvcc, policy, probe, recipe
from grader.toolchain.probe import CannotBuild as CannotBuild
from grader.toolchain.recipe import Recipe, Variant
from grader.toolchain.steps import Outcome, Step
from grader.trouble import CannotWork

_VERSION = "build 4"


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


def build(tier: Tier, lab: Lab, files: Mapping[str, bytes], variant: Variant) -> Built:
    """Build one variant of a submission's `files`, or take it from the cache.

    Raises BuildFailed with what the student should mend, CannotBuild with what this machine's compiler cannot do,
    whoever hands in, and RuntimeError when the grader's own part fails.
    """
    if lab.language == "cuda":
        _only_on_cpus(lab, variant)
        making, asked = (
            functools.partial(_compile_cuda, tier, lab, files, variant),
            _cuda_identity(lab, variant),
        )
    else:
        item = probe.settle(tier, lab, variant)
        making, asked = functools.partial(_compile_c, tier, lab, files, item), item.identity
    parts = [piece for name in sorted(files) for piece in (name, files[name])]
    staff = [path.read_bytes() for path in recipe.staff_files(lab, variant)]
    if lab.main_path:
        staff += [str(_program(lab, variant)).encode(), lab.main_path.read_bytes()]
    name = cache.key(_VERSION, asked, module.FAULTS.read_bytes(), *staff, "|", *parts)
    folder = cache.fetch("build", name, lambda place: _compile(place, tier, lab, files, variant, making))
    record = json.loads((folder / "build.json").read_text())
    if record["failure"]:
        raise BuildFailed(record["failure"]["summary"], record["failure"]["detail"])
    remarks = diagnostics.parse(record["output"])
    wanted = _program(lab, variant)
    program = folder / wanted if wanted else None
    return Built(folder, variant, tuple(remarks), record["output"], program)


def _only_on_cpus(lab: Lab, variant: Variant) -> None:
    """Raises RuntimeError for a variant that nvcc does not have."""
    if variant not in ("release", "faults"):
        raise RuntimeError(
            f"{lab.id} is written in CUDA: it has no {variant} build, compute-sanitizer watches it"
        )


def _cuda_identity(lab: Lab, variant: Variant) -> str:
    """Everything that a CUDA build's commands depend on. Raises nvcc.Missing."""
    compiler = nvcc.find()
    commands = nvcc.compile_command(compiler, lab.build.flags, "", "", "")
    return "\n".join(
        [compiler.version, *nvcc.host(), *commands, *recipe.LINK, *recipe.wrapping(lab, variant)]
    )


Making = Callable[[Path], tuple[list[Outcome], list[Outcome]]]
"""Compiles what lies in a scratch folder: the steps that make something, and those that only preprocess."""


def _compile(
    place: Path, tier: Tier, lab: Lab, files: Mapping[str, bytes], variant: Variant, making: Making
) -> None:
    """Fill `place` with the library and build.json, which also records a failure: the same files fail the same way."""
    prepared = module.for_submissions(lab)
    scratch = cache.scratch_folder()
    try:
        _lay_out(scratch, lab, files, variant, prepared)
        hand_over(tier, scratch)
        compiled, preprocessed = making(scratch)
        for step in (*compiled, *preprocessed):
            if step.could_not_start:
                raise CannotWork(f"the sandbox could not start the compiler: {step.stderr.strip()[-400:]}")
        if any(step.status not in (0, None) for step in compiled) and (
            reason := probe.why_not(tier, lab, variant)
        ):
            raise CannotBuild(reason)
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
    tier: Tier, lab: Lab, files: Mapping[str, bytes], item: Recipe, scratch: Path
) -> tuple[list[Outcome], list[Outcome]]:
    """Compile and link; beside it, the sources of the release variant as the preprocessor sees them."""
    sources = [name for name in sorted(files) if name.endswith(".c")]
    staff = [f"../lab/{path.name}" for path in recipe.staff_sources(lab, item.variant)]
    objects = _prepared_objects(item.variant)
    commands = [item.library([*sources, *staff], objects)]
    program = _program(lab, item.variant)
    if program and lab.main_path:
        commands.append(
            item.program(program, [f"../lab/{lab.main_path.name}", *sources, *staff], objects[1:])
        )
    mounts = item.compiler.mounts
    steps = [Step(tier, lab, scratch, command, mounts) for command in commands]
    checked = sources if item.variant == "release" else []  # the other variants share its source
    with_macros = [Step(tier, lab, scratch, item.preprocessed(source), mounts) for source in checked]
    compiled = [step.finish(lab.limits.build_s) for step in steps]
    return compiled, [step.finish(lab.limits.build_s) for step in with_macros]


def _compile_cuda(
    tier: Tier, lab: Lab, files: Mapping[str, bytes], variant: Variant, scratch: Path
) -> tuple[list[Outcome], list[Outcome]]:
    """Compile with nvcc, the sources side by side, and link. The student's PTX stays in the folder `out`."""
    compiler = nvcc.find()
    own = [name for name in sorted(files) if name.endswith(".cu")]
    staff = [f"../lab/{path.name}" for path in recipe.staff_sources(lab, variant)]
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
    options = (*recipe.LINK, *recipe.wrapping(lab, variant))
    link = nvcc.link_command(
        compiler, [*objects, *_prepared_objects(variant)], options, f"../out/{module.LIBRARY}"
    )
    linked = Step(tier, lab, scratch, link, compiler.mounts).finish(lab.limits.build_s)
    return [replace(linked, stderr=said + linked.stderr)], []


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
    for path in (prepared.promises, prepared.faults, *mains, *recipe.staff_files(lab, variant)):
        shutil.copyfile(path, scratch / "lab" / path.name)


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
