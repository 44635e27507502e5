//! Claims about a database that somebody else wrote in: whatever is wrong with it is found.

use wasmverse_core::SendNumber;

use super::*;
use crate::{
    NewReminder, NewSend,
    dump::{export, verify},
};

/// A sound store, in which a statement is then run; answers what is wrong with it.
async fn wronged(statement: &'static str) -> Vec<String> {
    let (_directory, path) = file();
    let store = open_file(&path).await.unwrap();
    let commit = |row: Commit, change: Option<Change>| {
        let storage = vec![("k".to_owned(), Some("v".into()))];
        let commit = Commit { storage, ..row };
        match change {
            Some(change) => Commit { change, expected: Expected::Any, ..commit },
            None => commit,
        }
    };
    let mut bytes = row("bytes", None, "\u{1}");
    if let Change::Put { encoding, .. } = &mut bytes.change {
        *encoding = Encoding::Bytes;
    }
    let batch = vec![
        commit(row("json", None, "{}"), None),
        commit(bytes, None),
        commit(row("gone", None, "1"), None),
        commit(row("gone", None, "1"), Some(Change::Delete)),
    ];
    for answer in store.commit(batch).await.unwrap() {
        answer.unwrap();
    }
    fill_beside(&store).await;
    for component in ["one", "two"] {
        let component = Bytes::from(component);
        let digest = <sha2::Sha256 as sha2::Digest>::digest(&component).into();
        let type_name = TypeName::new("T").unwrap();
        let (description, author) = ("{}".to_owned(), "me".to_owned());
        let new = NewRevision { type_name, digest, component, description, author };
        store.add_revision(new).await.unwrap();
    }
    assert_eq!(verify(&store).await.unwrap(), [""; 0]);
    store.close().await.unwrap();
    sql(&path, statement).await;
    let store = open_file(&path).await.unwrap();
    let problems = verify(&store).await.unwrap();
    store.close().await.unwrap();
    problems
}

/// Some of everything that is kept beside objects.
async fn fill_beside(store: &SqliteStore) {
    let object = row("json", None, "").object;
    let key = ResultKey { origin: "me".to_owned(), key: "k".to_owned() };
    let kept = KeptResult { key, asked: [1; 16], answer: "yes".into() };
    let send = NewSend { to: object.clone(), method: "m".into(), payload: "p".into() };
    let reminder = NewReminder {
        name: "r".into(),
        when: "w".into(),
        method: "m".into(),
        payload: "p".into(),
        due_micros: 1,
    };
    let effects = vec![
        Effect::Result(kept),
        Effect::Send(send.clone()),
        Effect::Send(send),
        Effect::Remind(reminder),
    ];
    let expected = Expected::Any;
    let touch = Commit { change: Change::Touch, expected, effects, ..row("json", None, "") };
    let number = SendNumber { version: Version(2), place: 1 };
    let send = SendId { shard: ShardId(0), from: object, number };
    let dead = Effect::Dead { send, reason: "no".to_owned() };
    let dead = Commit { change: Change::Nothing, effects: vec![dead], ..touch.clone() };
    for answer in store.commit(vec![touch, dead]).await.unwrap() {
        answer.unwrap();
    }
}

#[tokio::test]
async fn whatever_is_wrong_beside_objects_is_found_and_named() {
    for (statement, wanted) in [
        ("UPDATE results_0 SET asked = x'00'", "the result of `k` of T/json: what was asked"),
        ("UPDATE results_0 SET id = ''", "the result of `k` of T/: "),
        ("UPDATE outbox SET shard = 8", "the send 2.0 of T/json: it is of shard 8 of 8"),
        ("UPDATE outbox SET shard = 99999", "the shard of a send of T/json"),
        ("UPDATE outbox SET version = -1", "the number of a send of T/json"),
        ("UPDATE outbox SET to_type = '1'", "the send 2.0 of T/json: "),
        ("UPDATE reminders SET id = 'gone'", "`r` of T/gone: this object is not there"),
        ("UPDATE reminders SET shard = 8", "`r` of T/json: it is of shard 8 of 8"),
        ("UPDATE reminders SET shard = -1", "the shard of a reminder of T/json"),
        ("UPDATE dead_letters SET shard = 8", "the dead letter 1: it is of shard 8 of 8"),
        ("UPDATE dead_letters SET to_id = ''", "the dead letter 1: "),
        ("UPDATE dead_letters SET place = -1", "the dead letter 1: what was given up"),
    ] {
        let problems = wronged(statement).await;
        let found = problems.iter().any(|problem| problem.contains(wanted));
        assert!(found, "{statement}: {problems:?}");
    }
}

#[tokio::test]
async fn whatever_is_wrong_is_found_and_named() {
    for (statement, wanted) in [
        ("UPDATE objects SET state_json = '{' WHERE id = 'json'", "T/json: its state is not JSON"),
        ("UPDATE objects SET state_json = NULL WHERE id = 'json'", "T/json: its state is gone"),
        ("UPDATE objects SET state_bytes = x'02' WHERE id = 'bytes'", "not what was saved"),
        ("UPDATE objects SET schema = NULL WHERE id = 'json'", "T/json: its state has no schema"),
        ("UPDATE objects SET schema = 1 WHERE id = 'gone'", "T/gone: it was deleted, and has"),
        ("UPDATE objects SET schema = -1 WHERE id = 'json'", "the row of T/json: its schema"),
        ("UPDATE objects SET version = 0 WHERE id = 'json'", "T/json: it has no version"),
        ("UPDATE objects SET shard = 8 WHERE id = 'json'", "T/json: it is of shard 8 of 8"),
        ("UPDATE objects SET encoding = 'x' WHERE id = 'json'", "T/json: its encoding is `x`"),
        ("UPDATE objects SET durability = 'x' WHERE id = 'json'", "its durability is `x`"),
        ("UPDATE objects SET id = 'a' || char(10) WHERE id = 'json'", "T/a\n: "),
        ("UPDATE storage SET id = 'gone' WHERE id = 'json'", "of T/gone: this object is not there"),
        ("UPDATE shards SET epoch = 0", "shard 0: it was claimed, and has no epoch"),
        ("UPDATE shards SET shard = 8", "shard 8: there are 8 shards"),
        ("UPDATE shards SET node = ''", "shard 0: it was claimed by nobody"),
        ("UPDATE components SET bytes = x'00' WHERE bytes = CAST('one' AS BLOB)", "its digest is"),
        ("DELETE FROM components", "revision 1 of T: its component is not there"),
        (
            "DROP INDEX revisions_active; UPDATE revisions SET active = 1",
            "revision 2 of T: another one is active, too",
        ),
    ] {
        let problems = wronged(statement).await;
        let found = problems.iter().any(|problem| problem.contains(wanted));
        assert!(found, "{statement}: {problems:?}");
    }
}

#[tokio::test]
async fn what_cannot_be_read_is_not_exported() {
    let (_directory, path) = file();
    let store = open_file(&path).await.unwrap();
    store.commit(vec![row("a", None, "1")]).await.unwrap();
    store.close().await.unwrap();
    sql(&path, "UPDATE objects SET shard = 99999").await;
    let store = open_file(&path).await.unwrap();
    let told = export(&store, &mut Vec::new()).await.unwrap_err();
    assert!(matches!(told, Error::Damaged(_)) && told.to_string().contains("T/a"), "{told}");
    store.close().await.unwrap();
}
