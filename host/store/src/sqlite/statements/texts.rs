//! The text of each statement, for so many rows.
//!
//! Parameters have no numbers: SQLite searches a list for every numbered one.

/// The same list of values so many times.
fn values(row: &str, rows: usize) -> String {
    vec![row; rows].join(",")
}

const COLUMNS: &str = "INSERT INTO objects (type, id, shard, state_json, state_bytes, digest, \
                       schema, encoding, durability, revision, created_at, updated_at, version, \
                       deleted) VALUES ";
const REPLACE: &str = " ON CONFLICT (type, id) DO UPDATE SET shard = excluded.shard, \
                       version = objects.version + 1, state_json = excluded.state_json, \
                       state_bytes = excluded.state_bytes, digest = excluded.digest, \
                       schema = excluded.schema, encoding = excluded.encoding, \
                       durability = excluded.durability, revision = excluded.revision, \
                       updated_at = excluded.updated_at, deleted = 0, ";
const RETURNING: &str = " RETURNING type, id, version";

pub(in crate::sqlite) fn insert(rows: usize) -> String {
    let values = values("(?,?,?,?,?,?,?,?,?,?,?,?,1,0)", rows);
    let created = "created_at = excluded.created_at WHERE objects.deleted = 1";
    format!("{COLUMNS}{values}{REPLACE}{created}{RETURNING}")
}

pub(in crate::sqlite) fn upsert(rows: usize) -> String {
    let values = values("(?,?,?,?,?,?,?,?,?,?,?,?,1,0)", rows);
    let created = "created_at = CASE WHEN objects.deleted THEN excluded.created_at \
                   ELSE objects.created_at END";
    format!("{COLUMNS}{values}{REPLACE}{created}{RETURNING}")
}

pub(in crate::sqlite) fn update(rows: usize) -> String {
    format!(
        "UPDATE objects SET shard = v.column3, version = objects.version + 1, \
         state_json = v.column4, state_bytes = v.column5, digest = v.column6, \
         schema = v.column7, encoding = v.column8, durability = v.column9, \
         revision = v.column10, updated_at = v.column11 FROM (VALUES {}) AS v \
         WHERE objects.type = v.column1 AND objects.id = v.column2 \
         AND objects.version = v.column12 AND objects.deleted = 0{RETURNING}",
        values("(?,?,?,?,?,?,?,?,?,?,?,?)", rows)
    )
}

pub(in crate::sqlite) fn touch(rows: usize) -> String {
    format!(
        "UPDATE objects SET shard = v.column3, version = objects.version + 1, \
         updated_at = v.column4 FROM (VALUES {}) AS v \
         WHERE objects.type = v.column1 AND objects.id = v.column2 \
         AND (v.column5 IS NULL OR objects.version = v.column5) AND objects.deleted = 0{RETURNING}",
        values("(?,?,?,?,?)", rows)
    )
}

pub(in crate::sqlite) fn set(rows: usize) -> String {
    format!(
        "INSERT INTO storage (type, id, key, value) VALUES {} \
         ON CONFLICT (type, id, key) DO UPDATE SET value = excluded.value",
        values("(?,?,?,?)", rows)
    )
}

pub(in crate::sqlite) fn unset(rows: usize) -> String {
    // CROSS: the values are the outer loop.
    format!(
        "DELETE FROM storage WHERE rowid IN (SELECT s.rowid FROM (VALUES {}) AS v \
         CROSS JOIN storage AS s \
         ON s.type = v.column1 AND s.id = v.column2 AND s.key = v.column3) RETURNING type, id",
        values("(?,?,?)", rows)
    )
}

pub(in crate::sqlite) fn find(rows: usize) -> String {
    // CROSS: the values are the outer loop.
    format!(
        "SELECT v.column1 FROM (VALUES {}) AS v CROSS JOIN outbox AS o \
         ON o.shard = v.column2 AND o.type = v.column3 AND o.id = v.column4 \
         AND o.version = v.column5 AND o.place = v.column6",
        values("(?,?,?,?,?,?)", rows)
    )
}

pub(in crate::sqlite) fn settle(rows: usize) -> String {
    format!(
        "DELETE FROM outbox WHERE (shard, type, id, version, place) IN (VALUES {})",
        values("(?,?,?,?,?)", rows)
    )
}

pub(in crate::sqlite) fn send(rows: usize) -> String {
    format!(
        "INSERT INTO outbox (shard, type, id, version, place, to_type, to_id, method, payload, \
         sent_at) SELECT * FROM (VALUES {}) WHERE column1 IS NOT NULL",
        values("(?,?,?,?,?,?,?,?,?,?)", rows)
    )
}

pub(in crate::sqlite) fn keep(span: i64, rows: usize) -> String {
    format!(
        "INSERT INTO results_{span} (chunk, hash, type, id, origin, key, asked, answer, kept_at) \
         SELECT * FROM (VALUES {}) WHERE column1 IS NOT NULL",
        values("(?,?,?,?,?,?,?,?,?)", rows)
    )
}
