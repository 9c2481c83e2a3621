"""Every attack of the catalogue, as a real submission of a real lab: it gains nothing, leaves nothing, harms nobody.

Gradings run side by side; those with duels run alone, afterwards.
"""

from __future__ import annotations

import contextlib
import re
import secrets
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path

import pytest

from grader.authoring.candidates import Candidate
from grader.sandbox import gpu
from tests.attacks import catalogue, judge
from tests.attacks.catalogue import Attack, Places
from tests.attacks.conftest import ROWS, Row
from tests.attacks.in_tier import tiers
from tests.attacks.judge import Bench, Judged
from tests.conftest import needs

pytestmark = needs("gcc", "tier A")

CANARY = "#define THE_CANARY_SINGS 1\n"
HANDFUL = ("R8_writes_to_other_processes", "S1_searches_the_disk", "S5_calls_home", "H9_becomes_root")
"""Run in every tier that the machine can do, also where only one was asked for."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "attack" not in metafunc.fixturenames:
        return
    everything = metafunc.config.getoption("all", False)
    here = [tier.name for tier in tiers(judge.FIRST_SLOT)]
    named = metafunc.config.getoption("tier", "A")
    asked = list(here) if named == "here" else named.split(",")
    missing = [name for name in asked if name not in here]
    if missing:
        raise pytest.UsageError(f"this machine offers no sandbox of tier {', '.join(missing)}")
    cases = [
        pytest.param(attack, tier, id=f"{attack.name}-{tier}")
        for attack in catalogue.attacks()
        for tier in (here if attack.name in HANDFUL else asked)
        if tier in attack.said.tiers and (everything or attack.said.always)
    ]
    metafunc.parametrize(("attack", "tier"), cases)


@dataclass(frozen=True)
class Case:
    """One grading: of an attack, or of its twin."""

    attack: Attack
    tier: str
    honest: bool

    @property
    def is_timed(self) -> bool:
        return self.attack.said.timed and not self.honest

    @property
    def candidate(self) -> Candidate:
        return self.attack.twin if self.honest else self.attack.submission

    @property
    def tests(self) -> tuple[str, ...]:
        """An honest twin of what is timed need not be fast: it is asked whether it is right."""
        return self.attack.twins_tests if self.honest else self.attack.tests


class Court:
    """Judges the cases that the session asks for; equal ones once, those that are not timed side by side."""

    def __init__(self, bench: Bench, canary: Path, port: int) -> None:
        self._bench, self._canary, self._port = bench, canary, port
        self._pool = ThreadPoolExecutor(judge.SLOTS)
        self._verdicts: dict[tuple[object, ...], Future[Judged]] = {}

    def summon(self, case: Case) -> Future[Judged]:
        """Have it judged beside the others that were summoned; equal ones once."""
        candidate = case.candidate
        key = (case.tier, case.attack.said.lab, case.tests, candidate.folder, candidate.edits, case.honest)
        if key not in self._verdicts:
            name = f"{len(self._verdicts)}-{case.attack.name}"
            self._verdicts[key] = self._pool.submit(self._judge, case, name)
        return self._verdicts[key]

    def verdict(self, case: Case) -> Judged:
        """What came out. A timed one has the machine alone: all others are judged before."""
        if case.is_timed:
            wait(self._verdicts.values())
        return self.summon(case).result()

    def close(self) -> None:
        self._pool.shutdown(cancel_futures=True)

    def _judge(self, case: Case, name: str) -> Judged:
        attack, parent = case.attack, self._bench.scratch / name
        parent.mkdir(mode=0o755)
        document = parent / "result.json"
        places = Places(self._canary, document, self._port, secrets.token_hex(8))
        beside = {} if case.honest else attack.said.beside
        folder = catalogue.hand_in(case.candidate, attack.lab, parent, places, beside)
        return self._bench.judge(case.tier, attack.lab, folder, case.tests, document)


@pytest.fixture(scope="module")
def canary(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A file of somebody else that every user of the machine may read and write; the sandbox's must not."""
    folder = Path("/tmp") / f"grader-canary-{secrets.token_hex(4)}"
    folder.mkdir()
    folder.chmod(0o777)
    file = folder / "somebody_elses.h"
    file.write_text(CANARY)
    file.chmod(0o666)
    yield file
    file.unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        folder.rmdir()


@pytest.fixture(scope="module")
def court(
    request: pytest.FixtureRequest, canary: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Court]:
    scratch = tmp_path_factory.mktemp("attacks")
    bench = Bench(scratch, {"GRADER_SECRET": "the canary sings in the environment"})
    for slot in range(judge.FIRST_SLOT, judge.FIRST_SLOT + judge.SLOTS):
        bench.slots.put(slot)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        court = Court(bench, canary, listening.getsockname()[1])
        for item in request.session.items:
            for case in cases_of(item):
                if not case.is_timed and runs_here(case.attack):
                    court.summon(case)
        yield court
        court.close()


def cases_of(item: pytest.Item) -> Iterator[Case]:
    parameters = getattr(getattr(item, "callspec", None), "params", {})
    if isinstance(parameters.get("attack"), Attack):
        for honest in (False, True):
            yield Case(parameters["attack"], parameters["tier"], honest)


def runs_here(attack: Attack) -> bool:
    return not attack.lab.hardware.gpu or gpu.present() is not None


@pytest.fixture(scope="module")
def untouched(canary: Path) -> Callable[[], None]:
    """Everybody else's things are as they were."""
    before = judge.host()

    def look() -> None:
        assert judge.host() == before
        assert canary.read_text() == CANARY
        assert [path.name for path in canary.parent.iterdir()] == [canary.name]

    return look


def test_an_attack_gains_nothing_and_its_honest_twin_keeps_its_points(
    attack: Attack, tier: str, court: Court, untouched: Callable[[], None], request: pytest.FixtureRequest
) -> None:
    rows = request.config.stash[ROWS]
    if not runs_here(attack):  # `lab check` proves it where there is a GPU
        assert attack.submission.max_score is not None
        rows.append(Row(attack, tier, None, None))
        return
    judged, honest = (court.verdict(Case(attack, tier, twin)) for twin in (False, True))
    rows.append(Row(attack, tier, judged.result, honest.result))
    messages = "\n".join(f"{test.name}: {test.message}" for test in judged.result.tests)
    assert judged.result.score <= attack.said.max_score + 1e-6, messages
    assert re.search(attack.said.says, messages, re.DOTALL), messages
    if attack.said.boundary != "TB2":  # else it must have been built: a mistake in an attack proves nothing
        assert all(test.id != "build" for test in judged.result.tests), messages
    for word in (*attack.said.never, "THE_CANARY_SINGS", "the canary sings"):
        assert word not in judged.shown
    assert judged.left == honest.left == ()
    untouched()
    assert honest.result.score == honest.result.max_score > 0, [test.message for test in honest.result.tests]
