"""Facts about how a lab's tests become verdicts and points: every test file here is a lab's, run by the grader."""

from __future__ import annotations

import json
import os
from pathlib import Path
from textwrap import dedent

import pytest

from grader.grading import Graded, UnknownTest
from grader.result import Result, TestResult
from tests.conftest import needs
from tests.testing import steps
from tests.testing.steps import source

HEAD = """
import numpy as np
import pytest
from grader.testing import CheckFailed, NotJudged, category, check, must, points, smoke, variant
"""


@pytest.fixture
def run(tmp_path: Path):
    """`run(tests)` grades the solution by this public test file, and others by name."""

    def graded(public: str = "", code: str = "", hidden: str = "", fast: str = "", **options) -> Graded:
        files = [HEAD + dedent(text) for text in (public, hidden, fast)]
        return steps.grade(steps.course(tmp_path, *files), code, **options)

    return graded


def only(result: Result) -> TestResult:
    [test] = result.tests
    return test


def verdicts(graded: Graded) -> dict[str, str]:
    return {test.name: test.status for test in graded.result.tests}


# --- What a test is worth -------------------------------------------------------------------------


def test_marks_say_what_a_test_is(run):
    test = only(
        run("""
        @must
        @category("building blocks")
        @points(2.5)
        def test_pack_a_puts_rows_side_by_side(): pass
        """).result
    )
    assert test.id == "test_public.py::test_pack_a_puts_rows_side_by_side"
    assert test.name == "pack a puts rows side by side"
    assert test.category == "building blocks"
    assert (test.points, test.max_points) == (2.5, 2.5)
    assert test.must
    assert not test.hidden
    assert test.status == "passed"
    assert test.failure is None


def test_without_marks_a_test_is_worth_nothing(run):
    test = only(run("def test_x(): pass").result)
    assert (test.points, test.max_points, test.category, test.must) == (0, 0, "other", False)


def test_a_category_may_stand_for_the_whole_file(run):
    result = run("""
        pytestmark = category("correctness")
        def test_a(): pass
        @category("safety")
        def test_b(): pass
        """).result
    assert [test.category for test in result.tests] == ["correctness", "safety"]


def test_cases_share_the_points_of_their_test(run):
    result = run("""
        @points(3)
        @pytest.mark.parametrize("n", [1, 2, 3, 4])
        def test_sizes(n): check(n != 3, "three is wrong")
        @points(5)
        def test_sizes_too(): pass
        """).result
    assert [test.max_points for test in result.tests] == [0.75] * 4 + [5]
    assert result.score == pytest.approx(3 * 0.75 + 5)
    assert result.tests[0].name == "sizes [1]"


def test_one_case_alone_has_its_own_share_only(run):
    result = run(
        """
        @points(3)
        @pytest.mark.parametrize("n", [1, 2, 3])
        def test_sizes(n): pass
        """,
        only=("sizes [2]",),
    ).result
    assert (only(result).max_points, result.max_score) == (1, 1)


def test_hidden_tests_are_those_of_the_hidden_file(run):
    tests = "def test_hidden_corners(): pass"
    result = run(tests, hidden=tests).result
    assert [(test.id, test.hidden) for test in result.tests] == [
        ("test_public.py::test_hidden_corners", False),
        ("test_hidden.py::test_hidden_corners", True),
    ]


def test_tests_in_classes_have_names_of_their_own(run):
    result = run("""
        class TestRows:
            def test_last(self): pass
        class TestColumns:
            def test_last(self): check(False, "no")
        """).result
    assert [test.id for test in result.tests] == [
        "test_public.py::TestRows::test_last",
        "test_public.py::TestColumns::test_last",
    ]
    assert [test.status for test in result.tests] == ["passed", "failed"]


def test_an_award_is_a_share_of_the_points(run):
    test = only(
        run("""
        @points(8)
        def test_x(award): award(0.25, "12 misses")
        """).result
    )
    assert (test.status, test.points, test.max_points, test.message) == ("passed", 2, 8, "12 misses")


