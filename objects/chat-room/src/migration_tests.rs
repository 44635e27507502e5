//! A room of schema 1 wakes with its history.

use serde_json::json;
use wasmverse_sdk::{Object, State, TestContext};

use super::*;

fn ctx() -> TestContext {
    TestContext::of::<ChatRoom>("general")
}

/// A room as schema 1 saved it, in which so many messages are left of `last_seq`.
fn old(length: u64, last_seq: u64) -> State {
    let message = |seq: u64| {
        json!({"room": "general", "user": "alice", "text": format!("message {seq}"),
            "at_micros": seq, "seq": seq})
    };
    let messages: Vec<_> = (last_seq + 1 - length..=last_seq).map(message).collect();
    let state = json!({
        "clients": {"g/a": "alice"},
        "users": {"alice": {"clients": 1, "stays": false}, "robot": {"clients": 0, "stays": true}},
        "history": {"messages": messages, "bytes": 100 * length, "last_seq": last_seq},
    });
    State { schema: 1, data: state.to_string().into_bytes() }
}

fn seqs(messages: &[Message]) -> Vec<u64> {
    messages.iter().map(|message| message.seq).collect()
}

fn range(after_seq: Option<u64>, limit: u64) -> Option<Range> {
    Some(Range { after_seq, limit: Some(limit) })
}

#[test]
fn a_room_of_schema_1_keeps_its_people_its_messages_and_their_numbers() {
    let woken = ctx();
    let mut room = ChatRoom::activate(&woken, Some(old(1000, 1_000_003))).unwrap();
    assert_eq!(room.members(), ["alice", "robot"]);
    assert_eq!(room.names_bytes, json_bytes("alice") + json_bytes("robot"));
    let all = room.recent_messages(&woken, range(None, 1000)).unwrap();
    assert_eq!(seqs(&all), (999_004..=1_000_003).collect::<Vec<_>>());
    assert!(all.iter().all(|message| message.text == format!("message {}", message.seq)));
    assert_eq!(seqs(&room.recent_messages(&woken, range(Some(5), 2)).unwrap()), [999_004, 999_005]);

    let turn = ctx().after(&woken);
    assert_eq!(room.join(&turn, who("bob")).unwrap().recent, all[950..]);
    let said = room.send_message(&turn, "bob".into(), "hi".into()).unwrap();
    assert_eq!((said.seq, room.recent_messages(&turn, None).unwrap().len()), (1_000_004, 50));

    let state = room.snapshot().unwrap();
    let text = String::from_utf8(state.data.clone()).unwrap();
    assert_eq!(state.schema, 2);
    assert!(!text.contains("message") && !text.contains("brought"), "{text}");
    let again = ctx().after(&turn);
    let room = ChatRoom::activate(&again, Some(state)).unwrap();
    assert_eq!(room.names_bytes, ["alice", "bob", "robot"].map(json_bytes).iter().sum::<usize>());
    assert_eq!(
        seqs(&room.recent_messages(&again, range(None, 2)).unwrap()),
        [1_000_003, 1_000_004]
    );
}

#[test]
fn a_room_that_wakes_again_before_it_is_written_moves_its_history_again_and_only_once() {
    let (first, lost) = (ctx(), ctx());
    // What no turn took along is gone, as if it had never been written.
    ChatRoom::activate(&lost, Some(old(3, 7))).unwrap();
    for woken in [&first, &ctx().after(&first)] {
        let room = ChatRoom::activate(woken, Some(old(3, 7))).unwrap();
        assert_eq!(seqs(&room.recent_messages(woken, None).unwrap()), [5, 6, 7]);
    }
}

#[test]
fn a_room_of_schema_1_without_a_history_keeps_what_is_in_its_storage() {
    let turn = ctx();
    let mut room = ChatRoom::default();
    room.join(&turn, who("alice")).unwrap();
    room.send_message(&turn, "alice".into(), "hi".into()).unwrap();
    let state = State { schema: 1, ..room.snapshot().unwrap() };
    let woken = ctx().after(&turn);
    let mut room = ChatRoom::activate(&woken, Some(state)).unwrap();
    assert_eq!(seqs(&room.recent_messages(&woken, None).unwrap()), [1]);
    assert_eq!(room.send_message(&woken, "alice".into(), "ho".into()).unwrap().seq, 2);
}

#[test]
fn a_room_in_which_nothing_was_said_begins_at_1() {
    let woken = ctx();
    let mut room = ChatRoom::activate(&woken, Some(old(0, 0))).unwrap();
    assert_eq!(room.send_message(&woken, "alice".into(), "hi".into()).unwrap().seq, 1);
}

#[test]
fn a_state_that_is_of_no_known_schema_is_refused() {
    let refused = |state| ChatRoom::activate(&ctx(), Some(state)).unwrap_err();
    assert_eq!(refused(State { schema: 3, ..old(1, 1) }).code(), "unknown-schema");
    assert_eq!(refused(State { schema: 1, data: b"{}".into() }).code(), "unreadable-state");
}

fn who(user: &str) -> Who {
    Who { user: user.into() }
}
