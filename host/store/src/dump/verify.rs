//! Looking over all that a store holds.

use std::collections::HashSet;

use sha2::{Digest as _, Sha256};
use tokio::sync::mpsc;
use wasmverse_core::{Durability, Encoding, ObjectId, State, TypeName};

use super::{
    ComponentRecord, DeadLetterRecord, ObjectRecord, Record, ReminderRecord, ResultRecord,
    RevisionLine, SendRecord, ShardRecord, StorageRecord,
};
use crate::{Error, StateDigest, Store, limits::check_key};

/// Records that wait to be looked at.
const QUEUE_LENGTH: usize = 64;

/// Walks through all that a store holds; answers what is wrong with it.
///
/// # Errors
/// The store's, if it cannot be walked through.
pub async fn verify(store: &dyn Store) -> Result<Vec<String>, Error> {
    let (sender, mut records) = mpsc::channel::<Result<Record, Error>>(QUEUE_LENGTH);
    let looking = async move {
        let mut seen = Seen::default();
        while let Some(record) = records.recv().await {
            match record {
                Ok(record) => seen.look(record),
                Err(error) => seen.problems.push(error.to_string()),
            }
        }
        seen.problems
    };
    let (dumped, problems) = futures_util::future::join(store.dump(sender), looking).await;
    dumped?;
    Ok(problems)
}

#[derive(Default)]
struct Seen {
    problems: Vec<String>,
    shards: u16,
    components: HashSet<String>,
    active: HashSet<String>,
    living: HashSet<(String, String)>,
}

impl Seen {
    fn look(&mut self, record: Record) {
        match record {
            Record::Store(origin) => self.shards = origin.shards,
            Record::Shard(record) => self.shard(&record),
            Record::Component(record) => self.component(record),
            Record::Revision(line) => self.revision(line),
            Record::Object(record) => self.object(record),
            Record::Storage(record) => self.storage(record),
            Record::Result(record) => self.result(&record),
            Record::Send(record) => self.send(&record),
            Record::Reminder(record) => self.reminder(record),
            Record::DeadLetter(record) => self.dead_letter(&record),
            Record::End => {}
        }
    }

    fn problem(&mut self, about: &str, told: &str) {
        self.problems.push(format!("{about}: {told}"));
    }

    fn shard(&mut self, record: &ShardRecord) {
        let about = format!("shard {}", record.shard);
        if record.shard >= self.shards {
            self.problem(&about, &format!("there are {} shards", self.shards));
        }
        if record.epoch == 0 {
            self.problem(&about, "it was claimed, and has no epoch");
        }
        if record.node.is_empty() || record.incarnation.is_empty() {
            self.problem(&about, "it was claimed by nobody");
        }
    }

    fn component(&mut self, record: ComponentRecord) {
        let found = hex::encode(Sha256::digest(&record.bytes));
        if found != record.digest {
            self.problem(
                &format!("component {}", record.digest),
                &format!("its digest is {found}"),
            );
        }
        self.components.insert(record.digest);
    }

    fn revision(&mut self, line: RevisionLine) {
        let about = format!("revision {} of {}", line.number, line.type_name);
        if TypeName::new(&line.type_name).is_err() {
            self.problem(&about, "this is no name of a type");
        }
        if !self.components.contains(&line.digest) {
            self.problem(&about, "its component is not there");
        }
        if line.active && !self.active.insert(line.type_name) {
            self.problem(&about, "another one is active, too");
        }
    }

    fn object(&mut self, record: ObjectRecord) {
        let about = format!("{}/{}", record.type_name, record.id);
        self.parses(&about, &record.type_name, &record.id);
        if record.version == 0 {
            self.problem(&about, "it has no version");
        }
        self.in_cluster(&about, record.shard);
        if Encoding::from_word(&record.encoding).is_none() {
            self.problem(&about, &format!("its encoding is `{}`", record.encoding));
        }
        if Durability::from_word(&record.durability).is_none() {
            self.problem(&about, &format!("its durability is `{}`", record.durability));
        }
        if let Some(told) = wrong_state(&record) {
            self.problem(&about, told);
        }
        if !record.deleted {
            self.living.insert((record.type_name, record.id));
        }
    }

    fn storage(&mut self, record: StorageRecord) {
        let key = record.key.escape_debug();
        let about = format!("the key `{key}` of {}/{}", record.type_name, record.id);
        if let Err(error) = check_key(&record.key) {
            self.problem(&about, &error.to_string());
        }
        let whose = (record.type_name, record.id);
        if !self.living.contains(&whose) {
            self.problem(&about, "this object is not there");
        }
    }
}

impl Seen {
    fn result(&mut self, record: &ResultRecord) {
        let key = record.key.escape_debug();
        let about = format!("the result of `{key}` of {}/{}", record.type_name, record.id);
        self.parses(&about, &record.type_name, &record.id);
        if hex::decode(&record.asked).is_ok_and(|asked| asked.len() != 16) {
            self.problem(&about, "what was asked is no digest");
        }
    }

    fn send(&mut self, record: &SendRecord) {
        let SendRecord { type_name, id, version, place, .. } = record;
        let about = format!("the send {version}.{place} of {type_name}/{id}");
        self.parses(&about, type_name, id);
        self.parses(&about, &record.to_type, &record.to_id);
        self.in_cluster(&about, record.shard);
    }

    fn reminder(&mut self, record: ReminderRecord) {
        let name = record.name.escape_debug();
        let about = format!("the reminder `{name}` of {}/{}", record.type_name, record.id);
        self.parses(&about, &record.type_name, &record.id);
        self.in_cluster(&about, record.shard);
        if !self.living.contains(&(record.type_name, record.id)) {
            self.problem(&about, "this object is not there");
        }
    }

    fn dead_letter(&mut self, record: &DeadLetterRecord) {
        let about = format!("the dead letter {}", record.number);
        self.parses(&about, &record.type_name, &record.id);
        self.parses(&about, &record.to_type, &record.to_id);
        self.in_cluster(&about, record.shard);
    }

    fn parses(&mut self, about: &str, type_name: &str, id: &str) {
        if let Err(error) = ObjectId::parse(type_name, id) {
            self.problem(about, &error.to_string());
        }
    }

    fn in_cluster(&mut self, about: &str, shard: u16) {
        if shard >= self.shards {
            self.problem(about, &format!("it is of shard {shard} of {}", self.shards));
        }
    }
}

/// What is wrong with an object's state.
fn wrong_state(record: &ObjectRecord) -> Option<&'static str> {
    let ObjectRecord { schema, json, bytes, digest, .. } = record;
    if record.deleted {
        let bare = schema.is_none() && json.is_none() && bytes.is_none() && digest.is_none();
        return (!bare).then_some("it was deleted, and has state");
    }
    let Some(schema) = *schema else {
        let bare = json.is_none() && bytes.is_none() && digest.is_none();
        return (!bare).then_some("its state has no schema");
    };
    match (json, bytes) {
        (None, None) => Some("its state is gone"),
        (Some(_), Some(_)) => Some("it has two states"),
        (Some(json), None) => {
            let read = serde_json::from_str::<serde::de::IgnoredAny>(json);
            read.is_err().then_some("its state is not JSON")
        }
        (None, Some(bytes)) => {
            let state = State { schema, data: bytes.clone().into() };
            let found = hex::encode(StateDigest::of(&state).0);
            let same = digest.as_ref().is_none_or(|digest| *digest == found);
            (!same).then_some("its state is not what was saved")
        }
    }
}
