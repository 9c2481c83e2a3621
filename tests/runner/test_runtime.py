"""What a runner's process sees of the machine."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from grader import cache
from grader.lab import load_lab
from grader.runner import invoke, runtime
from grader.runner.host import Guest, GuestSpec
from grader.runner.invoke import Invocation
from grader.toolchain import build, module
from tests.conftest import needs
from tests.fixtures import tiny


def test_its_python_is_a_copy_in_the_cache() -> None:
    """So it does not matter that the interpreter lies where the sandbox's user may not go."""
    files = runtime.prepare()
    for path in (files.python, files.guest, files.libraries):
        assert path.exists() and path.is_relative_to(cache.root())
    interpreter = Path(sys.base_prefix)
    if interpreter != Path("/usr"):
        assert not any(path.is_relative_to(interpreter) for path in files.read_only)


def test_everybody_can_read_it() -> None:
    folder = runtime.prepare().guest.parent
    for path in (folder, *folder.rglob("*"), *folder.parents):
        assert path.stat().st_mode & (0o005 if path.is_dir() else 0o004) == (
            0o005 if path.is_dir() else 0o004
        ), path


def test_it_starts_by_itself() -> None:
    files = runtime.prepare()
    command = [*files.command()[:-1], "-c", "import _cffi_backend, _socket, struct, resource; print('fine')"]
    environment = {"LD_LIBRARY_PATH": str(files.libraries), "PYTHONPATH": "ignored"}
    script = "import sys; sys.path.insert(0, sys.argv[1])\n" + command[-1]
    answer = subprocess.run(
        [*command[:-2], "-c", script, str(files.libraries)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert answer.stdout == "fine\n", answer.stderr


def test_no_library_that_could_do_the_work_is_inside() -> None:
    names = [path.name for folder in runtime.prepare().read_only for path in (folder, *folder.rglob("*"))]
    for word in ("blas", "numpy", "mkl", "site-packages"):
        assert not [name for name in names if word in name.lower()]


def test_the_environment_is_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_TOKEN", "secret")
    assert set(runtime.prepare().environment(Path("/x"))) == {"PATH", "LD_LIBRARY_PATH", "LC_ALL"}


def test_a_submission_sees_nothing_of_the_grader(tier, act) -> None:
    """It prints its environment, its command line, its mounts and what lies in the root."""
    code = """#define _GNU_SOURCE
    #include <dirent.h>
    #include <stdio.h>
    #include "tiny.h"
    static void show(const char *path) {
        char text[4096]; FILE *file = fopen(path, "r"); size_t n;
        while (file && (n = fread(text, 1, sizeof text, file)) > 0) fwrite(text, 1, n, stdout);
    }
    int tiny_act(int what, const float *in, float *out, size_t n) {
        (void)what, (void)in, (void)out, (void)n;
        DIR *root = opendir("/");
        for (struct dirent *e; root && (e = readdir(root));) printf("[%s]", e->d_name);
        show("/proc/self/environ"); show("/proc/self/cmdline"); fflush(stdout); return 0; }"""
    with tiny.guest(tier, tiny.source(code)) as guest:
        act(guest, 0)
        said = guest.printed().decode()
    if tier.name == "A":
        for name in ("[root]", "[home]", "[etc]", "[work]", "[sys]", "[run]"):
            assert name not in said
    for secret in (
        str(tiny.FIXTURES),
        sys.prefix,
        os.environ.get("USER") or "nobody at all",
        "pytest",
        "HOME",
    ):
        assert secret not in said
    assert np.__file__ not in said


def test_a_course_may_lie_where_the_sandboxs_user_may_not_go(tier, tmp_path: Path) -> None:
    """What the sandbox needs of it is copied; a checkout in root's home works."""
    closed = tmp_path / "closed"
    shutil.copytree(tiny.COURSE, closed / "course")
    (closed / "course" / "starter" / "tiny" / "tiny.h").write_text(
        (tiny.COURSE / "starter" / "tiny" / "tiny.h").read_text() + "/* another one */\n"
    )
    closed.chmod(0o700)
    lab = load_lab("tiny", closed / "course")
    built = build.build(tier, lab, tiny.source(), "release")
    prepared = module.for_submissions(lab)
    assert prepared.folder != module.for_submissions(tiny.lab()).folder
    with Guest(tier, GuestSpec(prepared.folder, built.folder, prepared.interface.names)) as guest:
        values, _ = invoke.run(guest, prepared.interface, [Invocation("tiny_add", (1, 2))], timeout_s=None)
    assert values == (3,)


@needs("tier A")
@pytest.mark.skipif(os.geteuid() != 0, reason="only root's sandbox is another user")
def test_a_cache_where_the_sandboxs_user_may_not_go_is_told(tier, honest_spec, tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    shutil.copytree(honest_spec.library, closed / "library")
    closed.chmod(0o700)
    with Guest(tier, replace(honest_spec, library=closed / "library")) as guest:
        with pytest.raises(RuntimeError, match=r"could not start a runner.*Permission denied"):
            guest.wait_until_ready()


def test_a_missing_backend_is_named(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match=r"cannot load cffi's backend .*nothing.so"):
        runtime._copy(tmp_path, Path(sys._base_executable).resolve(), tmp_path / "lib" / "nothing.so")  # type: ignore[attr-defined]
