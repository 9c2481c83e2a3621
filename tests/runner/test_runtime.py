"""What a runner's process sees of the machine."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from grader.runner import runtime
from grader.toolchain import cache
from tests.fixtures import tiny


def test_its_python_is_a_copy_in_the_cache() -> None:
    """So it does not matter that the interpreter lies where the sandbox's user may not go."""
    files = runtime.prepare()
    for path in (files.python, files.guest, files.libraries):
        assert path.exists() and path.is_relative_to(cache.root())
    assert not any(path.is_relative_to(Path.home()) for path in files.read_only)


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


def test_a_missing_backend_is_named(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match=r"cannot load cffi's backend .*nothing.so"):
        runtime._copy(tmp_path, Path(sys._base_executable).resolve(), tmp_path / "lib" / "nothing.so")  # type: ignore[attr-defined]
