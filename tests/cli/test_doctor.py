"""`grader doctor` says what can be judged here, and nothing that is missing keeps it from saying so."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from rich.console import Console

from grader import doctor
from grader.cli.doctor import render
from grader.doctor import Finding
from grader.lab import load_lab
from grader.sandbox.confine import Tier
from grader.testing.checks import NotJudged
from grader.timing.fitness import cpu_info
from grader.trouble import CannotWork

ROOT = Path(__file__).parents[2]
ALL_WELL = {
    name: Finding(name, "yes", "here", "fine")
    for name in (
        *("C compiler", "sanitizers", "Python", "CPU", "cores", "sandbox", "valgrind", "cache"),
        *("GPU", "nvcc", "CuPy"),
    )
}
WORKING_REFERENCE = Finding("reference of gemm_cpu", "yes", "OpenBLAS", "timed tests")


@pytest.fixture
def lab():
    return load_lab("gemm_cpu", ROOT)


@pytest.fixture
def tools(tmp_path, monkeypatch):
    """An otherwise empty PATH: `tools(name, script)` puts a program there."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))

    def put(name: str, script: str) -> None:
        (folder / name).write_text(f"#!/bin/sh\n{script}\n")
        (folder / name).chmod(0o755)

    return put


def printed(found: list[Finding], width: int = 80, encoding: str = "utf-8") -> str:
    file = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    render(found, Console(file=file, width=width))
    file.seek(0)
    return file.read()


def test_it_looks_at_everything_once_and_at_every_lab():
    names = [finding.name for finding in doctor.findings(ROOT)]
    assert len(names) == len(set(names))
    expected = {"C compiler", "Python", "sandbox", "quiet", "GPU", "reference of gemm_cpu", "lab gemm_cpu"}
    assert expected <= set(names)


