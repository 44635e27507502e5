//! Components of different crates call each other through their typed references.

use wasmverse_core::{ErrorKind, TurnEnd};
use wasmverse_tests::{
    guests::{CALLEE, CALLER},
    stage::{Actor, Stage},
};

use crate::stage;

/// A caller and what it calls.
async fn pair() -> (Stage, Actor) {
    let stage = stage();
    stage.actor(CALLEE.bytes(), "t").await;
    let caller = stage.actor(CALLER.bytes(), "c").await;
    (stage, caller)
}

#[tokio::test]
async fn every_way_of_knowing_the_other_calls_it() {
    let (stage, caller) = pair().await;
    let argument = r#"{"tally":"t","by":2}"#;
    assert_eq!(caller.text("add_by_interface", argument).await, "2");
    assert_eq!(caller.text("add_by_crate", argument).await, "4");
    assert_eq!(caller.text("add_by_name", argument).await, "6");
    let all = r#"{"tallies":["t"],"by":1}"#;
    assert_eq!(caller.text("add_to_all", all).await, "[7]");
    assert!(stage.calls().iter().all(|call| call.object.to_string() == "Tally/t"));
}

#[tokio::test]
async fn what_the_other_refuses_is_passed_on_as_it_was() {
    let (_stage, caller) = pair().await;
    let most = format!(r#"{{"tally":"t","by":{}}}"#, i64::MAX);
    caller.text("add_by_interface", most.clone()).await;
    let error = caller.ask("add_by_interface", most).await.unwrap_err();
    assert_eq!((error.kind(), error.code()), (ErrorKind::Application, "overflow"));
    let absent = caller.ask("add_by_crate", r#"{"tally":"nobody","by":1}"#).await.unwrap_err();
    assert_eq!(absent.kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn several_arguments_are_sent_by_name() {
    let (_stage, caller) = pair().await;
    let report = caller.turn("send_product", r#"{"tally":"t","left":6,"right":7}"#).await;
    assert!(matches!(report.end, TurnEnd::Well(_)), "{:?}", report.end);
    let sent = &report.effects.sends[0];
    assert_eq!(sent.to.to_string(), "Tally/t");
    assert_eq!(&*sent.method, "add_product");
    assert_eq!(sent.payload, r#"{"left":6,"right":7}"#);
}

#[tokio::test]
async fn objects_call_each_other_and_a_way_back_is_a_cycle() {
    let (stage, caller) = pair().await;
    stage.actor(CALLER.bytes(), "d").await;
    let other = r#"{"tally":"t","caller":"d"}"#;
    assert_eq!(caller.text("name_by_way_of", other).await, r#""I am Caller/d""#);
    let back = caller.ask("name_by_way_of", r#"{"tally":"t","caller":"c"}"#).await.unwrap_err();
    assert_eq!(back.kind(), ErrorKind::Cycle);
    assert!(back.message().contains("Caller/c → Tally/t → Caller/c"), "{back}");
}

#[tokio::test]
async fn objects_are_made_found_and_deleted() {
    let (_stage, caller) = pair().await;
    assert_eq!(caller.text("make_and_delete", r#""new""#).await, "false");
    let there = caller.ask("make_and_delete", r#""t""#).await.unwrap_err();
    assert_eq!(there.kind(), ErrorKind::AlreadyExists);
}
