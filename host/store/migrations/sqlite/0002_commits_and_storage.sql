-- The state as it was saved, in a digest of 16 bytes; none: there is no state, or it was saved before
-- there were digests.
ALTER TABLE objects ADD COLUMN digest BLOB;

-- Keyed storage of living objects, in the order of the bytes of the keys.
CREATE TABLE storage (
    type   TEXT NOT NULL,
    id     TEXT NOT NULL,
    key    TEXT NOT NULL,
    value  BLOB NOT NULL,
    PRIMARY KEY (type, id, key)
) STRICT;

-- Who claimed a shard last, and how often it was claimed: commits of other epochs are refused.
CREATE TABLE shards (
    shard        INTEGER PRIMARY KEY,
    epoch        INTEGER NOT NULL,
    node         TEXT    NOT NULL,
    incarnation  TEXT    NOT NULL,
    claimed_at   INTEGER NOT NULL
) STRICT;
