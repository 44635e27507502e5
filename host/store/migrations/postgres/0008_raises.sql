-- Raises of epochs, for those who know which one they take a shard from; and commits as before (0007),
-- but that sends which have arrived or were given up are removed in the order of their keys: two nodes
-- that settle the same ones, each in its own order, stood in each other's way until the server ended
-- one of them.

-- Raises shards (each once) whose epoch is the expected one (0: it never had one), by one: the rest is
-- left as it is. Told, in order: the new epoch, or the one that it has, below zero. Locks as claims do
-- (0002), but of former owners only those who lose something. As long as the lock of all claims is
-- held no epoch changes: what is read is so until the end.
CREATE PROCEDURE raise_shards(
    claimer_node TEXT, claimer_incarnation TEXT, wanted BIGINT[], expected BIGINT[],
    INOUT told BIGINT[])
LANGUAGE plpgsql AS $$
DECLARE
    had BIGINT[];
    owners INTEGER[];
BEGIN
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        RAISE 'claims want transactions that are read committed';
    END IF;
    PERFORM pg_advisory_xact_lock(1464681826, 0);
    -- A plan is kept, and knows neither how many are asked for nor how many there will be: each is
    -- looked up by its key, and nothing is joined to what was made here.
    PERFORM set_config('enable_seqscan', 'off', true);
    SELECT array_agg(coalesce(s.epoch, 0) ORDER BY w.place), array_agg(s.owner ORDER BY w.place)
        INTO had, owners
        FROM unnest(wanted) WITH ORDINALITY AS w (shard, place)
        LEFT JOIN LATERAL (
            SELECT s.epoch, s.owner FROM shards s WHERE s.shard = w.shard
            OFFSET 0
        ) s ON true;
    PERFORM pg_advisory_xact_lock(1464681825, former.owner) FROM (
        SELECT DISTINCT w.owner FROM unnest(expected, had, owners) AS w (expected, had, owner)
        WHERE w.had = w.expected AND w.owner IS NOT NULL ORDER BY w.owner
    ) former;
    INSERT INTO shards AS s (shard, epoch, node, incarnation, claimed_at)
        SELECT w.shard, w.had + 1, claimer_node, claimer_incarnation, now_micros()
        FROM unnest(wanted, expected, had) AS w (shard, expected, had)
        WHERE w.had = w.expected
        ON CONFLICT (shard) DO UPDATE SET
            epoch = excluded.epoch, node = excluded.node, incarnation = excluded.incarnation,
            claimed_at = excluded.claimed_at;
    SELECT array_agg(CASE WHEN w.had = w.expected THEN w.had + 1 ELSE -abs(w.had) END
                     ORDER BY w.place) INTO told
        FROM unnest(expected, had) WITH ORDINALITY AS w (expected, had, place);
    COMMIT;
END $$;

CREATE OR REPLACE PROCEDURE commit_turns(
    types TEXT[], ids TEXT[], shards_of BIGINT[], epochs BIGINT[], kinds BIGINT[],
    expecteds BIGINT[], jsons TEXT[], bytes_of BYTEA[], digests BYTEA[], schemas BIGINT[],
    encodings TEXT[], durabilities TEXT[], revisions_of BIGINT[],
    storage_places BIGINT[], storage_keys TEXT[], storage_values BYTEA[],
    effect_places BIGINT[], effect_kinds BIGINT[], effect_types TEXT[], effect_ids TEXT[],
    texts_1 TEXT[], texts_2 TEXT[], texts_3 TEXT[],
    numbers_1 BIGINT[], numbers_2 BIGINT[], numbers_3 BIGINT[],
    effect_askeds BYTEA[], effect_values BYTEA[],
    INOUT verdicts BIGINT[])
