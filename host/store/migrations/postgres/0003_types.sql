-- Keeps a component and gives it the type's next number; one that the type has already keeps its
-- number. Uploads of one type come one after the other.
CREATE FUNCTION add_revision(
    of_type TEXT, of_digest BYTEA, component BYTEA, description TEXT, author TEXT)
RETURNS SETOF revisions LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(1464681827, hashtext(of_type));
    INSERT INTO components (digest, bytes) VALUES (of_digest, component) ON CONFLICT DO NOTHING;
    INSERT INTO revisions (type, number, digest, description, author, created_at)
        SELECT of_type, coalesce(max(r.number), 0) + 1, of_digest, add_revision.description,
               add_revision.author, now_micros()
        FROM revisions r WHERE r.type = of_type
        ON CONFLICT (type, digest) DO NOTHING;
    RETURN QUERY SELECT * FROM revisions r WHERE r.type = of_type AND r.digest = of_digest;
END $$;

-- Makes a revision the type's active one; nothing, if there is no such revision.
CREATE FUNCTION activate_revision(of_type TEXT, wanted BIGINT)
RETURNS SETOF revisions LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(1464681827, hashtext(of_type));
    IF EXISTS (SELECT 1 FROM revisions r WHERE r.type = of_type AND r.number = wanted) THEN
        -- One after the other: the index allows one active revision at any time.
        UPDATE revisions r SET active = false WHERE r.type = of_type AND r.active;
        UPDATE revisions r SET active = true WHERE r.type = of_type AND r.number = wanted;
    END IF;
    RETURN QUERY SELECT * FROM revisions r WHERE r.type = of_type AND r.number = wanted;
END $$;
