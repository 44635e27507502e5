-- How many keys an object's storage has, kept by whoever writes storage, once for each object and
-- commit. No row: none. In a table of its own, because a row of `objects` brings all of its state.
CREATE TABLE storage_counts (
    type  TEXT    NOT NULL,
    id    TEXT    NOT NULL,
    keys  INTEGER NOT NULL,
    PRIMARY KEY (type, id)
) STRICT, WITHOUT ROWID;

INSERT INTO storage_counts (type, id, keys)
SELECT type, id, count(*) FROM storage GROUP BY type, id;
