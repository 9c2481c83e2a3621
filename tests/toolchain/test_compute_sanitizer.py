"""compute-sanitizer's reports become sentences with the student's line."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from grader.toolchain.compute_sanitizer import parse, ran

MEMCHECK = """========= COMPUTE-SANITIZER
========= Invalid __global__ write of size 4 bytes
=========     at add(float *, int)+0x140 in redtr.cu:12
=========     by thread (1,0,0) in block (2,0,0)
=========     Access to 0x7fb786800104 is out of bounds
=========     and is 5 bytes after the nearest allocation at 0x7fb786800000 of size 256 bytes
=========     Saved host backtrace up to driver entry point at kernel launch time
=========         Host Frame: main [0x8d12] in cs
=========
========= ERROR SUMMARY: 65 errors
"""
RACECHECK = """========= COMPUTE-SANITIZER
========= Error: Race reported between Write access at k(float *, int)+0x110 in redtr.cu:20
=========     and Read access at k(float *, int)+0x120 in redtr.cu:24 [256 hazards]
=========
========= RACECHECK SUMMARY: 1 hazard displayed (1 error, 0 warnings)
"""
INITCHECK = """========= Uninitialized __global__ memory read of size 4 bytes
=========     at k(float *, int)+0x60 in redtr.cu:2
=========     by thread (0,0,0) in block (0,0,0)
========= ERROR SUMMARY: 64 errors
"""
SYNCCHECK = """========= Barrier error detected. Divergent thread(s) in block.
=========     at k(float *)+0x40 in redtr.cu:7
=========     by thread (33,0,0) in block (0,0,0)
=========
========= ERROR SUMMARY: 1 error
"""


def test_a_write_outside_is_told_with_place_and_distance() -> None:
    (found,) = parse(MEMCHECK, "memcheck", ["redtr.cu"])
    assert (found.kind, found.file, found.line) == ("out-of-bounds", "redtr.cu", 12)
    assert found.message == (
        "a write of 4 bytes in global memory outside every array, 5 bytes after an array of 256 bytes"
        " by thread (1,0,0) of block (2,0,0)"
    )
    assert "Host Frame" not in found.detail


def test_a_misaligned_access_is_told_as_one() -> None:
    text = MEMCHECK.replace("is out of bounds", "is misaligned").replace("write of size 4", "read of size 16")
    (found,) = parse(text, "memcheck", ["redtr.cu"])
    assert found.kind == "misaligned"
    assert "16 divides" in found.message


def test_a_race_names_both_lines() -> None:
    (found,) = parse(RACECHECK, "racecheck", ["redtr.cu"])
    assert (found.kind, found.line) == ("race", 20)
    assert "the write in line 20 and the read in line 24" in found.message


def test_an_unwritten_word_and_a_lost_thread_are_told() -> None:
    assert parse(INITCHECK, "initcheck", ["redtr.cu"])[0].kind == "unwritten"
    (barrier,) = parse(SYNCCHECK, "synccheck", ["redtr.cu"])
    assert barrier.kind == "barrier"
    assert "Divergent thread(s) in block" in barrier.message


def test_the_same_place_is_told_once_and_other_peoples_files_have_no_line() -> None:
    twice = parse(MEMCHECK.replace("========= ERROR", MEMCHECK + "========= ERROR"), "memcheck", ["redtr.cu"])
    assert len(twice) == 1
    assert parse(MEMCHECK, "memcheck", ["other.cu"])[0].file == ""


def test_only_a_whole_run_counts() -> None:
    assert ran(MEMCHECK)
    assert ran(RACECHECK)
    assert not ran("========= COMPUTE-SANITIZER\n========= Error launching target app.")
    assert parse("", "memcheck", []) == []


@given(st.text())
def test_whatever_a_student_prints_nothing_raises(text: str) -> None:
    parse(text, "memcheck", ["redtr.cu"])
