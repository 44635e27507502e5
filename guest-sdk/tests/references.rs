//! References and the context, against the platform for tests.

use std::time::Duration;

use serde_json::json;
use wasmverse_sdk::{TestContext, What, prelude::*};

/// What somebody said.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
struct Message {
    user: String,
    text: String,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Room;

#[object(type_name = "ChatRoom")]
impl Room {
    fn say(&mut self, user: String, text: String) -> Message {
        Message { user, text }
    }

    #[read_only]
    fn recent(&self, limit: Option<usize>) -> Vec<Message> {
        Vec::with_capacity(limit.unwrap_or(0))
    }
}

fn context() -> TestContext {
    TestContext::of::<Room>("general")
}

#[test]
fn a_reference_says_how_to_call() {
    let ctx = context();
    let room = || RoomRef::at("other").key("k").timeout(Duration::from_micros(1));
    ctx.answer("ChatRoom", "other", "recent", Ok(Vec::<Message>::new()));
    assert_eq!(room().recent(Some(3)).unwrap(), []);
    RoomRef::at("other").send().say("ada".into(), "hi".into()).unwrap();
    let results = ctx.call_many([room().request().recent(None), room().request().recent(None)]);
    assert!(results.iter().all(Result::is_ok));
    let asked = ctx.asked();
    assert_eq!(asked[0].to.to_string(), "ChatRoom/other");
    assert_eq!(asked[0].key.as_deref(), Some("k"));
    assert_eq!(asked[0].timeout, Some(Duration::from_millis(1)));
    assert_eq!((asked[1].what, asked[1].method.as_str()), (What::Send, "say"));
    assert_eq!(asked[1].argument, json!({"user": "ada", "text": "hi"}));
    assert_eq!(asked.len(), 4);
}

#[test]
fn a_send_takes_neither_key_nor_timeout_and_says_what_to_leave_out() {
    let ctx = context();
    let keyed = RoomRef::at("other").key("k").send().say("ada".into(), "hi".into());
    let timed = ctx.object("ChatRoom", "other").timeout(Duration::from_secs(1));
    for (refused, fix) in [
        (keyed.unwrap_err(), "leave out `.key(…)`"),
        (timed.request::<()>("say", &()).send().unwrap_err(), "leave out `.timeout(…)`"),
    ] {
        assert_eq!(refused.kind(), ErrorKind::InvalidArgument);
        assert!(refused.message().contains(fix), "{refused}");
    }
    assert!(ctx.asked().is_empty());
}

#[test]
fn one_failed_call_of_several_leaves_the_others() {
    let ctx = context();
    ctx.answer("Counter", "a", "add", Ok(1));
    ctx.answer::<i64>("Counter", "b", "add", Err(Error::of_kind(ErrorKind::Timeout, "late")));
    let add = |id| ctx.object("Counter", id).request::<i64>("add", &1);
    let results = ctx.call_many([add("b"), add("a"), add("c")]);
    let kinds: Vec<_> = results.into_iter().map(|one| one.map_err(|e| e.kind())).collect();
    assert_eq!(kinds, [Err(ErrorKind::Timeout), Ok(1), Err(ErrorKind::NotFound)]);
}

#[test]
fn the_context_says_who_calls_and_denies_writes_in_read_only_turns() {
    let ctx = context().called_by("Lobby", "main").from_client("g/1").keyed("k").in_read_only();
    assert_eq!(ctx.caller().unwrap().to_string(), "Lobby/main");
    assert_eq!((ctx.client().unwrap(), ctx.key().unwrap()), ("g/1".into(), "k".into()));
    assert_eq!(ctx.time_left().as_secs(), 30);
    ctx.pass(Duration::from_secs(40));
    assert_eq!(ctx.time_left().as_secs(), 0);
    let denied = [
        ctx.push("g/1", "e", &1),
        ctx.broadcast("e", &1),
        ctx.send("A", "b", "c", &()),
        ctx.create("A", "b"),
        ctx.delete("A", "b"),
    ];
    assert!(denied.iter().all(|one| one.as_ref().unwrap_err().kind() == ErrorKind::Denied));
    assert!(!ctx.exists("A", "b").unwrap());
    assert_ne!(ctx.random(), ctx.random());
}

#[test]
fn a_reference_without_a_platform_says_so() {
    std::thread::spawn(|| {
        let error = RoomRef::at("x").recent(None).unwrap_err();
        assert!(error.message().contains("make a TestContext"), "{error}");
    })
    .join()
    .unwrap();
}

#[interface(type_name = "ChatRoom")]
trait Talk {
    fn say(&mut self, ctx: &Context, user: String, text: String) -> Result<Message>;
    #[read_only]
    fn key(&self) -> String;
}

#[test]
fn an_interface_makes_the_same_reference_and_its_methods_come_first() {
    let ctx = context();
    ctx.answer("ChatRoom", "r", "key", Ok("value"));
    assert_eq!(TalkRef::at("r").key().unwrap(), "value");
    let keyed = Reference::key(&TalkRef::at("r"), "k");
    let said = Message { user: "ada".into(), text: "hi".into() };
    ctx.answer("ChatRoom", "r", "say", Ok(said.clone()));
    assert_eq!(keyed.say("ada".into(), "hi".into()).unwrap(), said);
    assert_eq!(ctx.asked()[1].key.as_deref(), Some("k"));
}
