//! `periodic`: saved every interval while changed, on sleep and at shutdown; replies leave at once; a
//! crash loses up to one interval.

use serde_json::{Value, json};

use crate::place::{A, IDLE, Kept, Kind, NEVER, Place, SAVE_INTERVAL, SOON};

on_each_store!(
    postgresql_shows_the_row_of_periodic:
    its_reply_leaves_at_once_before_anything_is_saved,
    it_is_saved_every_interval_while_it_changes,
    it_is_saved_on_sleep_and_at_shutdown,
    a_crash_loses_no_more_than_what_changed_since_the_last_save,
);

async fn its_reply_leaves_at_once_before_anything_is_saved(kind: Kind<'_>) {
    let (place, mut node) = Place::start(kind, "periodic", &[(SAVE_INTERVAL, NEVER)]).await;
    for value in 1..=5 {
        assert_eq!(place.call(A, "add", 1).await, json!(value));
    }
    assert_eq!(place.known(A).await["updated_at"], Value::Null);
    node.kill();
    assert_eq!(place.kept(A).await, None);
    let _node = place.node(&[]).await;
    assert_eq!(place.call(A, "value", ()).await, json!(0), "up to one interval is lost");
}

async fn it_is_saved_every_interval_while_it_changes(kind: Kind<'_>) {
    let (place, mut node) = Place::start(kind, "periodic", &[(SAVE_INTERVAL, SOON)]).await;
    assert_eq!(place.saved_again(A).await, 1);
    // It stays awake, and is called, and another one is saved again and again.
    for round in 1..=5 {
        assert_eq!(place.call(A, "add", 0).await, json!(1));
        assert_eq!(place.saved_again("Chameleon/b").await, round);
        assert_eq!(place.known(A).await["state"], "live");
    }
    node.kill();
    assert_eq!(place.kept(A).await, Some(Kept { value: 1, storage: None, version: 1 }));
    let wanted = Kept { value: 5, storage: None, version: 5 };
    assert_eq!(place.kept("Chameleon/b").await, Some(wanted));
    let _node = place.node(&[]).await;
    assert_eq!(place.call(A, "value", ()).await, json!(1));
    assert_eq!(place.call("Chameleon/b", "value", ()).await, json!(5));
}

async fn it_is_saved_on_sleep_and_at_shutdown(kind: Kind<'_>) {
    let never = (SAVE_INTERVAL, NEVER);
    let (place, mut node) = Place::start(kind, "periodic", &[never, (IDLE, SOON)]).await;
    assert_eq!(place.call(A, "add", 1).await, json!(1));
    place.until(A, "stored").await;
    node.kill();
    assert_eq!(place.kept(A).await, Some(Kept { value: 1, storage: None, version: 1 }));
    let mut node = place.node(&[never, (IDLE, NEVER)]).await;
    for value in 2..=5 {
        assert_eq!(place.call(A, "add", 1).await, json!(value));
    }
    assert_eq!(node.stop(), Some(0), "{}", node.printed());
    assert_eq!(place.kept(A).await, Some(Kept { value: 5, storage: None, version: 2 }));
    let _node = place.node(&[never]).await;
    assert_eq!(place.call(A, "value", ()).await, json!(5));
}

async fn a_crash_loses_no_more_than_what_changed_since_the_last_save(kind: Kind<'_>) {
    let (place, mut node) = Place::start(kind, "periodic", &[(SAVE_INTERVAL, SOON)]).await;
    for round in 1..=3 {
        // A save that is seen may have begun before the last change; one that is seen after another
        // change began later, and holds all that changed before the first was seen.
        let saved = place.saved_again(A).await;
        for _ in 0..2 {
            place.saved_again(A).await;
        }
        let mut last = saved;
        for _ in 0..round * 3 {
            last = place.call(A, "add", 1).await.as_i64().unwrap();
        }
        node.kill();
        let kept = place.kept(A).await.unwrap().value;
        assert!((saved..=last).contains(&kept), "{kept} is not in {saved}..={last}");
        node = place.node(&[(SAVE_INTERVAL, SOON)]).await;
        assert_eq!(place.call(A, "value", ()).await, json!(kept));
    }
}
