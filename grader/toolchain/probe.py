"""What this machine's compilers can do, found out as grading uses them: the same command lines, sandbox and limits.

Nothing is decided by a version number or by a file's presence. What a compiler refuses is left out where it is a
convenience (`settle`); where it is needed, `why_not` is the one sentence that doctor and *not judged* both use.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path

from grader import cache, cc
from grader.lab import Lab
from grader.sandbox.confine import Tier, hand_over
from grader.toolchain import nvcc, recipe
from grader.toolchain.recipe import Recipe, Variant
from grader.toolchain.steps import Outcome, Step
from grader.trouble import CannotWork, pip_install

_ALONE = """static int numbers[4] = {1, 2, 3, 4};

int alone(int at);

int alone(int at)
{
    return numbers[at & 3];
}
"""
_MAIN = "int main(void)\n{\n    return 0;\n}\n"
_KERNEL = "__global__ void alone(int *out)\n{\n    out[threadIdx.x] = 1;\n}\n"

_NEEDED = {"asan": "AddressSanitizer", "tsan": "ThreadSanitizer"}
_PACKAGES = {"asan": "libasan", "tsan": "libtsan"}
_SAID = 300


class CannotBuild(CannotWork):
    """This machine's compiler cannot build what the lab asks, whoever hands in. The message ends with the cure."""


def settle(tier: Tier, lab: Lab, variant: Variant) -> Recipe:
    """The variant's recipe with every convenience that this compiler takes; tried once, then remembered.

    Raises cc.Missing where there is no compiler. A compiler that refuses what is needed gets the plainest recipe, and
    `why_not` says what it is.
    """
    wanted = recipe.of(lab, variant)
    name = cache.key("settled 1", tier.name, wanted.identity, repr((recipe.TOLD, recipe.SHARED_RUNTIME)))

    def try_all(place: Path) -> None:
        settled = next((item for item in _ways(wanted) if _takes(tier, lab, item)), None)
        if settled is None:
            raise CannotBuild(wanted.compiler.version)  # and nothing is kept: what is missing may come
        (place / "settled.json").write_text(json.dumps({"told": settled.told, "runtime": settled.runtime}))

    try:
        known = json.loads((cache.fetch("settled", name, try_all) / "settled.json").read_text())
    except CannotBuild:
        return wanted
    return replace(wanted, told=tuple(known["told"]), runtime=tuple(known["runtime"]))


def why_not(tier: Tier, lab: Lab, variant: Variant) -> str:
    """Why this machine cannot build this variant of the lab, whoever hands in, and what to do; '' when it can.

    The variant's own command lines build a file of staff's, then staff's part of the lab. Raises RuntimeError when the
    sandbox does not start.
    """
    try:
        steps = _cuda_steps(tier, lab, variant) if lab.language == "cuda" else _c_steps(tier, lab, variant)
        failed = next((outcome for outcome in steps if outcome.status != 0), None)
    except (cc.Missing, nvcc.Missing) as missing:
        return str(missing)
    return _told(failed, lab, variant) if failed else ""


def stand_in(tier: Tier, lab: Lab, variant: Variant) -> Path:
    """An executable of staff's, built as the submission's is: it does nothing, and must not die of it.

    Raises CannotBuild when this machine cannot build it.
    """
    item = settle(tier, lab, variant)
    sources = {"alone.c": _ALONE, "main.c": _MAIN}
    command = item.program("stand_in", sorted(sources), [])

    def make(place: Path) -> None:
        failed = _run(tier, lab, sources, command, item.compiler.mounts, keep=place / "stand_in")
        if failed.status != 0:
            raise CannotBuild(why_not(tier, lab, variant) or failed.stderr.strip()[-_SAID:])

    name = cache.key("stand-in 1", tier.name, item.identity, *sources.values())
    return cache.fetch("stand-in", name, make) / "stand_in"


def _ways(wanted: Recipe) -> Iterator[Recipe]:
    runtimes = recipe.SHARED_RUNTIME if wanted.variant in recipe.RUNTIMES else ((),)
    for runtime, *told in product(runtimes, *recipe.TOLD):
        yield replace(wanted, runtime=runtime, told=tuple(flag for choice in told for flag in choice))


def _takes(tier: Tier, lab: Lab, item: Recipe) -> bool:
    """Does the compiler take all of it, and warn of nothing (clang does, of options that it does not know)?"""
    outcome = _run(tier, lab, {"alone.c": _ALONE}, item.library(["alone.c"], []), item.compiler.mounts)
    return outcome.status == 0 and "warning: " not in outcome.stderr


