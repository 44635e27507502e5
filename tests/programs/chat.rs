//! The chat in terminals: what one types the other reads, and no loss of a connection shows twice.

use std::time::{Duration, Instant};

use wasmverse_tests::programs::wasmverse;

use crate::room::Chat;

#[test]
fn two_terminals_in_a_room_read_each_other() {
    let chat = Chat::start();
    let (mut alice, mut bob) = chat.pair();
    alice.enter("hello <b>bob</b>");
    bob.wait_for("alice: hello <b>bob</b>");
    bob.enter("hi 🦀");
    alice.wait_for("bob: hi 🦀");
    // What would move the cursor of whoever reads it.
    let hostile = r#"{"user": "bob", "text": "\u001b[2J\u0007gone"}"#;
    let said = wasmverse(&chat.url(), &["call", "ChatRoom/general", "send_message", hostile]);
    assert_eq!(said.code, Some(0), "{said:?}");
    alice.wait_for("bob: \\u{1b}[2J\\u{7}gone");
    for terminal in [&alice, &bob] {
        terminal.wait_for("alice: hello <b>bob</b>");
        assert_eq!(terminal.count("alice: hello <b>bob</b>"), 1, "{terminal:?}");
    }
}

#[test]
fn a_line_that_is_being_typed_stays_whole() {
    let chat = Chat::start();
    let (mut alice, mut bob) = chat.pair();
    bob.press("half of");
    bob.wait_for("> half of");
    alice.enter("one");
    alice.enter("two");
    bob.wait_for("alice: two");
    bob.wait_for("> half of");
    bob.enter(" a line");
    alice.wait_for("bob: half of a line");
}

#[test]
fn after_the_gate_was_killed_everyone_is_back_and_each_message_shows_once() {
    let mut chat = Chat::start();
    let (mut alice, mut bob) = chat.pair();
    alice.enter("before");
    bob.wait_for("alice: before");
    chat.kill_gate();
    chat.start_gate();
    alice.wait_for("* back");
    bob.wait_for("* back");
    bob.enter("after");
    bob.wait_for("bob: after");
    alice.wait_for("bob: after");
    for terminal in [&alice, &bob] {
        for line in ["alice: before", "bob: after"] {
            assert_eq!(terminal.count(line), 1, "{terminal:?}");
        }
    }
}

#[test]
fn whoever_went_with_a_gate_that_was_killed_is_out_of_the_room_once_it_is_back() {
    let mut chat = Chat::start();
    let (mut alice, bob) = chat.pair();
    chat.kill_gate();
    drop(bob);
    chat.start_gate();
    alice.wait_for("* back");
    // The room hears of bob when the gate is linked again: before alice is back, or after.
    let since = Instant::now();
    while !alice.shows().lines().any(|line| line == "  alice") {
        assert!(since.elapsed() < Duration::from_secs(20), "{}", alice.shows());
        alice.enter("/members");
        std::thread::sleep(Duration::from_millis(200));
    }
}

#[test]
fn commands_history_and_both_ways_to_end() {
    let chat = Chat::start();
    let (mut alice, mut bob) = chat.pair();
    alice.enter("/members");
    alice.wait_for("  alice, bob");
    alice.enter("again and");
    bob.wait_for("alice: again and");
    alice.press("\u{1b}[A");
    alice.wait_for("> again and");
    alice.enter(" again");
    bob.wait_for("alice: again and again");
    bob.press("\u{4}");
    assert_eq!(bob.end(), 0);
    alice.wait_for("* bob left");
    alice.press("\u{3}");
    assert_eq!(alice.end(), 0);
}
