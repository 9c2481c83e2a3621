"""Facts about comparisons: what is accepted, and what a failure shows."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from grader.testing import CheckFailed, assert_close, assert_same, check

NAN, INF = np.nan, np.inf


def row(*values: float) -> np.ndarray:
    return np.array(values, np.float32)


def failure(judge, *arguments, **named) -> CheckFailed:
    with pytest.raises(CheckFailed) as caught:
        judge(*arguments, **named)
    return caught.value


# --- assert_close ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("got", "expected", "bound"),
    [
        (row(1), row(1), 0.0),
        (row(1), row(1.5), 0.5),  # the bound itself is allowed
        (row(1, 2), row(1.1, 2.9), np.array([0.11, 0.91])),  # each element has its own
        (row(NAN, INF, -INF), row(NAN, INF, -INF), 0.0),  # what must not be finite is not
        (row(), row(), 0.0),
        (np.zeros((0, 3), np.float32), np.zeros((0, 3)), 0.0),
        (np.array(2.0), np.array(2.0), 0.0),
        (row(-0.0), row(0.0), 0.0),
        (row(1e38), row(-1e38), INF),  # no bound at all, but finite
    ],
)
def test_what_lies_within_the_bound_is_right(got, expected, bound):
    assert_close(got, expected, bound)


@pytest.mark.parametrize(
    ("got", "expected", "bound"),
    [
        (row(1), row(1.5), 0.49),
        (row(NAN), row(1), 1e30),
        (row(INF), row(1), INF),
        (row(1), row(NAN), INF),
        (row(1), row(INF), INF),
        (row(INF), row(-INF), INF),
        (row(NAN), row(INF), INF),
        (row(INF), row(NAN), INF),
        (row(1), row(2), NAN),  # a bound that is no number allows nothing
        (row(3.4e38), row(-3.4e38), 1.0),
    ],
)
def test_what_lies_outside_is_wrong_and_what_is_not_finite_always(got, expected, bound):
    failure(assert_close, got, expected, bound)


doubles = st.floats(-1e300, 1e300)


@given(
    arrays.arrays(np.float64, st.integers(1, 20), elements=doubles), doubles, st.floats(0, 1e300), st.data()
)
def test_exactly_what_the_bound_allows_is_accepted(expected, offset, bound, data):
    place = data.draw(st.integers(0, expected.size - 1))
    got = expected.copy()
    got[place] += offset
    if abs(got[place] - expected[place]) <= bound:
        assert_close(got, expected, bound)
    else:
        assert failure(assert_close, got, expected, bound).where == f"first at [{place}]"


@given(arrays.arrays(np.float32, arrays.array_shapes(max_dims=3), elements=st.floats(width=32)))
def test_everything_is_close_to_itself(values):
    assert_close(values, values.astype(np.float64), 0.0)
    assert_same(values, values.copy(), what="values")


def test_another_shape_is_wrong():
    words = "the result has shape (2,), not (3,)"
    assert failure(assert_close, row(1, 2), row(1, 2, 3), 0.0, case="n=3").summary == words
    assert failure(assert_close, np.zeros((1, 3)), row(0, 0, 0), 0.0).summary.startswith(
        "the result has shape (1, 3)"
    )


def test_a_failure_names_the_first_wrong_element():
    error = failure(
        assert_close,
        row(1, 2.5, 9),
        row(1, 2, 3),
        np.array([0.1, 0.25, 0.1]),
        case="n=3",
        why="Look at the end.",
    )
    assert error.summary == "2 of 3 elements are wrong"
    assert error.case == "n=3"
    assert error.where == "first at [1]"
    assert (error.expected, error.got) == ("2 ± 0.25", "2.5")
    assert error.why == "Look at the end."
    assert error.detail == ""


def test_one_number_is_not_called_an_element():
    error = failure(assert_close, np.array(1.0), np.array(2.0), 0.5)
    assert error.summary == "the result is wrong"
    assert (error.expected, error.got) == ("2 ± 0.5", "1")


# --- The picture ----------------------------------------------------------------------------------


def test_a_wrong_tail_can_be_seen():
    expected = np.zeros((3, 5))
    got = expected.copy()
    got[:, 4] = 1
    got[2, 0] = NAN
    picture = "right and wrong elements (. right, X wrong):\n  ....X\n  ....X\n  X...X"
    assert failure(assert_close, got, expected, 0.5).detail == picture
    assert failure(assert_same, got, expected, what="C").detail == picture


def test_a_large_picture_is_cut():
    lines = failure(assert_close, np.ones((100, 200)), np.zeros((100, 200)), 0.5).detail.split("\n")
    assert lines[1] == "  " + "X" * 60 + "…"
    assert len(lines) == 18
    assert lines[-1] == "  … and 84 more rows"


def test_a_picture_shows_the_part_around_the_first_wrong_element():
    got, expected = np.zeros((100, 200)), np.zeros((100, 200))
    got[70, 150] = got[71, 150] = 1
    lines = failure(assert_close, got, expected, 0.5).detail.split("\n")
    assert lines[0] == "right and wrong elements (. right, X wrong), from row 66, column 135 on:"
    assert lines[5] == lines[6] == "  …" + "." * 15 + "X" + "." * 44 + "…"
    assert lines[-1] == "  … and 18 more rows"


def test_only_matrices_have_a_picture():
    assert failure(assert_close, row(1, 2), row(0, 0), 0.5).detail == ""
    assert failure(assert_close, np.ones((1, 1)), np.zeros((1, 1)), 0.5).detail == ""
    assert failure(assert_close, np.ones((2, 2, 2)), np.zeros((2, 2, 2)), 0.5).detail == ""


# --- assert_same ----------------------------------------------------------------------------------


def test_the_same_bits_are_the_same():
    assert_same(row(NAN, -0.0), row(NAN, -0.0), what="values")
    assert_same(np.zeros((3, 0), np.int16), np.zeros((3, 0), np.int16), what="nothing")
    assert_same(np.arange(6).reshape(2, 3).T, np.arange(6).reshape(2, 3).T.copy(), what="a transposed matrix")


@pytest.mark.parametrize(
    ("got", "expected"), [(row(0.0), row(-0.0)), (row(NAN), row(1)), (np.array([1]), np.array([2]))]
)
def test_other_bits_are_not(got, expected):
    error = failure(assert_same, got, expected, what="the packed panel", case="mr=6")
    assert error.summary == "the packed panel: 1 of 1 elements differ"
    assert error.where == "first at [0]"
    assert error.case == "mr=6"
    assert (error.expected, error.got) == (str(expected[0]), str(got[0]))


def test_another_shape_is_not_the_same():
    assert failure(assert_same, row(1), row(1, 1), what="out").summary == "out has shape (1,), not (2,)"


bits = arrays.arrays(np.uint8, st.just((4, 4)))


@given(bits, bits)
def test_two_arrays_are_the_same_just_when_their_bytes_are(left, right):
    for kind in (np.uint8, np.float32):
        if left.tobytes() == right.tobytes():
            assert_same(left.view(kind), right.view(kind), what="x")
        else:
            failure(assert_same, left.view(kind), right.view(kind), what="x")


# --- check ----------------------------------------------------------------------------------------


def test_a_check_that_holds_says_nothing():
    check(True, "never said")


def test_a_check_that_fails_keeps_its_words():
    error = failure(check, False, "gemm refused a correct call", case="m=0", expected=0, got=-22, where=7)
    assert str(error) == error.summary == "gemm refused a correct call"
    assert (error.case, error.expected, error.got, error.where) == ("m=0", "0", "-22", "7")
