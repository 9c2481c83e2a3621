from __future__ import annotations

import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grader.reports import wording
from grader.reports.hidden import for_students
from grader.result import Roofline
from tests import sample_results
from tests.sample_results import LAST_COLUMNS, duel, result
from tests.sample_results import test as make_test

RERUN = "make grade LAB={lab} TEST={test} SEED={seed}"


@pytest.mark.parametrize(
    ("value", "text"), [(4, "4"), (87.5, "87.5"), (1 / 3, "0.33"), (0, "0"), (100, "100")]
)
def test_points(value, text):
    assert wording.points(value) == text


@pytest.mark.parametrize(
    ("value", "down", "up"),
    [
        (0.7996, "0.79", "0.80"),
        (0.29, "0.29", "0.29"),
        (0.95, "0.95", "0.95"),
        (0.0124, "0.012", "0.013"),
        (1.0, "1.00", "1.00"),
        (12.34, "12.3", "12.4"),
        (166.7, "166", "167"),
        (0, "0", "0"),
    ],
)
def test_ratios_never_flatter(value, down, up):
    assert wording.ratio_down(value) == down
    assert wording.ratio_up(value) == up


@given(st.floats(1e-6, 1e6))
def test_a_shown_ratio_is_on_the_right_side(value):
    assert float(wording.ratio_down(value)) <= value * (1 + 1e-8)
    assert float(wording.ratio_up(value)) >= value * (1 - 1e-8)


@pytest.mark.parametrize(
    ("value", "text"), [(0.15, ".15"), (0.075, ".075"), (0.8, ".80"), (1, "1"), (1.5, "1.5"), (2000, "2000")]
)
def test_a_tiers_ratio_is_short(value, text):
    assert wording.threshold(value) == text


def test_a_series_in_one_line():
    [series] = sample_results.measured().series
    assert wording.sweep(series) == "Latency over size: 1.2 .. 90 ns, from 4 KiB to 16 MiB"


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (512, "bytes", "512 B"),
        (49152, "bytes", "48 KiB"),
        (3 * 2**19, "bytes", "1.5 MiB"),
        (2**33, "bytes", "8 GiB"),
        (96, "ns", "96 ns"),
        (2, "", "2"),
    ],
)
def test_quantities(value, unit, text):
    assert wording.quantity(value, unit) == text


def test_values_that_agree_are_not_told_as_speeds():
    measured = sample_results.measured()
    assert wording.slowest(measured.duels[0]) == "farthest from the reference: 16 MiB, 68 against 90 ns"
    steps = wording.what_next(measured, RERUN)
    assert (
        "'latency of random loads' reaches gold (.92) when its numbers are within 9 % of the reference's."
        in steps
    )


@pytest.mark.parametrize(
    ("value", "text"), [(95.7, "96"), (7.25, "7.25"), (0.0123, "0.0123"), (12345, "12,345")]
)
def test_rates(value, text):
    assert wording.rate(value) == text


def test_rates_are_said_as_far_as_they_were_measured():
    assert wording.rates(duel("a", 0.5, "silver")) == ""
    assert wording.rates(duel("a", 0.5, "silver", submission_rate=50)) == "50 GFLOP/s"
    both = duel("a", 0.93, "gold", submission_rate=96, reference_rate=103)
    assert wording.rates(both) == "96 of 103 GFLOP/s"


def test_the_roofline_sentence_names_the_bound_and_the_next_tier_in_the_same_unit():
    roof = Roofline(bound="memory", value=38, ceiling=51, unit="GB/s")
    sentence = wording.roofline(duel("a", 0.4, "bronze", roofline=roof))
    assert sentence == "You reach 38 of the 51 GB/s measured here: memory-bound; silver is at 48."


def test_there_is_no_next_tier_at_the_top_and_none_without_a_judgement():
    assert wording.next_tier(duel("a", 0.96, "bonus")) is None
    assert wording.next_tier(duel("a", None, None, verdict="not_judged")) is None
    assert wording.next_tier(duel("a", 0.94, "bonus")) is None  # paid, since the interval holds it
    assert wording.next_tier(duel("a", 0.3, "bronze", verdict="not_judged")) is None


