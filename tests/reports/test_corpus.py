"""The corpus of hostile texts, in every field of a result, through every format: it is shown, and does nothing."""

from __future__ import annotations

import csv
import io
import json
import re
import xml.etree.ElementTree as ElementTree
from html.parser import HTMLParser

import pytest
from markdown_it import MarkdownIt
from rich.console import Console

from grader.batch import gradebook
from grader.reports.autograding import autograding
from grader.reports.class_junit import class_junit
from grader.reports.github import log
from grader.reports.gradescope import gradescope
from grader.reports.html import html
from grader.reports.junit import junit
from grader.reports.markdown import markdown
from grader.reports.terminal import render
from tests import sample_results
from tests.reports.corpus import CORPUS

ACTS = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff\U000e0000-\U000e007f]"
)
MOST = 2_000_000
TOKEN = "an unpredictable word"

pytestmark = pytest.mark.parametrize("text", CORPUS.values(), ids=CORPUS)


class Tags(HTMLParser):
    """What a browser would find."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, tuple[str, ...]]] = []
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self.found.append((tag, tuple(name for name, _ in attributes)))


def test_a_terminal_is_only_written_to(text):
    stream = io.StringIO()
    render(sample_results.hostile(text), Console(file=stream, width=100, highlight=False), reveal=True)
    assert not ACTS.search(stream.getvalue())
    assert len(stream.getvalue()) < MOST


def test_a_page_has_the_elements_that_it_has_for_plain_text(text):
    page = html(sample_results.hostile(text), reveal=True)
    tags = {tag for tag, _ in Tags(page).found}
    assert tags <= {tag for tag, _ in Tags(html(sample_results.hostile("x\ny"), reveal=True)).found}
    assert not any(name.startswith("on") for _, names in Tags(page).found for name in names)
    assert len(page) < MOST


def test_markdown_is_read_as_text(text):
    page = markdown(sample_results.hostile(text), reveal=True)
    for token in MarkdownIt("gfm-like", {"linkify": False}).parse(page):
        for inner in token.children or ():
            assert inner.type not in ("link_open", "image")
            assert inner.type != "html_inline" or inner.content in OURS, inner.content
        assert token.type != "html_block" or token.content.startswith(("<details", "</details>", "<sub>"))
        assert not (token.type == "heading_open" and token.markup == "#")
    assert len(page) < MOST


OURS = (
    "<b>",
    "</b>",
    "<sub>",
    "</sub>",
    "<details>",
    "<details open>",
    "</details>",
    "<summary>",
    "</summary>",
)


def test_xml_holds_the_cases_that_there_are(text):
    document = sample_results.hostile(text)
    for report in (junit(document, reveal=True), class_junit([(text, document)], reveal=True)):
        assert len(list(ElementTree.fromstring(report.encode()).iter("testcase"))) == len(document.tests)
        assert len(report) < MOST


def test_a_spreadsheet_finds_no_formula(text):
    row = next(
        csv.reader(io.StringIO(gradebook._csv(["student"], [[gradebook.defused(text)]]).split("\n", 1)[1]))
    )
    assert len(row) == 1
    assert not row[0].startswith(("=", "+", "-", "@", "\t", "\r"))


def test_a_runner_of_github_finds_no_command_but_ours(text):
    lines = log(sample_results.hostile(text), text, TOKEN).splitlines()
    begin, end = lines.index(f"::stop-commands::{TOKEN}"), lines.index(f"::{TOKEN}::")
    outside = lines[:begin] + lines[end + 1 :]
    ours = ("::group::", "::endgroup::", "::error ", "::warning title=Not judged yet::")
    assert all(line.startswith(ours) for line in outside)
    assert not any(f"::{TOKEN}::" in line for line in lines[begin + 1 : end])


def test_what_other_systems_read_stays_one_document(text):
    document = sample_results.hostile(text)
    pending = 1  # a test at the top says what waits
    assert len(json.loads(gradescope(document))["tests"]) == len(document.tests) + pending
    for entry in json.loads(autograding(document))["tests"]:
        assert "::" not in entry["name"]
        assert "\n" not in entry["name"]
