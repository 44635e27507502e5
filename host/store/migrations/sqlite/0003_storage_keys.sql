-- How many keys an object's storage has, kept by the database itself, whoever writes.
ALTER TABLE objects ADD COLUMN storage_keys INTEGER NOT NULL DEFAULT 0;

UPDATE objects SET storage_keys = counted.keys
FROM (SELECT type, id, count(*) AS keys FROM storage GROUP BY type, id) AS counted
WHERE objects.type = counted.type AND objects.id = counted.id;

CREATE TRIGGER storage_added AFTER INSERT ON storage BEGIN
    UPDATE objects SET storage_keys = storage_keys + 1 WHERE type = new.type AND id = new.id;
END;

-- A deleted object has none, and they go one by one.
CREATE TRIGGER storage_removed AFTER DELETE ON storage BEGIN
    UPDATE objects SET storage_keys = storage_keys - 1
    WHERE type = old.type AND id = old.id AND deleted = 0;
END;

CREATE TRIGGER storage_forgotten AFTER UPDATE OF deleted ON objects WHEN new.deleted = 1 BEGIN
    UPDATE objects SET storage_keys = 0 WHERE type = new.type AND id = new.id;
END;