LANGUAGE plpgsql AS $$
DECLARE
    now BIGINT := now_micros();
    owners INTEGER[];
    opens BOOLEAN[];
    place BIGINT;
    reached BIGINT;
    latest BIGINT;
    had BIGINT;
    advanced BIGINT;
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

    -- What is to be there still. Where it is not, a row is closed before anything is written.
    -- OFFSET 0, here and below: row by row by their keys, whatever the sizes of the tables when the
    -- plan was made.
    IF effect_kinds && ARRAY[2, 3]::bigint[] THEN
        FOR place IN
            SELECT e.place
            FROM unnest(effect_places, effect_kinds, texts_1, texts_2, numbers_1, numbers_2,
                        numbers_3)
                AS e (place, kind, text_1, text_2, number_1, number_2, number_3)
            LEFT JOIN LATERAL (
                SELECT true AS is_there FROM outbox o
                WHERE o.shard = e.number_1 AND o.type = e.text_1 AND o.id = e.text_2
                    AND o.version = e.number_2 AND o.place = e.number_3
                OFFSET 0
            ) sent ON true
            WHERE e.kind IN (2, 3) AND sent.is_there IS NULL AND opens[e.place]
        LOOP
            opens[place] := false;
            verdicts[place] := -3;
        END LOOP;
    END IF;

    IF 6 = ANY (effect_kinds) THEN
        FOR place IN
            SELECT e.place
            FROM unnest(effect_places, effect_kinds, effect_types, effect_ids, texts_1, numbers_1)
                AS e (place, kind, type, id, text_1, number_1)
            LEFT JOIN LATERAL (
                SELECT true AS is_there FROM reminders r
                WHERE r.type = e.type AND r.id = e.id AND r.name = e.text_1
                    AND r.due_at = e.number_1
                OFFSET 0
            ) due ON true
            WHERE e.kind = 6 AND due.is_there IS NULL AND opens[e.place]
        LOOP
            opens[place] := false;
            verdicts[place] := -3;
        END LOOP;
    END IF;

    IF effect_kinds && ARRAY[7, 8]::bigint[] THEN
        FOR place IN
            SELECT e.place
            FROM unnest(effect_places, effect_kinds, effect_types, effect_ids, numbers_1)
                AS e (place, kind, type, id, number_1)
            LEFT JOIN LATERAL (
                SELECT true AS is_there FROM dead_letters d
                WHERE d.number = e.number_1 AND d.type = e.type AND d.id = e.id
                OFFSET 0
            ) letter ON true
            WHERE e.kind IN (7, 8) AND letter.is_there IS NULL AND opens[e.place]
        LOOP
            opens[place] := false;
            verdicts[place] := -3;
        END LOOP;
    END IF;

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

    IF kinds && ARRAY[4, 5, 7, 8]::bigint[] THEN
        FOR place, reached IN
            UPDATE objects o SET
                version = o.version + 1, state_json = NULL, state_bytes = NULL, digest = NULL,
                schema = NULL, deleted = true, updated_at = now
            FROM unnest(types, ids, opens, kinds, expecteds)
                WITH ORDINALITY AS i (type, id, open, kind, expected, place)
            WHERE i.kind IN (4, 8) AND i.open AND o.type = i.type AND o.id = i.id
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
        WHERE i.kind IN (4, 8) AND i.verdict > 0 AND s.type = i.type AND s.id = i.id;
        FOR place, reached IN
            WITH put AS (
                INSERT INTO objects AS o (type, id, shard, version, encoding, durability, revision,
                    created_at, updated_at, deleted)
                SELECT i.type, i.id, i.shard, 1, 'json', 'durable', 0, now, now, true
                FROM unnest(types, ids, shards_of, opens, kinds, verdicts)
                    AS i (type, id, shard, open, kind, verdict)
                WHERE i.kind IN (7, 8) AND i.open AND i.verdict < 0
                ON CONFLICT (type, id) DO UPDATE SET
                    shard = excluded.shard, version = o.version + 1, updated_at = now
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

    IF kinds && ARRAY[6, 9]::bigint[] THEN
        FOR place IN
            SELECT i.place
            FROM unnest(types, ids, opens, kinds)
                WITH ORDINALITY AS i (type, id, open, kind, place)
            LEFT JOIN LATERAL (
                SELECT true AS lives FROM objects o
                WHERE i.kind = 9 AND o.type = i.type AND o.id = i.id AND NOT o.deleted
                OFFSET 0 FOR SHARE OF o
            ) living ON true
            WHERE i.open AND (i.kind = 6 OR (i.kind = 9 AND living.lives))
        LOOP
            verdicts[place] := 0;
        END LOOP;
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

    IF 3 = ANY (effect_kinds) THEN
        INSERT INTO dead_letters (shard, type, id, version, place, to_type, to_id, method, payload,
            reason, sent_at, died_at)
        SELECT o.shard, o.type, o.id, o.version, o.place, o.to_type, o.to_id, o.method, o.payload,
            e.text_3, o.sent_at, now
        FROM (
            SELECT e.text_1, e.text_2, e.text_3, e.number_1, e.number_2, e.number_3
            FROM unnest(effect_places, effect_kinds, texts_1, texts_2, texts_3, numbers_1,
                        numbers_2, numbers_3)
                AS e (place, kind, text_1, text_2, text_3, number_1, number_2, number_3)
            WHERE e.kind = 3 AND verdicts[e.place] >= 0
            OFFSET 0
        ) e
        JOIN outbox o ON o.shard = e.number_1 AND o.type = e.text_1 AND o.id = e.text_2
            AND o.version = e.number_2 AND o.place = e.number_3;
    END IF;

    IF effect_kinds && ARRAY[2, 3]::bigint[] THEN
        -- In the order of their keys: they are looked up, and locked, one after the other as they come
        -- from here.
        DELETE FROM outbox o
        USING (
            SELECT e.text_1, e.text_2, e.number_1, e.number_2, e.number_3
            FROM unnest(effect_places, effect_kinds, texts_1, texts_2, numbers_1, numbers_2,
                        numbers_3)
                AS e (place, kind, text_1, text_2, number_1, number_2, number_3)
            WHERE e.kind IN (2, 3) AND verdicts[e.place] >= 0
            ORDER BY e.number_1, e.text_1 COLLATE "C", e.text_2 COLLATE "C", e.number_2, e.number_3
            OFFSET 0
        ) e
        WHERE o.shard = e.number_1 AND o.type = e.text_1 AND o.id = e.text_2
            AND o.version = e.number_2 AND o.place = e.number_3;
        GET DIAGNOSTICS had = ROW_COUNT;
        PERFORM all_had(had, effect_places, effect_kinds, ARRAY[2, 3], verdicts);
    END IF;

    IF 7 = ANY (effect_kinds) THEN
        INSERT INTO outbox (shard, type, id, version, place, to_type, to_id, method, payload,
            sent_at)
        SELECT d.shard, d.type, d.id, v.version,
            greatest(now, l.place + 1)
                + row_number() OVER (PARTITION BY e.place ORDER BY d.number) - 1,
            d.to_type, d.to_id, d.method, d.payload, now
        FROM (
            SELECT e.place, e.type, e.id, e.number_1
            FROM unnest(effect_places, effect_kinds, effect_types, effect_ids, numbers_1)
                AS e (place, kind, type, id, number_1)
            WHERE e.kind = 7 AND verdicts[e.place] >= 0
            OFFSET 0
        ) e
        JOIN dead_letters d ON d.number = e.number_1 AND d.type = e.type AND d.id = e.id
        CROSS JOIN LATERAL (
            SELECT coalesce(max(o.version), 0) AS version FROM objects o
            WHERE o.type = d.type AND o.id = d.id
        ) v
        CROSS JOIN LATERAL (
            SELECT max(o.place) AS place FROM outbox o
            WHERE o.shard = d.shard AND o.type = d.type AND o.id = d.id AND o.version = v.version
        ) l;
    END IF;

    IF effect_kinds && ARRAY[7, 8]::bigint[] THEN
        DELETE FROM dead_letters d
        USING (
            SELECT e.type, e.id, e.number_1
            FROM unnest(effect_places, effect_kinds, effect_types, effect_ids, numbers_1)
                AS e (place, kind, type, id, number_1)
            WHERE e.kind IN (7, 8) AND verdicts[e.place] >= 0
            OFFSET 0
        ) e
        WHERE d.number = e.number_1 AND d.type = e.type AND d.id = e.id;
        GET DIAGNOSTICS had = ROW_COUNT;
        PERFORM all_had(had, effect_places, effect_kinds, ARRAY[7, 8], verdicts);
    END IF;

    IF 6 = ANY (effect_kinds) THEN
        INSERT INTO dead_letters (shard, type, id, reminder, to_type, to_id, method, payload,
            reason, sent_at, died_at)
        SELECT r.shard, r.type, r.id, r.name, r.type, r.id, r.method, r.payload, e.text_2,
            r.due_at, now
        FROM (
            SELECT e.type, e.id, e.text_1, e.text_2, e.number_1
            FROM unnest(effect_places, effect_kinds, effect_types, effect_ids, texts_1, texts_2,
                        numbers_1)
                AS e (place, kind, type, id, text_1, text_2, number_1)
            WHERE e.kind = 6 AND e.text_2 IS NOT NULL AND verdicts[e.place] >= 0
            OFFSET 0
        ) e
        JOIN reminders r ON r.type = e.type AND r.id = e.id AND r.name = e.text_1
            AND r.due_at = e.number_1;
        DELETE FROM reminders r
        USING (
            SELECT e.type, e.id, e.text_1, e.number_1
            FROM unnest(effect_places, effect_kinds, effect_types, effect_ids, texts_1, numbers_1,
                        numbers_2)
                AS e (place, kind, type, id, text_1, number_1, number_2)
            WHERE e.kind = 6 AND e.number_2 IS NULL AND verdicts[e.place] >= 0
            OFFSET 0
        ) e
        WHERE r.type = e.type AND r.id = e.id AND r.name = e.text_1 AND r.due_at = e.number_1;
        GET DIAGNOSTICS had = ROW_COUNT;
        UPDATE reminders r SET due_at = e.number_2
        FROM (
            SELECT e.type, e.id, e.text_1, e.number_1, e.number_2
            FROM unnest(effect_places, effect_kinds, effect_types, effect_ids, texts_1, numbers_1,
                        numbers_2)
                AS e (place, kind, type, id, text_1, number_1, number_2)
            WHERE e.kind = 6 AND e.number_2 IS NOT NULL AND verdicts[e.place] >= 0
            OFFSET 0
        ) e
        WHERE r.type = e.type AND r.id = e.id AND r.name = e.text_1 AND r.due_at = e.number_1;
        GET DIAGNOSTICS advanced = ROW_COUNT;
        PERFORM all_had(had + advanced, effect_places, effect_kinds, ARRAY[6], verdicts);
    END IF;

    IF kinds && ARRAY[4, 8]::bigint[] THEN
        DELETE FROM reminders r
        USING (
            SELECT i.type, i.id FROM unnest(types, ids, kinds, verdicts)
                AS i (type, id, kind, verdict)
            WHERE i.kind IN (4, 8) AND i.verdict > 0
            OFFSET 0
        ) i
        WHERE r.type = i.type AND r.id = i.id;
    END IF;

    IF 5 = ANY (effect_kinds) THEN
        DELETE FROM reminders r
        USING (
            SELECT e.type, e.id, e.text_1
            FROM unnest(effect_places, effect_kinds, effect_types, effect_ids, texts_1)
                AS e (place, kind, type, id, text_1)
            WHERE e.kind = 5 AND verdicts[e.place] >= 0
            OFFSET 0
        ) e
        WHERE r.type = e.type AND r.id = e.id AND r.name = e.text_1;
    END IF;

    IF 4 = ANY (effect_kinds) THEN
        INSERT INTO reminders AS r (type, id, name, shard, schedule, method, payload, due_at)
        SELECT e.type, e.id, e.text_1, shards_of[e.place], e.text_2, e.text_3, e.value, e.number_1
        FROM unnest(effect_places, effect_kinds, effect_types, effect_ids, texts_1, texts_2,
                    texts_3, numbers_1, effect_values)
            AS e (place, kind, type, id, text_1, text_2, text_3, number_1, value)
        WHERE e.kind = 4 AND verdicts[e.place] >= 0
        ON CONFLICT (type, id, name) DO UPDATE SET
            shard = excluded.shard, schedule = excluded.schedule, method = excluded.method,
            payload = excluded.payload, due_at = excluded.due_at;
    END IF;

    IF 1 = ANY (effect_kinds) THEN
        INSERT INTO outbox (shard, type, id, version, place, to_type, to_id, method, payload,
            sent_at)
        SELECT shards_of[e.place], e.type, e.id, verdicts[e.place], e.number_1, e.text_1,
            e.text_2, e.text_3, e.value, now
        FROM unnest(effect_places, effect_kinds, effect_types, effect_ids, texts_1, texts_2,
                    texts_3, numbers_1, effect_values)
            AS e (place, kind, type, id, text_1, text_2, text_3, number_1, value)
        WHERE e.kind = 1 AND verdicts[e.place] > 0;
    END IF;

    IF 0 = ANY (effect_kinds) THEN
        PERFORM pg_advisory_xact_lock_shared(1464681828, 0);
        SELECT s.span INTO STRICT latest FROM result_spans s ORDER BY s.began_at DESC LIMIT 1;
        INSERT INTO results (span, hash, type, id, origin, key, asked, answer, kept_at)
        SELECT latest, e.number_1, e.type, e.id, e.text_1, e.text_2, e.asked, e.value, now
        FROM unnest(effect_places, effect_kinds, effect_types, effect_ids, texts_1, texts_2,
                    numbers_1, effect_askeds, effect_values)
            AS e (place, kind, type, id, text_1, text_2, number_1, asked, value)
        WHERE e.kind = 0 AND verdicts[e.place] >= 0;
    END IF;

    SELECT array_agg(CASE WHEN i.open OR i.verdict = -3 THEN i.verdict ELSE -2 END
                     ORDER BY i.place) INTO verdicts
        FROM unnest(verdicts, opens) WITH ORDINALITY AS i (verdict, open, place);
    COMMIT;
END $$;
