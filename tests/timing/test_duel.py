"""Facts about duels: real guests with a known cost, honest and dishonest ones."""

from __future__ import annotations

import math
import os
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from grader.runner.arena import PAGE
from grader.runner.group import Group, Together
from grader.runner.host import GuestFailed
from grader.runner.invoke import Damage
from grader.testing.checks import CheckFailed
from grader.timing import duel, fitness
from grader.timing.duel import Case, ReferenceFailed, Task, WrongResult, fight, judge, judge_interval
from grader.timing.interval import LOOKS, median_interval
from tests.fixtures.tiny import eventually
from tests.testing import steps
from tests.testing.steps import case, rules, source

TIERS = {"pass": 0.4, "gold": 0.9}


@pytest.fixture
def rng():
    return np.random.default_rng(7)


# --- The verdict ----------------------------------------------------------------------------------


def spread(low: float, high: float, count: int = LOOKS[0]) -> list[float]:
    """Ratios whose interval is low .. high."""
    return list(np.linspace(low, high, count))


@pytest.mark.parametrize(
    ("ratios", "at_cap", "verdict"),
    [
        (spread(0.50, 0.52), False, "passed"),
        (spread(0.95, 1.00), False, "passed"),  # above the last tier
        (spread(0.30, 0.32), False, "failed"),
        (spread(0.50, 0.60), False, None),  # not clear yet
        (spread(0.50, 0.60), True, "passed"),  # but clear enough in the end: no tier inside
        (spread(0.35, 0.45), False, None),
        (spread(0.35, 0.45), True, "not_judged"),  # the lowest tier lies inside
        (spread(0.399, 0.401), False, None),  # however narrow
        (spread(0.399, 0.401), True, "not_judged"),
        (spread(0.40, 0.42), False, "passed"),  # the tier itself is reached
        (spread(0.38, 0.40), True, "not_judged"),
        (
            spread(0.895, 0.905),
            False,
            "passed",
        ),  # a higher tier inside a narrow interval: points say how much
        (spread(0.85, 0.92), False, None),
        (spread(0.85, 0.92), True, "passed"),
        (spread(0.50, 0.89), True, "not_judged"),  # too wide to say anything
        (spread(0.01, 0.30), True, "failed"),  # lost anywhere inside, however noisy
        (spread(0.01, 0.30), False, None),
        (spread(0.010, 0.016), False, "failed"),  # no point is to be had anywhere inside
        ([0.5] * 7, False, None),  # too few
        ([0.5] * 7, True, "not_judged"),
        ([], True, "not_judged"),
    ],
)
def test_the_verdict_follows_from_the_interval(ratios, at_cap, verdict):
    assert judge(ratios, TIERS, at_cap)[0] == verdict


def test_a_verdict_that_is_none_says_why():
    assert "holds the threshold 0.4" in judge(spread(0.35, 0.45), TIERS, True)[1]
    assert "too wide" in judge(spread(0.50, 0.89), TIERS, True)[1]
    assert "too few" in judge([0.5] * 3, TIERS, True)[1]


def test_a_wide_interval_above_the_highest_tier_leaves_nothing_open():
    top = max(TIERS.values())
    assert judge(spread(1.1 * top, 3 * top), TIERS, True)[0] == "passed"
    assert judge(spread(0.9 * top, 3 * top), TIERS, True)[0] == "not_judged"


def test_noise_above_full_credit_leaves_only_the_bonus_open():
    tiers = {"pass": 0.2, "gold": 0.8, "bonus": 1.0}
    verdict, reason, _ = judge(spread(0.859, 1.14), tiers, True, full=0.8)
    assert verdict == "passed"
    assert "at least gold; bonus undecided" in reason
    assert judge(spread(0.79, 1.14), tiers, True, full=0.8)[0] == "not_judged"


@given(st.floats(0.01, 0.39), st.floats(1, 100))
def test_noise_downwards_never_saves_a_lost_duel(high, width):
    assert judge_interval((high / width, high), TIERS, True)[0] == "failed"


