from __future__ import annotations

import json
import stat
from pathlib import Path

import jsonschema
import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from grader import result as document
from tests import sample_results
from tests.sample_results import SITUATIONS

SCHEMA_FILE = Path(__file__).parents[1] / "docs" / "result-v1.schema.json"
RENEW = (
    "python -c 'import json, grader.result as r; "
    'open("docs/result-v1.schema.json", "w").write(json.dumps(r.json_schema(), indent=2) + chr(10))\''
)


@pytest.mark.parametrize("situation", SITUATIONS)
def test_a_document_survives_its_own_file(situation, tmp_path):
    result = SITUATIONS[situation]()
    path = tmp_path / "new" / "folder" / "result.json"
    document.write_atomically(path, result.to_json())
    assert document.read(path) == result


@pytest.mark.parametrize("situation", SITUATIONS)
def test_a_document_keeps_to_its_schema(situation):
    jsonschema.Draft202012Validator(document.json_schema()).validate(
        json.loads(SITUATIONS[situation]().to_json())
    )


def test_the_published_schema_is_current():
    assert json.loads(SCHEMA_FILE.read_text()) == document.json_schema(), f"renew it with:\n  {RENEW}"


def test_the_schema_is_a_schema():
    jsonschema.Draft202012Validator.check_schema(document.json_schema())


def test_the_document_names_its_version():
    assert json.loads(sample_results.perfect().to_json())["schema"] == document.SCHEMA


def test_a_document_cannot_be_changed():
    with pytest.raises(ValueError, match="frozen"):
        sample_results.perfect().score = 100


def _changed(**changes: object) -> str:
    return json.dumps({**json.loads(sample_results.mixed().to_json()), **changes})


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        "[" * 100_000,
        "1" * 5000,
        '{"schema": "grader/result/v1"}',
        _changed(schema=None),
        _changed(schema=["grader/result/v1"]),
        _changed(schema="grader/result/v2"),
        _changed(score=-1),
        _changed(score=float("nan")),
        _changed(score=float("inf")),
        _changed(extra=1),
        _changed(status="ok"),
        _changed(mode="rehearsal"),
        _changed(tests=None),
        sample_results.mixed().to_json()[:-10],
    ],
)
def test_what_is_no_complete_result_is_refused_with_the_name_of_the_file(text, tmp_path):
    path = tmp_path / "result.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"result\.json: not a grader/result/v1 document"):
        document.read(path)


def test_a_document_of_another_version_is_refused_in_plain_words(tmp_path):
    path = tmp_path / "result.json"
    path.write_text(_changed(schema="grader/result/v2"))
    with pytest.raises(ValueError) as caught:
        document.read(path)
    assert str(caught.value).endswith(
        "it says 'grader/result/v2', and this grader reads 'grader/result/v1' only"
    )


def test_a_document_must_say_which_version_it_is(tmp_path):
    fields = json.loads(sample_results.mixed().to_json())
    del fields["schema"]
    path = tmp_path / "result.json"
    path.write_text(json.dumps(fields))
    with pytest.raises(ValueError, match="it has no key 'schema'"):
        document.read(path)
    with pytest.raises(jsonschema.ValidationError, match="'schema' is a required property"):
        jsonschema.validate(fields, document.json_schema())


def series(**changes: object) -> document.Series:
    axis = document.Axis(label="size", unit="bytes")
    fields = {
        "test_id": "t",
        "title": "latency",
        "x": axis,
        "y": axis,
        "lines": {"a": [(1.0, 2.0), (2.0, 1.0)]},
    }
    return document.Series(**{**fields, **changes})


@pytest.mark.parametrize(
    ("lines", "complaint"),
    [
        ({}, "1 to 8 lines"),
        ({str(number): [(1.0, 1.0)] for number in range(9)}, "1 to 8 lines"),
        ({"n" * 61: [(1.0, 1.0)]}, "at most 60 characters"),
        ({"a": []}, "has 0 points"),
        ({"a": [(float(x + 1), 1.0) for x in range(257)]}, "has 257 points"),
        ({"a": [(1.0, 1.0), (1.0, 2.0)]}, "rising"),
        ({"a": [(0.0, 1.0)]}, "x above 0"),
        ({"a": [(1.0, 0.0)]}, "y above 0"),
        ({"a": [(1.0, float("nan"))]}, "finite"),
        ({"a": [(1.0, float("inf"))]}, "finite"),
    ],
)
def test_a_series_is_what_logarithmic_axes_can_show(lines, complaint):
    with pytest.raises(ValueError, match=complaint):
        series(lines=lines)
    assert len(series().lines["a"]) == 2


