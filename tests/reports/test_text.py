from __future__ import annotations

import time
import unicodedata
import xml.etree.ElementTree as ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grader.reports.text import one_line, plain, xml
from tests.sample_results import NASTY

# st.text() leaves out lone surrogates unless asked.
ANY_TEXT = st.text(st.characters(exclude_categories=()))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("", ""),
        ("two\nlines\tand a tab", "two\nlines\tand a tab"),
        ("\x1b[2J", r"\x1b[2J"),
        ("\x1b]0;title\x07", r"\x1b]0;title\x07"),
        ("\x1bP dcs \x9b31m \x7f", r"\x1bP dcs \x9b31m \x7f"),
        ("a\r\nb\rc", "a\nb\\x0dc"),
        ("\0", r"\x00"),
        ("\u202etxt.exe\u202c", r"\u202etxt.exe\u202c"),
        ("zero\u200bwidth\ufeff", r"zero\u200bwidth\ufeff"),
        ("\U000e0041", r"\U000e0041"),
        ("\u2028\u2029", r"\u2028\u2029"),
        ("\ud800 \udcff", r"\ud800 \udcff"),
        ("\ufffe", r"\ufffe"),
        ("日本語　é ñ 🙂 a\u00a0b", "日本語　é ñ 🙂 a\u00a0b"),
        (r"C:\x1b [bold]", r"C:\x1b [bold]"),
    ],
)
def test_what_cannot_be_shown_becomes_an_escape(text, shown):
    assert plain(text) == shown


@given(ANY_TEXT)
def test_plain_text_holds_nothing_that_acts_on_a_terminal(text):
    for character in plain(text):
        category = unicodedata.category(character)
        assert character in "\n\t" or category not in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")


@given(ANY_TEXT, st.integers(0, 50))
def test_cleaning_never_raises_and_can_be_encoded(text, limit):
    plain(text, limit).encode()
    one_line(text, limit).encode()
    xml(text).encode()


@given(ANY_TEXT)
def test_cleaning_twice_changes_nothing_more(text):
    assert plain(plain(text, 10**6), 10**6) == plain(text, 10**6)
    assert xml(xml(text)) == xml(text)


def test_long_text_loses_whole_lines_from_its_middle():
    lines = [f"line {number:04}" for number in range(2000)]
    shown = plain("\n".join(lines), 1000).split("\n")
    marker = next(line for line in shown if line.startswith("..."))
    place = shown.index(marker)
    assert shown[:place] == lines[:place]
    assert shown[place + 1 :] == lines[-(len(shown) - place - 1) :]
    assert marker == f"... {2000 - len(shown) + 1} lines left out ..."
    assert place > len(shown) / 2


def test_one_long_line_loses_characters_from_its_middle():
    shown = plain("a" * 500 + "b" * 500, 90)
    assert shown == "a" * 60 + "\n... 910 characters left out ...\n" + "b" * 30


@given(ANY_TEXT, st.integers(0, 300))
def test_what_stays_is_at_most_the_limit_and_one_line_about_the_rest(text, limit):
    assert len(plain(text, limit)) <= limit + len(f"\n... {10 * len(text)} characters left out ...\n")


def test_a_megabyte_is_cleaned_quickly():
    begin = time.process_time()
    plain("x = 1;\n" * 100_000 + "\x1b" * 300_000)
    assert time.process_time() - begin < 2


@given(ANY_TEXT, st.integers(5, 80))
def test_one_line_is_one_short_line(text, limit):
    shown = one_line(text, limit)
    assert len(shown.splitlines()) <= 1
    assert len(shown) <= limit


@given(ANY_TEXT)
def test_cleaned_text_survives_xml(text):
    element = ElementTree.Element("a")
    element.text = xml(text)
    parsed = ElementTree.fromstring(ElementTree.tostring(element, encoding="utf-8")).text or ""
    assert parsed == xml(text)


def test_xml_keeps_markup_and_shows_what_it_cannot_hold():
    assert xml("]]><testcase/> \x1b \x00 \ufffe \ud800 é\t\n") == (
        "]]><testcase/> \\x1b \\x00 \\ufffe \\ud800 é\t\n"
    )


def test_the_nasty_corpus_is_legible():
    shown = plain(NASTY)
    assert r"\x1b[2J" in shown
    assert "[bold red]markup[/]" in shown
    assert "日本語" in shown
