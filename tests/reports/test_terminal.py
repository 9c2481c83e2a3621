from __future__ import annotations

import io
import os
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from grader.reports.terminal import Progress, render
from tests import sample_results
from tests.sample_results import SITUATIONS, duel, result
from tests.sample_results import test as make_test

GOLDEN = Path(__file__).parent / "golden"
RENEW = "RENEW_GOLDEN=1 python -m pytest tests/reports/test_terminal.py -k golden, then read the difference"
RERUN = "make grade LAB={lab} TEST={test} SEED={seed}"


def rendered(document, width=100, *, encoding="utf-8", colour=None, **options) -> str:
    """The report as it would be written to a file or, with `colour`, to a terminal."""
    raw = io.BytesIO()
    file = io.TextIOWrapper(raw, encoding=encoding, newline="\n")
    console = Console(
        file=file, width=width, color_system=colour, force_terminal=colour is not None, legacy_windows=False
    )
    render(document, console, rerun=RERUN, **options)
    file.flush()
    return raw.getvalue().decode(encoding)


@pytest.mark.parametrize("situation", SITUATIONS)
def test_golden(situation):
    path = GOLDEN / f"{situation}.txt"
    text = rendered(SITUATIONS[situation]())
    if os.environ.get("RENEW_GOLDEN"):
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8"), f"if the new report is better, renew it: {RENEW}"


def test_golden_narrow():
    path = GOLDEN / "mixed-60-columns.txt"
    text = rendered(sample_results.mixed(), 60)
    if os.environ.get("RENEW_GOLDEN"):
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8"), f"if the new report is better, renew it: {RENEW}"


@pytest.mark.parametrize("situation", SITUATIONS)
def test_every_situation_works_in_ascii(situation):
    assert "What next" in rendered(SITUATIONS[situation](), encoding="ascii")


@pytest.mark.parametrize("situation", SITUATIONS)
@pytest.mark.parametrize("width", [40, 60, 80, 100, 200])
def test_lines_fit_except_commands_to_copy(situation, width):
    for line in rendered(SITUATIONS[situation](), width).splitlines():
        assert cell_len(line) <= min(width, 100) or "make grade" in line
        assert line == line.rstrip()


def test_colour_adds_only_colour():
    coloured = rendered(sample_results.mixed(), colour="truecolor")
    assert "\x1b[" in coloured
    assert re.sub(r"\x1b\[[0-9;]*m", "", coloured) == rendered(sample_results.mixed())


def test_the_command_to_copy_is_never_broken():
    command = "make grade LAB=gemm_cpu TEST=skinny_shapes SEED=123456789"
    assert rendered(sample_results.mixed(), 40).count(command) == 2


def test_a_hidden_failure_shows_name_and_category_only():
    text = rendered(sample_results.mixed())
    assert "block edges, padding of C: hidden, correctness" in text
    assert "4097" not in text
    assert "overwritten" not in text


def test_staff_see_hidden_failures():
    assert "wrong at n=4097" in rendered(sample_results.mixed(), reveal=True)


def test_a_hidden_failure_alone_comes_with_a_hint_and_without_a_command():
    tests = [make_test("edges", "correctness", "failed", hidden=True, message="SECRET")]
    text = rendered(result(tests))
    assert "✗ edges  correctness, hidden" in text
    assert "Write a small test of your own" in text
    assert "SECRET" not in text
    assert "make grade" not in text


def test_practice_is_called_advisory():
    assert "advisory: hidden tests run at grading" in rendered(sample_results.practice())
    assert "advisory" not in rendered(sample_results.perfect())


def test_what_was_not_judged_is_no_fault_of_the_student():
    text = rendered(sample_results.unjudged())
    assert "Score 0 / 90  (0 judged here, 90 wait)" in text
    assert "Not your fault, and it costs you nothing" in text
    assert "90 points: this machine has no NVIDIA GPU" in text


def test_the_compilers_caret_stays_under_its_column():
    lines = rendered(sample_results.broken_build()).splitlines()
    source = next(line for line in lines if "sum += a[i] * b[i]" in line)
    caret = next(line for line in lines if line.endswith("^"))
    assert caret.index("^") == source.index("b[i]") + len("b[i]")


def test_a_gate_that_shut_three_duels_is_said_once():
    reason = "Performance counts once 95% of the correctness points are earned."
    tests = [
        make_test(name, "performance", "failed", message=reason) for name in ("one", "two", "three", "four")
    ]
    assert "✗ two, three, four: Performance counts once" in rendered(result(tests))


def test_what_looks_like_markup_is_text():
    text = rendered(
        sample_results.hostile("[bold]x[/bold] [/] [link=file:///etc]y[/link] :smile:"), colour="standard"
    )
    bare = re.sub(r"\x1b\[[0-9;]*m", "", text)
    assert "[bold]x[/bold] [/] [link=file:///etc]y[/link] :smile:" in bare
    assert "\x1b]8" not in text


@settings(max_examples=50, deadline=None)
@given(st.text(), st.integers(1, 130), st.booleans())
def test_any_text_anywhere_renders_and_acts_on_no_terminal(text, width, reveal):
    shown = rendered(sample_results.hostile(text), width, reveal=reveal)
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", shown)
    assert "What next" in shown


def test_a_duel_with_odd_tiers_renders():
    for tiers in (
        {"only": 1.0},
        {"a": 1e-9, "b": 1e9},
        {f"tier number {n}": 1 + n / 100 for n in range(9)},
    ):
        text = rendered(result([make_test("a", "c")], [duel("x", 1.0, None, tiers=tiers)]))
        assert all(name in text for name in tiers)


def watched(verbose: bool, terminal: bool) -> str:
    file = io.StringIO()
    console = Console(file=file, width=80, force_terminal=terminal, color_system=None, legacy_windows=False)
    with Progress(console, verbose=verbose) as progress:
        progress.phase("building [release]")
        progress.start(2)
        for name in ("one", "[/] two \x1b[2J"):
            progress.running(name)
            progress.finished(make_test(name, "c", "failed" if name == "one" else "passed"))
    return file.getvalue()


def test_progress_is_quiet_when_piped():
    assert watched(verbose=False, terminal=False) == ""


def test_verbose_progress_is_plain_lines_when_piped():
    assert watched(verbose=True, terminal=False) == ("building [release]\n✗ one\n✓ [/] two \\x1b[2J\n")


def test_live_progress_counts_and_gives_the_cursor_back():
    shown = watched(verbose=False, terminal=True)
    assert "2/2" in shown
    assert "[/] two \\x1b[2J" in shown
    assert shown.rindex("\x1b[?25h") > shown.rindex("\x1b[?25l")


def test_progress_may_be_closed_twice_and_without_a_start():
    progress = Progress(Console(file=io.StringIO()))
    progress.close()
    progress.close()
