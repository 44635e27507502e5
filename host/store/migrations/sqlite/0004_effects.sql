-- What commits write beside the rows of objects: results under their keys, sends, reminders, and what
-- was given up of those.

-- What keyed calls were answered. They are never looked for by age: they lie in a ring of eight tables,
-- one for each span of time. Commits write into that of the span that began last, and before the next
-- one begins, what its table still holds from the round before is removed whole. `began_at`: 0, it
-- never began.
CREATE TABLE result_spans (
    span      INTEGER PRIMARY KEY CHECK (span BETWEEN 0 AND 7),
    began_at  INTEGER NOT NULL
) STRICT;

INSERT INTO result_spans (span, began_at)
VALUES (0, CAST(unixepoch('subsec') * 1000000 AS INTEGER)),
       (1, 0), (2, 0), (3, 0), (4, 0), (5, 0), (6, 0), (7, 0);

-- Origin: who chose the key. Asked: a digest of method and argument, in 16 bytes. Of a key that is there
-- more than once, the one that was kept first counts.
--
-- New ones are written side by side, and so is what they are found by: by chunks of the table, and
-- within a chunk by a hash of object (the upper half) and key. An index of all keys would lie all over
-- the file, and cost each result a page of its own.
CREATE TABLE results_0 (
    chunk    INTEGER NOT NULL,
    hash     INTEGER NOT NULL,
    type     TEXT    NOT NULL,
    id       TEXT    NOT NULL,
    origin   TEXT    NOT NULL,
    key      TEXT    NOT NULL,
    asked    BLOB    NOT NULL,
    answer   BLOB    NOT NULL,
    kept_at  INTEGER NOT NULL
) STRICT;

CREATE INDEX results_0_found ON results_0 (chunk, hash);

CREATE TABLE results_1 (
    chunk    INTEGER NOT NULL,
    hash     INTEGER NOT NULL,
    type     TEXT    NOT NULL,
    id       TEXT    NOT NULL,
    origin   TEXT    NOT NULL,
    key      TEXT    NOT NULL,
    asked    BLOB    NOT NULL,
    answer   BLOB    NOT NULL,
    kept_at  INTEGER NOT NULL
) STRICT;

CREATE INDEX results_1_found ON results_1 (chunk, hash);

CREATE TABLE results_2 (
    chunk    INTEGER NOT NULL,
    hash     INTEGER NOT NULL,
    type     TEXT    NOT NULL,
    id       TEXT    NOT NULL,
    origin   TEXT    NOT NULL,
    key      TEXT    NOT NULL,
    asked    BLOB    NOT NULL,
    answer   BLOB    NOT NULL,
    kept_at  INTEGER NOT NULL
) STRICT;

CREATE INDEX results_2_found ON results_2 (chunk, hash);

CREATE TABLE results_3 (
    chunk    INTEGER NOT NULL,
    hash     INTEGER NOT NULL,
    type     TEXT    NOT NULL,
    id       TEXT    NOT NULL,
    origin   TEXT    NOT NULL,
    key      TEXT    NOT NULL,
    asked    BLOB    NOT NULL,
    answer   BLOB    NOT NULL,
    kept_at  INTEGER NOT NULL
) STRICT;

CREATE INDEX results_3_found ON results_3 (chunk, hash);

CREATE TABLE results_4 (
    chunk    INTEGER NOT NULL,
    hash     INTEGER NOT NULL,
    type     TEXT    NOT NULL,
    id       TEXT    NOT NULL,
    origin   TEXT    NOT NULL,
    key      TEXT    NOT NULL,
    asked    BLOB    NOT NULL,
    answer   BLOB    NOT NULL,
    kept_at  INTEGER NOT NULL
) STRICT;

CREATE INDEX results_4_found ON results_4 (chunk, hash);

CREATE TABLE results_5 (
    chunk    INTEGER NOT NULL,
    hash     INTEGER NOT NULL,
    type     TEXT    NOT NULL,
    id       TEXT    NOT NULL,
    origin   TEXT    NOT NULL,
    key      TEXT    NOT NULL,
    asked    BLOB    NOT NULL,
    answer   BLOB    NOT NULL,
    kept_at  INTEGER NOT NULL
) STRICT;

CREATE INDEX results_5_found ON results_5 (chunk, hash);

