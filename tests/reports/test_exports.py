"""What other systems read: each format by the rules of its reader."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grader.reports.autograding import MOST_BYTES, autograding
from grader.reports.classroom50 import classroom50
from grader.reports.github import log
from grader.reports.gradescope import gradescope
from grader.reports.junit import junit
from grader.reports.shares import in_units
from tests import sample_results
from tests.sample_results import SITUATIONS, result
from tests.sample_results import test as make_test

CLASSROOM50 = {
    "CLASSROOM": "gpu101",
    "ASSIGNMENT": "gemm-cpu",
    "SUBMISSION_TAG": "submit/2026-06-01T14-32-05Z-a1b2c3d",
    "COMMIT_URL": "https://example.org/c",
    "RELEASE_URL": "https://example.org/r",
    "REVIEW_URL": "https://example.org/v",
}
THIRDS = [make_test(f"part {number}", "c", points=1 / 3, of=1 / 3) for number in range(3)]


class TestShares:
    @given(st.lists(st.floats(0, 1000), max_size=30), st.sampled_from([0.1, 0.125, 1.0]))
    def test_the_parts_add_up_to_the_rounded_whole_and_move_by_less_than_a_unit(self, values, unit):
        shares = in_units(values, unit)
        assert sum(shares) == round(math.fsum(value / unit for value in values))
        assert all(abs(share - value / unit) < 1 + 1e-6 for share, value in zip(shares, values, strict=True))

    def test_nothing_becomes_nothing(self):
        assert in_units([], 0.1) == []


class TestAutograding:
    @pytest.mark.parametrize("situation", SITUATIONS)
    def test_every_field_is_of_the_kind_that_the_reporter_reads(self, situation):
        document = json.loads(autograding(SITUATIONS[situation]()))
        assert document["status"] in ("pass", "fail", "error")
        for entry in document["tests"]:
            assert entry["status"] in ("pass", "fail", "error")
            assert isinstance(entry["score"], int | float)
            assert isinstance(entry["line_no"], int)

    def test_partial_credit_survives_and_the_sum_is_exact(self):
        source = sample_results.mixed()
        document = json.loads(autograding(source))
        total = sum(entry["score"] for entry in document["tests"])
        assert abs(total - source.score) <= 0.0625
        assert total * 8 == int(total * 8)
        assert document["max_score"] == source.possible

    def test_thirds_add_up_to_one(self):
        document = json.loads(autograding(result(THIRDS)))
        assert sum(entry["score"] for entry in document["tests"]) == document["max_score"] == 1

    def test_what_was_not_judged_is_left_out_with_its_points(self):
        document = json.loads(autograding(sample_results.mixed()))
        assert "simulated cache misses" not in json.dumps(document)

    def test_it_stays_below_the_limit_of_an_environment_variable(self):
        many = result([make_test(f"test number {number} " + "x" * 90, "c") for number in range(2000)])
        text = autograding(many)
        assert len(text.encode()) <= MOST_BYTES
        assert sum(entry["score"] for entry in json.loads(text)["tests"]) == many.score

    @given(st.text())
    def test_no_name_is_a_workflow_command(self, text):
        document = json.loads(autograding(sample_results.hostile(f"\n::notice::x {text}")))
        assert all("::" not in entry["name"] and "\n" not in entry["name"] for entry in document["tests"])


class TestClassroom50:
    @pytest.mark.parametrize("situation", SITUATIONS)
    def test_scores_are_whole_numbers_within_their_maximum(self, situation):
        document = json.loads(classroom50(SITUATIONS[situation](), CLASSROOM50))
        for score, most in [
            (document["score"], document["max-score"]),
            *((entry["score"], entry["max-score"]) for entry in document["tests"]),
        ]:
            assert isinstance(score, int)
            assert isinstance(most, int)
            assert 0 <= score <= most

    def test_its_keys_are_those_of_the_schema_that_a_bundle_writes(self):
        document = json.loads(classroom50(sample_results.mixed(), CLASSROOM50))
        assert set(document) == {
            *("schema", "classroom", "assignment", "submission", "commit", "release", "review"),
            *("score", "max-score", "tests"),
        }
        assert document["schema"] == "classroom50/result/v1"
        assert document["score"] == round(sample_results.mixed().score * 10)

    def test_outside_of_classroom50_it_says_what_is_missing(self):
        with pytest.raises(ValueError, match="has no CLASSROOM, ASSIGNMENT"):
            classroom50(sample_results.mixed(), {})

    def test_a_hidden_test_gives_nothing_away(self):
        assert "4097" not in classroom50(sample_results.mixed(), CLASSROOM50)


class TestGradescope:
    @pytest.mark.parametrize("situation", SITUATIONS)
    def test_every_field_is_one_that_gradescope_knows(self, situation):
        document = json.loads(gradescope(SITUATIONS[situation]()))
        assert set(document) <= {
            *("score", "execution_time", "output", "output_format", "test_output_format", "test_name_format"),
            *("visibility", "stdout_visibility", "extra_data", "tests", "leaderboard"),
        }
        for entry in document["tests"]:
            assert set(entry) <= {"name", "tags", "visibility", "output", "status", "score", "max_score"}
            assert entry.get("status", "passed") in ("passed", "failed")

    def test_no_test_is_hidden_from_the_total_and_hidden_ones_show_their_name_only(self):
        text = gradescope(sample_results.mixed())
        assert all(entry["visibility"] == "visible" for entry in json.loads(text)["tests"])
        assert "4097" not in text
        assert "block edges" in text

    def test_what_was_not_judged_has_no_score_and_says_why(self):
        entries = json.loads(gradescope(sample_results.unjudged()))["tests"]
        assert entries[0]["name"] == "Not judged yet" and "status" not in entries[0]
        assert all("score" not in entry and "not your fault" in entry["output"] for entry in entries[1:])

    @pytest.mark.parametrize("situation", SITUATIONS)
    def test_its_maxima_add_up_to_the_labs(self, situation):
        source = SITUATIONS[situation]()
        entries = json.loads(gradescope(source))["tests"]
        total = math.fsum(entry.get("max_score", 0) for entry in entries)
        assert round(total, 4) == pytest.approx(source.possible, abs=1e-9)

    def test_the_leaderboard_shows_each_duels_ratio(self):
        board = json.loads(gradescope(sample_results.mixed()))["leaderboard"]
        assert {"name": "n = 3072", "value": 0.731, "order": "desc"} in board


@pytest.mark.parametrize("situation", SITUATIONS)
class TestPending:
    """What is not judged is visible, pending, never green, and no smaller lab; also where nothing was judged."""

    def test_githubs_reporter(self, situation):
        source = SITUATIONS[situation]()
        document = json.loads(autograding(source))
        assert document["tests"], "the reporter prints NaN for none"
        assert document["max_score"] == pytest.approx(source.possible, abs=0.07)
        if not source.complete:
            assert document["status"] != "pass"
            assert (
                document["tests"][0]["status"] == "error" and "not judged" in document["tests"][0]["message"]
            )

    def test_classroom50(self, situation):
        source = SITUATIONS[situation]()
        document = json.loads(classroom50(source, CLASSROOM50))
        assert document["max-score"] == round(source.possible * 10)
        assert document["tests"]
        assert source.complete or not all(entry["passed"] for entry in document["tests"])

    def test_junit(self, situation):
        source = SITUATIONS[situation]()
        text = junit(source)
        assert source.complete or "<skipped" in text
        assert f'name="max_score" value="{source.possible:g}"' in text

    def test_the_step_log(self, situation):
        source = SITUATIONS[situation]()
        assert ("::warning title=Not judged yet::" in log(source, "", "t")) != source.complete