# --- What a verdict says --------------------------------------------------------------------------


def test_a_failed_check_says_everything(run):
    test = only(
        run("""
        @points(1)
        def test_x():
            raise CheckFailed(
                "gemm is wrong", case="n=17", expected=4.5, got=None, where="C[0, 16]", why="Edges.", detail="x\\ny"
            )
        """).result
    )
    failure = test.failure
    assert (test.status, test.points, test.message) == ("failed", 0, "gemm is wrong")
    assert (failure.summary, failure.case, failure.where, failure.why) == (
        "gemm is wrong",
        "n=17",
        "C[0, 16]",
        "Edges.",
    )
    assert (failure.expected, failure.got, failure.detail) == ("4.5", "None", "x\ny")


@pytest.mark.parametrize(
    ("statement", "summary"),
    [
        ("assert 1 == 2, 'one is not two'", "one is not two"),
        ("assert False", "assert False"),
        ("pytest.fail('never reached')", "never reached"),
        ("np.testing.assert_equal(1, 2)", "Items are not equal:"),
        ("check(False, 'first line\\nsecond line')", "first line"),
    ],
)
def test_every_kind_of_assertion_is_a_failure_explained_by_the_docstring(run, statement, summary):
    test = only(
        run(f"""
        def test_x():
            '''Rows have padding:
            use lda.'''
            {statement}
        """).result
    )
    assert test.status == "failed"
    assert test.failure.summary == test.message == summary
    assert test.failure.why == "Rows have padding: use lda."


def test_long_details_are_cut(run):
    test = only(run("def test_x(): raise CheckFailed('a' * 999, detail='b' * 99999)").result)
    assert len(test.failure.summary) == 300
    assert len(test.failure.detail) < 10_000


def test_half_characters_of_a_submission_lose_no_result(run):
    test = only(run(r"def test_x(): raise CheckFailed('a\udc80', detail='b\udfff')").result)
    assert (test.failure.summary, test.failure.detail) == ("a\ufffd", "b\ufffd")


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("raise NotJudged('no GPU here')", "no GPU here"),
        ("pytest.skip('needs two cores')", "needs two cores"),
    ],
)
def test_what_cannot_be_judged_costs_nothing_and_says_why(run, statement, message):
    result = run(f"""
        @points(3)
        def test_x(): {statement}
        @points(1)
        def test_y(): pass
        """).result
    assert (result.tests[0].status, result.tests[0].message) == ("not_judged", message)
    assert (result.score, result.judged_max, result.max_score) == (1, 1, 4)
    assert result.status == "not_judged"
    assert result.notes == []


@pytest.mark.parametrize("where", ["test", "fixture"])
def test_a_test_that_breaks_by_itself_judges_nobody_and_is_told_once(run, where):
    result = run(f"""
        def broken(): return {{}}["typo"]
        @pytest.fixture
        def value(): return broken() if "{where}" == "fixture" else 1
        @points(3)
        def test_x(value): broken()
        """).result
    assert only(result).status == "not_judged"
    assert (result.score, result.judged_max) == (0, 0)
    [told] = [error for error in result.lab_errors if "typo" in error]
    assert told.startswith("the test 'x' itself broke (not the submission's fault): KeyError: 'typo'")


def test_a_fixture_that_does_not_exist_is_an_error_of_the_lab(run):
    result = run(
        hidden="""
        @points(3)
        def test_x(libary): pass
        """
    ).result
    assert only(result).status == "not_judged"
    assert [error for error in result.lab_errors if "libary" in error]


@pytest.mark.parametrize("error", ["OSError(28, 'No space left on device')", "RuntimeError('no sandbox')"])
def test_what_the_machine_lacks_is_no_error_of_the_lab(run, error):
    result = run(f"""
        @points(3)
        def test_x(): raise {error}
        """).result
    assert only(result).status == "not_judged"
    assert result.lab_errors == [] and "could not run here" in result.notes[0]