CREATE TABLE results_6 (
    chunk    INTEGER NOT NULL,
    hash     INTEGER NOT NULL,
    type     TEXT    NOT NULL,
    id       TEXT    NOT NULL,
    origin   TEXT    NOT NULL,
    key      TEXT    NOT NULL,
    asked    BLOB    NOT NULL,
    answer   BLOB    NOT NULL,
    kept_at  INTEGER NOT NULL
) STRICT;

CREATE INDEX results_6_found ON results_6 (chunk, hash);

CREATE TABLE results_7 (
    chunk    INTEGER NOT NULL,
    hash     INTEGER NOT NULL,
    type     TEXT    NOT NULL,
    id       TEXT    NOT NULL,
    origin   TEXT    NOT NULL,
    key      TEXT    NOT NULL,
    asked    BLOB    NOT NULL,
    answer   BLOB    NOT NULL,
    kept_at  INTEGER NOT NULL
) STRICT;

CREATE INDEX results_7_found ON results_7 (chunk, hash);

CREATE VIEW results (span, place, hash, type, id, origin, key, asked, answer, kept_at) AS
          SELECT 0, rowid, hash, type, id, origin, key, asked, answer, kept_at
          FROM results_0
UNION ALL SELECT 1, rowid, hash, type, id, origin, key, asked, answer, kept_at
          FROM results_1
UNION ALL SELECT 2, rowid, hash, type, id, origin, key, asked, answer, kept_at
          FROM results_2
UNION ALL SELECT 3, rowid, hash, type, id, origin, key, asked, answer, kept_at
          FROM results_3
UNION ALL SELECT 4, rowid, hash, type, id, origin, key, asked, answer, kept_at
          FROM results_4
UNION ALL SELECT 5, rowid, hash, type, id, origin, key, asked, answer, kept_at
          FROM results_5
UNION ALL SELECT 6, rowid, hash, type, id, origin, key, asked, answer, kept_at
          FROM results_6
UNION ALL SELECT 7, rowid, hash, type, id, origin, key, asked, answer, kept_at
          FROM results_7;

-- Sends that have not arrived, by shard and name of the sender. Numbers: the version that the sender's
-- row got with it, and its place among the sends of that commit. In no other order, so that it costs
-- little to come and go.
CREATE TABLE outbox (
    shard    INTEGER NOT NULL,
    type     TEXT    NOT NULL,
    id       TEXT    NOT NULL,
    version  INTEGER NOT NULL,
    place    INTEGER NOT NULL,
    to_type  TEXT    NOT NULL,
    to_id    TEXT    NOT NULL,
    method   TEXT    NOT NULL,
    payload  BLOB    NOT NULL,
    sent_at  INTEGER NOT NULL,
    PRIMARY KEY (shard, type, id, version, place)
) STRICT, WITHOUT ROWID;

-- Reminders of living objects. Schedule: when they fire, in the words in which they were set.
CREATE TABLE reminders (
    type      TEXT    NOT NULL,
    id        TEXT    NOT NULL,
    name      TEXT    NOT NULL,
    shard     INTEGER NOT NULL,
    schedule  TEXT    NOT NULL,
    method    TEXT    NOT NULL,
    payload   BLOB    NOT NULL,
    due_at    INTEGER NOT NULL,
    PRIMARY KEY (type, id, name)
) STRICT, WITHOUT ROWID;

-- Those of other shards are passed over without reading them.
CREATE INDEX reminders_due ON reminders (due_at, type, id, name, shard);

-- Sends and firings that were given up, of this sender. A send has its number, a firing the name of its
-- reminder, and was "sent" when it was due. No number of a letter is given twice.
CREATE TABLE dead_letters (
    number    INTEGER PRIMARY KEY AUTOINCREMENT,
    shard     INTEGER NOT NULL,
    type      TEXT    NOT NULL,
    id        TEXT    NOT NULL,
    version   INTEGER,
    place     INTEGER,
    reminder  TEXT,
    to_type   TEXT    NOT NULL,
    to_id     TEXT    NOT NULL,
    method    TEXT    NOT NULL,
    payload   BLOB    NOT NULL,
    reason    TEXT    NOT NULL,
    sent_at   INTEGER NOT NULL,
    died_at   INTEGER NOT NULL,
    CHECK ((version IS NULL) = (place IS NULL) AND (version IS NULL) <> (reminder IS NULL))
) STRICT;

CREATE INDEX dead_letters_from ON dead_letters (type, id, number);
