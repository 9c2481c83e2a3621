"""nvcc: found wherever it is, its words explained like gcc's."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from grader.lab import load_lab
from grader.sandbox.probe import best_tier
from grader.toolchain import build, diagnostics, nvcc

ROOT = Path(__file__).resolve().parent.parent.parent
LAB = load_lab("cuda_reduce_transpose", ROOT)
STARTER = LAB.starter / "redtr.cu"


def test_a_compiler_is_found_and_says_who_it_is() -> None:
    found = nvcc.find()
    assert found.version.startswith("nvcc ")
    assert (found.include / "cuda_runtime.h").is_file()
    assert (found.libraries / "libcudart_static.a").is_file()


def test_a_script_on_the_path_that_starts_another_nvcc_is_seen_through(tmp_path: Path) -> None:
    script = tmp_path / "nvcc"
    script.write_text(f'#!/bin/sh\nexec {nvcc.find().program} "$@"\n')
    script.chmod(0o755)
    assert nvcc._installed_in(script) == nvcc.find().folder


def test_a_program_that_is_no_nvcc_is_passed_over(tmp_path: Path) -> None:
    assert nvcc._installed_in(tmp_path / "missing") is None
    assert nvcc._installed_in(Path("/bin/true")) is None


def test_without_a_compiler_the_message_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nvcc, "_candidates", list)
    with pytest.raises(nvcc.Missing, match="pip install nvidia-cuda-nvcc"):
        nvcc.find.__wrapped__()


def test_a_toolkit_that_nobody_else_may_enter_is_copied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GRADER_CACHE", str(tmp_path / "cache"))
    nvcc.cache.root.cache_clear()
    hidden = tmp_path / "home" / "toolkit"
    (hidden / "bin").mkdir(parents=True)
    (hidden / "bin" / "nvcc").write_text("a compiler")
    (tmp_path / "home").chmod(0o700)
    try:
        copy = nvcc._reachable(hidden)
        assert copy != hidden
        assert (copy / "bin" / "nvcc").read_text() == "a compiler"
    finally:
        monkeypatch.undo()
        nvcc.cache.root.cache_clear()


@pytest.mark.parametrize("architecture", ["sm_75", "sm_80", "sm_86", "sm_89", "native"])
def test_older_gpus_are_named_in_short(architecture: str) -> None:
    assert nvcc.code_for(architecture) == f"-arch={architecture}"


@pytest.mark.parametrize(
    "architecture, instruction",
    [
        ("sm_90", "wgmma.fence.sync.aligned;"),
        ("sm_100", "tcgen05.wait::ld.sync.aligned;"),
        ("sm_120", "griddepcontrol.wait;"),
    ],
)
def test_what_only_one_gpu_has_can_be_reached(tmp_path: Path, architecture: str, instruction: str) -> None:
    source = tmp_path / "own.cu"
    source.write_text(f'__global__ void own() {{ asm volatile("{instruction}"); }}\n')
    command = [str(nvcc.find().program), nvcc.code_for(architecture), "-cubin", str(source), "-o", os.devnull]
    made = subprocess.run(command, capture_output=True, text=True)
    assert made.returncode == 0, made.stderr


def test_messages_read_as_gcc_writes_them() -> None:
    said = (
        'redtr.cu(3): error: identifier "y" is undefined\n'
        "    return x + y;\n"
        "               ^\n"
        "\n"
        'redtr.cu(9): warning #177-D: variable "i" was declared but never referenced\n'
        '1 error detected in the compilation of "redtr.cu".\n'
    )
    first, second = diagnostics.parse(nvcc.as_gcc_says_it(said))
    assert (first.file, first.line, first.column, first.severity) == ("redtr.cu", 3, 14, "error")
    assert first.message == 'identifier "y" is undefined'
    assert (second.line, second.severity) == (9, "warning")


def submitted(text: str) -> dict[str, bytes]:
    return {"redtr.cu": text.encode()}


def test_an_error_shows_the_students_line() -> None:
    broken = STARTER.read_text() + "\nint more(int x) { return x + undeclared; }\n"
    with pytest.raises(build.BuildFailed) as failed:
        build.build(best_tier(), LAB, submitted(broken), "release")
    assert "1 error in redtr.cu" in failed.value.summary
    assert "return x + undeclared" in failed.value.detail


def test_a_missing_function_is_named() -> None:
    text = STARTER.read_text().replace("int tr_f32(", "int renamed(")
    with pytest.raises(build.BuildFailed) as failed:
        build.build(best_tier(), LAB, submitted(text), "release")
    assert "tr_f32" in failed.value.summary + failed.value.detail


def test_unrolling_is_allowed_in_kernels_and_turning_sanitizers_off_is_not() -> None:
    unrolled = (
        STARTER.read_text()
        + "\n__global__ void k(float *x)\n{\n#pragma unroll\n    for (int i = 0; i < 4; i++)\n        x[i] = 0;\n}\n"
    )
    assert build.build(best_tier(), LAB, submitted(unrolled), "release").said
    with pytest.raises(build.BuildFailed, match="changes what the lab fixes"):
        text = STARTER.read_text() + '\n__attribute__((optimize("O0"))) int slow(void) { return 1; }\n'
        build.build(best_tier(), LAB, submitted(text), "release")


def test_hidden_files_cannot_be_included() -> None:
    stolen = f'#include "{LAB.solution}/redtr.cu"\n'
    with pytest.raises(build.BuildFailed) as failed:
        build.build(best_tier(), LAB, submitted(stolen), "release")
    assert os.fspath(LAB.solution) in failed.value.summary + failed.value.detail


def test_cuda_has_no_build_with_gccs_sanitizers() -> None:
    with pytest.raises(RuntimeError, match="compute-sanitizer"):
        build.build(best_tier(), LAB, submitted(STARTER.read_text()), "asan")
