"""Facts about a lab: what a good contract gives, and where its files lie."""

from __future__ import annotations

import pickle
import re
import subprocess
import sys
from pathlib import Path

import pytest

from grader.lab import TIERS, ContractError, Lab, list_labs, load_lab
from grader.scoring import DEFAULT_CREDIT
from tests.sample_contracts import COURSE, VALID, changed, course, refusal

# --- What a good contract gives -------------------------------------------------------------------


def test_a_valid_contract_gives_values_and_defaults(tmp_path: Path) -> None:
    lab = load_lab("gemm_cpu", course(tmp_path))
    assert lab.sources[0].path == "gemm.c"
    assert lab.sources[0].language == "c"
    assert lab.build.flags == ("-O3", "-mavx2")
    assert lab.limits.call_s == 10
    assert lab.gate.correctness == 0.95
    assert lab.duels["large"].clock == "cpu"
    assert lab.duels["large"].against == "reference"
    assert list(lab.credit) == list(TIERS)
    assert lab.credit == DEFAULT_CREDIT
    assert lab.max_points == 100
    assert lab.hardware.gpu is False


def test_paths_lie_where_the_course_says(tmp_path: Path) -> None:
    root = course(tmp_path).resolve()
    lab = load_lab("gemm_cpu", root)
    assert lab.folder == root / "labs/gemm_cpu"
    assert lab.starter == root / "starter/gemm_cpu"
    assert lab.solution == root / "solutions_hidden/gemm_cpu"
    assert lab.header_path == root / "starter/gemm_cpu/gemm.h"
    assert lab.reference_path == root / "labs/gemm_cpu/reference.c"
    assert lab.glue_paths == ()


@pytest.mark.parametrize("spelling", ["labs/gemm_cpu", "labs/gemm_cpu/", "labs/gemm_cpu/lab.yaml"])
def test_a_lab_is_found_by_its_path_too(tmp_path: Path, spelling: str) -> None:
    root = course(tmp_path)
    assert (
        load_lab(root / spelling, root) == load_lab(f"{root}/{spelling}", root) == load_lab("gemm_cpu", root)
    )


def test_a_lab_is_frozen_and_survives_a_worker_process(tmp_path: Path) -> None:
    lab = load_lab("gemm_cpu", course(tmp_path))
    with pytest.raises(ValueError, match="frozen"):
        lab.title = "other"
    assert pickle.loads(pickle.dumps(lab)) == lab


def test_tiers_are_given_in_their_order_however_they_are_written(tmp_path: Path) -> None:
    text = changed("{pass: 0.15, bronze: 0.25, gold: 0.80}", "{gold: 0.80, pass: 0.15, bronze: 0.25}")
    assert list(load_lab("gemm_cpu", course(tmp_path, text)).duels["large"].tiers) == [
        "pass",
        "bronze",
        "gold",
    ]


def test_a_duel_with_oneself_needs_no_reference(tmp_path: Path) -> None:
    text = changed("    title: n = 3072\n", "    title: n = 3072\n    against: self\n")
    text = re.sub(r"reference:\n(  .*\n)+", "", text)
    lab = load_lab("gemm_cpu", course(tmp_path, text))
    assert lab.reference is None
    assert lab.reference_path is None


@pytest.mark.parametrize("mark", ["\ufeff", "# a comment\n", "---\n"])
def test_harmless_beginnings_are_accepted(tmp_path: Path, mark: str) -> None:
    assert load_lab("gemm_cpu", course(tmp_path, mark + VALID)).id == "gemm_cpu"


def test_windows_line_ends_are_accepted(tmp_path: Path) -> None:
    assert load_lab("gemm_cpu", course(tmp_path, VALID.replace("\n", "\r\n"))).id == "gemm_cpu"


# --- Test files and digest ------------------------------------------------------------------------


def with_tests(root: Path, *names: str) -> Lab:
    for name in names:
        (root / "labs/gemm_cpu" / name).write_text("def test_nothing(): pass\n")
    return load_lab("gemm_cpu", root)


def test_practice_leaves_out_the_hidden_tests(tmp_path: Path) -> None:
    lab = with_tests(course(tmp_path), "test_public.py", "test_hidden.py", "test_performance.py")
    assert [path.name for path in lab.test_files(practice=True)] == ["test_public.py", "test_performance.py"]
    assert [path.name for path in lab.test_files(practice=False)] == [
        "test_public.py",
        "test_hidden.py",
        "test_performance.py",
    ]


def test_official_grading_without_the_hidden_tests_is_an_error(tmp_path: Path) -> None:
    lab = with_tests(course(tmp_path), "test_public.py", "test_performance.py")
    assert len(lab.test_files(practice=True)) == 2
    with pytest.raises(ContractError, match=r"labs/gemm_cpu/lab.yaml: test_hidden.py is missing"):
        lab.test_files(practice=False)


