"""Every input that fuzzing found worth keeping, crashes of the past among them, once through its target."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

HERE = Path(__file__).parent
INPUTS = sorted((HERE / "corpus").glob("*/*"))


@pytest.mark.parametrize("file", INPUTS, ids=lambda file: f"{file.parent.name}/{file.name}")
def test_an_input_keeps_its_targets_promise(file: Path) -> None:
    importlib.import_module(f"tests.fuzz.{file.parent.name}").one_input(file.read_bytes())


def test_every_target_has_a_corpus() -> None:
    targets = {path.stem for path in HERE.glob("*.py") if "\ndef one_input(" in path.read_text()}
    assert targets == {path.name for path in (HERE / "corpus").iterdir()}
