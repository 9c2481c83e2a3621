"""What keeps every kernel from running is the machine's, and is told with its cure."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from grader.sandbox import gpu
from grader.toolchain import gpu_trial, nvcc

HERE = gpu.Gpu("NVIDIA Test", "sm_80", 81559, "470.1", "GPU-1")
COMPILER = nvcc.Nvcc(Path("/n/bin/nvcc"), Path("/n"), "nvcc 13.0 (V13.0.88)")


@pytest.fixture
def a_gpu(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    monkeypatch.setattr(gpu, "present", lambda: HERE)
    gpu_trial.why_not.cache_clear()
    yield monkeypatch
    gpu_trial.why_not.cache_clear()


@pytest.mark.parametrize(
    "said, cure",
    [
        ("35 0 CUDA driver version is insufficient for CUDA runtime version", "newer NVIDIA driver"),
        ("209 0 no kernel image is available for execution on the device", "toolkit that knows it"),
        ("222 0 the provided PTX was compiled with an unsupported toolchain.", "newer NVIDIA driver"),
        ("803 0 system has unsupported display driver / cuda driver combination", "reboot"),
        ("999 0 unknown error", "nvidia-smi"),
        ("0 41 no error", "42 expected, 41 came"),
        ("", "nvidia-smi"),
    ],
)
def test_a_machine_that_runs_no_kernel_is_told_with_its_cure(said: str, cure: str) -> None:
    assert cure in gpu_trial.told(HERE, COMPILER, said)


def test_a_kernel_that_ran_says_nothing() -> None:
    assert gpu_trial.told(HERE, COMPILER, "0 42 no error") == ""


def test_without_a_gpu_nothing_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu, "present", lambda: None)
    gpu_trial.why_not.cache_clear()
    assert gpu_trial.why_not() == ""
    gpu_trial.why_not.cache_clear()


def test_the_trial_builds_and_says_what_this_machine_lacks(a_gpu: pytest.MonkeyPatch) -> None:
    found = (
        subprocess.run(["nvidia-smi", "-L"], capture_output=True).returncode == 0 if gpu.nodes() else False
    )
    assert (gpu_trial.why_not() == "") is found


def test_a_gpu_that_this_compiler_has_forgotten_is_named(a_gpu: pytest.MonkeyPatch) -> None:
    a_gpu.setattr(gpu, "present", lambda: gpu.Gpu("Old", "sm_20", 1, "470.1", "GPU-2"))
    assert "makes no code for Old (sm_20): install CUDA 12" in gpu_trial.why_not()
