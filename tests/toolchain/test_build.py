"""Building a submission: what comes out, what is refused, and what cannot happen."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import pytest

from grader import cc
from grader.sandbox import probe
from grader.toolchain import build, module, steps
from grader.toolchain.build import BuildFailed, Built
from tests.conftest import needs
from tests.fixtures import tiny

VARIANTS = ("release", "asan", "tsan", "faults")


@pytest.fixture
def compiled(own_cache, monkeypatch) -> list[str]:
    """The variants that were really compiled, not found."""
    seen: list[str] = []
    original = build._compile

    def count(place, tier, lab, files, variant, making) -> None:
        seen.append(variant)
        original(place, tier, lab, files, variant, making)

    monkeypatch.setattr(build, "_compile", count)
    return seen


@pytest.fixture
def fails(tier, lab, own_cache):
    def run(code: str, honest: bool = True) -> BuildFailed:
        files = tiny.source(code) if honest else {"tiny.c": code.encode()}
        with pytest.raises(BuildFailed) as failed:
            build.build(tier, lab, files, "release")
        return failed.value

    return run


def doubled(times: int, unit: str) -> str:
    """Macros D0..Dn, each twice the one before."""
    return f"#define D0 {unit}\n" + "".join(f"#define D{n + 1} D{n} D{n}\n" for n in range(times))


class TestWhatComesOut:
    @pytest.mark.parametrize("variant", VARIANTS)
    def test_a_library_with_the_labs_functions(self, tier, lab, own_cache, variant) -> None:
        built = build.build(tier, lab, tiny.source(), variant)
        assert (built.variant, built.remarks) == (variant, ())
        names = subprocess.run(
            ["nm", "-D", "--defined-only", str(built.folder / module.LIBRARY)], capture_output=True, text=True
        ).stdout
        assert " T tiny_add\n" in names and " T tiny_act\n" in names

    def test_what_is_built_is_not_built_again(self, tier, lab, compiled) -> None:
        files = tiny.source("/* once */")
        first = build.build(tier, lab, files, "release")
        assert build.build(tier, lab, dict(files), "release") == first
        assert compiled == ["release"]
        assert build.build(tier, lab, files, "faults").folder != first.folder
        assert build.build(tier, lab, tiny.source("/* twice */"), "release").folder != first.folder
        assert compiled == ["release", "faults", "release"]

    def test_other_flags_are_another_build(self, tier, lab, compiled) -> None:
        files = tiny.source("/* flags */")
        build.build(tier, lab, files, "release")
        other = lab.model_copy(update={"build": lab.build.model_copy(update={"flags": ("-O2",)})})
        build.build(tier, other, files, "release")
        assert len(compiled) == 2

    def test_warnings_are_kept_as_remarks(self, tier, lab, compiled) -> None:
        files = tiny.source("static int forgotten(int x)\n{\n    int unused;\n    return x;\n}\n")
        for _ in range(2):  # built, and found
            remarks = build.build(tier, lab, files, "release").remarks
            assert {(item.file, item.line, item.severity, item.option) for item in remarks} == {
                ("tiny.c", 3, "warning", "-Wunused-variable"),
                ("tiny.c", 1, "warning", "-Wunused-function"),
            }
        assert compiled == ["release"]

    def test_at_the_same_time(self, tier, lab, own_cache) -> None:
        files, found = tiny.source("/* at the same time */"), []
        threads = [
            threading.Thread(target=lambda: found.append(build.build(tier, lab, files, "release")))
            for _ in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(timeout=60)
        assert len(found) == 4 and len(set(found)) == 1

    @pytest.mark.parametrize("name", ["B", "D"])
    def test_in_other_tiers(self, lab, own_cache, name: str) -> None:
        for tier in (item for item in probe._candidates(806) if item.name == name):
            assert isinstance(build.build(tier, lab, tiny.source(f"/* tier {name} */"), "release"), Built)

    def test_it_leaves_nothing_in_the_scratch_folder(
        self, tier, lab, own_cache, monkeypatch, tmp_path
    ) -> None:
        root = own_cache / "scratch"
        root.mkdir(mode=0o755)
        monkeypatch.setattr(build.cache, "scratch_folder", lambda: Path(tempfile.mkdtemp(dir=root)))
        for code in ("/* clean */", "int broken("):
            try:
                build.build(tier, lab, tiny.source(code), "release")
            except BuildFailed:
                assert code == "int broken("
            assert not list(root.iterdir())


class TestWhatIsRefused:
    def test_a_mistake_is_shown_with_its_line(self, fails) -> None:
        failed = fails("int mistake(void)\n{\n    return 1\n}\n")
        assert "1 error" in failed.summary and "tiny.c" in failed.summary
        assert "tiny.c:3:" in failed.detail and "return 1" in failed.detail

    def test_a_missing_function_is_named(self, fails) -> None:
        failed = fails(tiny.HONEST.replace("double tiny_mean", "double tiny_meen"), honest=False)
        assert "tiny_mean" in failed.summary + failed.detail

    def test_a_function_that_nobody_defines_is_named(self, fails) -> None:
        failed = fails("int undefined_helper(int);\nint caller(int x) { return undefined_helper(x); }\n")
        assert "undefined_helper" in failed.summary + failed.detail

    def test_a_function_of_another_type_is_refused(self, fails) -> None:
        failed = fails(
            tiny.HONEST.replace("int tiny_add(int a, int b)", "long tiny_add(long a, long b)"), honest=False
        )
        assert "tiny_add" in failed.detail

    @pytest.mark.parametrize(
        "code",
        [
            '#pragma GCC optimize("O3")\n',
            '__attribute__((optimize("O3"))) int fast(int x) { return x; }\n',
            '#define QUICK _Pragma("GCC optimize(\\"O3\\")")\nQUICK\n',
            '#define CAT(a, b) a##b\nCAT(__attri, bute__)((CAT(opti, mize)("O3"))) int fast(int x) { return x; }\n',
        ],
        ids=["pragma", "attribute", "_Pragma", "pasted"],
    )
    def test_other_optimisation_is_refused(self, fails, code: str) -> None:
        assert "changes what the lab fixes" in fails(code).summary

    def test_a_failure_is_not_found_out_twice(self, tier, lab, compiled) -> None:
        for _ in range(2):
            with pytest.raises(BuildFailed, match="error"):
                build.build(tier, lab, tiny.source("int broken_once("), "release")
        assert compiled == ["release"]

    def test_running_out_of_time_is_not_remembered(self, tier, hasty_lab, compiled) -> None:
        """Next time the machine may be less busy."""
        files = tiny.source(doubled(28, "0,") + "int many[] = {D28};\n")
        for _ in range(2):
            with pytest.raises(BuildFailed, match=r"took too long|too much"):
                build.build(
                    tier,
                    hasty_lab.model_copy(
                        update={
                            "limits": hasty_lab.limits.model_copy(
                                update={"build_s": 0.3, "build_memory_mib": 2048}
                            )
                        }
                    ),
                    files,
                    "release",
                )
        assert len(compiled) == 2


class TestWhatCannotBeReached:
    @pytest.mark.parametrize(
        "path",
        [
            "/etc/passwd",
            "/etc/hostname",
            "/proc/self/environ",
            "/proc/self/mountinfo",
            "/dev/fd/0",
            "../../labs/tiny/lab.yaml",
            "../../../solutions_hidden/tiny/tiny.c",
            str(tiny.COURSE / "labs" / "tiny" / "lab.yaml"),
            str(tiny.COURSE / "labs" / "tiny" / "reference.c"),
            str(Path(__file__)),
            str(Path.home() / ".profile"),
        ],
    )
    def test_no_file_of_the_grader_or_of_the_machine(self, tier, fails, path: str) -> None:
        if tier.name == "D":
            pytest.xfail("tier D hides no files; it is not official")
        if path == "/dev/fd/0" and not tier.has_namespaces:
            pytest.xfail("there it is /dev/null, which may be read")
        for code in (
            f'#include "{path}"\n',
            f'__asm__(".incbin \\"{path}\\"");\n',
            f'__asm__(".include \\"{path}\\"");\n',
        ):
            failed = fails(code)
            for secret in ("root:", "schema:", "PATH=", "reference_name", "pytest"):
                assert secret not in (failed.summary + failed.detail).replace(path, "")

    @needs("tier A")
    def test_what_is_checked_is_what_is_compiled(self, tier, lab, own_cache) -> None:
        """Nothing tells source whether it is preprocessed for the check or for the library: /proc would."""
        places = [f"/proc/self/fd/{fd}" for fd in range(12)] + [
            "/proc/self",
            "/proc/2/cmdline",
            "/dev/fd/3",
            "/dev/stdout",
        ]
        tests = "".join(f'#if __has_include("{place}")\n#error {place}\n#endif\n' for place in places)
        assert build.build(tier, lab, tiny.source(tests), "release").remarks == ()

    @pytest.mark.parametrize("letter", ["x", "é", "𝄞"], ids=["one byte", "two bytes", "four bytes"])
    def test_a_check_cannot_be_outrun_by_length(self, tier, hasty_lab, own_cache, letter: str) -> None:
        code = (
            doubled(15, f'"{letter * (1500 // len(letter.encode()))}"')
            + "unsigned long size = sizeof(D15);\n"
        )
        code += '#define CAT(a, b) a##b\nCAT(__attri, bute__)((CAT(opti, mize)("O3"))) int late(int x) { return x; }\n'
        with pytest.raises(BuildFailed, match=r"too much text|changes what the lab fixes"):
            build.build(tier, hasty_lab, tiny.source(code), "release")


BOMBS = {
    "it includes itself": "#include __FILE__\n",
    "it includes itself twice": "#include __FILE__\n#include __FILE__\n",
    "a large array": "char large[1 << 30] = {1};\n",
    "a larger array": "char larger[1L << 40] = {1};\n",
    "macros of macros": doubled(30, "0,") + "int many[] = {D30};\n",
    "thousands of errors": "".join(f"int f{n}(void) {{ return undeclared{n}; }}\n" for n in range(2000)),
    "long errors": f"int {'x' * 100_000} = {'y' * 100_000};\n",
    "parentheses": f"int deep = {'(' * 100_000}1{')' * 100_000};\n",
    "assembler": '__asm__(".fill 0x7fffffff, 8, 1");\n',
    "assembler repeats": '__asm__(".rept 100000000\\n nop\\n .endr");\n',
    "assembler shouts": '__asm__(".rept 1000000\\n .error \\"no\\"\\n .endr");\n',
    "an error at the start": "#error bwrap: not this time\n",
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_ends_within_the_limits(tier, hasty_lab, own_cache, name: str) -> None:
    with tiny.leaving_nothing(), pytest.raises(BuildFailed) as failed:
        build.build(tier, hasty_lab, tiny.source(BOMBS[name]), "release")
    assert failed.value.summary and len(failed.value.summary) + len(failed.value.detail) < 300_000


GRADER = """
import os, sys
os.environ["GRADER_CACHE"] = sys.argv[1]
from grader import cc
from grader.sandbox import probe
from grader import cache
from grader.toolchain import build
from tests.fixtures import tiny
limits = tiny.lab().limits.model_copy(update={"build_s": 300, "build_memory_mib": 2048})
lab = tiny.lab().model_copy(update={"limits": limits})
print(cache.root(), flush=True)
build.build(probe.best_tier(807), lab, tiny.source("void deep(void) {" + "{" * 500000 + "}" * 500000 + "}"), "release")
"""


@needs("tier A")
def test_a_grader_killed_while_it_builds_leaves_nothing_half_made(own_root: Path) -> None:
    command = [sys.executable, "-c", GRADER, str(own_root)]

    def compilers() -> list[int]:
        return [pid for pid, name in tiny.descendants() if name.startswith("cc1")]

    def finished() -> set[Path]:
        return {path for path in own_root.glob("build/*") if not path.name.startswith(".")}

    with subprocess.Popen(command, cwd=tiny.FIXTURES.parents[1], stdout=subprocess.PIPE) as grading:
        try:
            assert tiny.eventually(lambda: bool(compilers()))
            running, before = compilers(), finished()
        finally:
            grading.kill()
    assert tiny.eventually(lambda: not any(Path(f"/proc/{pid}").exists() for pid in running))
    assert finished() == before


class TestNotTheSubmissionsFault:
    @needs("tier A")
    def test_a_sandbox_that_does_not_start(self, tier, lab, compiled, monkeypatch) -> None:
        files = tiny.source("/* not mine */")
        monkeypatch.setattr(steps, "SYSTEM", (Path("/nonexistent"),))
        with pytest.raises(RuntimeError, match="sandbox could not start the compiler"):
            build.build(tier, lab, files, "release")
        monkeypatch.setattr(steps, "SYSTEM", probe.SYSTEM)
        assert build.build(tier, lab, files, "release").remarks == ()  # the failure was not kept

    def test_no_compiler(self, monkeypatch) -> None:
        monkeypatch.setattr(cc, "SANDBOX_PATH", "/nonexistent")
        monkeypatch.setenv("PATH", "/nonexistent/of/a/test")
        with pytest.raises(cc.Missing, match="apt-get install gcc"):
            cc.find()
