"""Facts about turning a duel's outcome into a record, points and a verdict; no process is started for them."""

from __future__ import annotations

import os
from types import SimpleNamespace

import numpy as np
import pytest

from grader import cores
from grader.lab import Duel as Contract
from grader.result import Duel
from grader.runner.host import GuestFailed
from grader.scoring import DEFAULT_CREDIT, duel_credit
from grader.testing import CheckFailed, NotJudged
from grader.testing.dueling import DuelRunner, replay_clock
from grader.timing import duel
from grader.timing.duel import CaseOutcome, Outcome, ReferenceFailed, WrongResult

TIERS = {"pass": 0.15, "bronze": 0.25, "silver": 0.5, "gold": 0.8, "bonus": 0.95}
LARGE = Contract(title="n = 3072", tiers=TIERS, bound="compute")


class Fought:
    """One duel whose outcome is known beforehand: an Outcome, or an exception."""

    def __init__(
        self,
        monkeypatch,
        outcome: Outcome | Exception,
        contract: Contract = LARGE,
        ranks: int = 0,
        cores: int = 1,
    ) -> None:
        self.records: list[Duel] = []
        self.credit: float | None = None
        self.sides: list[object] = []
        reference = SimpleNamespace(name="OpenBLAS", isa="Haswell", side="theirs", peak=112e9, bandwidth=16e9)
        hardware = SimpleNamespace(cores=cores, gpu=False)
        lab = SimpleNamespace(duels={"large": contract}, credit=DEFAULT_CREDIT, hardware=hardware)
        subject = SimpleNamespace(lab=lab, side=lambda ranks=0: "ours")

        def fight(ours, theirs, *_):
            self.sides = [ours, theirs]
            if isinstance(outcome, Exception):
                raise outcome
            return outcome

        monkeypatch.setattr(duel, "fight", fight)
        runner = DuelRunner(
            subject,
            lambda: reference,
            np.random.default_rng(1),
            "test_performance.py::test_large",
            lambda credit, message: setattr(self, "credit", credit),
            lambda record, _: self.records.append(record),
            lambda *_: None,
        )
        self.error: Exception | None = None
        try:
            runner("large", [], ranks=ranks)
        except (CheckFailed, NotJudged) as error:
            self.error = error


def measured(verdict: str, ratio: float, interval: tuple[float, float], reason: str = "") -> Outcome:
    """One second for the reference, 1e11 operations."""
    times = (1 / ratio,) * 9, (1.0,) * 9
    return Outcome(verdict, reason, ratio, interval, 9, *times, work=1e11)  # type: ignore[arg-type]


def test_a_passed_duel_earns_what_its_ratio_is_worth(monkeypatch):
    fought = Fought(monkeypatch, measured("passed", 0.6, (0.58, 0.62)))
    assert fought.error is None
    assert fought.credit == pytest.approx(duel_credit(0.6, TIERS, DEFAULT_CREDIT))
    [record] = fought.records
    assert (record.tier, record.ratio, record.interval) == ("silver", 0.6, (0.58, 0.62))
    assert (record.id, record.test_id, record.title) == (
        "large",
        "test_performance.py::test_large",
        "n = 3072",
    )


