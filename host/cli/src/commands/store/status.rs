//! `wasmverse store status` and `init`: what a store is, and what it holds in numbers.

use std::collections::BTreeMap;

use indicatif::HumanBytes;
use serde::Serialize;
use wasmverse_store::{Store, dump};

use super::place::Place;
use crate::{
    failure::Result,
    output::{Output, plural, table},
};

pub(super) const EXAMPLES: &str = "\
Examples:
  wasmverse store status
  wasmverse store status --data-dir /srv/verse --json | jq .objects
  WASMVERSE_STORE__URL=file:/run/secrets/database wasmverse store status

A store that is not there is not made (but an empty PostgreSQL database gets its tables).";

pub(super) const INIT_EXAMPLES: &str = "\
Examples:
  wasmverse store init                               SQLite in ./.wasmverse
  wasmverse store init --url sqlite:/srv/verse.db
  WASMVERSE_CLUSTER__SHARDS=64 wasmverse store init --url \"$URL\"

Nodes do the same when they start. A store keeps its cluster's id and its count of shards
(cluster.shards) for good. One that is there already is left as it is, but tables of an older
version are brought up to date.";

/// What a store is and holds.
#[derive(Debug, Serialize)]
pub(super) struct Shown {
    store: String,
    database: &'static str,
    cluster_id: String,
    shards: u16,
    claimed: u64,
    schema: i64,
    bytes: u64,
    storage_keys: u64,
    results: u64,
    sends: u64,
    reminders: u64,
    dead_letters: u64,
    /// How many, by type.
    objects: BTreeMap<String, u64>,
}

impl Shown {
    /// Asks a store that is open.
    pub(super) async fn of(store: &dyn Store, place: &Place) -> Result<Self> {
        let status = store.status().await.map_err(|error| {
            place.failure(&error, |error| format!("failed to count what {place} holds: {error}"))
        })?;
        Ok(Self::new(status, place.to_string()))
    }

    fn new(status: dump::Status, store: String) -> Self {
        let dump::Status {
            database,
            cluster_id,
            shards,
            schema,
            claimed,
            objects,
            storage_keys,
            results,
            sends,
            reminders,
            dead_letters,
            bytes,
        } = status;
        Self {
            store,
            database,
            cluster_id,
            shards,
            claimed,
            schema,
            bytes,
            storage_keys,
            results,
            sends,
            reminders,
            dead_letters,
            objects: objects.into_iter().collect(),
        }
    }

    /// Whether no node ever kept anything here.
    fn is_unused(&self) -> bool {
        self.claimed == 0 && self.beside() == 0 && self.objects.is_empty()
    }

    /// About how many records an export has.
    pub(super) fn records(&self) -> u64 {
        self.claimed + self.beside() + self.objects.values().sum::<u64>()
    }

    /// What is kept beside objects.
    fn beside(&self) -> u64 {
        self.storage_keys + self.results + self.sends + self.reminders + self.dead_letters
    }

    /// `3 objects of 2 types, 5 storage keys, 1 reminder`.
    pub(super) fn counts(&self) -> String {
        let mut counts = plural(self.objects.values().sum(), "object");
        if !self.objects.is_empty() {
            counts += &format!(" of {}", plural(self.objects.len() as u64, "type"));
        }
        counts += &format!(", {}", plural(self.storage_keys, "storage key"));
        for (count, what) in [
            (self.results, "keyed result"),
            (self.sends, "pending send"),
            (self.reminders, "reminder"),
            (self.dead_letters, "dead letter"),
        ] {
            if count > 0 {
                counts += &format!(", {}", plural(count, what));
            }
        }
        counts
    }

    pub(super) fn text(&self) -> String {
        let mut lines = vec![
            format!("store     {} ({})", self.store, self.database),
            format!("cluster   {}", self.cluster_id),
            format!("shards    {}, {} of them claimed by nodes so far", self.shards, self.claimed),
            format!("schema    {}", self.schema),
            format!("size      {}", HumanBytes(self.bytes)),
            format!("holds     {}", self.counts()),
        ];
        if !self.objects.is_empty() {
            let rows: Vec<_> = self
                .objects
                .iter()
                .map(|(name, count)| [name.clone(), count.to_string()])
                .collect();
            lines.push(String::new());
            lines.push(table(["TYPE", "OBJECTS"], &rows));
        }
        lines.join("\n")
    }

    /// Whoever mistyped the name of a database may find an empty one, and it was not before.
    pub(super) fn warn_if_unused(&self, output: Output) {
        if self.is_unused() {
            output.note(format_args!(
                "nothing was ever kept in {}: is it the one you mean?",
                self.store
            ));
        }
    }
}

/// `wasmverse store status`.
pub(super) async fn run(place: &Place, output: Output) -> Result<()> {
    let store = place.open().await?;
    let shown = Shown::of(&*store, place).await?;
    place.close(&*store).await?;
    shown.warn_if_unused(output);
    output.result(&shown, || shown.text())
}

/// `wasmverse store init`.
pub(super) async fn init(place: &Place, output: Output) -> Result<()> {
    let was_there = place.is_there().await?;
    let store = place.make().await?;
    let shown = Shown::of(&*store, place).await?;
    place.close(&*store).await?;
    output.result(&shown, || format!("{}\n{}", headline(was_there), shown.text()))
}

fn headline(was_there: bool) -> &'static str {
    match was_there {
        false => "made a store:",
        true => "there is a store already, and it is left as it is:",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(objects: &[(&str, u64)]) -> Shown {
        let objects = objects.iter().map(|(name, count)| ((*name).to_owned(), *count));
        let objects: Vec<_> = objects.collect();
        let status = dump::Status {
            database: "sqlite",
            cluster_id: "c0ffee".to_owned(),
            shards: 8,
            schema: 2,
            claimed: if objects.is_empty() { 0 } else { 8 },
            storage_keys: objects.len() as u64,
            results: 0,
            sends: 0,
            reminders: objects.len() as u64 / 2,
            dead_letters: 0,
            objects,
            bytes: 4096,
        };
        Shown::new(status, "/data/wasmverse.db".to_owned())
    }

    #[test]
    fn people_see_what_it_is_and_what_it_holds() {
        let expected = "\
store     /data/wasmverse.db (sqlite)
cluster   c0ffee
shards    8, 8 of them claimed by nodes so far
schema    2
size      4.00 KiB
holds     4 objects of 2 types, 2 storage keys, 1 reminder

TYPE     OBJECTS
Counter  3
Echo     1";
        assert_eq!(shown(&[("Echo", 1), ("Counter", 3)]).text(), expected);
    }

    #[test]
    fn machines_find_a_count_by_the_name_of_its_type() {
        let json = serde_json::to_value(shown(&[("Counter", 3)])).unwrap();
        assert_eq!(json["objects"]["Counter"], 3);
        assert_eq!((&json["cluster_id"], &json["shards"]), (&"c0ffee".into(), &8.into()));
    }

    #[test]
    fn what_init_did_is_said() {
        assert_eq!(shown(&[]).counts(), "0 objects, 0 storage keys");
        assert!(headline(false).contains("made") && headline(true).contains("already"));
    }
}
