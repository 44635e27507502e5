-- How many keys an object's storage has, kept by the database itself, whoever writes.
ALTER TABLE objects ADD COLUMN storage_keys BIGINT NOT NULL DEFAULT 0;

UPDATE objects o SET storage_keys = counted.keys
FROM (SELECT type, id, count(*) AS keys FROM storage GROUP BY type, id) counted
WHERE o.type = counted.type AND o.id = counted.id;

-- Of an upsert, the rows that were not there.
CREATE FUNCTION count_added_keys() RETURNS TRIGGER LANGUAGE plpgsql AS $$
BEGIN
    UPDATE objects o SET storage_keys = o.storage_keys + counted.keys
    FROM (SELECT a.type, a.id, count(*) AS keys FROM added a GROUP BY a.type, a.id) counted
    WHERE o.type = counted.type AND o.id = counted.id;
    RETURN NULL;
END $$;

CREATE FUNCTION count_removed_keys() RETURNS TRIGGER LANGUAGE plpgsql AS $$
BEGIN
    UPDATE objects o SET storage_keys = o.storage_keys - counted.keys
    FROM (SELECT r.type, r.id, count(*) AS keys FROM removed r GROUP BY r.type, r.id) counted
    WHERE o.type = counted.type AND o.id = counted.id;
    RETURN NULL;
END $$;

CREATE TRIGGER storage_added AFTER INSERT ON storage
    REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION count_added_keys();

CREATE TRIGGER storage_removed AFTER DELETE ON storage
    REFERENCING OLD TABLE AS removed
    FOR EACH STATEMENT EXECUTE FUNCTION count_removed_keys();

CREATE OR REPLACE VIEW object_states AS
    SELECT type, id, state_json AS state, state_bytes AS other_state, encoding, schema, version,
           revision, shard, durability, to_timestamp(created_at / 1e6) AS created_at,
           to_timestamp(updated_at / 1e6) AS updated_at, storage_keys
    FROM objects WHERE NOT deleted;