def test_more_ranks_than_cores_are_not_measured(monkeypatch):
    """Who has the core while the other one waits says nothing about the submission."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {3})
    fought = Fought(monkeypatch, measured("passed", 0.6, (0.58, 0.62)), ranks=2)
    assert isinstance(fought.error, NotJudged)
    assert str(fought.error).startswith("needs 2 cores at a time, here it has 1: ")
    assert (fought.records, fought.credit, fought.sides) == ([], None, [])


@pytest.mark.parametrize(
    ("contract", "of_lab", "wanted"),
    [
        (LARGE, 2, 0),  # CPU time is the same on a core that is shared
        (LARGE.model_copy(update={"clock": "wall"}), 1, 0),
        (LARGE.model_copy(update={"clock": "wall"}), 2, 2),
        (LARGE.model_copy(update={"clock": "wall", "against": "self"}), 1, 2),
    ],
)
def test_threads_are_not_timed_on_fewer_cores_than_they_need(monkeypatch, contract, of_lab, wanted):
    """Two visible cores with the time of one: docker --cpus=1."""
    monkeypatch.setattr(cores, "quota", lambda root=None: 1.0)
    fought = Fought(monkeypatch, measured("passed", 0.6, (0.58, 0.62)), contract, cores=of_lab)
    assert isinstance(fought.error, NotJudged) == bool(wanted)
    if wanted:
        assert str(fought.error).startswith(f"needs {wanted} cores at a time, here it has 1: ")


def test_rates_are_told_in_the_unit_of_the_duel(monkeypatch):
    [record] = Fought(monkeypatch, measured("passed", 0.5, (0.49, 0.51))).records
    assert (record.unit, record.reference_rate, record.submission_rate) == ("GFLOP/s", 100, 50)
    assert (record.roofline.value, record.roofline.ceiling, record.roofline.unit) == (50, 112, "GFLOP/s")


@pytest.mark.parametrize(
    ("ratio", "interval", "tier", "counts_as"),
    [
        (0.79, (0.77, 0.81), "gold", 0.80),  # gold lies inside: the doubt is the student's
        (0.79, (0.77, 0.80), "gold", 0.80),
        (0.79, (0.77, 0.799), "silver", 0.79),
        (0.79, (0.77, 0.96), "bonus", 0.95),  # both gold and bonus do
        (0.82, (0.79, 0.85), "gold", 0.82),  # the median is above it already
        (1.20, (1.10, 1.30), "bonus", 1.20),
    ],
)
def test_a_tier_that_the_interval_still_holds_counts_as_reached(
    monkeypatch, ratio, interval, tier, counts_as
):
    fought = Fought(monkeypatch, measured("passed", ratio, interval))
    assert fought.records[0].tier == tier
    assert fought.records[0].ratio == ratio
    assert fought.credit == pytest.approx(duel_credit(counts_as, TIERS, DEFAULT_CREDIT))


def test_below_the_first_tier_a_duel_fails_and_says_where_it_starts(monkeypatch):
    fought = Fought(monkeypatch, measured("failed", 0.12, (0.11, 0.13)))
    assert isinstance(fought.error, CheckFailed)
    assert str(fought.error) == "0.12 of the reference; 'pass' starts at 0.15"
    assert fought.records[0].tier is None
    assert 0 < fought.credit < 0.4


def test_a_submission_too_slow_to_wait_for_earns_nothing(monkeypatch):
    outcome = Outcome("failed", "stopped after 4.0 s in n = 3072", 0.02, (0.0, 0.02), 1)
    fought = Fought(monkeypatch, outcome)
    assert fought.credit == 0
    assert fought.error.where == "stopped after 4.0 s in n = 3072"
    assert fought.records[0].submission_rate is None
    assert fought.records[0].roofline is None


@pytest.mark.parametrize("interval", [(0.14, 0.16), (0.5, 0.9)])
def test_a_duel_that_is_not_judged_reaches_no_tier_and_earns_nothing(monkeypatch, interval):
    """Neither does the doubt help: the test waits, it is not half passed."""
    fought = Fought(monkeypatch, measured("not_judged", 0.6, interval, "too noisy"))
    assert isinstance(fought.error, NotJudged)
    assert str(fought.error) == "too noisy"
    assert fought.credit is None
    assert (fought.records[0].verdict, fought.records[0].tier) == ("not_judged", None)
    assert fought.records[0].reason == "too noisy"


def test_a_duel_in_which_nothing_was_measured_has_a_record_too(monkeypatch):
    fought = Fought(
        monkeypatch, Outcome("not_judged", "other programs used 40 % of the cores", None, None, 0)
    )
    assert isinstance(fought.error, NotJudged)
    assert (fought.records[0].ratio, fought.records[0].interval, fought.records[0].rounds) == (None, None, 0)


VALUES = Contract(title="latency", tiers={"pass": 0.75, "gold": 0.92}, compares="values", unit="ns")


def test_a_passed_duel_that_was_too_noisy_earns_what_its_lower_end_proves(monkeypatch):
    words = "at least gold; bonus undecided: the machine was too noisy"
    fought = Fought(monkeypatch, Outcome("passed", words, 0.99, (0.80, 1.14), 9))
    assert fought.error is None
    assert fought.credit == DEFAULT_CREDIT["gold"]
    assert fought.records[0].tier == "gold"
    assert fought.records[0].reason == words


SIZES = (CaseOutcome("8 KiB", 0.99, 1.26, 1.25), CaseOutcome("16 MiB", 0.5, 45, 90))


def test_a_duel_of_values_keeps_the_values_of_its_cases(monkeypatch):
    fought = Fought(monkeypatch, Outcome("passed", "", 0.95, (0.94, 0.97), 9, cases=SIZES), VALUES)
    [record] = fought.records
    assert (record.compares, record.unit, record.tier, record.submission_rate) == (
        "values",
        "ns",
        "gold",
        None,
    )
    assert [(case.submission_rate, case.reference_rate) for case in record.cases] == [(1.26, 1.25), (45, 90)]
    assert fought.credit == pytest.approx(1.0)


def test_values_that_do_not_agree_are_told_by_the_worst_case(monkeypatch):
    fought = Fought(monkeypatch, Outcome("failed", "", 0.7, (0.69, 0.71), 9, cases=SIZES), VALUES)
    assert str(fought.error) == "an agreement of 0.7 with the reference; 'pass' starts at 0.75"
    assert (fought.error.case, fought.error.got) == ("16 MiB", "45 ns")


def test_against_itself_both_sides_are_the_submission(monkeypatch):
    own = Contract(title="speed-up", tiers={"pass": 0.5}, against="self", clock="wall")
    fought = Fought(monkeypatch, measured("passed", 0.7, (0.69, 0.71)), own)
    assert fought.sides == ["ours", "ours"]
    assert (fought.records[0].reference, fought.records[0].clock) == ("your own single thread", "wall")
    assert Fought(monkeypatch, measured("passed", 0.7, (0.69, 0.71))).sides == ["ours", "theirs"]


def test_against_the_roofline_the_other_side_measures_the_ceiling(monkeypatch):
    dram = Contract(
        title="DRAM", tiers={"pass": 0.4, "gold": 0.85}, against="roofline", bound="memory", unit="GB/s"
    )
    fought = Fought(monkeypatch, measured("passed", 0.9, (0.89, 0.91)), dram)
    assert fought.sides == ["ours", "theirs"]
    [record] = fought.records
    assert (record.reference, record.tier) == ("this core reading memory", "gold")
    assert (record.roofline.bound, record.roofline.ceiling, record.roofline.unit) == ("memory", 100, "GB/s")
    assert record.roofline.value == pytest.approx(90)
    slow = Fought(monkeypatch, measured("failed", 0.2, (0.19, 0.21)), dram)
    assert str(slow.error) == "0.2 of the roofline; 'pass' starts at 0.4"


def test_against_the_reference_nobody_has_measured_the_memory(monkeypatch):
    plain = Contract(title="8 MiB", tiers={"pass": 0.4}, bound="memory", unit="GB/s")
    assert Fought(monkeypatch, measured("passed", 0.9, (0.89, 0.91)), plain).records[0].roofline is None


# --- Who is to blame ------------------------------------------------------------------------------


def wrong() -> WrongResult:
    error = WrongResult("997 x 997")
    error.__cause__ = CheckFailed("3 of 9 elements are wrong", expected="4", got="5", where="first at [0, 1]")
    return error


def crashed() -> GuestFailed:
    return GuestFailed("crashed", "crashed: SIGSEGV", output=b"before \xff the end")


def by_the_reference(cause: Exception) -> ReferenceFailed:
    error = ReferenceFailed(str(cause))
    error.__cause__ = cause
    return error


def test_a_wrong_timed_result_is_told_like_any_other(monkeypatch):
    error = Fought(monkeypatch, wrong()).error
    assert isinstance(error, CheckFailed)
    assert error.summary == "a measured call (997 x 997) gave a wrong result: 3 of 9 elements are wrong"
    assert (error.case, error.expected, error.got, error.where) == ("997 x 997", "4", "5", "first at [0, 1]")
    assert "new inputs" in error.why


def test_a_crash_is_told_with_what_was_printed_before_it(monkeypatch):
    error = Fought(monkeypatch, crashed()).error
    assert isinstance(error, CheckFailed)
    assert error.summary == "the submission crashed: SIGSEGV while it was measured"
    assert error.detail == "before \ufffd the end"


@pytest.mark.parametrize("cause", [wrong(), crashed()], ids=["wrong", "crashed"])
def test_what_the_reference_does_is_not_the_submissions_fault(monkeypatch, cause):
    fought = Fought(monkeypatch, by_the_reference(cause))
    assert isinstance(fought.error, NotJudged)
    assert str(fought.error).startswith("the reference failed while it was measured")
    assert (fought.records, fought.credit) == ([], None)


@pytest.mark.parametrize("cause", [wrong(), crashed()], ids=["wrong", "crashed"])
def test_against_itself_the_other_side_is_the_submission_too(monkeypatch, cause):
    own = Contract(title="speed-up", tiers={"pass": 0.5}, against="self")
    assert isinstance(Fought(monkeypatch, by_the_reference(cause), own).error, CheckFailed)


# --- pytest-benchmark's clock ---------------------------------------------------------------------


def test_the_replayed_clock_gives_back_the_samples():
    clock = replay_clock([0.5, 0.25, 2.0])
    readings = [(clock(), clock()) for _ in range(3)]
    assert [end - start for start, end in readings] == [0.5, 0.25, 2.0]
    assert clock() == 0.0
