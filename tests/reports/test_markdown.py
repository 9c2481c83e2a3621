from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from grader.reports.markdown import markdown
from grader.reports.text import fenced, one_line
from grader.reports.text import markdown as escaped
from tests import sample_results
from tests.sample_results import SITUATIONS, result
from tests.sample_results import test as make_test

GFM = MarkdownIt("gfm-like", {"linkify": False})
OURS = {
    "<details>",
    "<details open>",
    "</details>",
    "<summary>",
    "</summary>",
    "<b>",
    "</b>",
    "<sub>",
    "</sub>",
}


def tokens(text):
    """All tokens of the parsed text, inline ones too."""
    for token in GFM.parse(text):
        yield token
        yield from token.children or ()


def shown(text):
    """What a reader sees: text and code, markup gone."""
    return "".join(token.content for token in tokens(text) if token.type in ("text", "text_special", "fence"))


@pytest.mark.parametrize("situation", SITUATIONS)
def test_every_situation_has_a_title_with_the_score_and_a_table_of_parts(situation):
    document = SITUATIONS[situation]()
    kinds = [token.type for token in tokens(markdown(document))]
    assert kinds[0] == "heading_open"
    assert "table_open" in kinds


def test_the_first_failure_is_open_and_says_what_a_student_needs():
    text = markdown(sample_results.mixed())
    assert text.index("<details open>") < text.index("skinny shapes")
    for fact in ("m=1 n=17 k=3", "C[0, 16] = 4.5", "C[0, 16] = nan", "narrower than the register tile"):
        assert fact in shown(text)
    assert "make grade LAB=gemm_cpu TEST=skinny_shapes SEED=123456789" in shown(text)


def test_a_hidden_failure_gives_nothing_away():
    assert "4097" not in markdown(sample_results.mixed())
    assert "4097" in markdown(sample_results.mixed(), reveal=True)


def test_a_practice_run_says_that_hidden_tests_come_later():
    text = markdown(sample_results.practice())
    assert "All public tests passed." in text
    assert "hidden tests run at grading" in text


def test_points_that_wait_are_not_the_students_fault():
    assert "not your fault" in markdown(sample_results.unjudged())


def test_duels_have_a_row_and_a_drawing():
    text = markdown(sample_results.mixed())
    assert "n &#61; 3072" in text or "n = 3072" in text
    assert "━" in shown(text)


def test_what_does_not_fit_is_left_out_in_whole_sections():
    tests = [make_test(f"test {number}", "c", "failed", message="x" * 200) for number in range(3000)]
    whole, cut = markdown(result(tests)), markdown(result(tests), limit=20_000)
    assert len(cut.encode()) <= 20_000 < len(whole.encode())
    assert cut.endswith("left out here: it is too long.*\n")
    assert cut.count("<details") == cut.count("</details>")


@given(st.text())
def test_any_text_anywhere_is_shown_and_never_markup(text):
    for token in tokens(markdown(sample_results.hostile(text), reveal=True)):
        assert token.type not in ("link_open", "image", "html_block") or token.content.strip().startswith(
            ("<details", "</details>", "<sub>")
        )
        if token.type == "html_inline":
            assert token.content in OURS


@given(st.text())
def test_escaped_text_reads_as_it_was(text):
    parsed = GFM.parseInline(f"a {escaped(one_line(text))} b")[0].children
    assert {token.type for token in parsed} <= {"text", "text_special"}


@given(st.text(alphabet="`~\n a"))
def test_no_text_ends_its_own_code_block(text):
    parsed = [token for token in GFM.parse(fenced(text) + "\n\nbehind") if token.type == "fence"]
    assert len(parsed) == 1
    assert parsed[0].content == text + "\n"