def test_points_that_do_not_add_up_are_an_error_of_the_lab_whatever_part_is_run(run):
    tests = {
        "public": """
        @category("correctness")
        @points(1)
        def test_x(): pass
        """,
        "hidden": """
        @category("correctness")
        @points(1)
        def test_y(): pass
        """,
    }
    for options in ({}, {"only": ("x",)}, {"performance": False}):
        told = run(**tests, **options).result.lab_errors
        assert [error for error in told if error.startswith("the tests of 'correctness' are worth 2 points")]
    assert run(**tests, mode="practice").result.lab_errors == []


def test_cleaning_up_that_breaks_is_a_note(run):
    result = run("""
        @pytest.fixture
        def value():
            yield 1
            raise OSError("disk full")
        @points(3)
        def test_x(value): pass
        """).result
    assert only(result).status == "passed"
    assert result.notes == ["x: cleaning up failed: disk full"]


def test_tests_that_cannot_be_loaded_judge_nobody(run):
    with pytest.raises(RuntimeError, match=r"cannot be loaded.*nonsense_that_is_not_there"):
        run("def test_x(): pass", hidden="import nonsense_that_is_not_there")


def test_a_file_that_is_left_out_is_told(run):
    result = run("def test_x(): pass", hidden="pytest.skip('no GPU here', allow_module_level=True)").result
    assert [test.name for test in result.tests] == ["x"]
    assert result.notes == ["labs/steps/test_hidden.py was left out: no GPU here"]


@pytest.mark.parametrize("end", ["pytest.exit('enough')", "import sys; sys.exit(0)"])
def test_no_test_can_end_the_run_early_with_a_result(run, end):
    tests = f"""
        def test_a(): pass
        def test_b(): {end}
        @points(1)
        def test_c(): check(False, "wrong")
        """
    if "pytest" in end:
        with pytest.raises(RuntimeError, match="stopped before their end"):
            run(tests)
    else:
        assert verdicts(run(tests)) == {"a": "passed", "b": "not_judged", "c": "failed"}


def test_an_award_that_is_no_share_is_no_result(run):
    with pytest.raises(RuntimeError, match="stopped before their end"):
        run("""
        @points(1)
        def test_a(award): award(float("nan"))
        def test_b(): pass
        """)


def test_interrupting_leaves_no_result(run):
    with pytest.raises(KeyboardInterrupt):
        run("def test_a(): raise KeyboardInterrupt")


# --- A build that fails ---------------------------------------------------------------------------


def test_what_does_not_build_fails_every_test_that_needs_it_and_keeps_their_points(run):
    result = run(
        """
        @points(2)
        def test_a(library): pass
        @points(3)
        def test_b(build): pass
        @points(4)
        def test_c(simulate): pass
        @points(5)
        def test_d(library): pass
        """,
        code="int steps(",
    ).result
    build, *tests = result.tests
    assert (build.id, build.category, build.status, build.must) == ("build", "build", "failed", True)
    assert "steps.c:1:" in build.failure.detail
    assert [test.status for test in tests] == ["failed"] * 4
    assert {test.message for test in tests} == {"not run: the submission does not build"}
    assert (result.score, result.max_score, result.status) == (0, 14, "failed")


# --- Which tests run ------------------------------------------------------------------------------

NAMES = """
    @pytest.mark.parametrize("shape", ["row", "column"])
    def test_skinny_shapes(shape): pass
    def test_skinny(): pass
    def test_Capitals(): pass
"""


@pytest.mark.parametrize(
    ("wanted", "names"),
    [
        ("skinny shapes", ["skinny shapes [row]", "skinny shapes [column]"]),
        ("skinny_shapes", ["skinny shapes [row]", "skinny shapes [column]"]),
        ("test_skinny_shapes", ["skinny shapes [row]", "skinny shapes [column]"]),
        ("skinny shapes [row]", ["skinny shapes [row]"]),
        ("skinny_shapes[row]", ["skinny shapes [row]"]),
        ("test_skinny_shapes[column]", ["skinny shapes [column]"]),
        ("skinny", ["skinny"]),
        ("SKINNY", ["skinny"]),
        ("capitals", ["Capitals"]),
    ],
)
def test_a_test_is_chosen_by_its_shown_name_or_its_function(run, wanted, names):
    assert list(verdicts(run(NAMES, only=(wanted,)))) == names


