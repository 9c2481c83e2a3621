"""Facts about agreement: which of two numbers is larger does not matter, and scatter is no distance."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grader.timing.agreement import agreement, interval, overall

positive = st.floats(1e-6, 1e6)
pairs = st.lists(st.tuples(positive, positive), min_size=8, max_size=40)


def test_agreement_is_the_smaller_over_the_larger():
    assert agreement([(10.0, 20.0)]) == pytest.approx(0.5)
    assert agreement([(20.0, 10.0)]) == pytest.approx(0.5)
    assert agreement([(7.0, 7.0)]) == 1.0


def test_a_median_is_taken_before_the_distance():
    """Half of the readings a third too high and half too low: they agree."""
    assert agreement([(3.0, 4.0), (4.0, 3.0)] * 10) == pytest.approx(1.0)


def test_several_cases_count_by_their_geometric_mean():
    assert overall([[(1.0, 4.0)], [(1.0, 1.0)]]) == pytest.approx(0.5)
    with pytest.raises(ValueError, match="at least one"):
        overall([])


def test_too_few_rounds_have_no_interval():
    assert interval([[(1.0, 1.0)] * 7]) is None
    assert interval([]) is None
    assert interval([[(1.0, 1.0)] * 8]) == (1.0, 1.0)


@given(st.lists(pairs, min_size=1, max_size=4))
def test_the_interval_holds_the_agreement(cases):
    low, high = interval(cases)
    assert 0 < low <= overall(cases) * (1 + 1e-9)
    assert overall(cases) <= high * (1 + 1e-9) <= 1 + 1e-6


@given(st.lists(pairs, min_size=1, max_size=4))
def test_both_sides_may_change_places(cases):
    swapped = [[(theirs, ours) for ours, theirs in case] for case in cases]
    assert math.isclose(overall(swapped), overall(cases), rel_tol=1e-9)
