from __future__ import annotations

import math
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grader import scoring
from grader.scoring import DEFAULT_CREDIT, duel_credit, gate_reason, highest_tier, linear_credit
from tests.sample_results import TIERS
from tests.sample_results import test as make_test

RATIOS = st.floats(1e-6, 1e6)
STATUSES = st.sampled_from(["passed", "failed", "not_judged"])


@st.composite
def tiers_and_credit(draw):
    """One to six tiers, each at least one per cent above the last, with credits that do not fall."""
    steps = draw(st.lists(st.floats(1.01, 30), min_size=0, max_size=5))
    ratios = [draw(st.floats(1e-3, 10))]
    for step in steps:
        ratios.append(ratios[-1] * step)
    credits = sorted(draw(st.lists(st.floats(0, 2), min_size=len(ratios), max_size=len(ratios))))
    names = [f"tier {number}" for number in range(len(ratios))]
    return dict(zip(names, ratios, strict=True)), dict(zip(names, credits, strict=True))


@st.composite
def submissions(draw):
    """Tests of several categories whose points fit their status."""

    def one(number: int):
        status = draw(STATUSES)
        most = draw(st.sampled_from([0, 0.1, 0.5, 2, 3]))
        earned = most * draw(st.sampled_from([0, 0.5, 1])) if status == "failed" else None
        category = draw(st.sampled_from(["correctness", "performance"]))
        return make_test(f"t{number}", category, status, earned, most, must=draw(st.booleans()))

    return [one(number) for number in range(draw(st.integers(0, 8)))]


def test_each_tier_earns_its_credit_exactly():
    for name, ratio in TIERS.items():
        assert duel_credit(ratio, TIERS, DEFAULT_CREDIT) == DEFAULT_CREDIT[name]


def test_credit_is_linear_in_the_logarithm_between_tiers():
    halfway = math.sqrt(TIERS["bronze"] * TIERS["silver"])
    assert duel_credit(halfway, TIERS, DEFAULT_CREDIT) == pytest.approx(0.7)


def test_credit_starts_at_half_of_the_first_tier():
    assert duel_credit(0.075, TIERS, DEFAULT_CREDIT) == 0
    assert duel_credit(0.0751, TIERS, DEFAULT_CREDIT) > 0
    assert duel_credit(0.15 / math.sqrt(2), TIERS, DEFAULT_CREDIT) == pytest.approx(0.2)


@pytest.mark.parametrize("ratio", [0.0, -1.0, 1e-320, -math.inf])
def test_nothing_is_earned_far_below(ratio):
    assert duel_credit(ratio, TIERS, DEFAULT_CREDIT) == 0


@pytest.mark.parametrize("ratio", [0.95, 1.0, 1e308, math.inf])
def test_credit_stays_at_the_last_tier(ratio):
    assert duel_credit(ratio, TIERS, DEFAULT_CREDIT) == 1.1


@given(tiers_and_credit(), RATIOS, RATIOS)
def test_credit_is_monotone_and_within_bounds(curve, one, other):
    tiers, credit = curve
    low, high = sorted((one, other))
    assert 0 <= duel_credit(low, tiers, credit) <= duel_credit(high, tiers, credit) + 1e-12
    assert duel_credit(high, tiers, credit) <= max(credit.values())


@given(tiers_and_credit(), RATIOS)
def test_credit_is_continuous(curve, ratio):
    tiers, credit = curve
    step = duel_credit(ratio * (1 + 1e-9), tiers, credit) - duel_credit(ratio, tiers, credit)
    # The steepest piece: all credit (at most 2) between two tiers one per cent apart.
    assert abs(step) <= 2 * 1e-9 / math.log(1.01) * 1.01


@given(tiers_and_credit())
def test_credit_is_exact_at_every_tier_and_continuous_there(curve):
    tiers, credit = curve
    for name, ratio in tiers.items():
        assert duel_credit(ratio, tiers, credit) == credit[name]
        assert duel_credit(ratio * (1 - 1e-9), tiers, credit) == pytest.approx(credit[name], abs=1e-6)