@pytest.mark.parametrize("wanted", ["shapes", ""])
def test_a_part_of_a_name_is_no_name(run, wanted):
    with pytest.raises(UnknownTest, match=f"called '{wanted}'"):
        run(NAMES, only=(wanted,))


def test_performance_can_be_left_out(run):
    tests = "@category('performance')\ndef test_fast(): pass\ndef test_right(): pass\n"
    assert list(verdicts(run(HEAD + tests, performance=False))) == ["right"]


# --- The gate -------------------------------------------------------------------------------------

FAST = """
    @category("performance")
    @points(4)
    def test_fast(): pass
"""


@pytest.mark.parametrize(
    ("correctness", "reason"),
    [
        ("check(False, 'x')", "Performance counts only when 'right' passes: it failed; fix it first."),
        ("raise NotJudged('x')", "Performance counts only when 'right' passes: it could not be judged here."),
    ],
)
def test_performance_is_measured_after_correctness_only(run, correctness, reason):
    result = run(
        f"@must\n@category('correctness')\n@points(6)\ndef test_right(): {correctness}\n" + dedent(FAST)
    ).result
    fast = result.tests[-1]
    assert (fast.status, fast.points, fast.max_points) == ("failed", 0, 4)
    assert fast.message == f"not measured yet. {reason}"


def test_the_gate_counts_the_points_of_correctness(run):
    tests = """
    @category("correctness")
    @points(1)
    @pytest.mark.parametrize("n", range({count}))
    def test_right(n): check(n != 0, "wrong")
    """
    shut = run(dedent(tests.format(count=10)) + dedent(FAST)).result.tests[-1]
    assert "95% of the correctness points are earned: 0.9 of 1 so far; fix 'right [0]' first" in shut.message
    open_ = run(dedent(tests.format(count=25)) + dedent(FAST)).result.tests[-1]
    assert open_.status == "passed"


def test_a_test_asked_for_by_name_runs_behind_the_gate_too(run):
    tests = "@must\ndef test_right(): check(False, 'x')\n" + dedent(FAST)
    assert verdicts(run(tests, only=("fast",))) == {"fast": "passed"}


# --- Random inputs --------------------------------------------------------------------------------

DRAWS = """
    import json, os
    def keep(name, rng):
        with open(os.environ["DRAWS"], "a") as file:
            print(name, *rng.integers(0, 2**60, 3), file=file)
    def test_a(rng): keep("a", rng)
    @pytest.mark.parametrize("n", [1, 2])
    def test_b(n, rng): keep(f"b{n}", rng)
"""


def test_a_seed_gives_the_same_inputs_again_and_every_test_its_own(run, tmp_path, monkeypatch):
    def drawn(name: str, **options) -> tuple[dict[str, str], int]:
        monkeypatch.setenv("DRAWS", str(tmp_path / name))
        result = run(DRAWS, hidden=DRAWS, **options).result
        lines = (tmp_path / name).read_text().splitlines()
        return {
            f"{place} {line.split()[0]}": line.split()[1] for place, line in enumerate(lines)
        }, result.seeds["run"]

    first, seed = drawn("first")
    again, same = drawn("again", seed=seed)
    other, new = drawn("other")
    assert (again, same) == (first, seed)
    assert new != seed
    assert len({*first.values(), *other.values()}) == 2 * 6


def test_one_test_alone_gets_the_inputs_that_it_had_among_all(run, tmp_path, monkeypatch):
    monkeypatch.setenv("DRAWS", str(tmp_path / "draws"))
    run(DRAWS, seed=5)
    run(DRAWS, seed=5, only=("b [2]",))
    lines = (tmp_path / "draws").read_text().splitlines()
    assert lines[2] == lines[3]


