//! What earlier versions stored is read as they meant it: recorded stores under `golden/`.

use std::{collections::BTreeSet, fs, io::Write as _, path::Path};

use bytes::Bytes;
use sha2::{Digest as _, Sha256};
use wasmverse_core::{SendNumber, TypeName};

use super::*;
use crate::{
    DeadSource, KeptResult, NewReminder, NewRevision, NewSend, Owner, ResultKey, SendId,
    StateDigest,
    dump::{Record, export, import, verify},
};

/// The latest last.
const VERSIONS: [&str; 1] = ["0.1.0"];
const DUMP: &str = "dump.jsonl";
const DATABASE: &str = "wasmverse.db";

const SHARD: ShardId = ShardId(7);
/// Every state that a store keeps in a way of its own.
const STATES: [(&str, Encoding, Option<&[u8]>); 5] = [
    ("json", Encoding::Json, Some(b"{\"b\":1,\"a\":[1.50,\"x\"]}")),
    ("no-json", Encoding::Json, Some(b"\"\\u0000\"")),
    ("bytes", Encoding::Bytes, Some(b"\0\xff")),
    ("protobuf", Encoding::Protobuf, Some(b"")),
    ("nothing", Encoding::Json, None),
];

fn folder(version: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("golden").join(version)
}

async fn open(data_dir: &Path) -> Arc<dyn Store> {
    let data_dir = data_dir.to_owned();
    crate::open(&Config { data_dir, shards: SHARDS, ..Config::default() }).await.unwrap()
}

fn id(text: &str) -> ObjectId {
    ObjectId::parse("Room", text).unwrap()
}

fn type_name() -> TypeName {
    TypeName::new("Room").unwrap()
}

fn owner() -> Owner {
    Owner { node: "node-1".to_owned(), incarnation: "0f1e".to_owned() }
}

fn state(data: &'static [u8]) -> State {
    State { schema: 2, data: Bytes::from_static(data) }
}

fn kept() -> KeptResult {
    let key = ResultKey { origin: "Room/json".to_owned(), key: "key-1".to_owned() };
    KeptResult { key, asked: [7; 16], answer: Bytes::from_static(b"yes\0") }
}

fn send(payload: &'static [u8]) -> NewSend {
    NewSend { to: id("bytes"), method: "take".into(), payload: Bytes::from_static(payload) }
}

fn reminder(name: &str, due_micros: i64) -> NewReminder {
    let (name, when, method) = (name.into(), "every hour".into(), "tick".into());
    NewReminder { name, when, method, payload: Bytes::from_static(b"\0\xff"), due_micros }
}

fn sent(place: u64) -> SendId {
    SendId { shard: SHARD, from: id("json"), number: SendNumber { version: Version(2), place } }
}

fn commit(object: &str, epoch: u64, change: Change) -> Commit {
    Commit {
        object: id(object),
        shard: SHARD,
        epoch: Epoch(epoch),
        expected: Expected::Any,
        change,
        storage: Vec::new(),
        effects: Vec::new(),
    }
}

/// Something of everything that there is.
async fn fill(store: &dyn Store) {
    store.claim(owner(), vec![(SHARD, Epoch(4)), (ShardId(3), Epoch(0))]).await.unwrap();
    for component in [&b"one"[..], b"two"] {
        let new = NewRevision {
            type_name: type_name(),
            digest: Sha256::digest(component).into(),
            component: Bytes::from_static(component),
            description: r#"{"type":"Room"}"#.to_owned(),
            author: "me".to_owned(),
        };
        store.add_revision(new).await.unwrap();
    }
    store.activate_revision(&type_name(), RevisionNumber(2)).await.unwrap();
    let gone = ("gone", Encoding::Json, Some(&b"1"[..]));
    let mut rows: Vec<_> = Vec::new();
    for (object, encoding, data) in STATES.into_iter().chain([gone]) {
        let (durability, revision) = (Durability::Durable, RevisionNumber(2));
        let state = data.map(state);
        rows.push(commit(object, 5, Change::Put { state, encoding, durability, revision }));
    }
    rows.push(commit("gone", 5, Change::Delete));
    let storage = vec![("é".to_owned(), Some(Bytes::from_static(b"\x01")))];
    let beside = [
        Effect::Result(kept()),
        Effect::Send(send(b"0")),
        Effect::Send(send(b"\0\xff")),
        Effect::Remind(reminder("often", 6_000_000)),
        Effect::Remind(reminder("never", 5)),
    ];
    rows.push(Commit { storage, effects: beside.into(), ..commit("json", 5, Change::Touch) });
    let (name, dead) = ("never".into(), Some("it trapped".to_owned()));
    let ends = [
        Effect::Dead { send: sent(0), reason: "nobody is there".to_owned() },
        Effect::Fired { name, due_micros: 5, next_micros: None, dead },
    ];
    rows.push(Commit { effects: ends.into(), ..commit("json", 5, Change::Nothing) });
    for answer in store.commit(rows).await.unwrap() {
        answer.unwrap();
    }
}

