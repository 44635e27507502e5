//! When an object exists: created, or a write turn completed, and not deleted since.

use serde_json::{Value, json};
use wasmverse_core::{ErrorKind, ObjectId, TypeName};
use wasmverse_node::ObjectState;

use crate::world::{World, durability, errand};

const BOTH: [&str; 2] = ["volatile", "periodic"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_makes_no_object_and_a_write_does() {
    for kept in BOTH {
        let world = World::new().await;
        world.describe(durability(kept)).await;
        assert!(!world.exists("Chameleon/a").await);
        world.call("Chameleon/a", "value", Value::Null).await.unwrap();
        assert!(!world.exists("Chameleon/a").await, "{kept}");
        world.fails(ErrorKind::Application, "Chameleon/a", "fail", json!("no")).await;
        assert!(!world.exists("Chameleon/a").await, "{kept}");
        world.call("Chameleon/a", "add", json!(1)).await.unwrap();
        assert!(world.exists("Chameleon/a").await, "{kept}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_exists_cannot_be_created_and_what_was_deleted_can() {
    for kept in BOTH {
        let world = World::new().await;
        world.describe(durability(kept)).await;
        world.create("Chameleon/a").await.unwrap();
        assert!(world.exists("Chameleon/a").await);
        let again = world.create("Chameleon/a").await.unwrap_err();
        assert_eq!(again.kind(), ErrorKind::AlreadyExists, "{kept}");
        world.call("Chameleon/b", "add", json!(1)).await.unwrap();
        assert_eq!(world.create("Chameleon/b").await.unwrap_err().kind(), ErrorKind::AlreadyExists);
        world.delete("Chameleon/a").await.unwrap();
        world.delete("Chameleon/a").await.unwrap();
        assert!(!world.exists("Chameleon/a").await);
        world.create("Chameleon/a").await.unwrap();
        assert_eq!(world.call("Chameleon/a", "add", json!(1)).await.unwrap(), json!(1));
        world.delete("Chameleon/a").await.unwrap();
        assert_eq!(world.call("Chameleon/a", "value", Value::Null).await.unwrap(), json!(0));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_only_read_can_be_created() {
    for kept in BOTH {
        let world = World::new().await;
        world.describe(durability(kept)).await;
        world.call("Chameleon/a", "value", Value::Null).await.unwrap();
        world.create("Chameleon/a").await.unwrap();
        assert!(world.exists("Chameleon/a").await, "{kept}");
        assert_eq!(world.call("Chameleon/a", "add", json!(2)).await.unwrap(), json!(2));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_explicit_type_has_only_created_objects() {
    for kept in BOTH {
        let world = World::new().await;
        world
            .describe(json!({ "type": "Chameleon", "durability": kept, "activation": "explicit" }))
            .await;
        world.fails(ErrorKind::NotFound, "Chameleon/a", "add", json!(1)).await;
        assert_eq!(world.state("Chameleon/a").await, None);
        // In the order in which they come.
        let early = world.begin("Chameleon/a", "add", json!(1));
        let creation = world.create("Chameleon/a");
        let (early, created) = futures_util::join!(early, creation);
        assert_eq!(early.unwrap_err().kind(), ErrorKind::NotFound);
        created.unwrap();
        assert_eq!(world.call("Chameleon/a", "add", json!(1)).await.unwrap(), json!(1));
        world.delete("Chameleon/a").await.unwrap();
        world.fails(ErrorKind::NotFound, "Chameleon/a", "add", json!(1)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strangers_cannot_be_created_and_can_be_deleted() {
    let world = World::new().await;
    assert_eq!(world.create("Nobody/x").await.unwrap_err().kind(), ErrorKind::NotFound);
    world.delete("Nobody/x").await.unwrap();
    assert_eq!(world.state("Nobody/x").await, None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn objects_create_delete_and_look_for_each_other() {
    let world = World::new().await;
    world.describe(durability("periodic")).await;
    let other = errand("Chameleon/b", "", Value::Null);
    let look = || world.begin("Chameleon/a", "exists", other.clone());
    assert_eq!(look().await.unwrap(), json!(false));
    world.call("Chameleon/a", "create", other.clone()).await.unwrap();
    assert_eq!(look().await.unwrap(), json!(true));
    world.fails(ErrorKind::AlreadyExists, "Chameleon/a", "create", other.clone()).await;
    world.call("Chameleon/a", "delete", other.clone()).await.unwrap();
    assert_eq!(look().await.unwrap(), json!(false));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whether_an_object_that_waits_exists_is_answered_at_once() {
    let world = World::new().await;
    world.describe(durability("volatile")).await;
    world.call("Chameleon/a", "add", json!(1)).await.unwrap();
    let me = errand("Chameleon/a", "", Value::Null);
    let through = |act: &str| errand("Chameleon/b", act, me.clone());
    assert_eq!(world.call("Chameleon/a", "relay", through("exists")).await.unwrap(), json!(true));
    world.fails(ErrorKind::Cycle, "Chameleon/a", "relay", through("create")).await;
    world.fails(ErrorKind::Cycle, "Chameleon/a", "relay", through("delete")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_shows_each_object_once_in_order_wherever_it_is() {
    let folder = tempfile::tempdir().unwrap();
    {
        let world = World::at(&folder, |_| {}).await;
        world.describe(durability("periodic")).await;
        for id in ["a", "c", "e"] {
            world.call(&format!("Chameleon/{id}"), "add", json!(1)).await.unwrap();
        }
        world.node.stop().await;
    }
    let world = World::at(&folder, |_| {}).await;
    for id in ["b", "c", "d"] {
        world.call(&format!("Chameleon/{id}"), "add", json!(1)).await.unwrap();
    }
    let name = TypeName::new("Chameleon").unwrap();
    let mut seen = Vec::new();
    let mut after: Option<ObjectId> = None;
    loop {
        let (page, more) = world.node.list(Some(&name), "", after.as_ref(), 2).await.unwrap();
        assert!(page.len() <= 2);
        after = page.last().map(|status| status.object.clone()).or(after);
        seen.extend(page.into_iter().map(|status| (status.object.id().to_owned(), status.state)));
        if !more {
            break;
        }
    }
    use ObjectState::{Live, Stored};
    let expected = [("a", Stored), ("b", Live), ("c", Live), ("d", Live), ("e", Stored)];
    assert_eq!(seen, expected.map(|(id, state)| (id.to_owned(), state)));
    let (some, _) = world.node.list(None, "c", None, 10).await.unwrap();
    assert_eq!(some.len(), 1);
}
