"""What was graded, in one SQLite file: nothing is changed or removed, and the same work is done once.

A result belongs to a key: the hash of all that decides it. An attempt says that a student handed in a submission of
that key. So equal submissions share the work, and each student still has a row of their own. The submissions' files
are kept too, so that a regrade needs nothing else.
"""

from __future__ import annotations

import json
import sqlite3
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal, NamedTuple

from grader.batch.migrations import MIGRATIONS
from grader.result import Result, Status
from grader.trouble import CannotWork

REFUSED = "refused: "
"""How the digest of a submission begins that could not be taken."""


@dataclass(frozen=True)
class Pieces:
    """All that decides a result. `again` numbers repetitions of otherwise equal work."""

    submission: str
    lab: str
    lab_digest: str
    grader: str
    compiler: str
    machine: str
    how: str
    again: int = 0


@dataclass(frozen=True)
class Handed:
    """One student's submission of one lab as it came in. `at`: ISO 8601 in UTC, '' when nobody knows."""

    student: str
    lab: str
    at: str = ""
    notes: tuple[str, ...] = ()


class Attempt(NamedTuple):
    """One student's graded submission of one lab. `at`: when it was graded for them; `handed_in`: '' when unknown."""

    id: int
    run: int
    student: str
    lab: str
    key: str
    submission: str
    at: str
    handed_in: str
    score: float
    max_score: float
    judged_max: float

    @property
    def refused(self) -> bool:
        """Was there nothing that could be taken?"""
        return self.submission.startswith(REFUSED)


class Outcome(NamedTuple):
    """What a result says about one test, without its words."""

    id: str
    name: str
    category: str
    status: Status
    points: float
    max_points: float


class Grade(NamedTuple):
    """What a gradebook shows of a student and lab; `waits`: points of it are not judged."""

    score: float
    waits: bool


class Pair(NamedTuple):
    """Two attempts of a student and lab, the tests of each as lines of text (equal lines say the same), and which of
    the pieces that decide a result are not the same."""

    old: Attempt
    new: Attempt
    old_lines: list[str]
    new_lines: list[str]
    unlike: tuple[str, ...]


@dataclass(frozen=True)
class Ratio:
    """What a result says about one duel; `tiers` as in the contract."""

    id: str
    title: str
    ratio: float | None
    tier: str | None
    verdict: Status
    tiers: dict[str, float]


_ATTEMPT = "a.id, a.run, a.student, a.lab, a.key, r.submission, a.at, a.handed_in, r.score, r.max_score, r.judged_max"


DECIDING = ("submission", "lab_digest", "grader", "compiler", "machine", "how")
"""Pieces that may be another without anybody having asked for a repetition."""

_SAME = ", ".join(DECIDING)

Kind = Literal["batch", "regrade", "again"]
"""What a run is: a batch; a regrade of what changed; a regrade that repeats also what did not."""


