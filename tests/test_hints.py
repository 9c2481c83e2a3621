from __future__ import annotations

import ast
from pathlib import Path

import pytest

from grader import hints
from grader.lab import ContractError, list_labs, load_lab

ROOT = Path(__file__).resolve().parent.parent


@pytest.mark.parametrize("lab", list_labs(ROOT))
def test_every_hint_is_for_a_public_test(lab):
    """Hints go to students, and a hidden test has no name for them to ask for."""
    tree = ast.parse((ROOT / "labs" / lab / "test_public.py").read_text())
    tests = {node.name.removeprefix("test_") for node in tree.body if isinstance(node, ast.FunctionDef)}
    found = hints.load(load_lab(lab, ROOT))
    assert set(found) <= tests
    assert all(texts and all(texts) for texts in found.values())


@pytest.mark.parametrize(
    "name",
    ["alpha and beta", "test_alpha_and_beta", "Alpha and beta", "alpha and beta [2.0-0.0]", "alpha_and_beta"],
)
def test_a_test_has_one_name_among_hints(name):
    assert hints.function_of(name) == "alpha_and_beta"


@pytest.mark.parametrize("text", ["- a\n", "a: b\n", "a: [1, {b: c}]\n", "a: [\n"])
def test_what_is_no_list_of_hints_is_told(tmp_path, text):
    lab = load_lab("gemm_cpu", ROOT).model_copy(update={"folder": tmp_path})
    (tmp_path / hints.FILE).write_text(text)
    with pytest.raises(ContractError, match="not a list of hints"):
        hints.load(lab)


def test_a_lab_needs_no_hints(tmp_path):
    assert hints.load(load_lab("gemm_cpu", ROOT).model_copy(update={"folder": tmp_path})) == {}
