"""What nvidia-smi says becomes a GPU; its lock keeps measurements apart."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from pathlib import Path

import pytest

from grader.sandbox import gpu

ANSWERS = """#!/bin/sh
case "$1" in
--query-gpu=name*) echo "NVIDIA Test, 9.0, 81559, 580.1, GPU-123" ;;
--query-gpu=clocks*) echo "1980, 1980, 35, 0x0000000000000001" ;;
--query-compute-apps=pid) printf '17\\n18\\n' ;;
esac
"""


@pytest.fixture
def driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    program = tmp_path / "nvidia-smi"
    program.write_text(ANSWERS)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    gpu.present.cache_clear()
    yield program
    gpu.present.cache_clear()


def test_a_gpu_is_known_by_what_the_driver_says(driver: Path) -> None:
    assert gpu.present() == gpu.Gpu("NVIDIA Test", "sm_90", 81559, "580.1", "GPU-123")


def test_its_state_says_what_may_slow_it(driver: Path) -> None:
    assert gpu.state() == {
        "SM clock": "1980",
        "highest SM clock": "1980",
        "temperature": "35",
        "throttle reasons": "0x0000000000000001",
        "processes on the GPU": "2",
    }


@pytest.mark.parametrize("answer", ["exit 9", "echo", "echo 'No devices were found'", "echo a, b, c, d, e"])
def test_a_driver_that_knows_none_means_no_gpu(driver: Path, answer: str) -> None:
    driver.write_text(f"#!/bin/sh\n{answer}\n")
    assert gpu.present() is None


def test_without_a_driver_there_is_no_gpu(driver: Path) -> None:
    driver.unlink()
    driver.parent.joinpath("nvidia-smi").write_text("#!/bin/sh\nexit 127\n")
    driver.chmod(0o755)
    assert gpu.present() is None
    assert gpu.state() == {}


def take(here: gpu.Gpu, alone: bool, got: multiprocessing.synchronize.Event) -> None:
    with gpu.held(here, alone=alone):
        got.set()


def test_a_measurement_waits_for_others_and_they_for_it() -> None:
    here = gpu.Gpu("test", "sm_90", 1, "1", f"test {id(object())}")
    context = multiprocessing.get_context("spawn")  # a fork would inherit the lock

    def another(alone: bool) -> tuple[multiprocessing.process.BaseProcess, multiprocessing.synchronize.Event]:
        got = context.Event()
        process = context.Process(target=take, args=(here, alone, got))
        process.start()
        return process, got

    with gpu.held(here, alone=False):
        shared, got_shared = another(alone=False)
        assert got_shared.wait(20)
        timed, got_timed = another(alone=True)
        assert not got_timed.wait(0.3)
    assert got_timed.wait(20)
    for process in (shared, timed):
        process.join()


def test_the_drivers_libraries_are_found_where_the_loader_looks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("libcuda.so.1", "libcuda.so.580", "libnvidia-ptxjitcompiler.so.1", "libcublas.so.13"):
        (tmp_path / name).touch()
    monkeypatch.setenv("LD_LIBRARY_PATH", f"/nowhere:{tmp_path}")
    found = gpu.driver_libraries.__wrapped__()
    assert {path.name for path in found} == {
        "libcuda.so.1",
        "libcuda.so.580",
        "libnvidia-ptxjitcompiler.so.1",
    }
