"""A lab's cffi module: made once, from the header alone."""

from __future__ import annotations

import os
import subprocess
import sysconfig
from pathlib import Path

import pytest

from grader import cache
from grader.runner import runtime
from grader.toolchain import module
from tests.fixtures import tiny


def symbols(path: Path, *options: str) -> str:
    return subprocess.run(["nm", *options, str(path)], capture_output=True, text=True, check=True).stdout


def test_it_holds_the_functions_of_the_header_and_of_the_guest() -> None:
    prepared = module.for_submissions(tiny.lab())
    assert prepared.interface.names[:2] == ("tiny_add", "tiny_mix")
    assert {"guest_map", "guest_watch", "guest_fail_allocation"} <= set(prepared.interface.names)
    assert (prepared.folder / "_lab.so").is_file()


def test_only_the_headers_functions_are_promised() -> None:
    needed = symbols(module.for_submissions(tiny.lab()).promises, "-u")
    for name in ("tiny_add", "tiny_stack_free", "tiny_act"):
        assert f"U {name}\n" in needed
    assert "guest_" not in needed


def test_it_needs_the_submissions_library_by_name_and_lies_apart_from_it() -> None:
    prepared = module.for_submissions(tiny.lab())
    needed = subprocess.run(["ldd", str(prepared.folder / "_lab.so")], capture_output=True, text=True).stdout
    assert f"{module.LIBRARY} => not found" in needed
    assert not (prepared.folder / module.LIBRARY).exists()


def test_it_is_made_once(own_cache, monkeypatch) -> None:
    first = module.for_submissions(tiny.lab())
    monkeypatch.setattr(module, "_build", lambda *_: pytest.fail("built again"))
    assert module.for_submissions(tiny.lab()) == first


def test_another_header_is_another_module(tmp_path: Path) -> None:
    header = tmp_path / "other.h"
    header.write_text("int other(int x);\n")
    prepared = module.prepare(header)
    assert prepared.interface.names[0] == "other"
    assert prepared.folder != module.for_submissions(tiny.lab()).folder


def test_a_header_that_cffi_does_not_understand(tmp_path: Path) -> None:
    header = tmp_path / "odd.h"
    header.write_text("int call(int x;\n")
    with pytest.raises(ValueError, match=r"odd\.h"):
        module.prepare(header)


def test_a_machine_without_pythons_headers_is_told_what_to_install(own_cache, tmp_path, monkeypatch) -> None:
    header = tmp_path / "fine.h"
    header.write_text("int fine(int x);\n")
    monkeypatch.setattr(sysconfig, "get_paths", lambda: {"include": "/nonexistent"})
    with pytest.raises(RuntimeError, match="apt-get install python3-dev"):
        module.prepare(header)
    monkeypatch.undo()
    assert cache.root() and module.prepare(header).folder.is_dir()


def test_it_compiles_nothing_of_the_labs_folder(own_cache) -> None:
    """The header is the only source: a lab's folder may hold anything."""
    text = (module.for_submissions(tiny.lab()).folder / "wrapper.c").read_text()
    assert '#include "tiny.h"' in text
    assert "reference" not in text


def test_the_guests_python_can_load_it(tier) -> None:
    """With a library that lacks every function: they are looked up when they are called."""
    prepared, files = module.for_submissions(tiny.lab()), runtime.prepare()
    empty = cache.scratch_folder()
    command = ["gcc", "-shared", "-fPIC", "-x", "c", "/dev/null", "-o", str(empty / module.LIBRARY)]
    subprocess.run([*command, f"-Wl,-soname,{module.LIBRARY}"], check=True)
    script = "import sys; sys.path[:0] = sys.argv[1:]; sys.setdlopenflags(1); import _lab; print(_lab.lib.tiny_add)"
    answer = subprocess.run(
        [str(files.python), "-I", "-S", "-c", script, str(prepared.folder), str(files.libraries)],
        env={"LD_LIBRARY_PATH": f"{empty}:{files.libraries}", "PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
    )
    (empty / module.LIBRARY).unlink()
    empty.rmdir()
    assert "tiny_add" in answer.stdout, answer.stderr