# --- Listening ------------------------------------------------------------------------------------


def test_the_listener_hears_of_every_test_as_it_runs(tmp_path):
    tests = HEAD + "def test_a(): pass\ndef test_b(): check(False, 'x')\n"
    listener = steps.Listener()
    result = steps.grade(steps.course(tmp_path, tests, HEAD), listener=listener, performance=False).result
    assert listener.total == 2
    assert listener.told == ["building", "a", "b"]
    assert listener.verdicts == result.tests


def test_what_tests_print_is_not_the_graders_output(run, capfd):
    run("""
    import sys, warnings
    def test_a():
        print("to the student?")
        print("to nobody", file=sys.stderr)
        warnings.warn("old")
    """)
    assert capfd.readouterr() == ("", "")


def test_a_listener_is_heard_while_tests_are_not(tmp_path, capfd):
    import sys

    class Loud(steps.Listener):
        file = sys.stdout

        def finished(self, test: TestResult) -> None:
            print(test.name, file=self.file)

    tests = HEAD + "def test_a(): print('hush')\n"
    steps.grade(steps.course(tmp_path, tests, HEAD), listener=Loud(), performance=False)
    assert capfd.readouterr().out == "a\n"


def test_what_a_labs_modules_remember_is_forgotten(run, tmp_path):
    oracle = tmp_path / "labs" / "steps" / "oracle.py"
    oracle.parent.mkdir(parents=True)
    oracle.write_text("seen = []\n")
    tests = """
    from labs.steps import oracle
    def test_a():
        oracle.seen.append(1)
        assert len(oracle.seen) == 1
    """
    assert [only(run(tests).result).status for _ in range(2)] == ["passed", "passed"]


@pytest.mark.parametrize(
    ("name", "value"), [("PYTEST_ADDOPTS", "-k nothing"), ("PYTEST_PLUGINS", "a_plugin_that_is_not_there")]
)
def test_options_from_outside_do_not_change_what_is_judged(run, monkeypatch, name, value):
    monkeypatch.setenv(name, value)
    monkeypatch.delenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", raising=False)
    assert verdicts(run("def test_a(): pass")) == {"a": "passed"}
    assert os.environ[name] == value
    assert "PYTEST_DISABLE_PLUGIN_AUTOLOAD" not in os.environ


def test_plugins_that_happen_to_be_installed_take_no_part(run):
    """Such as one that shuffles the tests, or repeats those that failed."""
    tests = """
    def test_a(request):
        loaded = request.config.pluginmanager
        assert not loaded.list_plugin_distinfo()
        assert request.config.getoption("benchmark_json") is not None
    """
    assert verdicts(run(tests)) == {"a": "passed"}


# --- Duels ----------------------------------------------------------------------------------------

DUEL = """
    from tests.testing import steps
    @category("performance")
    @points(4)
    def test_keeps_up(duel): duel("steady", [steps.case()])
"""


def test_a_duel_becomes_points_a_record_and_pytest_benchmarks_times(run):
    graded = run(fast=DUEL, only=("keeps up",), code=source(1.5))
    [test], [record] = graded.result.tests, graded.result.duels
    assert (record.id, record.test_id, record.title) == ("steady", test.id, "steady work")
    assert (record.reference, record.clock, record.unit) == ("plain C (plain kernels)", "cpu", "steps/s")
    assert (record.verdict, record.tier, test.status) == ("passed", "pass", "passed")
    assert record.ratio == pytest.approx(2 / 3, rel=0.2)
    assert record.tiers == {"pass": 0.4, "gold": 0.9}
    assert record.submission_rate == pytest.approx(record.reference_rate * record.ratio, rel=0.1)
    # 40 % at the first tier, everything at gold, and in between by the logarithm of the ratio.
    assert 0.4 * 4 < test.points < 4

    [timed] = json.loads(graded.benchmark_json)["benchmarks"]
    assert timed["name"] == "test_keeps_up"
    assert timed["stats"]["rounds"] == record.rounds
    assert record.submission_rate == pytest.approx(steps.STEPS / timed["stats"]["median"])
    assert timed["extra_info"]["ratio"] == record.ratio
    assert len(timed["extra_info"]["reference_s"]) == record.rounds


