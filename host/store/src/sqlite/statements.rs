//! The statements that write rows of objects, many at a time, in a few sizes.
//!
//! Parameters have no numbers: SQLite searches a list for every numbered one.

use std::sync::Arc;

use crate::prepared::{Kind, Prepared};

/// Rows per statement, largest first. Few sizes, so that the prepared statements are used again.
const SIZES: [usize; 8] = [128, 64, 32, 16, 8, 4, 2, 1];
/// Bytes in one statement; a row with more goes alone.
const STATEMENT_BYTES: usize = 8 << 20;

/// What a statement does with its rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Deed {
    /// Puts where there is none.
    New,
    /// Puts over a version.
    Changed,
    /// Puts over anything.
    Over,
    /// Counts the version up.
    Touched,
    /// Sets keys of storage.
    Set,
    /// Removes keys of storage.
    Unset,
}

impl Deed {
    /// Values of a row that its statement passes over: none, if it takes whole sizes only.
    pub(super) fn padding(self) -> Option<usize> {
        match self {
            Self::Changed => Some(12),
            Self::Touched => Some(5),
            Self::New | Self::Over | Self::Set | Self::Unset => None,
        }
    }

    /// None: it is done one by one, or not at all.
    pub(super) fn of(row: &Prepared) -> Option<Self> {
        match row.kind? {
            Kind::New => Some(Self::New),
            Kind::Changed(_) => Some(Self::Changed),
            Kind::Over => Some(Self::Over),
            Kind::Touched(_) => Some(Self::Touched),
            Kind::Deleted(_) | Kind::NeverThere => None,
        }
    }
}

/// The statements of every deed and size.
pub(super) struct Statements([[Arc<str>; SIZES.len()]; 6]);

impl Statements {
    pub(super) fn new() -> Self {
        let texts: [fn(usize) -> String; 6] = [insert, update, upsert, touch, set, unset];
        Self(texts.map(|text| SIZES.map(|rows| text(rows).into())))
    }

    /// The statement for as many rows as it takes of those that weigh this much, how many these are,
    /// and how many are to be filled up with [`Deed::padding`].
    pub(super) fn fitting(
        &self,
        deed: Deed,
        weights: impl Iterator<Item = usize>,
    ) -> (Arc<str>, usize, usize) {
        let mut bytes = 0;
        let within = weights.take_while(|weight| {
            bytes += weight;
            bytes <= STATEMENT_BYTES
        });
        let rows = within.take(SIZES[0]).count().max(1);
        // Each statement is a way to the database's thread and back: rather one that is too large.
        let (fits, taken) = match deed.padding() {
            Some(_) => (SIZES.iter().rposition(|size| *size >= rows), rows),
            None => {
                let fits = SIZES.iter().position(|size| *size <= rows);
                (fits, fits.map_or(1, |fits| SIZES[fits]))
            }
        };
        let fits = fits.expect("one row fits, and no more than the largest were taken");
        let of_deed = match deed {
            Deed::New => &self.0[0],
            Deed::Changed => &self.0[1],
            Deed::Over => &self.0[2],
            Deed::Touched => &self.0[3],
            Deed::Set => &self.0[4],
            Deed::Unset => &self.0[5],
        };
        (Arc::clone(&of_deed[fits]), taken, SIZES[fits] - taken)
    }
}

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

fn insert(rows: usize) -> String {
    let values = values("(?,?,?,?,?,?,?,?,?,?,?,?,1,0)", rows);
    let created = "created_at = excluded.created_at WHERE objects.deleted = 1";
    format!("{COLUMNS}{values}{REPLACE}{created}{RETURNING}")
}

fn upsert(rows: usize) -> String {
    let values = values("(?,?,?,?,?,?,?,?,?,?,?,?,1,0)", rows);
    let created = "created_at = CASE WHEN objects.deleted THEN excluded.created_at \
                   ELSE objects.created_at END";
    format!("{COLUMNS}{values}{REPLACE}{created}{RETURNING}")
}

fn update(rows: usize) -> String {
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

fn touch(rows: usize) -> String {
    format!(
        "UPDATE objects SET shard = v.column3, version = objects.version + 1, \
         updated_at = v.column4 FROM (VALUES {}) AS v \
         WHERE objects.type = v.column1 AND objects.id = v.column2 \
         AND (v.column5 IS NULL OR objects.version = v.column5) AND objects.deleted = 0{RETURNING}",
        values("(?,?,?,?,?)", rows)
    )
}

fn set(rows: usize) -> String {
    format!(
        "INSERT INTO storage (type, id, key, value) VALUES {} \
         ON CONFLICT (type, id, key) DO UPDATE SET value = excluded.value",
        values("(?,?,?,?)", rows)
    )
}

fn unset(rows: usize) -> String {
    // CROSS: the values are the outer loop.
    format!(
        "DELETE FROM storage WHERE rowid IN (SELECT s.rowid FROM (VALUES {}) AS v \
         CROSS JOIN storage AS s \
         ON s.type = v.column1 AND s.id = v.column2 AND s.key = v.column3) RETURNING type, id",
        values("(?,?,?)", rows)
    )
}
