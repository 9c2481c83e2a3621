"""Who handed in the same files is always shown; what only looks alike needs copydetect, and is measured by
benchmarks/copies.py."""

from __future__ import annotations

from grader.batch import copies
from grader.batch.copies import Work, alike


def work(digest, *students, text="int x;\n"):
    return Work(digest, {"a.c": text}, students)


def test_everybody_with_the_same_files_is_named_with_the_first():
    found = alike("lab", [work("1", "ada", "bob", "eve"), work("2", "zoe")], {})
    assert [(pair.one, pair.other, pair.identical) for pair in found] == [
        ("ada", "bob", True),
        ("ada", "eve", True),
    ]
    assert all(pair.share_of_one == pair.share_of_other == 1 for pair in found)


def test_nobody_is_alone_with_an_empty_file():
    assert alike("lab", [work("1", "ada", text=""), work("2", "bob", text=" \n")], {}) == []


def test_what_is_too_short_to_say_anything_is_not_compared():
    assert alike("lab", [work("1", "ada", text="int x;\n"), work("2", "bob", text="int y;\n")], {}) == []


def test_a_place_is_told_by_file_and_line():
    text, starts = copies._joined({"b.c": "three\nfour\n", "a.c": "one\ntwo"})
    marks = copies._Marks(work("1", "ada"), text, starts, None)
    assert text == "one\ntwo\nthree\nfour\n"
    assert marks.place(text.index("two"), text.index("two")) == "a.c 2-2"
    assert marks.place(text.index("three"), text.index("four")) == "b.c 1-2"