def _c_steps(tier: Tier, lab: Lab, variant: Variant) -> Iterator[Outcome]:
    item = settle(tier, lab, variant)
    mounts = item.compiler.mounts
    yield _run(tier, lab, {"alone.c": _ALONE}, item.library(["alone.c"], []), mounts)
    if lab.build.program and variant != "tsan":
        sources = {"alone.c": _ALONE, "main.c": _MAIN}
        yield _run(tier, lab, sources, item.program(lab.build.program.name, sorted(sources), []), mounts)
    for path in recipe.staff_sources(lab, variant):
        yield _run(tier, lab, {}, item.object(f"../lab/{path.name}"), mounts)


def _cuda_steps(tier: Tier, lab: Lab, variant: Variant) -> Iterator[Outcome]:
    compiler = nvcc.find()
    options = (*lab.build.flags, "-I../lab")
    alone = nvcc.compile_command(compiler, options, "alone.cu", "../out/alone.o", "../out")
    linked = nvcc.link_command(compiler, ["../out/alone.o"], recipe.LINK, f"../out/{recipe.LIBRARY}")
    yield _run(tier, lab, {"alone.cu": _KERNEL}, alone, compiler.mounts, linked)
    for path in recipe.staff_sources(lab, variant):
        source = f"../lab/{path.name}"
        staff = nvcc.compile_command(compiler, options, source, "../out/staff.o", "../out")
        yield _run(tier, lab, {}, staff, compiler.mounts)


def _run(
    tier: Tier,
    lab: Lab,
    sources: dict[str, str],
    command: Sequence[str],
    mounts: tuple[Path, ...],
    *then: Sequence[str],
    keep: Path | None = None,
) -> Outcome:
    """The first of the commands that fails, or the last, in one scratch folder with the lab's files.

    `keep`: where to copy what was made, the file of that name in the folder `out`.
    """
    scratch = cache.scratch_folder()
    try:
        for folder in ("src", "lab", "out", "tmp"):
            (scratch / folder).mkdir()
        for name, text in sources.items():
            (scratch / "src" / name).write_text(text)
        for path in recipe.staff_files(lab):
            shutil.copyfile(path, scratch / "lab" / path.name)
        hand_over(tier, scratch)
        for one in (command, *then):
            outcome = Step(tier, lab, scratch, one, mounts).finish(lab.limits.build_s)
            if outcome.could_not_start:
                raise CannotWork(f"the sandbox could not start the compiler: {outcome.stderr.strip()[-400:]}")
            if outcome.status != 0:
                break
        if keep is not None and outcome.status == 0:
            shutil.copyfile(scratch / "out" / keep.name, keep)
            keep.chmod(0o755)
        return outcome
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _told(failed: Outcome, lab: Lab, variant: Variant) -> str:
    """What the compiler refuses, in its words, and what to do."""
    said = next(
        (line for line in failed.stderr.splitlines() if "error" in line.lower()), failed.stderr.strip()
    )
    said = " ".join(said.split())[:_SAID]
    if lab.language == "cuda":
        return f"this machine's nvcc cannot build the lab: {said}: {_nvcc_cure(failed.stderr)}"
    version = cc.find().version
    if variant in _NEEDED and any(
        name in failed.stderr for name in (_PACKAGES[variant], "clang_rt", variant)
    ):
        return (
            f"{_NEEDED[variant]} does not come with this compiler ({version}): {said}: "
            f"{_sanitizer_cure(variant)}"
        )
    return (
        f"this machine's C compiler ({version}) cannot build the lab: {said}: use gcc 9 or newer (CC=gcc-12)"
    )


def _sanitizer_cure(variant: Variant) -> str:
    if "clang" in cc.find().version:
        return "install clang's runtimes (apt-get install libclang-rt-dev, dnf install compiler-rt)"
    return f"apt-get install gcc, or dnf install {_PACKAGES[variant]}"


def _nvcc_cure(said: str) -> str:
    if "unsupported GNU version" in said or "host_config" in said:
        return "install a g++ that this CUDA accepts (NVCC_CCBIN=g++-12 names it), or a newer CUDA toolkit"
    if "gpu architecture" in said or "gpu-architecture" in said:
        return "this CUDA no longer builds for this GPU: install CUDA 12, the last for sm_70 and older"
    if "g++" in said or "gcc" in said or "cc1plus" in said:
        return "apt-get install g++"
    return f"{pip_install(nvcc.PACKAGES)}, or NVIDIA's CUDA toolkit"
