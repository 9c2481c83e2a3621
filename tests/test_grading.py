"""Facts about grading one submission of one lab, from its folder to its result."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest

from grader import grading
from grader import result as document
from grader.grading import Graded, NotOfficial, Options, grade
from grader.lab import ContractError, Lab, load_lab
from grader.result import Result
from grader.sandbox.confine import Tier
from tests.fixtures.tiny import leaving_nothing
from tests.testing import steps
from tests.testing.steps import LOOP, Listener, source

SCHEMA = Path(__file__).parents[1] / "docs" / "result-v1.schema.json"
WRONG = source(0.0, body="    for (size_t i = 0; i < count; i++)\n        out[i] = 3 * in[i];\n")


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    return steps.course(tmp_path_factory.mktemp("course"))


@pytest.fixture(scope="module")
def good(lab: Lab) -> Graded:
    return grade(lab, lab.solution, Options(), Listener())


def graded(lab: Lab, code: str, **options: object) -> Result:
    """Without the duel, unless told."""
    return steps.grade(lab, code, **{"performance": False, **options}).result


def kept(result: Result, folder: Path) -> Result:
    """The result after a round trip through its own file, checked against the published schema."""
    jsonschema.validate(json.loads(result.to_json()), json.loads(SCHEMA.read_text()))
    document.write_atomically(folder / "result.json", result.to_json())
    return document.read(folder / "result.json")


# --- What comes out -------------------------------------------------------------------------------


def test_the_solution_gets_all_points(good):
    result = good.result
    assert (result.score, result.max_score, result.judged_max, result.status) == (10, 10, 10, "passed")
    assert [test.status for test in result.tests] == ["passed"] * 5
    assert [duel.tier for duel in result.duels] == ["gold"]
    assert result.notes == []


def test_the_result_says_what_was_judged_where_and_by_what(good, lab):
    result = good.result
    assert (result.lab, result.lab_title, result.submission, result.mode) == (
        "steps",
        "Steps",
        "steps",
        "official",
    )
    assert result.hashes["lab"] == lab.digest
    assert len(result.hashes["submission"]) == 64
    assert result.hashes["grader"] == grading.grader_digest()
    assert result.toolchain["compiler"].startswith("gcc")
    assert result.toolchain["flags"].endswith("-O1")
    assert result.toolchain["reference"] == "plain C (plain kernels)"
    assert 0 <= result.machine.fitness["share of the cores taken by others"] <= 1
    assert result.sandbox.tier in "ABC"
    assert result.started_at.endswith("+00:00")
    assert result.duration_s > 0


def test_what_pytest_benchmark_recorded_comes_along(good):
    [timed] = json.loads(good.benchmark_json)["benchmarks"]
    assert timed["stats"]["rounds"] == good.result.duels[0].rounds


@pytest.mark.parametrize("code", ["", WRONG, "int broken(", source(0.0, '#pragma GCC optimize("O3")\n')])
def test_every_result_keeps_to_its_schema_and_survives_its_file(lab, tmp_path, code):
    result = graded(lab, code)
    assert kept(result, tmp_path) == result


def test_a_measured_result_keeps_to_its_schema_too(good, tmp_path):
    assert kept(good.result, tmp_path) == good.result


def test_grading_leaves_no_process_no_descriptor_and_no_file_behind(lab, tmp_path, monkeypatch):
    graded(lab, "")  # what is kept for the whole session is there now
    monkeypatch.chdir(tmp_path)
    with leaving_nothing():
        graded(lab, WRONG)
    assert list(tmp_path.iterdir()) == []


# --- Wrong submissions ----------------------------------------------------------------------------


def test_a_wrong_submission_loses_the_points_of_what_it_gets_wrong(lab):
    result = graded(lab, WRONG)
    assert result.status == "failed"
    assert {test.name: test.points for test in result.tests} == {
        "small numbers": 0,
        "random numbers [0]": pytest.approx(4 / 3),  # nothing to get wrong
        "random numbers [1]": 0,
        "random numbers [33]": 0,
    }
    failure = result.tests[0].failure
    assert failure.summary == "out: 3 of 3 elements differ"
    assert (failure.expected, failure.got, failure.where) == ("4", "3", "first at [0]")
    assert failure.why == "One element first."


def test_performance_of_a_wrong_submission_is_not_measured(lab):
    result = graded(lab, WRONG, performance=True)
    fast = result.tests[-1]
    assert (fast.category, fast.status, fast.points, fast.max_points) == ("performance", "failed", 0, 4)
    assert "'small numbers' passes: it failed; fix it first" in fast.message
    assert result.duels == []


def test_a_submission_that_does_not_compile_fails_with_the_line(lab):
    result = graded(lab, '#include "steps.h"\nvoid steps_apply(size_t count)\n{\n    retrun;\n}\n')
    assert result.tests[0].id == "build"
    assert "steps.c:4:" in result.tests[0].failure.detail
    assert "retrun" in result.tests[0].failure.detail
    assert (result.score, result.max_score, result.status) == (0, 6, "failed")


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ('#include "steps.h"\n', "steps_apply"),  # the function is missing
        ('#include "/etc/passwd"\n', "passwd"),
        ('#include "../../labs/steps/test_hidden.py"\n', "test_hidden.py"),
    ],
)
def test_what_cannot_be_built_says_why(lab, code, words):
    build = graded(lab, code).tests[0]
    assert (build.id, build.status) == ("build", "failed")
    assert words in build.message + build.failure.detail
    assert "root:" not in build.failure.detail


def test_a_crash_in_a_constructor_fails_every_call_and_nothing_else(lab):
    crash = "__attribute__((constructor)) static void first(void) { __builtin_trap(); }\n"
    result = graded(lab, source(0.0, crash))
    assert [test.status for test in result.tests] == ["failed"] * 4
    assert "while it was loaded: SIGILL" in result.tests[0].message


@pytest.mark.parametrize("deed", ["_exit(0)", "exit(0)", "abort()", "raise(SIGKILL)", "while (1) {}"])
def test_no_way_of_ending_early_earns_anything(lab, deed):
    head = "#include <signal.h>\n#include <stdlib.h>\n#include <unistd.h>\n"
    result = graded(lab, source(0.0, head, f"    {deed};\n{LOOP}"), only=("small numbers",))
    assert (result.score, result.max_score, result.status) == (0, 2, "failed")


def test_saying_that_all_is_well_does_not_help(lab):
    head = "#include <stdio.h>\n"
    lie = '    puts("{\\"score\\": 10} PASSED 100%");\n    (void)count, (void)in, (void)out;\n'
    result = graded(lab, source(0.0, head, lie))
    assert result.tests[0].status == "failed"


# --- Refused folders ------------------------------------------------------------------------------


def refused(lab: Lab, folder: Path, tmp_path: Path) -> Result:
    result = grade(lab, folder, Options(), Listener()).result
    assert kept(result, tmp_path) == result
    assert (result.score, result.status) == (0, "failed")
    [test] = result.tests
    assert (test.id, test.category, test.must) == ("build", "build", True)
    assert "The lab takes just these files from a submission: steps.c." in test.failure.why
    return result


def test_a_missing_file_is_told(lab, tmp_path):
    folder = tmp_path / "anna"
    folder.mkdir()
    (folder / "step.c").write_text("")
    result = refused(lab, folder, tmp_path)
    whole = lab.maximum(practice=False)
    assert (result.score, result.max_score, result.judged_max, result.possible) == (0, whole, whole, whole)
    assert result.complete
    assert result.submission == "anna"
    assert "steps.c is missing" in result.tests[0].message


@pytest.mark.parametrize("name", ["nowhere", "a\0b", "\udcff", "x" * 300])
def test_a_folder_that_cannot_be_is_refused(lab, tmp_path, name):
    refused(lab, tmp_path / name, tmp_path)


def test_a_link_out_of_the_folder_is_refused(lab, tmp_path):
    (tmp_path / "steps.c").symlink_to(lab.solution / "steps.c")
    assert "link" in refused(lab, tmp_path, tmp_path).tests[0].message


# --- How it is graded -----------------------------------------------------------------------------


def test_practice_has_no_hidden_tests_and_official_has(lab):
    practice, official = graded(lab, "", mode="practice"), graded(lab, "", mode="official")
    assert (practice.mode, {test.hidden for test in practice.tests}) == ("practice", {False})
    assert (official.mode, {test.hidden for test in official.tests}) == ("official", {True, False})


def test_a_seed_gives_the_same_failure_again(lab):
    first = graded(lab, WRONG)
    seed = first.seeds["run"]
    again, other = graded(lab, WRONG, seed=seed), graded(lab, WRONG, seed=seed + 1)
    assert [test.failure for test in again.tests] == [test.failure for test in first.tests]
    assert [test.failure for test in other.tests] != [test.failure for test in first.tests]
    alone = graded(lab, WRONG, seed=seed, only=("random numbers [33]",))
    assert alone.tests[0].failure == first.tests[-1].failure


def test_runs_have_seeds_of_their_own(lab):
    assert graded(lab, "", only=("small numbers",)).seeds != graded(lab, "", only=("small numbers",)).seeds


def test_official_grading_refuses_a_machine_that_does_not_isolate(lab, monkeypatch):
    monkeypatch.setattr(grading, "best_tier", lambda slot: Tier("D", "not isolated", (), None, False))
    with pytest.raises(NotOfficial, match=r"needs a sandbox of tier A, B or C.*PRACTICE=1"):
        graded(lab, "")


def test_a_lab_without_its_hidden_tests_cannot_be_graded_officially(tmp_path):
    lab = steps.course(tmp_path)
    (lab.folder / "test_hidden.py").unlink()
    with pytest.raises(ContractError, match=r"test_hidden\.py is missing"):
        graded(lab, "")
    assert graded(lab, "", mode="practice").status == "passed"


def test_a_machine_without_a_compiler_grades_nobody(lab, monkeypatch):
    def missing() -> str:
        raise RuntimeError("no C compiler: apt-get install gcc")

    monkeypatch.setattr(grading.cc, "find", missing)
    with pytest.raises(RuntimeError, match="no C compiler"):
        graded(lab, "")


def test_kernels_that_the_lab_does_not_mean_judge_nobody(tmp_path):
    """On a machine where the reference is another one, its tiers mean something else."""
    lab = steps.course(tmp_path, contract=steps.CONTRACT.replace("isa: plain", "isa: Haswell"))
    fast = graded(lab, "", performance=True).tests[-1]
    assert fast.status == "not_judged"
    assert fast.message == "the reference runs kernels for plain, the lab's tiers are for Haswell"


def test_a_reference_that_does_not_compile_judges_nobody_and_is_told(tmp_path):
    lab = steps.course(tmp_path)
    (lab.folder / "reference.c").write_text("int broken(")
    result = graded(load_lab("steps", tmp_path), "", performance=True)
    assert (result.tests[-1].status, result.status) == ("not_judged", "not_judged")
    assert (result.score, result.judged_max, result.max_score) == (6, 6, 10)
    [told] = [text for text in (*result.notes, *result.lab_errors) if "does not compile" in text]
    assert "the reference of steps does not compile" in told


def test_conftest_files_above_the_lab_have_no_say(tmp_path):
    lab = steps.course(tmp_path)
    (tmp_path / "conftest.py").write_text("def pytest_collection_modifyitems(items): items[:] = []\n")
    assert len(graded(lab, "").tests) == 4
    (lab.folder / "conftest.py").write_text(
        "import pytest\n@pytest.fixture\ndef rng(): raise LookupError('mine')\n"
    )
    assert "LookupError: mine" in graded(lab, "").lab_errors[0]


def test_the_graders_digest_is_that_of_its_sources():
    assert grading.grader_digest() == grading.grader_digest.__wrapped__()
    assert len(grading.grader_digest()) == 40
