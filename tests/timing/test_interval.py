"""Facts about the interval of a median: it holds what it promises, for any distribution."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from grader.timing.interval import ALPHA, LOOKS, median, median_interval

numbers = st.floats(allow_nan=False, allow_infinity=False, width=32)

# Draws of shape (trials, count), and the true median.
DISTRIBUTIONS = {
    "uniform": (lambda rng, shape: rng.uniform(0, 1, shape), 0.5),
    "exponential": (lambda rng, shape: rng.exponential(1, shape), math.log(2)),
    "heavy tails": (lambda rng, shape: rng.standard_cauchy(shape), 0.0),
    "two machines": (
        lambda rng, shape: np.where(rng.random(shape) < 0.7, 1, 3) + rng.normal(0, 0.1, shape),
        None,
    ),
    "rounded to a clock's tick": (lambda rng, shape: np.round(rng.normal(0, 1, shape)), 0.0),
}


@pytest.mark.parametrize("count", [LOOKS[0], 13, 50])
@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_the_interval_holds_the_median_as_often_as_it_promises(name, count):
    draw, middle = DISTRIBUTIONS[name]
    rng = np.random.default_rng(20240607)
    truth = float(np.median(draw(rng, 1_000_000))) if middle is None else middle
    trials = 2000
    samples = draw(rng, (trials, count))
    intervals = [median_interval(list(row)) for row in samples]
    missed = sum(not (low <= truth <= high) for low, high in intervals)
    # 1 % of 2000 is 20, with a standard deviation of 4.5.
    assert missed <= ALPHA * trials + 4 * math.sqrt(ALPHA * trials)


def test_the_interval_is_not_wider_than_the_promise_needs():
    """The next order statistics inwards would break the promise."""
    for count in LOOKS:
        low, high = median_interval(range(count))
        rank = int(low) + 1
        assert (low, high) == (rank - 1, count - rank)
        tail = sum(math.comb(count, below) for below in range(rank)) / 2**count
        assert 2 * tail <= ALPHA < 2 * (tail + math.comb(count, rank) / 2**count)


@pytest.mark.parametrize("count", range(8))
def test_too_few_samples_have_no_interval(count):
    assert median_interval([1.0] * count) is None


def test_the_first_look_has_an_interval():
    assert median_interval(range(LOOKS[0])) == (0, LOOKS[0] - 1)


def test_looks_are_few_and_far_apart():
    assert len(LOOKS) <= 14
    assert all(later >= 1.2 * earlier for earlier, later in pairwise(LOOKS))


def test_a_smaller_error_makes_a_wider_interval():
    intervals = [median_interval(range(50), alpha) for alpha in (0.1, 0.01, 0.001)]
    assert intervals[0][0] > intervals[1][0] > intervals[2][0]
    assert intervals[0][1] < intervals[1][1] < intervals[2][1]


@given(st.lists(numbers, min_size=8, max_size=60), st.randoms())
def test_the_order_of_the_samples_does_not_matter(samples, random):
    shuffled = random.sample(samples, len(samples))
    assert median_interval(shuffled) == median_interval(samples)
    assert median(shuffled) == median(samples)


@given(st.lists(numbers, min_size=8, max_size=60))
def test_the_median_lies_in_its_interval_and_both_among_the_samples(samples):
    low, high = median_interval(samples)
    assert min(samples) <= low <= median(samples) <= high <= max(samples)
    assert {low, high} <= set(samples)


@given(st.lists(numbers, min_size=8, max_size=60), st.integers(0, 59), st.floats(0, 1e6))
def test_a_larger_sample_never_lowers_the_interval(samples, place, more):
    larger = [*samples]
    larger[place % len(samples)] += more
    assert median_interval(larger)[0] >= median_interval(samples)[0]
    assert median_interval(larger)[1] >= median_interval(samples)[1]


@given(st.lists(st.integers(-1000, 1000), min_size=1))
def test_the_median_is_numpys(samples):
    assert median(samples) == np.median(samples)


def test_nothing_has_no_median():
    with pytest.raises(ValueError, match="at least one sample"):
        median([])
