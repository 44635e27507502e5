//! The chat with a node and a gate, each a process of its own, so that one of them can be killed.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
};

use portable_pty::CommandBuilder;
use tempfile::TempDir;
use wasmverse_tests::{
    guests::{CHAT_LOBBY, CHAT_ROOM},
    patience::eventually_sync,
    programs::{Process, free_address, program, wasmverse},
    terminal::Terminal,
};

/// A running chat.
pub(crate) struct Chat {
    folder: TempDir,
    /// What the gate shows to browsers.
    site: PathBuf,
    http: SocketAddr,
    grpc: SocketAddr,
    node: SocketAddr,
    _node: Process,
    gate: Process,
}

impl Chat {
    /// Starts it, with the web chat as it was built.
    pub(crate) fn start() -> Self {
        Self::with_site(&root().join("gate/web/dist"))
    }

    /// The same with another folder for browsers.
    pub(crate) fn with_site(site: &Path) -> Self {
        let folder = TempDir::new().unwrap();
        let [http, grpc, node] = [free_address(), free_address(), free_address()];
        let mut command = Command::new(program("wasmverse-node"));
        command.current_dir(folder.path()).args(["--listen", &node.to_string()]);
        command.env("WASMVERSE_NODE__OPS_LISTEN", free_address().to_string());
        let running = Process::start(&mut command, &folder.path().join("node.log"));
        let gate = gate(&folder, site, http, grpc, node);
        let chat = Self { folder, site: site.to_owned(), http, grpc, node, _node: running, gate };
        let files = [CHAT_ROOM, CHAT_LOBBY].map(|guest| guest.path().to_str().unwrap());
        eventually_sync("the chat is deployed", || {
            let deployed = wasmverse(&chat.url(), &["deploy", files[0], files[1]]);
            (deployed.code == Some(0)).then_some(())
        });
        chat
    }

    /// Where clients and browsers find it.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.http)
    }

    /// Ends the gate without a word.
    pub(crate) fn kill_gate(&mut self) {
        self.gate.kill();
    }

    /// Starts the gate again, where it was.
    pub(crate) fn start_gate(&mut self) {
        self.gate = gate(&self.folder, &self.site, self.http, self.grpc, self.node);
    }

    /// A terminal in which `user` chats, over HTTP.
    pub(crate) fn terminal(&self, user: &str) -> Terminal {
        self.terminal_at(user, &self.url())
    }

    /// Two who chat, one over HTTP and one over gRPC.
    pub(crate) fn pair(&self) -> (Terminal, Terminal) {
        let alice = self.terminal("alice");
        let bob = self.terminal_at("bob", &format!("grpc://{}", self.grpc));
        alice.wait_for("* bob joined");
        (alice, bob)
    }

    fn terminal_at(&self, user: &str, url: &str) -> Terminal {
        let mut command = CommandBuilder::new(program("wasmverse"));
        command.args(["chat", "--user", user, "--url", url]);
        command.cwd(self.folder.path());
        command.env("XDG_STATE_HOME", self.folder.path().join(user));
        command.env("TERM", "xterm");
        let terminal = Terminal::start(command);
        // Who comes after it shall find it there.
        terminal.wait_for_start("* you are in");
        terminal
    }
}

fn gate(
    folder: &TempDir,
    site: &Path,
    http: SocketAddr,
    grpc: SocketAddr,
    node: SocketAddr,
) -> Process {
    let mut command = Command::new(program("wasmverse-gate"));
    command.current_dir(folder.path());
    command.args(["--http-listen", &http.to_string(), "--grpc-listen", &grpc.to_string()]);
    command.args(["--node", &node.to_string()]);
    command.env("WASMVERSE_GATE__OPS_LISTEN", free_address().to_string());
    command.env("WASMVERSE_GATE__STATIC_DIR", site);
    Process::start(&mut command, &folder.path().join("gate.log"))
}

/// The folder of the whole project.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}
