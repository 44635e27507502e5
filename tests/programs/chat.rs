//! The chat in terminals: what one types the other reads, and no loss of a connection shows twice.

use std::{net::SocketAddr, process::Command};

use portable_pty::CommandBuilder;
use tempfile::TempDir;
use wasmverse_tests::{
    guests::{CHAT_LOBBY, CHAT_ROOM},
    patience::eventually_sync,
    programs::{Process, free_address, program, wasmverse},
    terminal::Terminal,
};

/// A node and a gate with the chat, each a process, so that one of them can be killed.
struct Chat {
    folder: TempDir,
    http: SocketAddr,
    grpc: SocketAddr,
    node: SocketAddr,
    _node: Process,
    gate: Process,
}

impl Chat {
    fn start() -> Self {
        let folder = TempDir::new().unwrap();
        let [http, grpc, node] = [free_address(), free_address(), free_address()];
        let mut command = Command::new(program("wasmverse-node"));
        command.current_dir(folder.path()).args(["--listen", &node.to_string()]);
        command.env("WASMVERSE_NODE__OPS_LISTEN", free_address().to_string());
        let running = Process::start(&mut command, &folder.path().join("node.log"));
        let gate = gate(&folder, http, grpc, node);
        let chat = Self { folder, http, grpc, node, _node: running, gate };
        let files = [CHAT_ROOM, CHAT_LOBBY].map(|guest| guest.path().to_str().unwrap());
        eventually_sync("the chat is deployed", || {
            let deployed = wasmverse(&chat.url(), &["deploy", files[0], files[1]]);
            (deployed.code == Some(0)).then_some(())
        });
        chat
    }

    fn url(&self) -> String {
        format!("http://{}", self.http)
    }

    fn restart_gate(&mut self) {
        self.gate.kill();
        self.gate = gate(&self.folder, self.http, self.grpc, self.node);
    }

    /// A terminal in which `user` chats.
    fn terminal(&self, user: &str, url: &str) -> Terminal {
        let mut command = CommandBuilder::new(program("wasmverse"));
        command.args(["chat", "--user", user, "--url", url]);
        command.cwd(self.folder.path());
        command.env("XDG_STATE_HOME", self.folder.path().join(user));
        command.env("TERM", "xterm");
        let terminal = Terminal::start(command);
        terminal.wait_for(">");
        terminal
    }

    fn pair(&self) -> (Terminal, Terminal) {
        let alice = self.terminal("alice", &self.url());
        let bob = self.terminal("bob", &format!("grpc://{}", self.grpc));
        alice.wait_for("* bob joined");
        (alice, bob)
    }
}

fn gate(folder: &TempDir, http: SocketAddr, grpc: SocketAddr, node: SocketAddr) -> Process {
    let mut command = Command::new(program("wasmverse-gate"));
    command.current_dir(folder.path());
    command.args(["--http-listen", &http.to_string(), "--grpc-listen", &grpc.to_string()]);
    command.args(["--node", &node.to_string()]);
    command.env("WASMVERSE_GATE__OPS_LISTEN", free_address().to_string());
    Process::start(&mut command, &folder.path().join("gate.log"))
}

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
    chat.restart_gate();
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
