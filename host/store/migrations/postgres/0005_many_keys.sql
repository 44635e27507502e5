-- Commits turns as before (0002), and looks up each key that is removed by its own way through the
-- index: a plan for all of them at once went through all keys of the object for each.
CREATE OR REPLACE PROCEDURE commit_turns(
    types TEXT[], ids TEXT[], shards_of BIGINT[], epochs BIGINT[], kinds BIGINT[],
    expecteds BIGINT[], jsons TEXT[], bytes_of BYTEA[], digests BYTEA[], schemas BIGINT[],
    encodings TEXT[], durabilities TEXT[], revisions_of BIGINT[],
    storage_places BIGINT[], storage_keys TEXT[], storage_values BYTEA[],
    INOUT verdicts BIGINT[])
LANGUAGE plpgsql AS $$
DECLARE
    now BIGINT := now_micros();
    owners INTEGER[];
    opens BOOLEAN[];
    place BIGINT;
    reached BIGINT;
BEGIN
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        RAISE 'commits want transactions that are read committed';
    END IF;
    -- Claims wait for this statement, or it for them: what is read after the lock stays so.
    SELECT array_agg(o.owner) INTO owners FROM (
        SELECT DISTINCT s.owner FROM unnest(shards_of) AS i (shard) JOIN shards s USING (shard)
        ORDER BY s.owner
    ) o;
    PERFORM pg_advisory_xact_lock_shared(1464681825, o.owner) FROM unnest(owners) AS o (owner);
    SELECT array_agg(i.epoch IS NULL OR (s.epoch = i.epoch AND s.owner = ANY (owners)) IS TRUE
                     ORDER BY i.place),
           array_agg(-1::bigint)
        INTO opens, verdicts
        FROM unnest(shards_of, epochs) WITH ORDINALITY AS i (shard, epoch, place)
        LEFT JOIN shards s USING (shard);

    IF kinds && ARRAY[1, 2]::bigint[] THEN
        FOR place, reached IN
            UPDATE objects o SET
                shard = i.shard, version = o.version + 1, state_json = i.json::jsonb,
                state_bytes = i.bytes, digest = i.digest, schema = i.schema,
                encoding = i.encoding, durability = i.durability, revision = i.revision,
                updated_at = now
            FROM unnest(types, ids, shards_of, opens, kinds, expecteds, jsons, bytes_of, digests,
                        schemas, encodings, durabilities, revisions_of)
                WITH ORDINALITY AS i (type, id, shard, open, kind, expected, json, bytes, digest,
                                      schema, encoding, durability, revision, place)
            WHERE i.kind IN (1, 2) AND i.open AND o.type = i.type AND o.id = i.id
                AND (i.expected IS NULL OR o.version = i.expected) AND NOT o.deleted
            RETURNING i.place, o.version
        LOOP
            verdicts[place] := reached;
        END LOOP;
    END IF;

    IF kinds && ARRAY[0, 2]::bigint[] THEN
        FOR place, reached IN
            WITH put AS (
                INSERT INTO objects AS o (type, id, shard, version, state_json, state_bytes,
                    digest, schema, encoding, durability, revision, created_at, updated_at)
                SELECT i.type, i.id, i.shard, 1, i.json::jsonb, i.bytes, i.digest, i.schema,
                    i.encoding, i.durability, i.revision, now, now
                FROM unnest(types, ids, shards_of, opens, kinds, verdicts, jsons, bytes_of,
                            digests, schemas, encodings, durabilities, revisions_of)
                    AS i (type, id, shard, open, kind, verdict, json, bytes, digest, schema,
                          encoding, durability, revision)
                WHERE i.kind IN (0, 2) AND i.open AND i.verdict < 0
                ON CONFLICT (type, id) DO UPDATE SET
                    shard = excluded.shard, version = o.version + 1,
                    state_json = excluded.state_json, state_bytes = excluded.state_bytes,
                    digest = excluded.digest, schema = excluded.schema,
                    encoding = excluded.encoding, durability = excluded.durability,
                    revision = excluded.revision, updated_at = excluded.updated_at,
                    created_at = excluded.created_at, deleted = false
                WHERE o.deleted
                RETURNING o.type, o.id, o.version
            )
            SELECT i.place, put.version
            FROM put JOIN unnest(types, ids) WITH ORDINALITY AS i (type, id, place)
                USING (type, id)
        LOOP
            verdicts[place] := reached;
        END LOOP;
    END IF;

    IF 3 = ANY (kinds) THEN
        FOR place, reached IN
            UPDATE objects o SET shard = i.shard, version = o.version + 1, updated_at = now
            FROM unnest(types, ids, shards_of, opens, kinds, expecteds)
                WITH ORDINALITY AS i (type, id, shard, open, kind, expected, place)
            WHERE i.kind = 3 AND i.open AND o.type = i.type AND o.id = i.id
                AND (i.expected IS NULL OR o.version = i.expected) AND NOT o.deleted
            RETURNING i.place, o.version
        LOOP
            verdicts[place] := reached;
        END LOOP;
    END IF;

    IF kinds && ARRAY[4, 5]::bigint[] THEN
        FOR place, reached IN
            UPDATE objects o SET
                version = o.version + 1, state_json = NULL, state_bytes = NULL, digest = NULL,
                schema = NULL, deleted = true, updated_at = now
            FROM unnest(types, ids, opens, kinds, expecteds)
                WITH ORDINALITY AS i (type, id, open, kind, expected, place)
            WHERE i.kind = 4 AND i.open AND o.type = i.type AND o.id = i.id
                AND (i.expected IS NULL OR o.version = i.expected) AND NOT o.deleted
            RETURNING i.place, o.version
        LOOP
            verdicts[place] := reached;
        END LOOP;
        FOR place IN
            SELECT i.place
            FROM unnest(types, ids, opens, kinds, expecteds, verdicts)
                WITH ORDINALITY AS i (type, id, open, kind, expected, verdict, place)
            WHERE i.kind IN (4, 5) AND i.expected IS NULL AND i.open AND i.verdict < 0
                AND NOT EXISTS (SELECT 1 FROM objects o
                                WHERE o.type = i.type AND o.id = i.id AND NOT o.deleted)
        LOOP
            verdicts[place] := 0;
        END LOOP;
        DELETE FROM storage s
        USING unnest(types, ids, kinds, verdicts) AS i (type, id, kind, verdict)
        WHERE i.kind = 4 AND i.verdict > 0 AND s.type = i.type AND s.id = i.id;
    END IF;

    IF cardinality(storage_places) > 0 THEN
        INSERT INTO storage AS s (type, id, key, value)
        SELECT i.type, i.id, k.key, k.value
        FROM unnest(storage_places, storage_keys, storage_values) AS k (place, key, value)
        JOIN unnest(types, ids, verdicts) WITH ORDINALITY AS i (type, id, verdict, place)
            USING (place)
        WHERE k.value IS NOT NULL AND i.verdict > 0
        ON CONFLICT (type, id, key) DO UPDATE SET value = excluded.value;
        IF array_position(storage_values, NULL) IS NOT NULL THEN
            -- OFFSET 0: as one table, so that rows are found by all three columns. Else, for each
            -- key, all keys of the object may be gone through.
            DELETE FROM storage s
            USING (
                SELECT i.type, i.id, k.key
                FROM unnest(storage_places, storage_keys, storage_values) AS k (place, key, value)
                JOIN unnest(types, ids, verdicts) WITH ORDINALITY AS i (type, id, verdict, place)
                    USING (place)
                WHERE k.value IS NULL AND i.verdict > 0
                OFFSET 0
            ) gone
            WHERE s.type = gone.type AND s.id = gone.id AND s.key = gone.key;
        END IF;
    END IF;

    SELECT array_agg(CASE WHEN i.open THEN i.verdict ELSE -2 END ORDER BY i.place) INTO verdicts
        FROM unnest(verdicts, opens) WITH ORDINALITY AS i (verdict, open, place);
    COMMIT;
END $$;
