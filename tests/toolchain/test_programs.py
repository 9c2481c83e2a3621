"""What a sandbox for programs is furnished with."""

from __future__ import annotations

from pathlib import Path

import pytest

from grader.toolchain import build, programs
from grader.toolchain.build import BuildFailed
from grader.toolchain.programs import Missing
from tests.fixtures import programs_lab


@pytest.fixture(scope="module")
def deeds():
    return programs_lab.lab()


def test_programs_helpers_and_the_libraries_that_they_need(deeds) -> None:
    spec = programs.furnish(deeds)
    shown = {str(path) for path in spec.read_only}
    assert {"/usr/bin/cat", "/usr/bin/true"} <= shown
    assert any(path.endswith("/libc.so.6") for path in shown) and any("/ld-linux" in path for path in shown)
    helpers = Path(spec.path.partition(":")[0])
    assert (helpers / "helper").is_file() and str(helpers) in shown
    assert not [
        path for path in shown if Path(path).name in ("sh", "dash", "bash", "busybox", "python3", "bin")
    ]


def test_a_model_brings_itself_and_no_other_shell(deeds) -> None:
    spec = programs.furnish(deeds, model="dash")
    assert Path("/usr/bin/dash") in spec.read_only
    assert Path("/usr/bin/bash") not in spec.read_only
    assert programs.find_model(deeds, "dash").argv == ("/usr/bin/dash", "-e")


def test_what_is_missing_is_named_with_the_command_that_installs_it(deeds) -> None:
    with pytest.raises(Missing, match="needs /usr/bin/no-such-program: apt-get install nobody"):
        programs.furnish(deeds, model="nobody")
    sandbox = deeds.sandbox.model_copy(update={"programs": ("no-such-tool",)})
    with pytest.raises(Missing, match="needs /usr/bin/no-such-tool: install the package that holds it"):
        programs.furnish(deeds.model_copy(update={"sandbox": sandbox}))


def test_what_is_missing_is_listed(deeds) -> None:
    assert programs.missing(deeds) == ["nobody"]


def test_helpers_are_compiled_once(deeds, own_cache) -> None:
    first = programs.furnish(deeds).path
    helper = Path(first.partition(":")[0]) / "helper"
    changed = helper.stat().st_mtime_ns
    assert programs.furnish(deeds).path == first and helper.stat().st_mtime_ns == changed


def test_a_helper_with_a_mistake_is_the_labs_fault(deeds, own_cache, tmp_path) -> None:
    (tmp_path / "helper.c").write_text("int main(void) { return oops; }\n")
    with pytest.raises(RuntimeError, match=r"helper\.c does not compile"):
        programs.furnish(deeds.model_copy(update={"folder": tmp_path}))


class TestTheExecutable:
    @pytest.mark.parametrize("variant", ["release", "asan", "faults"])
    def test_it_lies_beside_the_library(self, tier, deeds, variant) -> None:
        built = build.build(tier, deeds, programs_lab.source(), variant)
        assert built.program == built.folder / "deeds" and built.program.stat().st_mode & 0o111

    def test_there_is_none_for_tsan(self, tier, deeds) -> None:
        assert build.build(tier, deeds, programs_lab.source(), "tsan").program is None

    def test_a_main_of_ones_own_is_a_mistake(self, tier, deeds, own_cache) -> None:
        files = {"deeds.c": programs_lab.source()["deeds.c"] + b"\nint main(void)\n{\n    return 0;\n}\n"}
        with pytest.raises(BuildFailed, match="main"):
            build.build(tier, deeds, files, "release")

    def test_another_main_is_another_build(self, tier, deeds, own_cache, tmp_path) -> None:
        first = build.build(tier, deeds, programs_lab.source(), "release")
        for path in deeds.folder.iterdir():
            (tmp_path / path.name).write_bytes(path.read_bytes())
        (tmp_path / "main.c").write_text('#include "deeds.h"\n\nint main(void)\n{\n    return 3;\n}\n')
        other = build.build(
            tier, deeds.model_copy(update={"folder": tmp_path}), programs_lab.source(), "release"
        )
        assert other.folder != first.folder
