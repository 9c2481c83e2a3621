"""Compilers of other ages and other makers, imitated by small scripts around this machine's own."""

from __future__ import annotations

import shlex
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from grader import cache, cc
from grader.toolchain import build, probe
from grader.toolchain.build import BuildFailed, CannotBuild
from grader.toolchain.recipe import COMMON_FLAGS
from tests.conftest import needs
from tests.fixtures import tiny

pytestmark = needs("gcc")

GCC_16 = (Path(__file__).parent / "said" / "gcc-16.sarif").read_text()
NO_JSON = 'case " $* " in *=json*) echo "gcc: error: unrecognized argument: json" >&2; exit 1 ;; esac'
NO_BIDI = 'case " $* " in *bidi*) echo "gcc: error: unrecognized option -Wbidi-chars" >&2; exit 1 ;; esac'
NO_SARIF = (
    'case " $* " in *=sarif*) echo "gcc: error: unrecognized argument: sarif-stderr" >&2; exit 1 ;; esac'
)
NO_TSAN = 'case " $* " in *=thread*) echo "/usr/bin/ld: cannot find -ltsan: no such file" >&2; exit 1 ;; esac'
NO_AVX2 = 'case " $* " in *-O1*) echo "cc1: error: unrecognized option -O1" >&2; exit 1 ;; esac'


@pytest.fixture
def compilers_folder() -> Iterator[Path]:
    """Where the sandbox's user may look; pytest's own folders are root's alone."""
    folder = cache.scratch_folder()
    (folder / "bin").mkdir()
    for path in (folder, folder / "bin"):
        path.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def imitate(
    compilers_folder: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., None]]:
    """`imitate(script, ...)`: $CC is a compiler that runs these lines of shell before it does as gcc does."""

    def become(*lines: str) -> None:
        script = compilers_folder / "bin" / "cc"
        real = shlex.quote(cc._find("", "").program)
        script.write_text("\n".join(["#!/bin/sh", *lines, f'exec {real} "$@"', ""]))
        script.chmod(0o755)
        monkeypatch.setenv("CC", str(script))
        cc._find.cache_clear()

    yield become
    cc._find.cache_clear()


@pytest.mark.parametrize("variant", ["release", "asan", "tsan"])
@pytest.mark.parametrize("refusals", [(), (NO_BIDI,), (NO_JSON,), (NO_BIDI, NO_JSON, NO_SARIF)])
def test_what_is_a_convenience_is_left_out(tier, lab, imitate, variant, refusals) -> None:
    imitate(*refusals)
    built = build.build(tier, lab, tiny.source(), variant)
    assert built.remarks == ()
    told = probe.settle(tier, lab, variant).told
    assert (NO_BIDI in refusals) == ("-Wbidi-chars=any" not in told)
    assert (NO_JSON in refusals) == ("-fdiagnostics-format=json" not in told)


def test_a_mistake_is_shown_with_its_line_in_plain_text_too(tier, lab, imitate) -> None:
    imitate(NO_JSON, NO_SARIF)
    with pytest.raises(BuildFailed) as failed:
        build.build(tier, lab, tiny.source("int mistake(void)\n{\n    return 1\n}\n"), "release")
    assert "1 error" in failed.value.summary
    assert "tiny.c:3:" in failed.value.detail and "return 1" in failed.value.detail


def test_a_mistake_is_shown_with_its_line_in_sarif_too(tier, lab, imitate, compilers_folder) -> None:
    said = compilers_folder / "said"
    said.write_text(GCC_16.replace('"bad.c"', '"tiny.c"'))
    said.chmod(0o644)
    mistaken = f"if grep -qs undefined_thing tiny.c; then cat {shlex.quote(str(said))} >&2; exit 1; fi"
    without = 'for a; do shift; case "$a" in *=sarif*) ;; *) set -- "$@" "$a" ;; esac; done'
    imitate(NO_JSON, mistaken, without)
    code = "int f(int x)\n{\n    int unused;\n    return y + x\n}\ndouble g(void) { return undefined_thing(3); }\n"
    with pytest.raises(BuildFailed) as failed:
        build.build(tier, lab, {"tiny.c": ("#include <stdio.h>\n" + code).encode()}, "release")
    assert failed.value.summary.startswith("3 errors")
    assert "tiny.c:5:12: error: 'y' undeclared" in failed.value.detail
    assert "    return y + x" in failed.value.detail


def test_a_sanitizer_that_is_not_installed_is_the_machines_lack(tier, lab, imitate) -> None:
    imitate(NO_TSAN)
    assert build.build(tier, lab, tiny.source(), "release").remarks == ()
    with pytest.raises(CannotBuild, match=r"ThreadSanitizer does not come with this compiler.*libtsan"):
        build.build(tier, lab, tiny.source(), "tsan")
    assert "libtsan" in probe.why_not(tier, lab, "tsan")
    assert probe.why_not(tier, lab, "asan") == ""


def test_what_was_missing_is_asked_for_again(tier, lab, imitate) -> None:
    imitate(NO_TSAN)
    with pytest.raises(CannotBuild):
        build.build(tier, lab, tiny.source(), "tsan")
    imitate()
    assert build.build(tier, lab, tiny.source(), "tsan").remarks == ()


def test_a_flag_of_the_lab_that_the_compiler_does_not_know_is_the_machines_lack(tier, lab, imitate) -> None:
    imitate(NO_AVX2)
    with pytest.raises(CannotBuild, match=r"cannot build the lab: .*unrecognized option.*CC="):
        build.build(tier, lab, tiny.source(), "asan")


def test_a_mistake_stays_the_submissions_whatever_the_compiler_lacks(tier, lab, imitate) -> None:
    imitate(NO_BIDI, NO_TSAN)
    with pytest.raises(BuildFailed, match="1 error"):
        build.build(tier, lab, tiny.source("int f(void)\n{\n    return 1\n}\n"), "release")


def test_another_compiler_never_serves_what_the_first_one_built(tier, lab, imitate) -> None:
    imitate()
    first = build.build(tier, lab, tiny.source(), "release").folder
    imitate("true")
    assert build.build(tier, lab, tiny.source(), "release").folder != first


def test_a_compiler_beside_the_course_is_not_shown_to_anybody(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    program = tmp_path / "bin" / "cc"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\necho cc 1\n")
    program.chmod(0o755)
    monkeypatch.setenv("CC", str(program))
    cc._find.cache_clear()
    with pytest.raises(cc.Missing, match="where students' code must not look"):
        cc.find()
    cc._find.cache_clear()


def test_a_compiler_that_is_not_there_is_named(monkeypatch) -> None:
    monkeypatch.setenv("CC", "gcc-99")
    with pytest.raises(cc.Missing, match="CC=gcc-99 cannot be run here"):
        cc.find()


def test_a_linker_script_leads_to_the_library_that_it_names(tmp_path, monkeypatch) -> None:
    library = tmp_path / "libasan.so.8.0.0"
    library.write_bytes(b"\x7fELF and so on")
    script = tmp_path / "libasan.so"
    script.write_text(f"/* GNU ld script */\nINPUT ( {library} )\n")
    program = tmp_path / "cc"
    program.write_text(f"#!/bin/sh\necho {script}\n")
    program.chmod(0o755)
    assert cc._library(str(program), "libasan.so") == library


def test_the_flags_that_the_lab_fixes_hold_no_convenience() -> None:
    assert not [flag for flag in COMMON_FLAGS if "bidi" in flag or "diagnostics" in flag]
