from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grader.reports.axis import draw, label_row
from tests.sample_results import TIERS, duel


def ticks(drawn):
    return [place for place, cell in enumerate(drawn.bar) if cell in "┿┼"]


def test_every_tier_has_a_mark_with_its_name_and_ratio_below():
    drawn = draw(duel("a", None, None), 96)
    names, ratios = drawn.labels
    assert names.split() == list(TIERS)
    assert ratios.split() == [".15", ".25", ".50", ".80", ".95"]
    for place, name, ratio in zip(ticks(drawn), names.split(), ratios.split(), strict=True):
        assert names.index(name) <= place < names.index(name) + len(name)
        assert ratios.index(ratio) <= place < ratios.index(ratio) + len(ratio)


def test_equal_factors_are_equal_distances():
    drawn = draw(duel("a", None, None, tiers={"one": 0.1, "two": 0.2, "four": 0.4}), 200)
    first, second, third = ticks(drawn)
    assert abs((second - first) - (third - second)) <= 1


def test_the_line_is_heavy_up_to_the_ratio():
    drawn = draw(duel("a", 0.4, "bronze", interval=None), 96)
    assert drawn.bar[drawn.reached - 1] == "█"
    assert set(drawn.bar[: drawn.reached - 1]) == {"━", "┿"}
    assert set(drawn.bar[drawn.reached :]) == {"─", "┼"}
    assert drawn.bar.count("┿") == 2


def test_the_interval_is_shaded_around_the_ratio():
    drawn = draw(duel("a", 0.37, "bronze", interval=(0.33, 0.42)), 96)
    assert "▒█▒" in drawn.bar


@pytest.mark.parametrize(("ratio", "arrow", "place"), [(1e-4, "◀", 0), (0.0, "◀", 0), (500.0, "▶", -1)])
def test_a_ratio_off_the_axis_is_an_arrow_at_its_edge(ratio, arrow, place):
    assert draw(duel("a", ratio, None, interval=None), 96).bar[place] == arrow


@given(
    st.floats(0, 1e9),
    st.floats(0, 1e9),
    st.lists(st.floats(1e-6, 1e6), min_size=1, max_size=8, unique=True),
    st.integers(10, 120),
)
def test_any_duel_fits_its_width(one, other, ratios, width):
    low, high = sorted((one, other))
    tiers = {f"tier{number}": ratio for number, ratio in enumerate(sorted(ratios))}
    drawn = draw(duel("a", (low + high) / 2, None, interval=(low, high), tiers=tiers), width)
    assert len(drawn.bar) == width
    assert all(len(row) <= width for row in drawn.labels)


def test_labels_make_room_for_each_other_but_stay_on_their_marks():
    assert label_row([10, 14], ["gold", "bonus"], 30) == "        gold bonus"
    assert label_row([28, 29], ["a", "b"], 30) == ""
    assert label_row([29], ["bonus"], 30) == " " * 25 + "bonus"


def test_labels_that_cannot_fit_are_left_out_together():
    assert draw(duel("a", 0.5, "silver"), 20).labels == ()