@given(tiers_and_credit(), RATIOS, st.floats(1e-3, 1e3))
def test_credit_does_not_depend_on_the_unit(curve, ratio, unit):
    tiers, credit = curve
    scaled = {name: value * unit for name, value in tiers.items()}
    assert duel_credit(ratio * unit, scaled, credit) == pytest.approx(
        duel_credit(ratio, tiers, credit), abs=1e-9
    )


@pytest.mark.parametrize(
    ("tiers", "credit"),
    [
        ({}, DEFAULT_CREDIT),
        ({"pass": 0.5, "bronze": 0.5}, DEFAULT_CREDIT),
        ({"pass": 0.5, "bronze": 0.4}, DEFAULT_CREDIT),
        ({"pass": 0.0}, DEFAULT_CREDIT),
        ({"pass": -1.0}, DEFAULT_CREDIT),
        ({"pass": math.inf}, DEFAULT_CREDIT),
        ({"pass": math.nan}, DEFAULT_CREDIT),
        ({"platinum": 0.5}, DEFAULT_CREDIT),
        ({"pass": 0.5, "bronze": 0.6}, {"pass": 0.5, "bronze": 0.4}),
        ({"pass": 0.5}, {"pass": math.nan}),
        ({"pass": 0.5}, {"pass": -0.1}),
    ],
)
def test_an_impossible_curve_is_refused(tiers, credit):
    with pytest.raises(ValueError, match="tier"):
        duel_credit(1.0, tiers, credit)


def test_a_ratio_that_is_not_a_number_is_refused():
    with pytest.raises(ValueError, match="not a number"):
        duel_credit(math.nan, TIERS, DEFAULT_CREDIT)


@pytest.mark.parametrize(
    ("ratio", "tier"),
    [(0.1499, None), (0.15, "pass"), (0.4999, "bronze"), (0.8, "gold"), (7.0, "bonus"), (math.nan, None)],
)
def test_highest_tier(ratio, tier):
    assert highest_tier(ratio, TIERS) == tier


@given(tiers_and_credit(), RATIOS)
def test_the_highest_tier_is_the_one_whose_credit_is_secured(curve, ratio):
    tiers, credit = curve
    name = highest_tier(ratio, tiers)
    assert duel_credit(ratio, tiers, credit) >= (credit[name] if name else 0)


@pytest.mark.parametrize(("misses", "share"), [(100, 1), (300, 1), (450, 0.5), (600, 0), (9000, 0)])
def test_a_metric_where_fewer_is_better(misses, share):
    assert linear_credit(misses, full_at=300, zero_at=600) == share


@pytest.mark.parametrize(("share_of_peak", "share"), [(0.2, 0), (0.5, 0), (0.7, 0.5), (0.9, 1), (1.0, 1)])
def test_a_metric_where_more_is_better(share_of_peak, share):
    assert linear_credit(share_of_peak, full_at=0.9, zero_at=0.5) == pytest.approx(share)


@given(*[st.floats(-1e9, 1e9) for _ in range(4)])
def test_a_metric_earns_more_when_it_is_nearer_to_full(one, other, full_at, zero_at):
    if full_at == zero_at:
        return
    worse, better = sorted((one, other), reverse=full_at < zero_at)
    low = linear_credit(worse, full_at, zero_at)
    high = linear_credit(better, full_at, zero_at)
    assert 0 <= low <= high <= 1


@pytest.mark.parametrize("numbers", [(1, 2, 2), (math.nan, 1, 2), (1, math.inf, 2), (1, 2, math.nan)])
def test_an_impossible_metric_is_refused(numbers):
    with pytest.raises(ValueError, match=r"full|finite"):
        linear_credit(*numbers)


def test_the_gate_is_open_when_all_is_well():
    assert gate_reason([make_test("a", "correctness", must=True)], 0.95) is None


