"""A valid contract, courses that hold it or a changed one, and how a bad one is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from grader.lab import Contract, ContractError, load_lab

COURSE = Path(__file__).resolve().parent.parent
DOCUMENT = COURSE / "docs" / "lab-contract.md"

VALID = """\
schema: 1
id: gemm_cpu
title: Matrix multiplication
summary: Multiply matrices.
sources:
  - {path: gemm.c, max_bytes: 1000}
interface: {header: gemm.h}
build:
  flags: [-O3, -mavx2]
  libraries: [m]
reference:
  source: reference.c
  environment: {OPENBLAS_NUM_THREADS: "1"}
points: {correctness: 60, performance: 40}
duels:
  large:
    title: n = 3072
    tiers: {pass: 0.15, bronze: 0.25, gold: 0.80}
rungs:
  naive: {folder: rungs/naive, tiers: {large: none}}
  best: {folder: ., tiers: {large: gold}}
"""


def course(folder: Path, text: str | bytes = VALID, lab_id: str = "gemm_cpu") -> Path:
    """A course with one lab whose contract is `text`; returns its root."""
    home = folder / "labs" / lab_id
    home.mkdir(parents=True, exist_ok=True)
    (folder / "starter" / lab_id).mkdir(parents=True, exist_ok=True)
    (folder / "starter" / lab_id / "gemm.h").write_text("int gemm(void);\n")
    (home / "reference.c").write_text("int gemm(void) { return 0; }\n")
    for name in ("main.c", "args.c"):
        (home / name).write_text("int main(void) { return 0; }\n")
    (home / "lab.yaml").write_bytes(text.encode() if isinstance(text, str) else text)
    return folder


def refusal(root: Path, lab_id: str = "gemm_cpu") -> str:
    with pytest.raises(ContractError) as caught:
        load_lab(lab_id, root)
    return str(caught.value)


def changed(old: str, new: str) -> str:
    """The valid contract with one piece of text replaced."""
    assert VALID.count(old) == 1, old
    return VALID.replace(old, new)


FIELDS = sorted(
    {name for record in Contract.model_json_schema()["$defs"].values() for name in record["properties"]}
    | set(Contract.model_json_schema()["properties"])
)
