"""Labs for a GPU on machines that lack something: what can be judged is judged, the rest waits and says for what."""

from __future__ import annotations

from pathlib import Path

import pytest

from grader.grading import Options, grade
from grader.lab import load_lab
from grader.result import Result
from grader.sandbox import gpu
from grader.toolchain import nvcc
from tests.conftest import needs
from tests.testing.steps import Listener

ROOT = Path(__file__).resolve().parent.parent
LABS = ["cuda_reduce_transpose", "gemm_tensor_core"]
pytestmark = needs("gcc", "tier A")


@pytest.fixture(autouse=True)
def without_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu, "present", lambda: None)


def graded(lab: str, **options: object) -> Result:
    loaded = load_lab(lab, ROOT)
    return grade(loaded, loaded.solution, Options(**options), Listener()).result


@pytest.mark.parametrize("lab", LABS)
def test_machine_code_is_judged_and_the_rest_waits(lab: str) -> None:
    result = graded(lab)
    by_category: dict[str, set[str]] = {}
    for test in result.tests:
        by_category.setdefault(test.category, set()).add(test.status)
    assert by_category == {
        "correctness": {"not_judged"},
        "machine code": {"passed"},
        "performance": {"not_judged"},
    }
    assert {test.message for test in result.tests if test.status == "not_judged"} == {"needs an NVIDIA GPU"}
    assert (result.score, result.judged_max, result.max_score) == (10, 10, 100)
    assert result.machine.gpu is None
    assert "kernels as compiled" in result.evidence[0].title


@pytest.mark.parametrize("lab", LABS)
def test_without_a_compiler_everything_waits_and_says_what_to_install(
    lab: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing() -> nvcc.Nvcc:
        raise nvcc.Missing("needs nvcc, the CUDA compiler: pip install it")

    monkeypatch.setattr(nvcc, "find", missing)
    result = graded(lab, mode="practice")
    assert {test.status for test in result.tests} == {"not_judged"}
    told = {test.message for test in result.tests if test.category != "performance"}
    assert "needs nvcc, the CUDA compiler: pip install it" in told
    assert told <= {"needs nvcc, the CUDA compiler: pip install it", "needs an NVIDIA GPU"}
    assert result.score == 0


def test_a_kernel_that_does_not_compile_is_a_failed_build(tmp_path: Path) -> None:
    lab = load_lab("cuda_reduce_transpose", ROOT)
    text = (lab.starter / "redtr.cu").read_text()
    (tmp_path / "redtr.cu").write_text(text + "\n__global__ void broken(float *x) { x[0] = undeclared; }\n")
    result = grade(lab, tmp_path, Options(), Listener()).result
    first = result.tests[0]
    assert (first.id, first.status) == ("build", "failed")
    assert first.failure is not None
    assert "undeclared" in first.failure.summary
    assert "redtr.cu" in first.failure.summary
