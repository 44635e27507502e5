//! Where pages of what is kept beside objects begin, as databases compare it.

use crate::{SendId, Shards, StoredReminder};

/// Where a page of sends begins: behind this one.
pub(crate) struct SendCursor<'a> {
    pub(crate) shard: i64,
    pub(crate) type_name: &'a str,
    pub(crate) id: &'a str,
    pub(crate) version: i64,
    pub(crate) place: i64,
}

impl<'a> SendCursor<'a> {
    pub(crate) fn new(shards: &Shards, after: Option<&'a SendId>) -> Self {
        let first = *shards.start();
        match after.filter(|after| after.shard >= first) {
            Some(SendId { shard, from, number }) => Self {
                shard: i64::from(shard.0),
                type_name: from.type_name().as_str(),
                id: from.id(),
                version: i64::try_from(number.version.0).unwrap_or(i64::MAX),
                place: i64::try_from(number.place).unwrap_or(i64::MAX),
            },
            // No type's name is empty: every send of the shard comes after this one.
            None => Self { shard: i64::from(first.0), type_name: "", id: "", version: 0, place: 0 },
        }
    }
}

/// Where a page of reminders begins: behind this one.
pub(crate) struct DueCursor<'a> {
    pub(crate) due_at: i64,
    pub(crate) type_name: &'a str,
    pub(crate) id: &'a str,
    pub(crate) name: &'a str,
}

impl<'a> DueCursor<'a> {
    pub(crate) fn new(after: Option<&'a StoredReminder>) -> Self {
        match after {
            Some(after) => Self {
                due_at: after.reminder.due_micros,
                type_name: after.object.type_name().as_str(),
                id: after.object.id(),
                name: &after.reminder.name,
            },
            None => Self { due_at: i64::MIN, type_name: "", id: "", name: "" },
        }
    }
}
