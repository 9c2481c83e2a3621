"""The class on one page: what was measured is there, and nothing that a student wrote is more than text."""

from __future__ import annotations

import base64
import hashlib
import re
from html.parser import HTMLParser

import pytest

from grader.reports.class_book import (
    Alike,
    Cell,
    ClassBook,
    DuelBook,
    Flaky,
    Fought,
    HardTest,
    LabBook,
    Moved,
    Row,
    Waiting,
)
from grader.reports.class_page import class_page, ratios, scores
from tests.sample_results import NASTY, TIERS

DUEL = DuelBook(
    "large",
    "n = 3072",
    TIERS,
    (Fought("ada", 0.97, "bonus"), Fought("bob", 0.3, "bronze"), Fought("eve", 0.01, None)),
)
LAB = LabBook(
    "gemm_cpu", 100, (96.5, 40.0, 0.0), (DUEL,), (HardTest("beta is zero", "correctness", 2, 3, 8.0),)
)


def sample(text="ada", **more) -> ClassBook:
    rows = (
        Row(text, text, {"gemm_cpu": Cell(96.5, 100, 90, text, "feedback/ada/gemm_cpu.html")}),
        Row("bob", "Bob", {"gemm_cpu": Cell(40.0, 100, 100)}),
        Row("max", "", {"gemm_cpu": Cell(None, note="nothing handed in")}),
    )
    fields = {
        "waiting": (Waiting(text, "gemm_cpu", text, text),),
        "not_graded": (Waiting(text, "gemm_cpu", "", text),),
        "unknown": ((text, text),),
        "alike": (
            Alike("gemm_cpu", text, "bob", 0.93, 0.88, lines=text),
            Alike("gemm_cpu", "a", "b", 1, 1, True),
        ),
        "flaky": (Flaky("gemm_cpu", text, (text, "bob"), "1 × failed, 1 × passed"),),
        "moved": (Moved(text, "gemm_cpu", 40, 38, "the lab changed", (text,)),),
        "notes": (text,),
    }
    return ClassBook(text, "2026-06-01T00:00:00Z", "Moodle export", (LAB,), rows, **{**fields, **more})


class Elements(HTMLParser):
    """Every element with its attributes, and the text of each script."""

    def __init__(self, page):
        super().__init__()
        self.found, self.scripts, self._inside = [], [], False
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))
        self._inside = tag == "script"
        if self._inside:
            self.scripts.append("")

    def handle_endtag(self, tag):
        self._inside = False

    def handle_data(self, data):
        if self._inside:
            self.scripts[-1] += data


def test_its_one_script_is_the_one_that_the_policy_names():
    page = class_page(sample())
    (script,) = Elements(page).scripts
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', page)[1]
    assert f"script-src 'sha256-{digest}'" in policy
    assert "default-src 'none'" in policy and "unsafe-inline" not in policy.split("script-src")[1]


@pytest.mark.parametrize(
    "text",
    [NASTY, "<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "</title><b>", "{{ 7*7 }}", "]]>"],
)
def test_no_text_of_a_student_becomes_an_element(text):
    plain, hostile = Elements(class_page(sample())), Elements(class_page(sample(text)))
    assert [tag for tag, _ in hostile.found] == [tag for tag, _ in plain.found]
    assert hostile.scripts == plain.scripts
    assert not any(name.startswith("on") for _, attributes in hostile.found for name in attributes)
    assert "49" not in class_page(sample("{{ 7*7 }}")).split("<style>")[0]


def test_nothing_is_fetched_from_a_network():
    page = class_page(sample())
    assert not re.search(r"https?:|//[a-z]", page.split("<main>")[1].split("<script>")[0])
    assert all("src" not in attributes for _, attributes in Elements(page).found)


def test_everybody_has_a_row_with_a_link_to_the_own_page():
    page = class_page(sample())
    assert '<a href="feedback/ada/gemm_cpu.html">96.5</a>' in page
    assert page.count("<tr>") > 8
    assert "gemm_cpu: nothing handed in" in page
    assert "of 90" in page  # some points could not be judged


def test_cells_sort_by_their_numbers_and_not_by_their_looks():
    page = class_page(sample())
    assert 'data-sort="96.5000"' in page and 'data-sort=""' in page


@pytest.mark.parametrize(
    "heading", ["waiting", "not-graded", "alike", "flaky", "moved", "unknown", "students"]
)
def test_each_part_is_there_and_reached_from_the_top(heading):
    page = class_page(sample())
    assert f'<h2 id="{heading}">' in page and f'href="#{heading}"' in page


def test_what_is_empty_is_left_out():
    none = dict.fromkeys(("waiting", "not_graded", "unknown", "alike", "flaky", "moved", "notes"), ())
    page = class_page(sample(**none))
    assert "Nothing that stands out" in page
    assert not any(f'id="{name}"' in page for name in ("waiting", "not-graded", "flaky", "moved", "unknown"))


def test_a_class_without_a_result_is_a_page_too():
    empty = ClassBook("t", "now", "", (LabBook("gemm_cpu", 0, ()),), ())
    assert "Nothing is graded yet" in class_page(empty)


def test_the_distribution_of_a_duel_has_a_line_at_each_tier():
    drawn = ratios(DUEL)
    assert [mark.label for mark in drawn.marks] == [
        "pass .15",
        "bronze .25",
        "silver .50",
        "gold .80",
        "bonus .95",
    ]
    places = [mark.x for mark in drawn.marks]
    assert places == sorted(places) and places[0] > 0 and places[-1] < 640
    assert sum(int(bar.words.split(",")[0]) for bar in drawn.bars) == 3
    assert drawn.words == "below 1, pass 0, bronze 1, silver 0, gold 0, bonus 1"


def test_every_score_is_in_the_distribution():
    drawn = scores(LAB)
    assert sum(int(bar.words.split(",")[0]) for bar in drawn.bars) == 3
    assert all(0 <= bar.x <= 640 and 0 < bar.height <= 120 for bar in drawn.bars)


def test_scores_that_are_all_zero_are_drawn():
    assert scores(LabBook("x", 0, (0.0, 0.0))).bars


def test_a_distribution_shows_its_counts_and_its_axis():
    drawn = scores(LabBook("x", 100, (0.0, 50.0, 50.0, 100.0)))
    assert [bar.count for bar in drawn.bars] == [1, 2, 1]
    assert [tick.label for tick in drawn.ticks] == ["0", "25", "50", "75", "100"]
    page = class_page(sample())
    assert 'class="column"' in page
    # An SVG attribute loses to any rule of a style sheet: no class of a bar may have a height there.
    assert '<rect class="bar"' not in page and not re.search(r"\.column\s*\{[^}]*height", page)
