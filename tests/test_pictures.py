"""The pictures of the README are of this version."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

PICTURES = Path(__file__).resolve().parent.parent / "docs" / "pictures"
RENEW = "old picture; renew it with: python docs/pictures/make.py"


@pytest.fixture(scope="module")
def make() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_pictures", PICTURES / "make.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_terminal_is_that_of_this_version(make):
    assert (PICTURES / "terminal.svg").read_text() == make.terminal_picture(), RENEW


def test_the_page_is_that_of_this_version(make):
    assert (PICTURES / "page.sha256").read_text() == make.page_digest(), RENEW
    assert (PICTURES / "page.png").read_bytes().startswith(b"\x89PNG")


def test_the_readme_shows_them():
    readme = (PICTURES.parent.parent / "README.md").read_text()
    assert "docs/pictures/terminal.svg" in readme
    assert "docs/pictures/page.png" in readme