class Store:
    """The file, open. Use as a context manager. One writer at a time; readers never wait (WAL)."""

    def __init__(self, file: Path) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        self._base = sqlite3.connect(file, isolation_level=None, timeout=60.0)
        self._base.execute("PRAGMA journal_mode = WAL")
        self._base.execute("PRAGMA foreign_keys = ON")
        self._migrate(file)

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        self._base.close()

    # --- Writing ------------------------------------------------------------------------------------------------------

    def begin_run(self, kind: Kind) -> int:
        """A new run; its number."""
        return self._base.execute("INSERT INTO runs (kind) VALUES (?)", (kind,)).lastrowid or 0

    def end_run(self, number: int) -> None:
        """Say that this run came to its end."""
        self._base.execute(
            "UPDATE runs SET ended = strftime('%Y-%m-%dT%H:%M:%SZ', 'now') WHERE id = ?", (number,)
        )

    def keep_files(self, digest: str, files: Mapping[str, str]) -> None:
        """Keep a submission's files, path to text."""
        body = zlib.compress(json.dumps(dict(files)).encode())
        self._base.execute("INSERT OR IGNORE INTO submissions VALUES (?, ?)", (digest, body))

    def add(self, key: str, pieces: Pieces, result: Result, owners: Sequence[Handed], run: int) -> None:
        """Keep a result and whose it is; all of it or nothing. A result that is there stays as it is."""
        row = (key, *_values(pieces), result.score, result.possible, result.judged_max, result.status)
        row = (*row, result.duration_s, outcome_of(result), ratios_of(result))
        with self._transaction():
            marks = ", ".join("?" * len(row))
            self._base.execute(f"INSERT OR IGNORE INTO results VALUES ({marks})", row)
            body = zlib.compress(result.to_json().encode(), 6)
            self._base.execute("INSERT OR IGNORE INTO documents VALUES (?, ?)", (key, body))
            self._own(key, owners, run)

    def own(self, key: str, owners: Sequence[Handed], run: int) -> None:
        """Say that these students handed in what has been graded already. Raises IntegrityError when it has not."""
        with self._transaction():
            self._own(key, owners, run)

    def _own(self, key: str, owners: Sequence[Handed], run: int) -> None:
        """A new attempt for each of them whose newest one is another; so the same command changes nothing twice.

        Work that was repeated since is not another: a batch must not bring the first measurement back.
        """
        repetition, same = self._base.execute(
            f"SELECT again, json_array({_SAME}) FROM results WHERE key = ?", (key,)
        ).fetchone() or (0, "")
        for item in owners:
            newest = self._base.execute(
                f"SELECT key, handed_in, json_array({_SAME}), again FROM attempts JOIN results USING (key, lab) "
                "WHERE student = ? AND lab = ? ORDER BY id DESC LIMIT 1",
                (item.student, item.lab),
            ).fetchone()
            is_it = newest is not None and (
                newest[0] == key or (newest[2] == same and newest[3] > repetition)
            )
            if is_it and item.at in ("", newest[1]):
                continue
            self._base.execute(
                "INSERT INTO attempts (run, student, lab, key, handed_in, notes) VALUES (?, ?, ?, ?, ?, ?)",
                (run, item.student, item.lab, key, item.at, json.dumps(item.notes)),
            )

    def choose(self, policy: str, told: str) -> None:
        """Keep which attempt counts, and what the course's file said when that was asked for."""
        self._base.execute(
            "INSERT OR REPLACE INTO settings VALUES ('attempts', ?)", (json.dumps([policy, told]),)
        )

    def tell(self, grades: Mapping[tuple[str, str], Grade]) -> list[tuple[str, str, Grade, Grade]]:
        """Keep the grades that gradebooks now show; (student, lab, before, now) of those that are not as before."""
        with self._transaction():
            was = {(row[0], row[1]): Grade(*row[2:]) for row in self._base.execute("SELECT * FROM told")}
            rows = [(*pair, *grade) for pair, grade in grades.items()]
            self._base.executemany("INSERT OR REPLACE INTO told VALUES (?, ?, ?, ?)", rows)
        both = [(*pair, was[pair], grade) for pair, grade in sorted(grades.items()) if pair in was]
        return [
            item
            for item in both
            if abs(item[2].score - item[3].score) > 0.005 or item[2].waits != item[3].waits
        ]

    # --- Reading ------------------------------------------------------------------------------------------------------

    def chosen(self) -> tuple[str, str] | None:
        """What `choose` kept: the policy, and what the course's file said then."""
        row = self._base.execute("SELECT value FROM settings WHERE name = 'attempts'").fetchone()
        return tuple(json.loads(row[0])) if row else None

    def newest_like(self, pieces: Pieces) -> tuple[str, int, bool] | None:
        """Of the results of the same work, the newest repetition: its key, its number, and whether a test of it
        with points could not be judged; None when there is none."""
        row = self._base.execute(
            "SELECT key, again, outcome FROM results WHERE lab = ? AND "
            + " AND ".join(f"{name} = ?" for name in DECIDING)
            + " ORDER BY again DESC LIMIT 1",
            (pieces.lab, *(getattr(pieces, name) for name in DECIDING)),
        ).fetchone()
        if row is None:
            return None
        tests = outcomes_of_lines(row[2].split("\n") if row[2] else ())
        return row[0], row[1], any(item.status == "not_judged" and item.max_points > 0 for item in tests)

    def repetitions(self, before_run: int) -> int:
        """The highest number of a repetition among all that was graded before a run."""
        (highest,) = self._base.execute(
            "SELECT coalesce(max(again), 0) FROM attempts JOIN results USING (key) WHERE run < ?",
            (before_run,),
        ).fetchone()
        return int(highest)

    def has(self, key: str) -> bool:
        """Is there a result of this key?"""
        return self._base.execute("SELECT 1 FROM results WHERE key = ?", (key,)).fetchone() is not None

    def attempts(self, since: str = "") -> list[Attempt]:
        """All attempts since then (ISO 8601), the oldest first."""
        rows = self._base.execute(
            f"SELECT {_ATTEMPT} FROM attempts a JOIN results r USING (key) WHERE a.at >= ? ORDER BY a.id",
            (since,),
        )
        return [Attempt(*row) for row in rows]

    def latest(self) -> list[Attempt]:
        """The newest attempt of every student and lab, by student and lab."""
        rows = self._base.execute(
            f"SELECT {_ATTEMPT} FROM (SELECT max(id) AS id FROM attempts GROUP BY student, lab) "
            "JOIN attempts a USING (id) JOIN results r USING (key) ORDER BY a.student, a.lab"
        )
        return [Attempt(*row) for row in rows]

    def moved(self, since_run: int) -> list[Pair]:
        """What every student and lab has newest before that run, and newest of all, where the two say other things."""
        columns = "{0}.id, {0}.run, {0}.student, {0}.lab, {0}.key, r{0}.submission, {0}.at, {0}.handed_in, "
        columns += "r{0}.score, r{0}.max_score, r{0}.judged_max"
        unlike = ", ".join(f"ra.{name} <> rb.{name}" for name in DECIDING)
        rows = self._base.execute(
            "WITH pairs AS (SELECT max(CASE WHEN run < ? THEN id END) AS old, "
            "max(CASE WHEN run >= ? THEN id END) AS new FROM attempts GROUP BY student, lab) "
            f"SELECT ra.outcome, rb.outcome, {columns.format('a')}, {columns.format('b')}, {unlike} FROM pairs "
            "JOIN attempts a ON a.id = pairs.old JOIN attempts b ON b.id = pairs.new "
            "JOIN results ra ON ra.key = a.key JOIN results rb ON rb.key = b.key "
            "WHERE a.key <> b.key AND (ra.outcome <> rb.outcome OR ra.score <> rb.score) "
            "ORDER BY a.student, a.lab",
            (since_run, since_run),
        )
        half, whole = 2 + len(Attempt._fields), 2 + 2 * len(Attempt._fields)
        return [
            Pair(
                Attempt(*row[2:half]),
                Attempt(*row[half:whole]),
                row[0].split("\n"),
                row[1].split("\n"),
                tuple(name for name, differs in zip(DECIDING, row[whole:], strict=True) if differs),
            )
            for row in rows
        ]

    def runs(self) -> list[tuple[int, str, str, str]]:
        """(number, kind, began, ended or '') of every run, the oldest first."""
        return list(self._base.execute("SELECT id, kind, began, ended FROM runs ORDER BY id"))

    def pieces(self, keys: Iterable[str]) -> dict[str, Pieces]:
        """What decided these results."""
        names = ", ".join(field.name for field in fields(Pieces))
        return {key: Pieces(*rest) for key, *rest in self._of_keys(f"key, {names}", keys)}

    def outcomes(self, keys: Iterable[str]) -> dict[str, list[Outcome]]:
        """The tests of these results, without their words."""
        found = self._of_keys("key, outcome", keys)
        return {key: outcomes_of_lines(text.split("\n")) for key, text in found}

    def ratios(self, keys: Iterable[str]) -> dict[str, list[Ratio]]:
        """The duels of these results."""
        return {
            key: [Ratio(*item) for item in json.loads(text)]
            for key, text in self._of_keys("key, ratios", keys)
        }

    def repeated(self) -> list[list[str]]:
        """Keys of results of the same submission, lab, grader and terms: where they differ, a test is flaky."""
        rows = self._base.execute(
            "SELECT group_concat(key) FROM results WHERE submission <> '' "
            "GROUP BY submission, lab, lab_digest, grader, how HAVING count(*) > 1"
        )
        return [text.split(",") for (text,) in rows]

    def notes(self, attempt: int) -> list[str]:
        """What intake had to say about this attempt's files."""
        row = self._base.execute("SELECT notes FROM attempts WHERE id = ?", (attempt,)).fetchone()
        return list(json.loads(row[0])) if row else []

    def files(self, digest: str) -> dict[str, str]:
        """A submission's files, path to text; none for one that was refused at intake."""
        row = self._base.execute("SELECT files FROM submissions WHERE digest = ?", (digest,)).fetchone()
        return dict(json.loads(zlib.decompress(row[0]))) if row else {}

    def document(self, key: str) -> Result:
        """The whole result. Raises KeyError when there is none."""
        row = self._base.execute("SELECT body FROM documents WHERE key = ?", (key,)).fetchone()
        if row is None:
            raise KeyError(key)
        return Result.model_validate_json(zlib.decompress(row[0]))

    def _of_keys(self, columns: str, keys: Iterable[str]) -> Iterator[tuple[Any, ...]]:
        """Rows of results, a few hundred keys at a time: SQLite bounds the number of parameters."""
        wanted = list(dict.fromkeys(keys))
        for start in range(0, len(wanted), 500):
            some = wanted[start : start + 500]
            marks = ", ".join("?" * len(some))
            yield from self._base.execute(f"SELECT {columns} FROM results WHERE key IN ({marks})", some)

    # --- The file -----------------------------------------------------------------------------------------------------

    def _migrate(self, file: Path) -> None:
        (version,) = self._base.execute("PRAGMA user_version").fetchone()
        if version > len(MIGRATIONS):
            raise CannotWork(f"{file} was written by a newer grader (version {version}); update this one")
        if version == len(MIGRATIONS):
            return
        self._base.create_function("zipped", 1, lambda text: zlib.compress(text.encode()))
        self._base.create_function("outcome_of", 1, lambda text: outcome_of(Result.model_validate_json(text)))
        self._base.create_function("ratios_of", 1, lambda text: ratios_of(Result.model_validate_json(text)))
        with self._transaction():
            # Read again: somebody else may have opened the same old file a moment ago.
            (version,) = self._base.execute("PRAGMA user_version").fetchone()
            for statement in ";".join(MIGRATIONS[version:]).split(";"):
                self._base.execute(statement)
            self._base.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._base.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._base.execute("ROLLBACK")
            raise
        self._base.execute("COMMIT")


def outcome_of(result: Result) -> str:
    """The tests of a result in the few bytes that lists and comparisons need: a line for each."""
    rows = [
        (item.id, item.name, item.category, item.status, item.points, item.max_points)
        for item in result.tests
    ]
    return "\n".join(json.dumps(row, separators=(",", ":")) for row in rows)


def outcomes_of_lines(lines: Iterable[str]) -> list[Outcome]:
    """The tests of some lines of a `Pair`."""
    return [Outcome(*item) for item in json.loads(f"[{','.join(lines)}]")]


def ratios_of(result: Result) -> str:
    """The duels of a result, likewise."""
    rows = [(item.id, item.title, item.ratio, item.tier, item.verdict, item.tiers) for item in result.duels]
    return json.dumps(rows, separators=(",", ":"))


def _values(pieces: Pieces) -> tuple[str | int, ...]:
    return tuple(getattr(pieces, field.name) for field in fields(Pieces))