def test_a_failed_must_test_of_any_category_shuts_the_gate():
    tests = [make_test("a", "correctness"), make_test("no leaks", "safety", "failed", must=True)]
    reason = gate_reason(tests, 0.95)
    assert reason == "Performance counts only when 'no leaks' passes: it failed; fix it first."


def test_a_must_test_that_was_not_judged_shuts_the_gate():
    tests = [make_test("a", "correctness"), make_test("races", "safety", "not_judged", must=True)]
    assert "'races' passes: it could not be judged here" in gate_reason(tests, 0)


def test_too_few_correctness_points_shut_the_gate_and_name_what_to_fix():
    tests = [make_test(f"t{number}", "correctness") for number in range(18)]
    tests += [make_test("edges", "correctness", "failed"), make_test("tails", "correctness", "failed")]
    reason = gate_reason(tests, 0.95)
    assert "95% of the correctness points" in reason
    assert "36 of 40 so far; fix 'edges' first" in reason
    assert gate_reason(tests, 0.9) is None


def test_other_categories_do_not_open_the_gate():
    tests = [make_test("a", "correctness", "failed"), make_test("b", "building blocks", of=1000)]
    assert gate_reason(tests, 0.5) is not None


def test_tests_that_were_not_judged_do_not_count_against_the_gate():
    tests = [make_test("a", "correctness"), make_test("b", "correctness", "not_judged", of=50)]
    assert gate_reason(tests, 1.0) is None


def test_the_gate_stays_shut_when_no_correctness_could_be_judged():
    assert "no correctness test could be judged" in gate_reason([], 0.95)
    assert gate_reason([make_test("a", "correctness", "not_judged")], 0.01) is not None
    assert gate_reason([], 0) is None


def test_a_full_score_of_inexact_points_opens_the_gate():
    tests = [make_test(f"t{number}", "correctness", of=0.1) for number in range(10)]
    assert gate_reason(tests, 1.0) is None


@given(submissions(), st.floats(0, 1), st.floats(0, 1))
def test_asking_for_less_never_shuts_the_gate(tests, one, other):
    low, high = sorted((one, other))
    if gate_reason(tests, high) is None:
        assert gate_reason(tests, low) is None


@given(submissions(), st.floats(0, 1), st.data())
def test_mending_a_test_never_shuts_the_gate(tests, share, data):
    if not tests or gate_reason(tests, share) is not None:
        return
    chosen = data.draw(st.integers(0, len(tests) - 1))
    mended = tests[chosen].model_copy(update={"status": "passed", "points": tests[chosen].max_points})
    assert gate_reason([*tests[:chosen], mended, *tests[chosen + 1 :]], share) is None


def test_totals_leave_out_what_was_not_judged():
    tests = [
        make_test("a", "correctness", of=3),
        make_test("b", "correctness", "failed", of=2),
        make_test("c", "performance", of=4, points=4.4),
        make_test("d", "performance", "not_judged", of=10),
    ]
    assert scoring.totals(tests) == scoring.Totals(score=7.4, max_score=19, judged_max=9)
    assert scoring.totals([]) == scoring.Totals(0, 0, 0)


@given(submissions())
def test_totals_stay_in_order(tests):
    totals = scoring.totals(tests)
    assert 0 <= totals.score <= totals.judged_max <= totals.max_score


@pytest.mark.parametrize(
    ("statuses", "overall"),
    [
        (["passed", "passed"], "passed"),
        (["passed", "not_judged"], "not_judged"),
        (["not_judged", "failed", "passed"], "failed"),
        ([], "not_judged"),
    ],
)
def test_overall_status(statuses, overall):
    tests = [make_test(f"t{number}", "correctness", status) for number, status in enumerate(statuses)]
    assert scoring.overall_status(tests) == overall


def test_scoring_and_result_do_not_load_the_terminal_library():
    code = "import sys, grader.scoring, grader.result; sys.exit('rich' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
