-- How many keys an object's storage has, kept by the database itself, whoever writes. No row: none.
-- In a table of its own, because a row of `objects` brings all of its state.
CREATE TABLE storage_counts (
    type  TEXT   COLLATE "C" NOT NULL,
    id    TEXT   COLLATE "C" NOT NULL,
    keys  BIGINT NOT NULL,
    PRIMARY KEY (type, id)
) WITH (fillfactor = 80);

INSERT INTO storage_counts (type, id, keys)
SELECT type, id, count(*) FROM storage GROUP BY type, id;

-- Of an upsert, the rows that were not there.
CREATE FUNCTION count_added_keys() RETURNS TRIGGER LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO storage_counts AS c (type, id, keys)
    SELECT a.type, a.id, count(*) FROM added a GROUP BY a.type, a.id
    ON CONFLICT (type, id) DO UPDATE SET keys = c.keys + excluded.keys;
    RETURN NULL;
END $$;

-- No join: whatever plan was made for it while there were few counts would be kept.
CREATE FUNCTION count_removed_keys() RETURNS TRIGGER LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO storage_counts AS c (type, id, keys)
    SELECT r.type, r.id, -count(*) FROM removed r GROUP BY r.type, r.id
    ON CONFLICT (type, id) DO UPDATE SET keys = c.keys + excluded.keys;
    RETURN NULL;
END $$;

CREATE TRIGGER storage_added AFTER INSERT ON storage
    REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION count_added_keys();

CREATE TRIGGER storage_removed AFTER DELETE ON storage
    REFERENCING OLD TABLE AS removed
    FOR EACH STATEMENT EXECUTE FUNCTION count_removed_keys();

CREATE OR REPLACE VIEW object_states AS
    SELECT o.type, o.id, o.state_json AS state, o.state_bytes AS other_state, o.encoding, o.schema,
           o.version, o.revision, o.shard, o.durability,
           to_timestamp(o.created_at / 1e6) AS created_at,
           to_timestamp(o.updated_at / 1e6) AS updated_at, coalesce(c.keys, 0) AS storage_keys
    FROM objects o LEFT JOIN storage_counts c ON c.type = o.type AND c.id = o.id
    WHERE NOT o.deleted;