def test_duels_need_their_test_file(tmp_path: Path) -> None:
    lab = with_tests(course(tmp_path), "test_public.py")
    with pytest.raises(ContractError, match=r"test_performance\.py is missing"):
        lab.test_files(practice=True)


@pytest.mark.parametrize(
    "name", ["labs/gemm_cpu/oracle.py", "labs/gemm_cpu/data/x.bin", "starter/gemm_cpu/gemm.h"]
)
def test_the_digest_depends_on_what_judges(tmp_path: Path, name: str) -> None:
    lab = load_lab("gemm_cpu", course(tmp_path))
    before = lab.digest
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text("changed")
    assert lab.digest != before
    assert re.fullmatch("[0-9a-f]{64}", before)


@pytest.mark.parametrize(
    "name", ["mutants/m01/mutant.yaml", "cheats/c/x.c", "__pycache__/a.pyc", ".cache/x", ".x"]
)
def test_the_digest_ignores_the_rest(tmp_path: Path, name: str) -> None:
    lab = load_lab("gemm_cpu", course(tmp_path))
    before = lab.digest
    path = lab.folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("changed")
    assert lab.digest == before


def test_the_digest_does_not_depend_on_where_the_course_lies(tmp_path: Path) -> None:
    labs = [load_lab("gemm_cpu", course(tmp_path / name)) for name in ("here", "there")]
    assert labs[0].digest == labs[1].digest


def test_content_does_not_slip_from_one_file_into_the_next(tmp_path: Path) -> None:
    labs = [load_lab("gemm_cpu", course(tmp_path / name)) for name in ("here", "there")]
    for lab, (a, b) in zip(labs, [("xy", "z"), ("x", "yz")], strict=True):
        (lab.folder / "a").write_text(a)
        (lab.folder / "b").write_text(b)
    assert labs[0].digest != labs[1].digest


def test_a_digest_without_the_header_is_an_error(tmp_path: Path) -> None:
    lab = load_lab("gemm_cpu", course(tmp_path))
    lab.header_path.unlink()
    with pytest.raises(ContractError, match="cannot read a file of the lab"):
        assert lab.digest


# --- Which labs there are -------------------------------------------------------------------------


def test_labs_are_listed_by_name(tmp_path: Path) -> None:
    course(tmp_path, lab_id="thread_pool")
    course(tmp_path, lab_id="gemm_cpu")
    (tmp_path / "labs" / "Not-A-Lab").mkdir()
    (tmp_path / "labs" / "empty").mkdir()
    assert list_labs(tmp_path) == ["gemm_cpu", "thread_pool"]
    assert list_labs(tmp_path / "nowhere") == []


def test_a_missing_lab_names_those_that_exist(tmp_path: Path) -> None:
    course(tmp_path, lab_id="thread_pool")
    course(tmp_path)
    text = refusal(tmp_path, "gem_cpu")
    assert text == "gem_cpu: no such lab; did you mean gemm_cpu? The labs here are: gemm_cpu, thread_pool"


@pytest.mark.parametrize(
    "lab_id", ["", "..", "/", "a\0b", "x" * 5000, "\x1b[2J", "\ud800", "../../etc/passwd"]
)
def test_a_strange_lab_name_is_a_clear_error(tmp_path: Path, lab_id: str) -> None:
    text = refusal(course(tmp_path), lab_id)
    assert "no such lab" in text
    assert text.isprintable()


def test_a_course_without_labs_says_so(tmp_path: Path) -> None:
    assert "holds no labs" in refusal(tmp_path)


# --- The labs of this course -----------------------------------------------------------------------


@pytest.mark.parametrize("lab_id", list_labs(COURSE))
def test_every_lab_of_the_course_has_a_valid_contract(lab_id: str) -> None:
    lab = load_lab(lab_id, COURSE)
    assert lab.max_points == 100


def test_the_gemm_lab_has_the_duels_that_its_handout_promises() -> None:
    lab = load_lab("gemm_cpu", COURSE)
    assert lab.duels["large"].tiers == {
        "pass": 0.15,
        "bronze": 0.25,
        "silver": 0.50,
        "gold": 0.80,
        "bonus": 0.95,
    }
    assert lab.duels["threads"].against == "self"
    assert lab.duels["threads"].clock == "wall"
    assert list(lab.rungs) == ["naive", "reordered", "register_blocked", "packed", "threaded"]


def test_the_import_is_light() -> None:
    code = (
        "import pydantic, yaml, time; from pydantic import BaseModel\n"
        "began = time.process_time(); import grader.lab; print(time.process_time() - began)\n"
        "import sys; assert not {'rich', 'numpy', 'cffi', 'pytest'} & set(sys.modules)\n"
    )
    run = subprocess.run([sys.executable, "-c", code], cwd=COURSE, capture_output=True, text=True, check=True)
    assert float(run.stdout) < 0.5