def test_the_first_failure_is_one_that_is_explained_then_one_that_must_pass():
    bare = make_test("bare", "c", "failed", must=True)
    explained = make_test("explained", "c", "failed", failure=LAST_COLUMNS)
    must = make_test("must", "c", "failed", failure=LAST_COLUMNS, must=True)
    assert wording.first_failure([bare, explained, must]) == must
    assert wording.first_failure([bare, explained]) == explained
    assert wording.first_failure([make_test("fine", "c"), bare]) == bare
    assert wording.first_failure([make_test("fine", "c")]) is None


def test_the_rerun_command_names_test_and_seed():
    test = make_test("skinny shapes", "correctness", "failed")
    command = wording.rerun_command(RERUN, result([test]), test)
    assert command == "make grade LAB=gemm_cpu TEST=skinny_shapes SEED=123456789"


def test_the_rerun_command_leaves_out_what_there_is_not():
    build = make_test("it compiles", "build", "failed", id="build::release")
    assert wording.rerun_command(RERUN, result([build], seeds={}), build) == "make grade LAB=gemm_cpu"


@given(st.text(st.characters(exclude_categories=("C", "Z")), min_size=1, max_size=30))
def test_odd_names_stay_one_word_of_the_shell(name):
    test = make_test("a", "c", id=f"t.py::test_{name}{{lab}}`id`$(id)")
    words = shlex.split(wording.rerun_command(RERUN, result([test], lab="{test}"), test))
    assert len(words) == 5
    assert words[2] == "LAB={test}"
    assert words[3].endswith("{lab}`id`$(id)")


def test_waiting_points_are_summed_by_reason():
    assert wording.waiting(sample_results.unjudged()) == ["90 points: this machine has no NVIDIA GPU"]


def next_steps(document):
    return wording.what_next(for_students(document), RERUN)


def test_next_comes_the_first_failing_test_with_its_command():
    first, second, _ = next_steps(sample_results.mixed())
    command = "make grade LAB=gemm_cpu TEST=skinny_shapes SEED=123456789"
    assert first == f"Fix 'skinny shapes', then run\n{command}"
    assert second == "'odd sizes' reaches pass (.25) when it gets 2.24 times as fast."


def test_next_comes_a_hint_when_only_hidden_tests_fail():
    tests = [make_test("edges", "correctness", "failed", hidden=True, message="SECRET")]
    (step,) = next_steps(result(tests))
    assert step.startswith("Fix the hidden test 'edges' (correctness). A hidden test shows only its name.")


def test_next_comes_the_next_tier_when_all_tests_pass():
    assert next_steps(sample_results.practice()) == [
        "'n = 3072' reaches silver (.50) when it gets 1.67 times as fast."
    ]


def test_next_comes_a_metric_with_points_left():
    tests = [make_test("cache misses", "performance", points=6, of=10, message="0.5 of naive")]
    assert next_steps(result(tests)) == ["'cache misses' has 6 of 10 points: 0.5 of naive"]


def test_all_done_is_said_and_what_waits_too():
    assert next_steps(sample_results.perfect()) == [
        "All done: every point that could be judged here is yours."
    ]
    tests = [make_test("a", "c"), make_test("b", "c", "not_judged", of=10)]
    (praise,) = next_steps(result(tests, mode="practice"))
    assert "The other 10 wait" in praise
    assert praise.endswith("Hidden tests run at grading.")


def test_nothing_judged_is_not_called_done():
    (step,) = next_steps(sample_results.unjudged())
    assert "Nothing could be judged here" in step


@pytest.mark.parametrize("situation", sample_results.SITUATIONS)
def test_there_are_one_to_three_steps(situation):
    assert 1 <= len(next_steps(sample_results.SITUATIONS[situation]())) <= 3
