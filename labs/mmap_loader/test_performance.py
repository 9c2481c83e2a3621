"""Performance: a duel against libcdb on the same core, and counts that are the same on every machine."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from grader.runner.invoke import Invocation
from grader.scoring import linear_credit
from grader.testing import NotJudged, category, check, points
from grader.timing.duel import Case, Task

pytestmark = category("performance")

KEY, VALUE = 16, 24
SIMULATED = 20_000

Keys = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Bank:
    """A file with random keys of 16 bytes; the first 8 bytes of each value are a number."""

    path: Path
    keys: Keys
    numbers: npt.NDArray[np.uint64]

    def questions(self, rng: np.random.Generator, count: int) -> tuple[Keys, npt.NDArray[np.uint64]]:
        """Random keys, seven in ten of them in the file, and the right answers: the number, or 0."""
        places = rng.integers(0, len(self.keys), count)
        words, answers = np.take(self.keys.view(np.uint64), places, axis=0), self.numbers[places]
        absent = rng.random(count) < 0.3
        words[absent, 0] ^= rng.integers(1, 2**64, int(absent.sum()), np.uint64)
        answers[absent] = 0
        return words.view(np.uint8), answers


@pytest.fixture(scope="session")
def bank(files_of_run, seed_of_run):
    """`bank(count)` is a file of that many records, written by Debian's program cdb."""
    program = shutil.which("cdb")
    if program is None:
        raise NotJudged("needs tinycdb: apt-get install tinycdb")
    rng = np.random.default_rng([seed_of_run, 1])
    made: dict[int, Bank] = {}

    def written(count: int) -> Bank:
        if count not in made:
            made[count] = _write(program, files_of_run / f"{count}.cdb", count, rng)
        return made[count]

    return written


def _write(program: str, path: Path, count: int, rng: np.random.Generator) -> Bank:
    keys = rng.integers(0, 256, (count, KEY), np.uint8)
    numbers = rng.integers(1, 2**63, count).astype(np.uint64)
    values = np.hstack(
        [numbers.view(np.uint8).reshape(count, 8), rng.integers(0, 256, (count, VALUE - 8), np.uint8)]
    )
    columns = [f"+{KEY},{VALUE}:".encode(), keys, b"->", values, b"\n"]
    blocks = [
        np.broadcast_to(np.frombuffer(item, np.uint8), (count, len(item)))
        if isinstance(item, bytes)
        else item
        for item in columns
    ]
    command = [program, "-c", "-t", f"{path}.tmp", str(path)]
    subprocess.run(command, input=np.hstack(blocks).tobytes() + b"\n", check=True)
    path.chmod(0o644)
    return Bank(path, keys, numbers)


@points(10)
def test_lookups_keep_up_with_libcdb(duel, bank):
    """Each lookup is a slot and a record: what is left to win is everything that one does besides."""
    duel("lookups", [lookups(bank(5_000), 200_000), lookups(bank(500_000), 200_000)])


@points(4)
def test_few_instructions_per_lookup(counts, award):
    """The hash of 16 bytes takes about 50 instructions, and a good lookup not twice as many besides."""
    each = counts.instructions / SIMULATED
    award(linear_credit(each, full_at=255, zero_at=600), f"{each:.0f} instructions per lookup")


@points(3)
def test_few_cache_misses_per_lookup(counts, award):
    """A lookup touches a slot, a record, and perhaps the next line of each (simulated cache of 32 KiB)."""
    each = counts.d1_misses / SIMULATED
    award(linear_credit(each, full_at=4.0, zero_at=9.0), f"{each:.2f} misses per lookup")


@points(3)
def test_few_system_calls(library, bank, award, rng):
    """Open, look a thousand keys up, close: the kernel is needed to open and to close, and for nothing between."""
    keys, answers = bank(5_000).questions(rng, 1000)
    found = np.zeros(1, np.int32)
    call = Invocation("drive_session", (str(bank(5_000).path), *_packed(keys), found))
    values, calls = library.traced([call], case="open, 1000 lookups, close")
    check(
        values[0] == 0 and found[0] == np.count_nonzero(answers),
        "wrong answers",
        got=f"{values[0]}, {found[0]}",
    )
    names = ", ".join(f"{count} {name}" for name, count in calls.most_common(6))
    award(linear_credit(calls.total(), full_at=10, zero_at=100), f"{calls.total()} system calls: {names}")


@pytest.fixture(scope="session")
def counts(simulate, bank):
    """Lookups on a simulated CPU, in a file larger than its caches."""
    file = bank(100_000)
    keys, answers = file.questions(np.random.default_rng(1), SIMULATED)
    values = np.full(SIMULATED, 1, np.uint64)
    counted = simulate.call("drive_timed", str(file.path), *_packed(keys), values)
    check(bool((values == answers).all()), "wrong answers on a simulated CPU")
    return counted


def lookups(file: Bank, count: int) -> Case:
    """A case of `count` random lookups in an open file."""

    def task(rng: np.random.Generator) -> Task:
        keys, answers = file.questions(rng, count)
        values = np.full(count, 0xFF, np.uint64)
        call = Invocation("drive_timed", (str(file.path), *_packed(keys), values))

        def verify(returned: object) -> None:
            assert isinstance(returned, tuple)
            found = int(np.count_nonzero(answers))
            check(returned[0] == found, "the wrong number of keys was found", expected=found, got=returned[0])
            wrong = int(np.count_nonzero(values != answers))
            check(wrong == 0, f"{wrong} of {count} values are wrong")

        return Task((call,), verify)

    return Case(f"{len(file.keys)} records", lambda rng: (task(rng), task(rng)), work=count)


def _packed(keys: Keys) -> tuple[int, Keys, npt.NDArray[np.uint32]]:
    """(how many, the keys back to back, where each begins)."""
    return len(keys), keys.reshape(-1), np.arange(len(keys) + 1, dtype=np.uint32) * KEY