@pytest.mark.parametrize(
    "environment", [{"CC": "/nonexistent"}, {"CC": "/nonexistent", "PATH": ""}, {"GRADER_CACHE": "/proc/no"}]
)
def test_the_command_succeeds_whatever_is_missing(environment):
    answer = subprocess.run(
        [sys.executable, "-m", "grader", "doctor"],
        cwd=ROOT,
        env={**os.environ, "COLUMNS": "100", **environment},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert (answer.returncode, answer.stderr) == (0, "")
    assert "✗   lab gemm_cpu" in answer.stdout
    assert "To mend" in answer.stdout


def test_without_a_course_it_speaks_of_the_machine_only(tmp_path):
    assert not [finding for finding in doctor.findings(tmp_path) if "gemm" in finding.name]


def test_a_wrong_lab_is_a_finding_that_says_what_is_wrong(tmp_path):
    (tmp_path / "labs" / "broken").mkdir(parents=True)
    (tmp_path / "labs" / "broken" / "lab.yaml").write_text("schema: 1\nid: broken\ncolour: red\n")
    broken = doctor.findings(tmp_path)[-1]
    assert (broken.name, broken.status) == ("lab broken", "no")
    assert "colour" in broken.found


def test_a_check_that_breaks_is_a_finding(monkeypatch):
    def breaks():
        raise KeyError("a surprise")

    monkeypatch.setattr(doctor, "_cpu", breaks)
    broken = next(finding for finding in doctor.findings(ROOT / "docs") if finding.name == "CPU")
    assert broken.status == "no"
    assert "KeyError: 'a surprise'" in broken.found


# --- What it finds ------------------------------------------------------------------------------------------


REFUSES = "this machine's C compiler (gcc 4) cannot build the lab: error: no: use gcc 9 or newer (CC=gcc-12)"


def test_a_compiler_is_asked_to_build_a_lab(lab, monkeypatch):
    monkeypatch.setattr(doctor.readiness, "compiler", lambda *ignored: REFUSES)
    found = doctor._compiler(lab)
    assert (found.status, found.found, found.mend) == ("no", REFUSES, "use gcc 9 or newer (CC=gcc-12)")


def test_without_a_compiler_the_packages_are_named(lab, monkeypatch):
    monkeypatch.setattr(doctor.cc, "SANDBOX_PATH", "/nonexistent")
    monkeypatch.setenv("PATH", "/nonexistent/of/a/test")
    found = doctor._compiler(lab)
    assert (found.status, found.mend) == ("no", "apt-get install gcc libc6-dev")


@pytest.mark.parametrize(
    ("tried", "status", "words", "mend"),
    [
        (("", 0), "yes", "each started 20 times", ""),
        (("", 5), "partly", "5 starts with asan died", "sudo sysctl -w vm.mmap_rnd_bits=28"),
        (("AddressSanitizer does not start here: do this", 480), "no", "does not start here", "do this"),
    ],
)
def test_each_sanitizer_is_started_twenty_times(lab, monkeypatch, tried, status, words, mend):
    monkeypatch.setattr(doctor, "cure", lambda variant: "it dies: sudo sysctl -w vm.mmap_rnd_bits=28")
    answers = {"asan": tried, "tsan": ("", 0)}
    monkeypatch.setattr(doctor.readiness, "sanitizer", lambda lab, tier, variant: answers[variant])
    found = doctor._sanitizers(lab)
    assert (found.status, found.mend) == (status, mend)
    assert words in found.found


def test_a_missing_python_header_is_named_with_its_place(monkeypatch):
    monkeypatch.setattr(doctor.sysconfig, "get_paths", lambda: {"include": "/nowhere/include"})
    found = doctor._python()
    assert found.status == "no"
    assert "/nowhere/include/Python.h" in found.found
    assert "python3-dev" in found.mend


def test_a_cpu_without_avx2_is_said(monkeypatch):
    old = replace(cpu_info(), name="Old CPU", isa=("sse4_2",))
    monkeypatch.setattr(doctor.fitness, "cpu_info", lambda: old)
    assert doctor._cpu().status == "partly"
    assert "Old CPU: sse4_2" in doctor._cpu().found


def test_a_busy_machine_is_said(monkeypatch):
    monkeypatch.setattr(doctor.fitness, "taken_elsewhere", lambda *ignored: 0.42)
    found = doctor._quiet()
    assert found.status == "partly"
    assert "others take 42%" in found.found


def test_a_quiet_machine_needs_no_mending(monkeypatch):
    monkeypatch.setattr(doctor.fitness, "taken_elsewhere", lambda *ignored: 0.03)
    assert (doctor._quiet().status, doctor._quiet().mend) == ("yes", "")


@pytest.mark.parametrize(("name", "status"), [("A", "yes"), ("B", "partly"), ("C", "partly"), ("D", "no")])
def test_the_sandboxs_tier_decides_what_grades_are_possible(monkeypatch, name, status):
    monkeypatch.setattr(
        doctor.probe, "best_tier", lambda: Tier(name, "confined", () if name == "A" else ("x",))
    )
    assert doctor._sandbox().status == status
    assert f"tier {name}" in doctor._sandbox().found


def test_without_bubblewrap_the_mend_is_to_install_it(tools, monkeypatch):
    tools("apt-get", "")
    monkeypatch.setattr(doctor.probe, "best_tier", lambda: Tier("D", "not isolated"))
    assert doctor._sandbox().mend.endswith("apt-get install bubblewrap")


def test_without_apt_the_mend_names_the_packages_all_the_same(tools):
    assert doctor._valgrind(None).mend.startswith("install valgrind with this system's package manager")


def test_gpus_are_counted(tools):
    tools("nvidia-smi", 'echo "NVIDIA H100, 81559 MiB, 570.1"; echo "NVIDIA H100, 81559 MiB, 570.1"')
    found = doctor._gpu()
    assert (found.status, found.found) == ("yes", "NVIDIA H100, 81559 MiB, 570.1 and 1 more")


@pytest.mark.parametrize("script", ["exit 9", "exec sleep 60", "kill -9 $$", "printf ''"])
def test_a_driver_that_fails_or_hangs_counts_as_no_gpu(tools, monkeypatch, script):
    monkeypatch.setattr(doctor, "_PATIENCE_S", 0.3)
    tools("nvidia-smi", script.replace("sleep", "/bin/sleep"))
    assert doctor._gpu().status == "partly"


def test_without_a_gpu_nobody_is_sent_to_install_cupy(tools, monkeypatch):
    monkeypatch.setattr(doctor.importlib.util, "find_spec", lambda name: None)
    assert doctor._cupy().mend == ""


def test_without_nvcc_the_packages_that_bring_it_are_named(monkeypatch):
    def missing():
        raise doctor.nvcc.Missing("no nvcc")

    monkeypatch.setattr(doctor.nvcc, "find", missing)
    found = doctor._nvcc()
    assert found.status == "partly"
    assert "pip install nvidia-cuda-nvcc" in found.mend


@pytest.mark.parametrize(
    ("known", "package"), [(12040, "cupy-cuda12x"), (13000, "cupy-cuda13x"), (None, "cupy-cuda12x")]
)
def test_with_a_gpu_the_cupy_that_its_driver_can_carry_is_named(tools, monkeypatch, known, package):
    """The driver decides, not the compiler that happens to be here."""

    def loaded(name):
        if known is None:
            raise OSError("no libcuda.so.1")
        return SimpleNamespace(cuDriverGetVersion=lambda version: setattr(version._obj, "value", known))

    monkeypatch.setattr(doctor.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(doctor.gpu.ctypes, "CDLL", loaded)
    tools("nvidia-smi", "echo NVIDIA H100")
    assert doctor._cupy().mend.endswith(f"{sys.executable} -m pip install {package}")


def test_the_cache_is_measured(tmp_path, monkeypatch):
    (tmp_path / "build").mkdir()
    (tmp_path / "build" / "big").write_bytes(bytes(3 << 20))
    (tmp_path / "build" / "dangling").symlink_to("nowhere")
    monkeypatch.setattr(doctor.cache, "root", lambda: tmp_path)
    assert f"{tmp_path}: 3 MiB used" in doctor._cache().found


@pytest.mark.parametrize(
    "error", [NotJudged("kernels for SkylakeX"), CannotWork("kernels for SkylakeX\nmore")]
)
def test_a_reference_that_does_not_work_is_said_in_one_line(lab, monkeypatch, error):
    def refuse(*ignored):
        raise error

    monkeypatch.setattr(doctor, "reference_of", refuse)
    found = doctor._reference(lab)
    assert (found.status, found.found) == ("no", "kernels for SkylakeX")


# --- What it means for a lab --------------------------------------------------------------------------------


def test_where_all_is_well_all_of_a_lab_is_judged(lab):
    assert doctor.lab_finding(lab, ALL_WELL, WORKING_REFERENCE).status == "yes"


@pytest.mark.parametrize(
    ("broken", "loss"),
    [
        ("sandbox", "hidden tests"),
        ("valgrind", "simulated CPU"),
        ("sanitizers", "sanitizers"),
    ],
)
def test_a_missing_tool_costs_a_lab_the_tests_that_use_it(lab, broken, loss):
    machine = {**ALL_WELL, broken: Finding(broken, "no", "gone", "lost")}
    found = doctor.lab_finding(lab, machine, WORKING_REFERENCE)
    assert found.status == "partly"
    assert loss in found.found


def test_without_its_reference_a_lab_has_no_duels(lab):
    found = doctor.lab_finding(lab, ALL_WELL, replace(WORKING_REFERENCE, status="no"))
    assert (found.status, found.found) == ("partly", "all but: duels with the reference")


@pytest.mark.parametrize("broken", ["C compiler", "Python", "cache"])
def test_what_everything_needs_stops_every_lab(lab, broken):
    machine = {**ALL_WELL, broken: Finding(broken, "no", "gone", "lost")}
    assert doctor.lab_finding(lab, machine, WORKING_REFERENCE).status == "no"


def test_a_vector_extension_that_is_not_here_stops_a_lab(lab):
    wanted = lab.model_copy(update={"hardware": lab.hardware.model_copy(update={"isa": ["avx9"]})})
    found = doctor.lab_finding(wanted, ALL_WELL, WORKING_REFERENCE)
    assert (found.status, found.found) == ("no", "nothing: this CPU has no avx9")


def test_without_a_gpu_a_lab_that_needs_one_is_judged_in_part():
    machine = {**ALL_WELL, "GPU": Finding("GPU", "partly", "none", "no GPU")}
    found = doctor.lab_finding(load_lab("gemm_tensor_core", ROOT), machine, WORKING_REFERENCE)
    assert (found.status, found.found) == ("partly", "all but: what runs on a GPU")


def test_without_nvcc_nothing_of_a_cuda_lab_is_judged():
    machine = {**ALL_WELL, "nvcc": Finding("nvcc", "partly", "none", "cannot be built")}
    found = doctor.lab_finding(load_lab("gemm_tensor_core", ROOT), machine, WORKING_REFERENCE)
    assert (found.status, found.found) == ("no", "nothing: no nvcc")


# --- How it is shown ----------------------------------------------------------------------------------------


def test_a_command_that_mends_stays_on_one_line():
    command = "sudo sysctl -w " + "kernel.a_very_long_name" * 6 + "=0"
    text = printed([Finding("sandbox", "no", "tier D", "practice only", command)], width=60)
    assert f"  ✗ sandbox: {command}\n" in text


def test_where_nothing_is_wrong_it_says_so():
    assert "everything can be judged here" in printed([ALL_WELL["CPU"]])


def test_text_from_the_machine_is_never_markup():
    assert "[bold]CPU[/nonsense]" in printed([replace(ALL_WELL["CPU"], found="[bold]CPU[/nonsense]")])


def test_a_terminal_without_unicode_gets_plain_signs():
    text = printed([ALL_WELL["CPU"], Finding("GPU", "no", "none", "none")], encoding="ascii")
    assert "+ | CPU" in text
    assert "x | GPU" in text
