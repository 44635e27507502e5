//! A chat room with a long past: it wakes, is joined and is posted to without reading all of it.

use std::{net::SocketAddr, path::Path};

use bytes::Bytes;
use serde_json::{Value, json};
use wasmverse_core::{
    Durability, Encoding, ObjectId, Placement, RevisionNumber, ShardCount, State,
};
use wasmverse_store::{Change, Commit, Config, Expected};
use wasmverse_tests::{
    guests::{CHAT_LOBBY, CHAT_ROOM},
    http::Http,
    programs::{Dev, free_address},
};

const ROOM: &str = "ChatRoom/general";
const MESSAGES: u64 = 100_000;
const SHARDS: u16 = 8192;

#[tokio::test(flavor = "multi_thread")]
async fn a_room_of_a_hundred_thousand_messages_is_joined_and_posted_to_without_reading_them_all() {
    let files = [CHAT_ROOM, CHAT_LOBBY].map(|guest| guest.path().to_str().unwrap());
    let ops = free_address();
    let mut dev = Dev::start_with(&files, &format!("[node]\nops_listen = \"{ops}\"\n"));
    dev.http.ok(ROOM, "join", json!({ "user": "alice" })).await;
    dev.process.kill();
    fill(&dev.folder.path().join("state")).await;

    let dev = dev.kill_and_start();
    let before = rows_read(ops).await;
    let joined = dev.http.ok(ROOM, "join", json!({ "user": "bob" })).await;
    assert_eq!(seqs(&joined["recent"]), (MESSAGES - 49..=MESSAGES).collect::<Vec<_>>());
    for n in 1..=10 {
        let said = json!({ "user": "bob", "text": format!("after all that, {n}") });
        let message = dev.http.ok(ROOM, "send_message", said).await;
        assert_eq!(message["seq"], json!(MESSAGES + n));
    }
    let page = dev.http.ok(ROOM, "recent_messages", json!({ "after_seq": 500, "limit": 5 })).await;
    assert_eq!(seqs(&page), [501, 502, 503, 504, 505]);
    let read = rows_read(ops).await - before;
    assert!((50..70).contains(&read), "{read} rows were read");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_room_that_kept_its_messages_in_its_state_keeps_them_in_its_storage_from_now_on() {
    let files = [CHAT_ROOM, CHAT_LOBBY].map(|guest| guest.path().to_str().unwrap());
    let mut dev = Dev::start(&files);
    dev.http.ok(ROOM, "join", json!({ "user": "alice" })).await;
    dev.process.kill();
    let said = |seq: u64| json!({ "room": "general", "user": "alice", "text": "x", "at_micros": seq, "seq": seq });
    let messages: Vec<_> = (4..=1003).map(said).collect();
    let history = json!({ "messages": messages, "bytes": 100_000, "last_seq": 1003 });
    let users = json!({ "alice": { "clients": 0, "stays": true } });
    let state = json!({ "clients": {}, "users": users, "names_bytes": 7, "history": history });
    let change = Change::Put {
        state: Some(State { schema: 1, data: state.to_string().into() }),
        encoding: Encoding::Json,
        durability: Durability::Durable,
        revision: RevisionNumber(1),
    };
    commit(&dev.folder.path().join("state"), vec![(change, Vec::new())]).await;

    for round in 0..2 {
        dev = dev.kill_and_start();
        let page =
            dev.http.ok(ROOM, "recent_messages", json!({ "after_seq": 0, "limit": 3 })).await;
        assert_eq!(seqs(&page), [4, 5, 6], "{round}");
    }
    let message = dev.http.ok(ROOM, "send_message", json!({ "user": "alice", "text": "y" })).await;
    assert_eq!(message["seq"], 1004);
    let dev = dev.kill_and_start();
    let page = dev.http.ok(ROOM, "recent_messages", json!({ "limit": 2 })).await;
    assert_eq!(seqs(&page), [1003, 1004]);
}

fn seqs(messages: &Value) -> Vec<u64> {
    messages.as_array().unwrap().iter().map(|message| message["seq"].as_u64().unwrap()).collect()
}

/// Keys of storage that the node has read from its store.
async fn rows_read(ops: SocketAddr) -> u64 {
    let metrics = Http::new(format!("http://{ops}")).get("/metrics").await;
    let metrics = String::from_utf8_lossy(&metrics.body).into_owned();
    let name = "wasmverse_store_storage_rows_read_total ";
    let value = metrics.lines().find_map(|line| line.strip_prefix(name));
    value.map_or(0, |value| value.parse().unwrap())
}

/// Writes what a hundred thousand calls would have written.
async fn fill(data_dir: &Path) {
    let message = |seq: u64| {
        let said = json!({ "room": "general", "user": "alice", "text": format!("message {seq}"),
            "at_micros": 1_700_000_000_000_000 + seq, "seq": seq });
        (format!("said/{seq:020}"), Some(said.to_string().into()))
    };
    let part = |first: u64| {
        let mut storage: Vec<_> = (first..first + 10_000).map(message).collect();
        storage.push(("said".to_owned(), Some(json!([1, first + 9_999]).to_string().into())));
        (Change::Touch, storage)
    };
    commit(data_dir, (1..=MESSAGES).step_by(10_000).map(part).collect()).await;
}

/// Keys of storage and what they hold from now on.
type Keys = Vec<(String, Option<Bytes>)>;

/// Commits to the room in the place of the node that owned it.
async fn commit(data_dir: &Path, changes: Vec<(Change, Keys)>) {
    let config = Config { data_dir: data_dir.into(), shards: SHARDS, ..Config::default() };
    let store = wasmverse_store::open(&config).await.unwrap();
    let object: ObjectId = ROOM.parse().unwrap();
    let Placement::Shard(shard) = ShardCount::new(SHARDS).unwrap().place(&object).unwrap() else {
        panic!("a room has a shard")
    };
    let epochs = store.epochs().await.unwrap();
    let epoch = epochs.iter().find(|claimed| claimed.shard == shard).unwrap().epoch;
    for (change, storage) in changes {
        let row = Commit {
            object: object.clone(),
            shard,
            epoch,
            expected: Expected::Any,
            change,
            storage,
            effects: Vec::new(),
        };
        store.commit(vec![row]).await.unwrap().remove(0).unwrap();
    }
    store.close().await.unwrap();
}
