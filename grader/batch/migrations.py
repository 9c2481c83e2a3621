"""The shape of the store, one step after the other: a file of any age becomes one of today, and keeps all it holds."""

from __future__ import annotations

MIGRATIONS = (
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
    # Runs, what decided a result, its tests and duels for lists and comparisons, the submissions' files; documents
    # apart and packed. A student may hand in what they had handed in before: attempts are no longer unique.
    """
    CREATE TABLE runs (
        id INTEGER PRIMARY KEY,
        kind TEXT NOT NULL,
        began TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%SZ', 'now')),
        ended TEXT NOT NULL DEFAULT ''
    ) STRICT;
    CREATE TABLE submissions (
        digest TEXT PRIMARY KEY,
        files BLOB NOT NULL
    ) STRICT;
    ALTER TABLE results RENAME TO old_results;
    ALTER TABLE attempts RENAME TO old_attempts;
    DROP INDEX attempts_by_lab;
    CREATE TABLE results (
        key TEXT PRIMARY KEY,
        submission TEXT NOT NULL,
        lab TEXT NOT NULL,
        lab_digest TEXT NOT NULL,
        grader TEXT NOT NULL,
        compiler TEXT NOT NULL,
        machine TEXT NOT NULL,
        how TEXT NOT NULL,
        again INTEGER NOT NULL,
        score REAL NOT NULL,
        max_score REAL NOT NULL,
        judged_max REAL NOT NULL,
        status TEXT NOT NULL,
        seconds REAL NOT NULL,
        outcome TEXT NOT NULL,
        ratios TEXT NOT NULL
    ) STRICT;
    CREATE TABLE documents (
        key TEXT PRIMARY KEY REFERENCES results (key),
        body BLOB NOT NULL
    ) STRICT;
    CREATE TABLE attempts (
        id INTEGER PRIMARY KEY,
        run INTEGER NOT NULL REFERENCES runs (id),
        student TEXT NOT NULL,
        lab TEXT NOT NULL,
        key TEXT NOT NULL REFERENCES results (key),
        at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%SZ', 'now')),
        handed_in TEXT NOT NULL DEFAULT '',
        notes TEXT NOT NULL DEFAULT '[]'
    ) STRICT;
    CREATE INDEX attempts_by_student ON attempts (student, lab, id);
    CREATE INDEX attempts_by_time ON attempts (at);
    INSERT INTO runs (kind, began)
        SELECT 'batch', min(at) FROM old_attempts HAVING min(at) IS NOT NULL;
    INSERT INTO results
        SELECT key, json_extract(document, '$.hashes.submission'), lab,
            json_extract(document, '$.hashes.lab'),
            json_extract(document, '$.hashes.grader'),
            coalesce(json_extract(document, '$.toolchain.compiler'), ''),
            json_extract(document, '$.machine.cpu') || ', ' ||
            json_extract(document, '$.machine.cores') || ' cores', '', 0,
            score, max_score, judged_max, json_extract(document, '$.status'), json_extract(document, '$.duration_s'),
            outcome_of(document), ratios_of(document)
        FROM old_results;
    INSERT INTO documents SELECT key, zipped(document) FROM old_results;
    INSERT INTO attempts (id, run, student, lab, key, at)
        SELECT id, 1, student, lab, key, at FROM old_attempts ORDER BY id;
    DROP TABLE old_attempts;
    DROP TABLE old_results;
    """,
    # Which attempt counts, asked for at one command, holds for the next; and what gradebooks have shown last.
    """
    CREATE TABLE settings (
        name TEXT PRIMARY KEY,
        value TEXT NOT NULL
    ) STRICT;
    CREATE TABLE told (
        student TEXT NOT NULL,
        lab TEXT NOT NULL,
        score REAL NOT NULL,
        waits INTEGER NOT NULL,
        PRIMARY KEY (student, lab)
    ) STRICT;
    """,
)
"""SQL that takes the store from one version to the next; no semicolon in it but those that end a statement. Never
change one that was published: add another.

`zipped(text)`, `outcome_of(document)` and `ratios_of(document)` are functions of `store`.
"""