@given(st.floats(0.8, 5), st.floats(1, 3), st.floats(1, 3))
def test_a_faster_interval_never_gets_a_worse_verdict_at_full_credit(low, width, faster):
    tiers = {"pass": 0.2, "gold": 0.8, "bonus": 1.0}
    assert judge_interval((low * faster, low * faster * width), tiers, True, 0.8)[0] == "passed"


ratio_lists = st.lists(st.floats(1e-3, 1e3), max_size=60)
tier_sets = st.lists(st.floats(1e-2, 1e2), min_size=1, max_size=5, unique=True).map(
    lambda values: {str(place): value for place, value in enumerate(sorted(values))}
)
narrow = st.tuples(st.floats(0.1, 10), st.floats(1.0, 1.2), st.integers(8, 60)).map(
    lambda ends: list(np.linspace(ends[0], ends[0] * ends[1], ends[2]))
)


@given(ratio_lists | narrow, tier_sets, st.booleans())
def test_no_verdict_goes_beyond_what_the_interval_says(ratios, tiers, at_cap):
    verdict, reason, interval = judge(ratios, tiers, at_cap)
    lowest = min(tiers.values())
    assert interval == median_interval(ratios)
    if verdict == "failed":
        assert interval[1] < lowest
    if verdict == "passed":
        assert interval[0] >= lowest
    if verdict == "not_judged":
        assert reason
    if at_cap:
        assert verdict is not None


# --- What is measured -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cost", "truth", "verdict"), [(2.0, 0.5, "passed"), (1.0, 1.0, "passed"), (4.0, 0.25, "failed")]
)
def test_the_ratio_is_the_true_one(corner, rng, cost, truth, verdict):
    outcome = fight(corner(source(cost)).side, corner(source()).side, [case()], rules(), rng)
    assert outcome.verdict == verdict, outcome.reason
    assert 0.8 * truth < outcome.ratio < 1.25 * truth
    assert outcome.interval[0] <= outcome.ratio <= outcome.interval[1]
    assert outcome.rounds == len(outcome.submission_s) == len(outcome.reference_s) >= LOOKS[0]
    assert outcome.submission_rate == pytest.approx(outcome.reference_rate * truth, rel=0.3)


def test_several_cases_count_by_their_geometric_mean(corner, rng):
    """One case is equally fast, one four times slower: the mean ratio is 1/2, whatever they take."""

    def slow_tasks(generator: np.random.Generator) -> tuple[Task, Task]:
        ours, theirs = steps.task(generator), steps.task(generator)
        return Task(ours.invocations * 4, ours.verify), theirs

    cases = [case("equal"), Case("slow", slow_tasks, work=steps.STEPS)]
    outcome = fight(corner(source()).side, corner(source()).side, cases, rules(), rng)
    assert outcome.ratio == pytest.approx(0.5, rel=0.25)
    equal, slow = outcome.cases
    assert (equal.name, slow.name) == ("equal", "slow")
    assert equal.ratio == pytest.approx(1.0, rel=0.25)
    assert slow.ratio == pytest.approx(0.25, rel=0.25)
    assert slow.submission_rate == pytest.approx(slow.reference_rate / 4, rel=0.3)


def test_the_ratio_can_be_scaled(corner, rng):
    outcome = fight(corner(source()).side, corner(source()).side, [case()], rules(scale=0.5), rng)
    assert outcome.ratio == pytest.approx(0.5, rel=0.25)


def test_every_round_is_told(corner, rng):
    told: list[tuple[int, float]] = []
    outcome = fight(
        corner(source()).side, corner(source()).side, [case()], rules(), rng, lambda *news: told.append(news)
    )
    assert [number for number, _ in told] == list(range(1, outcome.rounds + 1))
    assert np.median([ratio for _, ratio in told]) == outcome.ratio


def test_a_duel_gives_the_cores_back(corner, rng):
    allowed = os.sched_getaffinity(0)
    fight(corner(source()).side, corner(source()).side, [case()], rules(), rng)
    assert os.sched_getaffinity(0) == allowed


