"""What was graded, in one SQLite file: nothing is changed or removed, and the same work is done once.

A result belongs to a key: the hash of all that decides it. An attempt says that a student handed in a submission of
that key. So equal submissions share the work, and each student still has a row of their own.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from grader.result import Result

_MIGRATIONS = (
    """
    CREATE TABLE results (
        key TEXT PRIMARY KEY,
        lab TEXT NOT NULL,
        score REAL NOT NULL,
        max_score REAL NOT NULL,
        judged_max REAL NOT NULL,
        document TEXT NOT NULL
    ) STRICT;
    CREATE TABLE attempts (
        id INTEGER PRIMARY KEY,
        student TEXT NOT NULL,
        lab TEXT NOT NULL,
        key TEXT NOT NULL REFERENCES results (key),
        at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%SZ', 'now')),
        UNIQUE (student, lab, key)
    ) STRICT;
    CREATE INDEX attempts_by_lab ON attempts (lab, student);
    """,
)


@dataclass(frozen=True)
class Attempt:
    """One student's graded submission of one lab."""

    student: str
    lab: str
    key: str
    at: str
    score: float
    max_score: float
    judged_max: float


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

    def has(self, key: str) -> bool:
        """Is there a result of this key?"""
        return self._base.execute("SELECT 1 FROM results WHERE key = ?", (key,)).fetchone() is not None

    def add(self, key: str, result: Result, owners: list[tuple[str, str]]) -> None:
        """Keep a result and who it belongs to, (student, lab) each; all of it or nothing. What is there stays."""
        with self._transaction():
            self._base.execute(
                "INSERT OR IGNORE INTO results VALUES (?, ?, ?, ?, ?, ?)",
                (key, result.lab, result.score, result.max_score, result.judged_max, result.to_json()),
            )
            self._own(key, owners)

    def own(self, key: str, owners: list[tuple[str, str]]) -> None:
        """Say that these students handed in what has been graded already."""
        with self._transaction():
            self._own(key, owners)

    def latest(self) -> list[Attempt]:
        """The newest attempt of every student and lab, by student and lab."""
        rows = self._base.execute(
            "SELECT a.student, a.lab, a.key, a.at, r.score, r.max_score, r.judged_max FROM attempts a "
            "JOIN results r USING (key) WHERE a.id = (SELECT max(b.id) FROM attempts b "
            "WHERE b.student = a.student AND b.lab = a.lab) ORDER BY a.student, a.lab"
        )
        return [Attempt(*row) for row in rows]

    def document(self, key: str) -> Result:
        """The whole result. Raises KeyError when there is none."""
        row = self._base.execute("SELECT document FROM results WHERE key = ?", (key,)).fetchone()
        if row is None:
            raise KeyError(key)
        return Result.model_validate_json(row[0])

    def _own(self, key: str, owners: list[tuple[str, str]]) -> None:
        rows = [(student, lab, key) for student, lab in owners]
        self._base.executemany("INSERT OR IGNORE INTO attempts (student, lab, key) VALUES (?, ?, ?)", rows)

    def _migrate(self, file: Path) -> None:
        (version,) = self._base.execute("PRAGMA user_version").fetchone()
        if version > len(_MIGRATIONS):
            raise RuntimeError(f"{file} was written by a newer grader (version {version}); update this one")
        for number, script in enumerate(_MIGRATIONS[version:], version + 1):
            self._base.executescript(f"BEGIN IMMEDIATE; {script} PRAGMA user_version = {number}; COMMIT;")

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._base.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._base.execute("ROLLBACK")
            raise
        self._base.execute("COMMIT")
