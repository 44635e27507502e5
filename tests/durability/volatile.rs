//! `volatile`: saved never, carried by sleep and hot reload; replies leave at once; a crash loses
//! everything.

use serde_json::{Value, json};
use wasmverse_tests::patience::eventually;

use crate::place::{A, IDLE, Kind, NEVER, Place, SAVE_INTERVAL, SOON};

on_each_store!(
    postgresql_shows_the_row_of_volatile:
    it_is_saved_never_and_a_crash_loses_everything,
    it_is_carried_by_sleep,
    it_is_carried_by_hot_reload,
);

async fn it_is_saved_never_and_a_crash_loses_everything(kind: Kind<'_>) {
    let (place, mut node) = Place::start(kind, "volatile", &[(SAVE_INTERVAL, SOON)]).await;
    place.deploy("Witness", "periodic", "1").await;
    for value in 1..=5 {
        // With nothing to be saved there is nothing to wait for.
        assert_eq!(place.call(A, "add", 1).await, json!(value));
    }
    // Whatever is to be saved is saved by now.
    for _ in 0..3 {
        place.saved_again("Witness/w").await;
    }
    assert_eq!(place.known(A).await["updated_at"], Value::Null);
    node.kill();
    assert_eq!(place.kept(A).await, None);
    assert_eq!(place.kept("Witness/w").await.unwrap().value, 3);
    let mut node = place.node(&[]).await;
    assert_eq!(place.known(A).await, Value::Null, "it does not exist any more");
    assert_eq!(place.call(A, "add", 1).await, json!(1), "it starts anew");
    // The end of the process is no sleep.
    assert_eq!(node.stop(), Some(0), "{}", node.printed());
    assert_eq!(place.kept(A).await, None);
}

async fn it_is_carried_by_sleep(kind: Kind<'_>) {
    let (place, mut node) = Place::start(kind, "volatile", &[(IDLE, SOON)]).await;
    for value in 1..=3 {
        assert_eq!(place.call(A, "add", 1).await, json!(value));
        let born = place.call(A, "born", ()).await;
        place.until(A, "asleep").await;
        assert_ne!(place.call(A, "born", ()).await, born, "it is another instance");
    }
    // New code takes it over when it wakes.
    place.until(A, "asleep").await;
    place.deploy("Chameleon", "volatile", "2").await;
    assert_eq!(place.call(A, "label", ()).await, json!("2"));
    assert_eq!(place.call(A, "value", ()).await, json!(3));
    place.until(A, "asleep").await;
    node.kill();
    assert_eq!(place.kept(A).await, None, "it sleeps in memory");
}

async fn it_is_carried_by_hot_reload(kind: Kind<'_>) {
    let (place, mut node) = Place::start(kind, "volatile", &[(IDLE, NEVER)]).await;
    for revision in 2..=4 {
        assert_eq!(place.call(A, "add", 1).await, json!(revision - 1));
        place.deploy("Chameleon", "volatile", &revision.to_string()).await;
        eventually("it has changed over", async || {
            let rollout = place.station.http.rollout("Chameleon").await;
            assert_eq!(rollout["refused"], json!([]), "{rollout}");
            (place.known(A).await["revision"] == json!(revision)).then_some(())
        })
        .await;
        assert_eq!(place.call(A, "label", ()).await, json!(revision.to_string()));
        assert_eq!(place.call(A, "value", ()).await, json!(revision - 1));
    }
    node.kill();
    assert_eq!(place.kept(A).await, None, "it was handed over in memory");
}
