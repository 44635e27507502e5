-- Whose store this is. One row.
CREATE TABLE meta (
    one         INTEGER PRIMARY KEY CHECK (one = 1),
    cluster_id  TEXT    NOT NULL,
    shards      INTEGER NOT NULL,
    created_at  INTEGER NOT NULL
) STRICT;

-- Components by SHA-256: types that share one store it once.
CREATE TABLE components (
    digest  BLOB PRIMARY KEY,
    bytes   BLOB NOT NULL
) STRICT;

-- Every upload of a type, numbered from 1.
CREATE TABLE revisions (
    type         TEXT    NOT NULL,
    number       INTEGER NOT NULL,
    digest       BLOB    NOT NULL,
    description  TEXT    NOT NULL,
    author       TEXT    NOT NULL,
    created_at   INTEGER NOT NULL,
    active       INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (type, number),
    UNIQUE (type, digest)
) STRICT;

CREATE UNIQUE INDEX revisions_active ON revisions (type) WHERE active = 1;

-- Objects. State that is JSON is text, so that it can be queried; other state is bytes; no state at
-- all is a NULL schema. A deleted object leaves its row, without state, so that its version lives
-- on. Times are microseconds since 1970.
CREATE TABLE objects (
    type         TEXT    NOT NULL,
    id           TEXT    NOT NULL,
    shard        INTEGER NOT NULL,
    version      INTEGER NOT NULL,
    state_json   TEXT,
    state_bytes  BLOB,
    schema       INTEGER,
    encoding     TEXT    NOT NULL,
    durability   TEXT    NOT NULL,
    revision     INTEGER NOT NULL,
    created_at   INTEGER NOT NULL,
    updated_at   INTEGER NOT NULL,
    deleted      INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (type, id)
) STRICT;

-- Lists pass over the deleted ones without reading them.
CREATE INDEX objects_living ON objects (type, id) WHERE deleted = 0;
