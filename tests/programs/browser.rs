//! The web chat in a real browser, and the TypeScript client in a browser and in Node.
//!
//! The scripts are in `tests/browser`; what happens besides the page happens here.

use std::{fs, path::Path, process::Command};

use tempfile::TempDir;
use wasmverse_tests::{
    guests::{BANK_ACCOUNT, COUNTER, MISCHIEF},
    programs::wasmverse,
};

use crate::{
    room::{Chat, root},
    script::Script,
};

/// A chat whose gate shows the client's files, and the objects that it calls.
fn with_client(site: &TempDir) -> Chat {
    let page = r#"<!doctype html><link rel="icon" href="/icon.svg">"#;
    fs::write(site.path().join("index.html"), page).unwrap();
    for (from, to) in
        [("tests/browser/claims.mjs", "claims.js"), ("gate/web/public/icon.svg", "icon.svg")]
    {
        fs::copy(root().join(from), site.path().join(to)).unwrap();
    }
    copy_folder(&root().join("gate/client/dist"), &site.path().join("client"));
    let chat = Chat::with_site(site.path());
    for guest in [COUNTER, BANK_ACCOUNT, MISCHIEF] {
        let deployed = wasmverse(&chat.url(), &["deploy", guest.path().to_str().unwrap()]);
        assert_eq!(deployed.code, Some(0), "{deployed:?}");
    }
    chat
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

#[test]
fn two_terminals_and_a_browser_in_a_room_show_each_message_once() {
    let chat = Chat::start();
    let (mut alice, mut bob) = chat.pair();
    let mut page = Script::start("together", &chat.url());
    page.wait_for("in");
    alice.enter("from alice");
    bob.wait_for("alice: from alice");
    bob.enter("from bob");
    alice.wait_for("bob: from bob");
    page.tell("all said something");
    page.wait_for("said");
    for terminal in [&alice, &bob] {
        terminal.wait_for("carol: from carol");
        for line in ["alice: from alice", "bob: from bob", "carol: from carol"] {
            assert_eq!(terminal.count(line), 1, "{terminal:?}");
        }
    }
    bob.enter("/quit");
    assert_eq!(bob.end(), 0);
    page.tell("bob left");
    page.wait_for("again");
    page.succeeds();
    alice.wait_for("* carol left");
}

#[test]
fn hostile_names_and_texts_show_as_text() {
    let chat = Chat::start();
    Script::start("hostile", &chat.url()).succeeds();
}

#[test]
fn after_the_gate_was_killed_the_page_is_back_and_nothing_is_doubled_or_lost() {
    let mut chat = Chat::start();
    let mut alice = chat.terminal("alice");
    let mut page = Script::start("restart", &chat.url());
    page.wait_for("in");
    alice.wait_for("carol: before");
    chat.kill_gate();
    page.tell("killed");
    page.wait_for("lost");
    chat.start_gate();
    alice.wait_for("* back");
    alice.enter("from elsewhere");
    page.wait_for("back");
    alice.enter("at last");
    page.tell("all said something");
    alice.wait_for("carol: typed meanwhile");
    for line in ["carol: before", "carol: typed meanwhile"] {
        assert_eq!(alice.count(line), 1, "{alice:?}");
    }
    page.succeeds();
}

#[test]
fn a_connection_that_is_cut_is_taken_up_again_unseen() {
    let chat = Chat::start();
    Script::start("cut", &chat.url()).succeeds();
}

#[test]
fn nothing_is_doubled_lost_or_said_twice_whatever_comes_when() {
    let chat = Chat::start();
    Script::start("races", &chat.url()).succeeds();
}

#[test]
fn the_page_is_used_by_keyboard_on_a_phone_and_by_ear() {
    let chat = Chat::start();
    Script::start("access", &chat.url()).succeeds();
}

#[test]
fn the_typescript_client_keeps_its_word_in_a_browser_and_in_node() {
    let site = TempDir::new().unwrap();
    let chat = with_client(&site);
    for script in ["client_in_node", "client_in_page"] {
        let mut running = Script::start(script, &chat.url());
        running.wait_for("all hold");
        running.succeeds();
    }
}

#[test]
fn the_typescript_client_passes_its_own_tests() {
    // Not by npm, which would build the client anew under the eyes of other tests.
    let mut command = Command::new("node");
    command.args(["--test", "--test-timeout=20000", "--test-force-exit", "test/"]);
    command.current_dir(root().join("gate/client"));
    Script::run(&mut command).succeeds();
}
