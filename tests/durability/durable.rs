//! `durable`: saved at the end of every turn that changed something; replies, and all else that a
//! turn lets out, leave after the commit; a crash loses nothing that was acknowledged.

use std::{sync::Arc, time::Duration};

use serde_json::{Value, json};
use tokio::{task::JoinSet, time::timeout};
use wasmverse_tests::{
    patience::eventually_sync,
    sessions::{Connection, Mark, Surface, Told},
    station::Fate,
};

use crate::place::{A, FAILPOINT, Kept, Kind, NEVER, Place, SAVE_INTERVAL};

on_each_store!(
    postgresql_shows_the_row_of_durable:
    it_is_on_disk_before_its_reply_and_a_crash_loses_nothing,
    a_turn_that_changed_nothing_writes_nothing,
    replies_and_pushes_leave_after_the_commit,
    what_waits_for_its_commit_when_the_node_dies_never_leaves,
);

/// What had left the node would be here by then.
const ON_THE_WAY: Duration = Duration::from_millis(200);

async fn it_is_on_disk_before_its_reply_and_a_crash_loses_nothing(kind: Kind<'_>) {
    let never = (SAVE_INTERVAL, NEVER);
    let (place, mut node) = Place::start(kind, "durable", &[never]).await;
    for value in 1..=6 {
        assert_eq!(place.call(A, "count_twice", 1).await, json!(value));
        node.kill();
        let version = u64::try_from(value).unwrap();
        let wanted = Kept { value, storage: Some(value), version };
        assert_eq!(place.kept(A).await, Some(wanted));
        node = place.node(&[never]).await;
        assert_eq!(place.call(A, "value", ()).await, json!(value));
        assert_eq!(place.call(A, "read", "count").await, json!(value));
    }
}

async fn a_turn_that_changed_nothing_writes_nothing(kind: Kind<'_>) {
    let (place, mut node) = Place::start(kind, "durable", &[]).await;
    assert_eq!(place.call(A, "add", 3).await, json!(3));
    node.kill();
    // Whoever wrote anything would die of it.
    let mut node = place.node(&[(FAILPOINT, "commit-begins")]).await;
    for _ in 0..3 {
        assert_eq!(place.call(A, "add", 0).await, json!(3));
        assert_eq!(place.call(A, "value", ()).await, json!(3));
        let refused = place.station.try_call(A, "add_and_fail", json!(1)).await;
        assert!(!matches!(refused, Fate::Acknowledged(_)), "{refused:?}");
    }
    assert!(node.runs());
    let wanted = Kept { value: 3, storage: None, version: 1 };
    assert_eq!(place.station.try_call(A, "add", json!(1)).await, Fate::Unknown);
    eventually_sync("it has died of it", || (!node.runs()).then_some(()));
    assert_eq!(place.kept(A).await, Some(wanted));
}

/// While nobody commits, calls an object that pushes to that client: nothing leaves, though the node
/// goes on with what needs no commit.
async fn call_while_held(
    place: &Arc<Place>,
    connection: &mut Connection,
    client: &str,
) -> JoinSet<Fate> {
    let (calling, argument) = (Arc::clone(place), json!(client));
    let mut call = JoinSet::new();
    call.spawn(async move { calling.station.try_call(A, "push", argument).await });
    assert_eq!(place.call("Free/a", "push", client).await, Value::Null);
    assert_eq!(connection.event("test").await, json!(client));
    let told = timeout(ON_THE_WAY, connection.next()).await;
    assert!(told.is_err(), "a push has left before the commit: {told:?}");
    let answer = timeout(ON_THE_WAY, call.join_next()).await;
    assert!(answer.is_err(), "a reply has left before the commit: {answer:?}");
    call
}

async fn replies_and_pushes_leave_after_the_commit(kind: Kind<'_>) {
    let (place, mut node) = Place::start(kind, "durable", &[]).await;
    place.deploy("Free", "volatile", "1").await;
    let (at, place) = (place.station.at, Arc::new(place));
    let (client, mut connection) = Connection::open(Surface::Sse, at, &Mark::default()).await;
    let hold = place.hold_commits().await;
    let mut call = call_while_held(&place, &mut connection, &client).await;
    hold.release().await;
    let fate = call.join_next().await.unwrap().unwrap();
    assert_eq!(fate, Fate::Acknowledged(Value::Null));
    assert_eq!(connection.event("test").await, json!(client));
    node.kill();
    assert_eq!(place.kept(A).await, Some(Kept { value: 0, storage: None, version: 1 }));
}

async fn what_waits_for_its_commit_when_the_node_dies_never_leaves(kind: Kind<'_>) {
    let (place, mut node) = Place::start(kind, "durable", &[]).await;
    place.deploy("Free", "volatile", "1").await;
    let (at, place) = (place.station.at, Arc::new(place));
    let (client, mut connection) = Connection::open(Surface::Sse, at, &Mark::default()).await;
    let hold = place.hold_commits().await;
    let mut call = call_while_held(&place, &mut connection, &client).await;
    node.kill();
    assert_eq!(call.join_next().await.unwrap().unwrap(), Fate::Unknown);
    hold.release().await;
    let _node = place.node(&[]).await;
    assert_eq!(place.call(A, "push", client.as_str()).await, Value::Null);
    // A node that is another's successor cannot tell whether pushes are lost.
    assert_eq!(connection.next().await, Some(Told::Gap(None)));
    assert_eq!(connection.event("test").await, json!(client));
    let late = timeout(ON_THE_WAY, connection.next()).await;
    assert!(late.is_err(), "the push of the turn that nobody knows of came after all: {late:?}");
}
