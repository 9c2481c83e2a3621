"""Facts about reading lab.yaml: whatever the file holds, it gives a lab or a readable refusal."""

from __future__ import annotations

import copy
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from grader.lab import ContractError, Lab, load_lab
from tests.sample_contracts import FIELDS, VALID, course, refusal

WHOLE_FILES = {
    "empty": (b"", "labs/gemm_cpu/lab.yaml: is empty; copy the example in docs/lab-contract.md"),
    "only a comment": (b"# nothing\n", "is empty"),
    "a list": (b"- a\n- b\n", "lab.yaml:1: must be a mapping of fields"),
    "a word": (b"hello", "lab.yaml:1: must be a mapping of fields"),
    "not UTF-8": (b"schema: 1\nid: \xff\n", "lab.yaml:2: is not UTF-8 text; save the file as UTF-8"),
    "UTF-16": ("schema: 1\n".encode("utf-16"), "is not UTF-8 text"),
    "a NUL": (b"schema: 1\nid: a\0b\n", "lab.yaml:2: holds a control character; remove it"),
    "an escape": (b"schema: 1\nid: a\x1bb\n", "lab.yaml:2: holds a control character; remove it"),
    "two documents": (VALID.encode() + b"---\nschema: 1\n", "holds a second document (---); keep one"),
    "too large": (b"#" * (256 * 1024 + 1), "is larger than 256 KiB; a contract is short"),
    "too deep": (b"a: " + b"[" * 5000, "lab.yaml:1: is nested more than 12 levels deep; a contract never is"),
    "deep blocks": (b"- " * 5000, "is nested more than 12 levels deep"),
    "a bomb": (b"a: &a [x,x]\nb: &b [*a,*a]\nc: [*b,*b]\n", "lab.yaml:1: anchors and aliases"),
    "an impossible character": (rb'"\UFFFFFFFF": 1', "is not valid YAML"),
}


@pytest.mark.parametrize("kind", WHOLE_FILES)
def test_a_file_that_is_no_contract_is_a_clear_error(tmp_path: Path, kind: str) -> None:
    data, expected = WHOLE_FILES[kind]
    assert expected in refusal(course(tmp_path, data))


def test_a_contract_that_is_a_folder_is_no_lab(tmp_path: Path) -> None:
    root = course(tmp_path)
    (root / "labs/gemm_cpu/lab.yaml").unlink()
    (root / "labs/gemm_cpu/lab.yaml").mkdir()
    assert "no such lab" in refusal(root)


@pytest.mark.parametrize(
    "text",
    [
        "".join(f"k{index}: 1\n" for index in range(20000)),
        "sources: [" + "{path: a.c}," * 20000 + "]",
        "duels: {" + "".join(f"d{index}: {{}}," for index in range(10000)) + "}",
        "[" * 200_000,
        "? " * 100_000,
        "a: '" + "''" * 100_000,
    ],
    ids=["keys", "sources", "duels", "brackets", "questions", "quotes"],
)
def test_a_hostile_file_is_refused_soon(tmp_path: Path, text: str) -> None:
    began = time.monotonic()
    refusal(course(tmp_path, text))
    assert time.monotonic() - began < 20


# --- Fuzz: a lab or a ContractError, never anything else ------------------------------------------


def accepted(root: Path, text: str | bytes) -> Lab | None:
    """The lab, or None where the contract was refused in readable lines."""
    try:
        return load_lab("gemm_cpu", course(root, text))
    except ContractError as error:
        lines = str(error).split("\n")
        assert all(line.startswith("labs/gemm_cpu/lab.yaml") and line.isprintable() for line in lines), lines
        return None


@pytest.fixture(scope="module")
def fuzzed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzz")


@given(data=st.binary(max_size=300))
@settings(max_examples=300, deadline=None)
def test_arbitrary_bytes_are_refused_readably(fuzzed: Path, data: bytes) -> None:
    assert accepted(fuzzed, data) is None


@given(text=st.text(alphabet="ab:-{}[],&*!|>'\"#%@? \n\t\\01.", max_size=200))
@settings(max_examples=400, deadline=None)
def test_arbitrary_punctuation_is_refused_readably(fuzzed: Path, text: str) -> None:
    assert accepted(fuzzed, text) is None


words = (
    st.sampled_from(FIELDS)
    | st.sampled_from(["gemm.c", "large", "pass", "none", ".", "-O3"])
    | st.text(max_size=8)
)
scalars = st.none() | st.booleans() | st.integers() | st.floats() | words
trees = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(words, inner, max_size=5),
    max_leaves=20,
)


@given(tree=st.dictionaries(words, trees, max_size=8))
@settings(max_examples=300, deadline=None)
def test_arbitrary_trees_are_refused_readably(fuzzed: Path, tree: dict[str, Any]) -> None:
    assert accepted(fuzzed, yaml.safe_dump(tree, allow_unicode=True)) is None


def places(tree: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    items = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    return [path] * bool(path) + [place for key, value in items for place in places(value, (*path, key))]


@given(data=st.data())
@settings(max_examples=400, deadline=None)
def test_a_valid_contract_with_one_value_replaced_never_crashes(fuzzed: Path, data: st.DataObject) -> None:
    tree = copy.deepcopy(yaml.safe_load(VALID))
    *path, last = data.draw(st.sampled_from(places(tree)))
    parent = tree
    for key in path:
        parent = parent[key]
    if data.draw(st.booleans()):
        parent[last] = data.draw(trees)
    elif isinstance(parent, dict):
        parent[data.draw(words)] = parent.pop(last)
    lab = accepted(fuzzed, yaml.safe_dump(tree, sort_keys=False))
    if lab is not None:
        for duel in lab.duels.values():
            assert list(duel.tiers.values()) == sorted(set(duel.tiers.values()))
        assert all(0 < points < float("inf") for points in lab.points.values())


@given(
    place=st.integers(0, len(VALID) - 1),
    length=st.integers(0, 12),
    new=st.text(alphabet="{}[]:-,& *!a1.'\"\n", max_size=6),
)
@settings(max_examples=400, deadline=None)
def test_a_valid_contract_with_some_text_replaced_never_crashes(
    fuzzed: Path, place: int, length: int, new: str
) -> None:
    accepted(fuzzed, VALID[:place] + new + VALID[place + length :])
