"""What is removed lies below the folder for work."""

from __future__ import annotations

from pathlib import Path

import pytest

from grader.batch.names import Outside, emptied


@pytest.mark.parametrize("name", ["../kept", "..", "a/../../kept", "link/x", "."])
def test_nothing_outside_is_emptied(tmp_path, name):
    kept = tmp_path / "kept"
    (kept / "x").mkdir(parents=True)
    work = tmp_path / "work"
    work.mkdir()
    (work / "link").symlink_to(kept)
    with pytest.raises(Outside):
        emptied(work / Path(name), work)
    assert (kept / "x").is_dir()


def test_a_link_is_removed_and_not_what_it_leads_to(tmp_path):
    (tmp_path / "kept" / "x").mkdir(parents=True)
    work = tmp_path / "work"
    work.mkdir()
    (work / "a").symlink_to(tmp_path / "kept")
    assert list(emptied(work / "a", work).iterdir()) == []
    assert (tmp_path / "kept" / "x").is_dir()