# --- Fresh inputs, fresh places -------------------------------------------------------------------


class Watched:
    """A case that remembers what every task was given."""

    def __init__(self) -> None:
        self.inputs: list[bytes] = []
        self.case = Case("watched", self._tasks, work=steps.STEPS)

    def _tasks(self, rng: np.random.Generator) -> tuple[Task, Task]:
        pair = steps.task(rng), steps.task(rng)
        self.inputs += [task.invocations[0].arguments[1].tobytes() for task in pair]
        return pair


def test_no_input_is_used_twice(corner, rng):
    watched = Watched()
    outcome = fight(corner(source()).side, corner(source()).side, [watched.case], rules(), rng)
    assert len(watched.inputs) >= 4 * outcome.rounds  # both sides, the warming call and the timed one
    assert len(set(watched.inputs)) == len(watched.inputs)


def test_places_differ_between_rounds_and_agree_between_sides(corner, rng, monkeypatch):
    seen: dict[str, list[tuple[int, ...]]] = {"ours": [], "theirs": []}
    ours, theirs = corner(source()), corner(source())
    stage = duel.invoke.stage

    def watched(guest, *arguments):
        staged = stage(guest, *arguments)
        seen["ours" if guest in ours.started else "theirs"].append(
            tuple(item.block.offset for item in staged.placed)
        )
        return staged

    monkeypatch.setattr(duel.invoke, "stage", watched)
    outcome = fight(ours.side, theirs.side, [case(warm_up=False)], rules(), rng)
    assert seen["ours"] == seen["theirs"]
    layouts = list(dict.fromkeys(seen["ours"]))  # an untimed call has the places of the timed one
    assert len(layouts) == outcome.rounds
    inputs = [places[0] for places in layouts]
    assert len({place % PAGE for place in inputs}) > outcome.rounds / 2
    assert len({place // PAGE for place in inputs}) > outcome.rounds / 2
    assert all(place % 64 == 0 for place in inputs)


BY_PLACE = "static const uint32_t *seen;\nstatic uint32_t kept[256];\n"
BY_PLACE_BODY = """\
    if (in == seen) {
        for (size_t i = 0; i < count; i++)
            out[i] = kept[i];
        return;
    }
    burn(2000000L);
    for (size_t i = 0; i < count; i++)
        kept[i] = out[i] = 3 * in[i] + 1;
    seen = in;
"""
BY_CONTENT = "#include <string.h>\nstatic uint32_t seen[256], kept[256];\n"
BY_CONTENT_BODY = """\
    if (memcmp(in, seen, count * sizeof *in) == 0) {
        memcpy(out, kept, count * sizeof *out);
        return;
    }
    burn(2000000L);
    memcpy(seen, in, count * sizeof *in);
    for (size_t i = 0; i < count; i++)
        kept[i] = out[i] = 3 * in[i] + 1;
"""


@pytest.mark.parametrize("warm_up", [True, False])
def test_remembering_results_by_the_place_of_their_input_gives_wrong_results(corner, rng, warm_up):
    """Also where calls are not warmed up, since some are all the same."""
    cheat = corner(source(0.0, BY_PLACE, BY_PLACE_BODY))
    with pytest.raises(WrongResult):
        fight(cheat.side, corner(source()).side, [case(warm_up=warm_up)], rules(), rng)


def test_remembering_results_by_the_content_of_their_input_gains_nothing(corner, rng):
    cheat = corner(source(0.0, BY_CONTENT, BY_CONTENT_BODY))
    outcome = fight(cheat.side, corner(source()).side, [case()], rules(), rng)
    assert outcome.ratio == pytest.approx(0.5, rel=0.25)


AFTERWARDS = """\
#include <pthread.h>
static struct { size_t count; const uint32_t *in; uint32_t *out; } job;
static void *work(void *unused)
{
    (void)unused;
    burn(2000000L);
    for (size_t i = 0; i < job.count; i++)
        job.out[i] = 3 * job.in[i] + 1;
    return NULL;
}
"""
START_A_THREAD = """\
    pthread_t thread;
    job.count = count, job.in = in, job.out = out;
    pthread_create(&thread, NULL, work, NULL);
"""


def test_work_that_goes_on_after_returning_gains_nothing(corner, rng):
    """Stopped with the process, it is not done; what it still does before that is counted. And when the next inputs are
    written, the memory of the last ones is closed.
    """
    cheat = corner(source(0.0, AFTERWARDS, START_A_THREAD + "    pthread_detach(thread);\n"))
    try:
        outcome = fight(cheat.side, corner(source()).side, [case(warm_up=False)], rules(), rng)
    except WrongResult:
        return
    except GuestFailed as failed:
        assert failed.kind == "crashed"
        return
    assert outcome.ratio == pytest.approx(0.5, rel=0.25)


def test_work_that_takes_long_after_returning_is_not_done(corner, rng):
    long = AFTERWARDS.replace("burn(2000000L)", "burn(200000000L)")
    cheat = corner(source(0.0, long, START_A_THREAD + "    pthread_detach(thread);\n"))
    with pytest.raises(WrongResult):
        fight(cheat.side, corner(source()).side, [case(warm_up=False)], rules(), rng)


def test_work_of_another_thread_counts(corner, rng):
    helped = corner(source(0.0, AFTERWARDS, START_A_THREAD + "    pthread_join(thread, NULL);\n"))
    outcome = fight(helped.side, corner(source()).side, [case()], rules(), rng)
    assert outcome.ratio == pytest.approx(0.5, rel=0.25)


# --- Failing --------------------------------------------------------------------------------------


def test_a_wrong_timed_result_is_named_with_its_case(corner, rng):
    """Right in the first three calls, then wrong: as if it knew when it is tested."""
    lies = source(1.0, "static int calls;\n", steps.LOOP + "    out[7] += ++calls > 3;\n")
    with pytest.raises(WrongResult, match="the odd one") as caught:
        fight(corner(lies).side, corner(source()).side, [case("the odd one")], rules(), rng)
    assert isinstance(caught.value.__cause__, CheckFailed)
    assert caught.value.__cause__.where == "first at [7]"


def test_writing_outside_an_array_is_a_wrong_result(corner, rng):
    with pytest.raises(WrongResult) as caught:
        fight(
            corner(source(1.0, body=steps.LOOP + "    out[count] = 1;\n")).side,
            corner(source()).side,
            [case()],
            rules(),
            rng,
        )
    assert isinstance(caught.value.__cause__, Damage)


def test_a_crash_is_the_submissions(corner, rng):
    crash = source(1.0, "static int calls;\n", steps.LOOP + "    if (++calls == 5) __builtin_trap();\n")
    with pytest.raises(GuestFailed, match="crashed"):
        fight(corner(crash).side, corner(source()).side, [case()], rules(), rng)


def test_what_the_reference_does_wrong_is_never_the_submissions(corner, rng):
    wrong = source(1.0, body=steps.LOOP + "    out[0]++;\n")
    with pytest.raises(ReferenceFailed) as caught:
        fight(corner(source()).side, corner(wrong).side, [case()], rules(), rng)
    assert isinstance(caught.value.__cause__, WrongResult)
    with pytest.raises(ReferenceFailed) as caught:
        fight(
            corner(source()).side,
            corner(source(1.0, body="    __builtin_trap();\n" + steps.LOOP)).side,
            [case()],
            rules(),
            rng,
        )
    assert isinstance(caught.value.__cause__, GuestFailed)


def test_a_mistake_of_the_lab_is_nobodys_wrong_result(corner, rng):
    def tasks(generator: np.random.Generator) -> tuple[Task, Task]:
        def broken(values: object) -> None:
            raise KeyError("typo")

        return Task(steps.task(generator).invocations, broken), steps.task(generator)

    with pytest.raises(KeyError):
        fight(corner(source()).side, corner(source()).side, [Case("x", tasks, work=1.0)], rules(), rng)


def test_a_hopeless_submission_is_stopped_soon_with_a_bound(corner, rng):
    """The reference needs milliseconds; nobody waits for the minute that this would take."""
    ours = corner(source(20_000.0))
    began = time.monotonic()
    outcome = fight(ours.side, corner(source()).side, [case("the big one")], rules(cap_s=60.0), rng)
    assert time.monotonic() - began < 15
    assert outcome.verdict == "failed"
    assert 0 < outcome.ratio < 0.2
    assert outcome.interval == (0.0, outcome.ratio)
    assert "in the big one; the reference needs" in outcome.reason


def test_a_hopeless_group_is_stopped_by_the_time_of_each_rank(lab, rng):
    """All ranks together use more than any of them: it is no hang, and the bound is that of one rank."""
    slow, fast = steps.subject(lab, source(20_000.0)), steps.subject(lab, source())
    try:
        both = Case("two ranks", lambda rng: (of_two_ranks(rng), of_two_ranks(rng)), work=1.0)
        outcome = fight(slow.side(ranks=2), fast.side(ranks=2), [both], rules(cap_s=60.0), rng)
    finally:
        slow.close()
        fast.close()
    assert outcome.verdict == "failed"
    assert 0 < outcome.ratio < 0.2
    assert "in two ranks; the reference needs" in outcome.reason


def of_two_ranks(rng) -> Task:
    """The usual task on both ranks of a group."""
    each = [steps.task(rng) for _ in range(2)]
    together = Together("steps_apply", tuple(task.invocations[0].arguments for task in each))

    def verify(values):
        for task in each:
            task.verify(())

    return Task((together,), verify)


def test_by_the_wall_clock_each_rank_has_a_core_of_its_own(lab, rng, monkeypatch):
    places = []
    spread = Group.spread
    monkeypatch.setattr(Group, "spread", lambda self, cores: (spread(self, cores), places.append(seen(self))))
    monkeypatch.setattr(duel, "BUSY_SHARE", 1.0)
    subject = steps.subject(lab, source())
    try:
        both = Case("two ranks", lambda rng: (of_two_ranks(rng), of_two_ranks(rng)), work=1.0)
        sides = subject.side(ranks=2), subject.side(ranks=2)
        fight(*sides, [both], rules(clock="wall", cap_s=1.0), rng)
    finally:
        subject.close()
    cores = sorted(os.sched_getaffinity(0))
    assert places[:2] == [[{cores[0]}, {cores[1 % len(cores)]}]] * 2


def seen(group):
    return [os.sched_getaffinity(guest.pid) for guest in group.guests]


def test_a_submission_that_sleeps_is_stopped_too(corner, rng):
    asleep = source(1.0, "#include <unistd.h>\n", "    sleep(3600);\n" + steps.LOOP)
    began = time.monotonic()
    with pytest.raises(GuestFailed, match="did not return") as caught:
        fight(corner(asleep).side, corner(source()).side, [case()], rules(), rng)
    assert caught.value.cpu_s < 0.1
    assert time.monotonic() - began < 30


def test_a_failure_is_confirmed_in_fresh_processes_and_a_pass_is_not(corner, rng):
    slow, fast = corner(source(4.0)), corner(source())
    assert fight(slow.side, fast.side, [case()], rules(), rng).verdict == "failed"
    assert len(slow.started) == len(fast.started) == 2
    again = corner(source(2.0))
    assert fight(again.side, fast.side, [case()], rules(), rng).verdict == "passed"
    assert len(again.started) == 1


def test_two_measurements_that_disagree_judge_nobody(corner, rng):
    """The first process is slow and the second is not, as on a machine with a neighbour who left."""
    slow, fast = corner(source(4.0)), corner(source())

    def start(inputs: int, outputs: int):
        return (fast if slow.started else slow).side.start(inputs, outputs)

    outcome = fight(duel.Side(start, fast.side.interface), corner(source()).side, [case()], rules(), rng)
    assert outcome.verdict == "not_judged"
    assert "disagree" in outcome.reason


def test_processes_end_with_the_duel(corner, rng):
    corners = corner(source()), corner(source())
    fight(*(one.side for one in corners), [case()], rules(), rng)
    guests = [guest for one in corners for guest in one.started]
    assert len(guests) == 2
    assert eventually(lambda: not any(Path(f"/proc/{guest.pid}").exists() for guest in guests))


# --- The wall clock -------------------------------------------------------------------------------


def busy_for(monkeypatch, share) -> None:
    monkeypatch.setattr(fitness, "taken_elsewhere", lambda *_: share)


def test_a_quiet_machine_can_be_measured_by_the_wall_clock(corner, rng, monkeypatch):
    busy_for(monkeypatch, 0.0)
    outcome = fight(corner(source(1.0)).side, corner(source()).side, [case()], rules(clock="wall"), rng)
    assert outcome.rounds >= LOOKS[0]
    assert 0.3 < outcome.ratio < 3


def test_a_busy_machine_judges_nobody_by_the_wall_clock_and_says_so(corner, rng, monkeypatch):
    busy_for(monkeypatch, 0.37)
    outcome = fight(
        corner(source()).side, corner(source()).side, [case()], rules(clock="wall", cap_s=1.0), rng
    )
    assert outcome.verdict == "not_judged"
    assert outcome.reason == "other programs used 37 % of the cores; close them and run it again"
    assert outcome.rounds == 0
    assert outcome.ratio is None
    assert outcome.taken_elsewhere == 0.37


def test_cpu_time_does_not_mind_a_busy_machine(corner, rng, monkeypatch):
    busy_for(monkeypatch, 0.37)
    outcome = fight(corner(source(2.0)).side, corner(source()).side, [case()], rules(), rng)
    assert outcome.verdict == "passed"
    assert math.isclose(outcome.ratio, 0.5, rel_tol=0.25)


# --- Values instead of time -----------------------------------------------------------------------


def saying(ours: float, theirs: float, spread: float = 0.01) -> Case:
    """Both sides do their work, and come to numbers that scatter around `ours` and `theirs`."""

    def tasks(rng):
        numbers = np.exp(rng.normal(0, spread, 2)) * (ours, theirs)
        mine, other = (replace(steps.task(rng), value=lambda values, n=n: float(n)) for n in numbers)
        return mine, other

    return Case(f"{ours:g} and {theirs:g}", tasks, work=1.0, warm_up=False)


@pytest.mark.parametrize("ours, theirs, truth", [(10, 10, 1.0), (10, 20, 0.5), (20, 10, 0.5), (90, 100, 0.9)])
def test_values_agree_whichever_is_larger(corner, rng, ours, theirs, truth):
    sides = corner(source(0.01)).side, corner(source(0.01)).side
    outcome = fight(*sides, [saying(ours, theirs)], rules(compares="values"), rng)
    assert outcome.ratio == pytest.approx(truth, rel=0.02)
    assert outcome.interval[0] <= outcome.ratio <= outcome.interval[1] <= 1
    assert (outcome.submission_rate, outcome.reference_rate) == (None, None)
    assert outcome.cases[0].submission_rate == pytest.approx(ours, rel=0.02)


def test_noise_to_both_sides_is_no_disagreement(corner, rng):
    sides = corner(source(0.01)).side, corner(source(0.01)).side
    outcome = fight(
        *sides, [saying(10, 10, 0.2), saying(50, 50, 0.2)], rules(compares="values", cap_s=4), rng
    )
    assert outcome.ratio > 0.85
    assert outcome.verdict in ("passed", "not_judged")


@pytest.mark.parametrize("value", [0.0, -1.0, 5e-324, 1e308, math.nan, math.inf])
def test_a_value_that_is_no_positive_number_is_a_wrong_result(corner, rng, value):
    sides = corner(source(0.01)).side, corner(source(0.01)).side
    tasks = (
        replace(steps.task(rng), value=lambda values: value),
        replace(steps.task(rng), value=lambda values: 1.0),
    )
    with pytest.raises(WrongResult, match="nothing"):
        fight(*sides, [Case("nothing", lambda rng: tasks, work=1.0)], rules(compares="values"), rng)
