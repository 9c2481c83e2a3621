from __future__ import annotations

import itertools
import re
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grader.reports.html import html
from grader.reports.plots import points, series
from grader.result import Axis, Roofline, Series
from tests import sample_results
from tests.sample_results import SITUATIONS, duel, result
from tests.sample_results import test as make_test

VOID = {"meta", "br", "hr", "img", "input", "link"}
ACTIVE = {
    "script",
    "iframe",
    "object",
    "embed",
    "link",
    "img",
    "form",
    "base",
    "a",
    "button",
    "input",
    "video",
    "audio",
}


class Page(HTMLParser):
    """Elements with their attributes, the text, and whether every element is closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] != "style":
            self.text += data

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def shown(document, **options) -> str:
    return " ".join(Page(html(document, **options)).text.split())


@pytest.mark.parametrize("situation", SITUATIONS)
@pytest.mark.parametrize("reveal", [False, True])
def test_every_situation_is_a_whole_page_with_its_score(situation, reveal):
    document = SITUATIONS[situation]()
    page = Page(html(document, reveal=reveal))
    assert page.open == []
    assert len(page.of("h1")) == 1
    assert re.search(r"\d+(\.\d+)? of \d+(\.\d+)? points", " ".join(page.text.split()))


@pytest.mark.parametrize("situation", SITUATIONS)
def test_the_page_can_run_and_fetch_nothing(situation):
    page = Page(html(SITUATIONS[situation](), reveal=True))
    policy = next(meta["content"] for meta in page.of("meta") if "http-equiv" in meta)
    assert "default-src 'none'" in policy
    assert not {name for name, _ in page.elements} & ACTIVE
    for name, attributes in page.elements:
        assert not {key for key in attributes if key.startswith("on") or key in ("src", "href", "action")}, (
            name
        )


@given(st.text())
def test_any_text_anywhere_stays_text(text):
    """The elements are those that the page would have without it."""
    for hostile in (text, f"</style></pre><script>{text}</script>\"'><img src=x onerror=alert(1)>"):
        page = Page(html(sample_results.hostile(hostile), reveal=True))
        assert page.open == []
        assert not {name for name, _ in page.elements} & ACTIVE
        assert all(not key.startswith("on") for _, attributes in page.elements for key in attributes)


def test_a_failure_shows_what_a_student_needs():
    text = shown(sample_results.mixed())
    for fact in ("m=1 n=17 k=3", "row 0, column 16", "narrower than the register tile"):
        assert fact in text
    assert "make grade LAB=gemm_cpu TEST=skinny_shapes SEED=123456789" in text


def test_the_pieces_that_differ_are_marked():
    page = html(sample_results.mixed())
    assert "C[0, 16] = <mark>4.5</mark>" in page
    assert "C[0, 16] = <mark>nan</mark>" in page


def test_a_hidden_failure_gives_nothing_away():
    assert "4097" not in html(sample_results.mixed())
    assert "4097" in html(sample_results.mixed(), reveal=True)


def test_the_students_lines_stand_beside_the_finding():
    broken = sample_results.broken_build()
    failure = sample_results.COMPILE_ERROR.model_copy(update={"source": "  41  int x\n> 42  sum += 1"})
    tests = [broken.tests[0].model_copy(update={"failure": failure}), *broken.tests[1:]]
    assert "> 42 sum += 1" in shown(broken.model_copy(update={"tests": tests}))


def test_evidence_is_shown_and_that_of_hidden_tests_is_not():
    text = shown(sample_results.mixed())
    assert "The hot loop of gemm_f32" in text
    assert "vfmadd231ps" in text
    assert "SECRET" not in html(sample_results.mixed())


def test_a_practice_run_says_that_hidden_tests_come_later():
    assert "All public tests passed. This is a practice run" in shown(sample_results.practice())


def test_points_that_wait_are_not_the_students_fault():
    assert "not your fault" in shown(sample_results.unjudged())


def test_a_drawing_says_in_words_what_it_shows():
    labels = [svg["aria-label"] for svg in Page(html(sample_results.mixed())).of("svg")]
    assert any(label.startswith("ratio 0.73, interval 0.72 to 0.75; tiers: pass .15") for label in labels)


@given(
    ratio=st.floats(1e-6, 1e6) | st.none(),
    spread=st.floats(1, 50),
    tiers=st.lists(st.floats(1e-3, 1e3), min_size=1, max_size=5, unique=True).map(sorted),
)
def test_every_mark_lies_inside_the_drawing_and_labels_do_not_meet(ratio, spread, tiers):
    names = dict(zip(["pass", "bronze", "silver", "gold", "bonus"], tiers, strict=False))
    interval = None if ratio is None else (ratio / spread, ratio * spread)
    drawn = duel("large", ratio, None, tiers=names, interval=interval)
    page = Page(html(result([make_test("large", "performance", id=drawn.test_id)], [drawn])))
    for name, attributes in page.elements:
        for key in ("x", "x1", "x2", "cx"):
            if name != "svg" and key in attributes:
                assert -1 <= float(attributes[key] or 0) <= 721
    labels = [float(item["x"] or 0) for item in page.of("text") if item["class"] == "tier"]
    assert all(right - left >= 43.9 for left, right in itertools.pairwise(labels))


def test_a_roof_is_drawn_where_it_was_measured():
    line = Roofline(bound="memory", value=15.2, ceiling=16.1, unit="GB/s")
    drawn = duel("large", 0.93, "gold", roofline=line)
    page = Page(html(result([make_test("large", "performance", id=drawn.test_id)], [drawn])))
    assert any("15.2 of 16.1 GB/s" in (svg["aria-label"] or "") for svg in page.of("svg"))


@given(
    value=st.floats(1e-3, 1e5),
    intensity=st.floats(1e-3, 1e5),
    peak=st.floats(1e-1, 1e5),
    bandwidth=st.floats(1e-1, 1e5),
    bound=st.sampled_from(["compute", "memory"]),
)
def test_every_point_lies_under_roofs_inside_the_drawing(value, intensity, peak, bandwidth, bound):
    line = Roofline(
        bound=bound, value=value, ceiling=peak, unit="x", intensity=intensity, peak=peak, bandwidth=bandwidth
    )
    drawn = duel("large", 0.5, "silver", roofline=line)
    page = Page(html(result([make_test("large", "performance", id=drawn.test_id)], [drawn])))
    for name, attributes in page.elements:
        if name in ("line", "circle"):
            assert all(
                -1 <= float(attributes[key] or 0) <= 721 for key in attributes if key in ("x1", "x2", "cx")
            )
            assert all(
                -1 <= float(attributes[key] or 0) <= 292 for key in attributes if key in ("y1", "y2", "cy")
            )
    assert any((svg["aria-label"] or "").startswith("roofline: ") for svg in page.of("svg"))


def test_a_series_is_drawn_with_its_levels():
    page = Page(html(sample_results.measured()))
    assert any(
        (svg["aria-label"] or "").startswith("Latency over size: 1.2 .. 90 ns") for svg in page.of("svg")
    )
    assert len(page.of("polyline")) == 2


@given(
    st.lists(st.floats(1e-6, 1e15), min_size=1, max_size=40, unique=True).map(sorted),
    st.lists(st.floats(1e-6, 1e15), min_size=40, max_size=40),
)
def test_every_point_of_a_series_lies_inside_the_drawing(xs, ys):
    axis = Axis(label="x", unit="bytes")
    line = list(zip(xs, ys, strict=False))
    drawn = series(Series(test_id="t", title="t", x=axis, y=axis, lines={"a": line, "b": line[:1]}))
    places = re.findall(r'points="([^"]*)"', drawn)
    assert [len(place.split()) for place in places] == [len(xs), 1]
    for x, y in (place.split(",") for line in places for place in line.split()):
        assert 63.9 <= float(x) <= 708.1
        assert 13.9 <= float(y) <= 290.1


def test_a_roofline_stands_at_its_intensity():
    found = points(sample_results.mixed().duels)
    assert [(point.intensity, point.rate) for point in found] == [(512, 75.5)]
    line = Roofline(
        bound="memory", value=15.0, ceiling=16.0, unit="GB/s", intensity=0.5, peak=120, bandwidth=16
    )
    assert points([duel("memory", 0.9, "gold", roofline=line)])[0].rate == 7.5
