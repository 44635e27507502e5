-- Whose store this is. One row.
CREATE TABLE meta (
    one         INTEGER PRIMARY KEY CHECK (one = 1),
    cluster_id  TEXT    NOT NULL,
    shards      BIGINT  NOT NULL,
    created_at  BIGINT  NOT NULL
);

-- Components by SHA-256: types that share one store it once.
CREATE TABLE components (
    digest  BYTEA PRIMARY KEY,
    bytes   BYTEA NOT NULL
);

-- Every upload of a type, numbered from 1.
CREATE TABLE revisions (
    type         TEXT    COLLATE "C" NOT NULL,
    number       BIGINT  NOT NULL,
    digest       BYTEA   NOT NULL,
    description  TEXT    NOT NULL,
    author       TEXT    NOT NULL,
    created_at   BIGINT  NOT NULL,
    active       BOOLEAN NOT NULL DEFAULT false,
    PRIMARY KEY (type, number),
    UNIQUE (type, digest)
);

CREATE UNIQUE INDEX revisions_active ON revisions (type) WHERE active;

-- Objects. State that JSONB can hold is JSONB, so that it can be queried; other state is bytes; no
-- state at all is a NULL schema. A deleted object leaves its row, without state, so that its version
-- lives on. Times are microseconds since 1970. The digest is of the state as it was saved. Room is
-- left in the pages, so that a row that changes stays in its own and no index is touched.
CREATE TABLE objects (
    type         TEXT    COLLATE "C" NOT NULL,
    id           TEXT    COLLATE "C" NOT NULL,
    shard        BIGINT  NOT NULL,
    version      BIGINT  NOT NULL,
    state_json   JSONB,
    state_bytes  BYTEA,
    digest       BYTEA,
    schema       BIGINT,
    encoding     TEXT    NOT NULL,
    durability   TEXT    NOT NULL,
    revision     BIGINT  NOT NULL,
    created_at   BIGINT  NOT NULL,
    updated_at   BIGINT  NOT NULL,
    deleted      BOOLEAN NOT NULL DEFAULT false,
    PRIMARY KEY (type, id)
) WITH (fillfactor = 80);

-- Lists, and queries by type, pass over the deleted ones without reading them.
CREATE INDEX objects_living ON objects (type, id) WHERE NOT deleted;

-- Keyed storage of living objects, in the order of the bytes of the keys.
CREATE TABLE storage (
    type   TEXT  COLLATE "C" NOT NULL,
    id     TEXT  COLLATE "C" NOT NULL,
    key    TEXT  COLLATE "C" NOT NULL,
    value  BYTEA NOT NULL,
    PRIMARY KEY (type, id, key)
);

-- Who claimed a shard last, and how often it was claimed: commits of other epochs are refused.
-- The owner is a number for (node, incarnation), by which its commits are locked; where two have
-- the same, one may wait for the other in vain, and no more.
CREATE TABLE shards (
    shard        BIGINT  PRIMARY KEY,
    epoch        BIGINT  NOT NULL,
    node         TEXT    NOT NULL,
    incarnation  TEXT    NOT NULL,
    claimed_at   BIGINT  NOT NULL,
    owner        INTEGER NOT NULL
        GENERATED ALWAYS AS (hashtext(node || E'\n' || incarnation)) STORED
);

CREATE FUNCTION now_micros() RETURNS BIGINT
    LANGUAGE sql VOLATILE AS $$ SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint $$;

-- The states of all objects, for those who want to look at them:
--   SELECT id, state ->> 'value' FROM object_states WHERE type = 'Counter';
CREATE VIEW object_states AS
    SELECT type, id, state_json AS state, state_bytes AS other_state, encoding, schema, version,
           revision, shard, durability, to_timestamp(created_at / 1e6) AS created_at,
           to_timestamp(updated_at / 1e6) AS updated_at
    FROM objects WHERE NOT deleted;

COMMENT ON VIEW object_states IS
    'Objects that exist, as they were last saved. state: if it is JSON that JSONB can hold; '
    'other_state: any other state, in its encoding; neither: the object has no state yet.';