def test_a_duel_below_the_first_tier_fails_and_still_earns_a_little(run):
    graded = run(fast=DUEL, only=("keeps up",), code=source(3.0))
    [test], [record] = graded.result.tests, graded.result.duels
    assert (record.verdict, record.tier, test.status) == ("failed", None, "failed")
    assert 0 < test.points < 0.4 * 4
    assert test.failure.summary.endswith("of the reference; 'pass' starts at 0.4")


def test_a_wrong_timed_result_is_explained(run):
    lies = source(1.0, "static int calls;\n", steps.LOOP + "    out[7] += ++calls > 3;\n")
    graded = run(fast=DUEL, only=("keeps up",), code=lies)
    failure = only(graded.result).failure
    assert failure.summary.startswith(
        "a measured call (steps) gave a wrong result: out: 1 of 256 elements differ"
    )
    assert failure.where == "first at [7]"
    assert (graded.result.duels, graded.benchmark_json) == ([], "")
    assert only(graded.result).points == 0


def test_a_crash_in_a_duel_is_a_failure(run):
    crash = source(1.0, "static int calls;\n", steps.LOOP + "    if (++calls == 5) __builtin_trap();\n")
    test = only(run(fast=DUEL, only=("keeps up",), code=crash).result)
    assert test.status == "failed"
    assert test.message.startswith("the submission crashed")
    assert test.message.endswith("while it was measured")


@needs("valgrind")
def test_simulated_counts_can_be_awarded(run):
    test = only(
        run(
            fast="""
        @category("performance")
        @points(4)
        def test_few_instructions(simulate, award):
            given, out = np.ones(8, np.uint32), np.zeros(8, np.uint32)
            counts = simulate.call("steps_apply", 8, given, out)
            award(0.5, f"{counts.instructions > 1000000}")
        """,
            only=("few instructions",),
        ).result
    )
    assert (test.status, test.points, test.message) == ("passed", 2, "True")


def test_a_series_is_kept_and_what_cannot_be_drawn_fails_the_test(run):
    tests = """
def test_right(keep_series): keep_series("latency", ("size", "bytes"), ("a load", "ns"), {"mine": [(1, 2), (2, 3)]})
def test_wrong(keep_series): keep_series("latency", ("size", "bytes"), ("a load", "ns"), {"mine": [(2, 2), (1, 3)]})
def test_many(keep_series):
    for number in range(99): keep_series(str(number), ("x", ""), ("y", ""), {"a": [(1, 1)]})
"""
    result = run(HEAD + tests).result
    assert verdicts(run(HEAD + tests)) == {"right": "passed", "wrong": "failed", "many": "passed"}
    assert result.series[0].lines == {"mine": [(1, 2), (2, 3)]}
    assert result.series[0].test_id.endswith("::test_right")
    assert len(result.series) == 16


def test_evidence_is_kept_whether_the_test_passes_or_not_and_cut(run):
    tests = """
def test_right(evidence): evidence("a loop", "x" * 99999)
def test_wrong(evidence):
    evidence("another loop", "y")
    check(False, "no")
def test_many(evidence):
    for number in range(99): evidence(str(number), "")
"""
    kept = run(HEAD + tests).result.evidence
    assert [item.title for item in kept[:2]] == ["a loop", "another loop"]
    assert len(kept[0].text) < 10_000
    assert kept[1].test_id.endswith("::test_wrong")
    assert len(kept) == 32


def test_a_test_can_ask_how_many_have_failed(run):
    graded = run("""
        def test_a(failed_before): check(failed_before == 0, "too many")
        def test_b(): check(False, "wrong")
        def test_c(failed_before): check(failed_before == 1, "not counted")
        """)
    assert verdicts(graded) == {"a": "passed", "b": "failed", "c": "passed"}