def test_half_characters_do_not_cost_a_submission_its_result(tmp_path):
    half = "\ud800 and \udcff"
    failure = document.Failure(summary=half, detail=half)
    result = sample_results.result([_test_called(message=half, failure=failure)], submission=half)
    path = tmp_path / "result.json"
    document.write_atomically(path, result.to_json())
    assert document.read(path) == result
    assert result.submission == result.tests[0].failure.detail == "\ufffd and \ufffd"


@given(st.text(st.characters(exclude_categories=())), st.sampled_from(["message", "name", "category"]))
def test_any_text_can_be_kept_and_whole_characters_stay_as_they_are(text, field):
    kept = getattr(_test_called(**{field: text}), field)
    kept.encode("utf-8")
    assert len(kept) == len(text)
    assert all(new == old or "\ud800" <= old <= "\udfff" for new, old in zip(kept, text, strict=True))


def test_half_characters_are_mended_inside_lists_and_mappings():
    fields = json.loads(sample_results.mixed().to_json())
    result = document.Result(**{**fields, "notes": ["a\ud800"], "toolchain": {"compiler\udc00": "g\udfffcc"}})
    assert result.notes == ["a\ufffd"]
    assert result.toolchain == {"compiler\ufffd": "g\ufffdcc"}


def _test_called(**changes: object) -> document.TestResult:
    fields = {"id": "a", "name": "a", "category": "c", "status": "passed"}
    return document.TestResult(**{**fields, "points": 0, "max_points": 0, "duration_s": 0, **changes})


def test_two_tests_of_one_name_are_no_result():
    twice = [_test_called(), _test_called()]
    with pytest.raises(ValueError, match="the id 'a' is given to 2 tests"):
        sample_results.result(twice)


@pytest.mark.parametrize(
    "tiers",
    [{}, {"pass": 0.0}, {"pass": -1.0}, {"pass": 0.5, "gold": 0.5}, {"pass": 0.5, "gold": 0.4}],
    ids=str,
)
def test_tiers_that_do_not_rise_are_no_duel(tiers):
    with pytest.raises(ValueError, match="must be positive and rise"):
        sample_results.duel("large", 0.3, None, tiers=tiers)


def test_a_test_result_is_no_test_for_pytest():
    assert document.TestResult.__test__ is False
    assert "__test__" not in json.loads(_test_called().model_dump_json())


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"gone\.json: cannot read the result"):
        document.read(tmp_path / "gone.json")


def test_a_folder_is_refused(tmp_path):
    with pytest.raises(ValueError, match="cannot read the result"):
        document.read(tmp_path)


def test_bytes_that_are_not_text_are_refused(tmp_path):
    (tmp_path / "r.json").write_bytes(b"\xff\xfe{}")
    with pytest.raises(ValueError, match="cannot read the result"):
        document.read(tmp_path / "r.json")


@given(st.integers(0, 10**6))
def test_a_truncated_document_is_never_a_result(place):
    text = sample_results.perfect().to_json().rstrip()
    with pytest.raises(pydantic.ValidationError):
        document.Result.model_validate_json(text[: place % len(text)])


def test_a_file_is_replaced_whole_and_readable_by_all(tmp_path):
    path = tmp_path / "result.json"
    document.write_atomically(path, "old")
    document.write_atomically(path, "new, 日本語\n")
    assert path.read_bytes() == "new, 日本語\n".encode()
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    assert list(tmp_path.iterdir()) == [path]


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "result.json"
    document.write_atomically(path, "old")
    with pytest.raises(UnicodeEncodeError):
        document.write_atomically(path, "\ud800")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_link_is_replaced_and_not_followed(tmp_path):
    target = tmp_path / "target"
    target.write_text("precious")
    (tmp_path / "result.json").symlink_to(target)
    document.write_atomically(tmp_path / "result.json", "new")
    assert target.read_text() == "precious"