/// All of that is there.
async fn check(store: &dyn Store) {
    assert_eq!(verify(store).await.unwrap(), [""; 0]);
    let claimed = store.epochs().await.unwrap().into_iter();
    let claimed: Vec<_> = claimed.map(|it| (it.shard, it.epoch, it.owner)).collect();
    assert_eq!(claimed, [(ShardId(3), Epoch(1), owner()), (SHARD, Epoch(5), owner())]);
    let active = store.active_revisions().await.unwrap();
    assert_eq!((active.len(), active[0].number, &*active[0].author), (1, RevisionNumber(2), "me"));
    assert_eq!(active[0].description, r#"{"type":"Room"}"#);
    let first = store.revision(&type_name(), RevisionNumber(1)).await.unwrap().unwrap();
    assert_eq!(store.component(first.digest).await.unwrap().unwrap(), "one");
    for (object, _, data) in STATES {
        let found = store.load(&id(object)).await.unwrap().unwrap();
        assert_eq!(found.digest, data.map(|data| StateDigest::of(&state(data))), "{object}");
        assert_eq!(found.state, data.map(state), "{object}");
        let version = if object == "json" { 2 } else { 1 };
        assert_eq!((found.version, found.revision), (Version(version), RevisionNumber(2)));
        assert!(found.created_at_micros > 0 && found.updated_at_micros > 0);
    }
    assert_eq!(store.load(&id("gone")).await.unwrap(), None);
    let (json, everywhere) = (id("json"), ShardId(0)..=ShardId(SHARDS - 1));
    assert_eq!(store.storage_get(&json, "é").await.unwrap().unwrap(), "\x01");
    assert_eq!(store.storage_keys(&json).await.unwrap(), 1);
    assert_eq!(store.result(&json, &kept().key).await.unwrap(), Some(kept()));
    let sends = store.sends(everywhere.clone(), None, 9).await.unwrap();
    let sends: Vec<_> = sends.into_iter().map(|it| (it.id, it.send)).collect();
    assert_eq!(sends, [(sent(1), send(b"\0\xff"))]);
    let due = store.due(everywhere, i64::MAX, None, 9).await.unwrap();
    let due: Vec<_> = due.into_iter().map(|it| (it.object, it.shard, it.reminder)).collect();
    assert_eq!(due, [(json.clone(), SHARD, reminder("often", 6_000_000))]);
    let letters = store.dead_letters(None, 0, 9).await.unwrap();
    let sources: Vec<_> = letters.iter().map(|it| (it.number, &it.source, &*it.reason)).collect();
    let send_source = DeadSource::Send(sent(0).number);
    let firing = DeadSource::Firing("never".into());
    assert_eq!(sources, [(1, &send_source, "nobody is there"), (2, &firing, "it trapped")]);
    assert_eq!((&letters[0].from, &letters[0].send), (&json, &send(b"0")));
    // What the platform goes on with: epochs, the tombstone's version, whoever holds a shard.
    let (durability, revision) = (Durability::Durable, RevisionNumber(2));
    let put = Change::Put { state: None, encoding: Encoding::Json, durability, revision };
    let stale = store.commit(vec![commit("gone", 4, put.clone())]).await.unwrap();
    assert!(matches!(stale[..], [Err(Error::Fenced(_))]), "{stale:?}");
    let again = store.commit(vec![commit("gone", 5, put)]).await.unwrap();
    assert!(matches!(again[..], [Ok(Version(3))]), "{again:?}");
}

async fn record() {
    let folder = folder(VERSIONS[VERSIONS.len() - 1]);
    let files = [DUMP, DATABASE].map(|name| folder.join(name));
    if std::env::var_os("WASMVERSE_RECORD").is_none() || files.iter().all(|file| file.exists()) {
        return;
    }
    let data_dir = tempfile::tempdir().unwrap();
    let (store, mut lines) = (open(data_dir.path()).await, Vec::new());
    fill(&*store).await;
    export(&*store, &mut lines).await.unwrap();
    store.close().await.unwrap();
    let stored = fs::read(data_dir.path().join(DATABASE)).unwrap();
    for (file, bytes) in files.iter().zip([lines, stored]) {
        // Other tests of this file do the same at the same time: whoever is first is heard.
        let mut new = tempfile::NamedTempFile::new_in(&folder).unwrap();
        new.write_all(&bytes).unwrap();
        let _ = new.persist_noclobber(file);
    }
}

fn records(lines: &[u8]) -> Vec<Record> {
    let lines = lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    lines.map(|line| serde_json::from_slice(line).unwrap()).collect()
}

#[tokio::test]
async fn a_recorded_dump_is_imported_and_means_what_it_meant() {
    record().await;
    for version in VERSIONS {
        let lines = fs::read(folder(version).join(DUMP)).unwrap();
        let url = Some("sqlite::memory:".to_owned());
        let store =
            crate::open(&Config { url, shards: SHARDS, ..Config::default() }).await.unwrap();
        import(&*store, &mut lines.as_slice()).await.unwrap();
        let mut again = Vec::new();
        export(&*store, &mut again).await.unwrap();
        assert_eq!(records(&again), records(&lines), "{version}");
        check(&*store).await;
    }
}

#[tokio::test]
async fn a_recorded_dump_has_something_of_every_kind_of_record() {
    record().await;
    let lines = fs::read(folder(VERSIONS[VERSIONS.len() - 1]).join(DUMP)).unwrap();
    let kind = |record: Record| match record {
        Record::Store(_) => "store",
        Record::Shard(_) => "shard",
        Record::Component(_) => "component",
        Record::Revision(_) => "revision",
        Record::Object(_) => "object",
        Record::Storage(_) => "storage",
        Record::Result(_) => "result",
        Record::Send(_) => "send",
        Record::Reminder(_) => "reminder",
        Record::DeadLetter(_) => "dead letter",
        Record::End => "end",
    };
    let kinds: BTreeSet<_> = records(&lines).into_iter().map(kind).collect();
    assert_eq!(kinds.len(), 11, "{kinds:?}: see golden/README.md");
}

#[tokio::test]
async fn a_recorded_database_is_opened_and_means_what_it_meant() {
    record().await;
    for version in VERSIONS {
        let data_dir = tempfile::tempdir().unwrap();
        fs::copy(folder(version).join(DATABASE), data_dir.path().join(DATABASE)).unwrap();
        let store = open(data_dir.path()).await;
        check(&*store).await;
        store.close().await.unwrap();
    }
}
