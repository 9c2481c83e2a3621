"""Facts about what attacks look for: one that finds nothing where there is something would prove nothing."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.attacks.catalogue import ROOT
from tests.conftest import needs

pytestmark = needs("gcc")

PROGRAM = """
int main(int count, char **names)
{
    (void)breach;
    return tells(names[count - 1]);
}
"""


@pytest.fixture(scope="module")
def tells(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A program: does C11 take the file that is named for one that tells the seed?"""
    folder = tmp_path_factory.mktemp("tells")
    breach = ROOT / "tests/attacks/C11_looks_for_the_seed/breach.c"
    (folder / "tells.c").write_text(f'#include "{breach}"\n{PROGRAM}')
    subprocess.run(
        ["gcc", "-Wall", "-Wextra", "-Werror", "-o", folder / "tells", folder / "tells.c"], check=True
    )
    return folder / "tells"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("LC_ALL=C.UTF-8\0GRADER_SEED=7\0", True),
        ("python\0grade\0--submission\0/home/anna\0", True),
        ("guest\0101722526183928\0", True),
        ("RUN=38395694080550", True),
        ("LD_LIBRARY_PATH=/var/cache/grader/runtime/0f3a123456789012345b9d21\0", False),
        ("PATH=/nonexistent\0LC_ALL=C.UTF-8\0WINDOW=80\0", False),
    ],
)
def test_the_search_for_a_seed_knows_one_from_the_name_of_a_build(tells, tmp_path, text, told):
    (tmp_path / "environ").write_text(text)
    assert subprocess.run([tells, tmp_path / "environ"]).returncode == told
