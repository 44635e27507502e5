//! What is measured: the gate and its node, or the floor, as processes of their own.

use std::{net::SocketAddr, process::Command, time::Duration};

use anyhow::{Context as _, ensure};
use serde_json::json;
use tempfile::TempDir;
use wasmverse_tests::{
    guests::{CHAT_LOBBY, CHAT_ROOM},
    patience::eventually_sync,
    programs::{Process, free_address, program},
    sessions::Surface,
};

use super::{caller::Caller, floor, wire};

/// Sockets and files that a server has open beside those of its clients.
const FILES: usize = 500;
/// The room that all clients are in.
const ROOM: &str = "/v1/objects/ChatRoom/general";
/// The name of all of them.
const USER: &str = "crowd";
/// Linux tells programs their processor time in hundredths of a second.
const TICKS_PER_SECOND: u32 = 100;

/// What serves the clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Kind {
    /// Our gate, with a node behind it.
    Gate,
    /// Nothing but axum and tonic.
    Floor,
}

/// A server that runs. It ends when dropped.
#[derive(Debug)]
pub(crate) struct Server {
    kind: Kind,
    pub(crate) http: SocketAddr,
    grpc: SocketAddr,
    /// Health and metrics of gate and node.
    ops: Vec<SocketAddr>,
    /// The one that clients connect to comes first.
    processes: Vec<Process>,
    folder: TempDir,
}

impl Server {
    /// Starts it with room for so many clients.
    pub(crate) fn start(kind: Kind, clients: usize) -> anyhow::Result<Self> {
        allow_files(clients)?;
        let folder = TempDir::new()?;
        let (http, grpc) = (free_address(), free_address());
        let mut server = Self { kind, http, grpc, ops: vec![], processes: vec![], folder };
        match kind {
            Kind::Gate => server.start_gate(clients)?,
            Kind::Floor => {
                let mut command = limited(clients);
                command.arg(std::env::current_exe()?).arg("serve");
                command.args([http.to_string(), grpc.to_string()]);
                server.add(&mut command, "floor");
            }
        }
        for at in [http, grpc] {
            server.until("it serves", |_| std::net::TcpStream::connect(at).ok());
        }
        let ids: Vec<_> = server.processes.iter().map(Process::id).collect();
        eprintln!("{kind:?}: processes {ids:?}, clients are {}", std::process::id());
        if kind == Kind::Gate {
            let mut operator = Caller::connect(http)?;
            for guest in [CHAT_ROOM, CHAT_LOBBY] {
                operator.call("POST", "/v1/admin/types", "", &guest.bytes())?;
            }
        }
        Ok(server)
    }

    fn start_gate(&mut self, clients: usize) -> anyhow::Result<()> {
        let (node, node_ops, gate_ops) = (free_address(), free_address(), free_address());
        self.ops = vec![gate_ops, node_ops];
        let room = (clients + FILES).to_string();
        for name in ["wasmverse-gate", "wasmverse-node"] {
            let mut command = limited(clients);
            command.arg(program(name)).current_dir(self.folder.path());
            command.env("WASMVERSE_STORE__DATA_DIR", self.folder.path().join("data"));
            command.env("WASMVERSE_NODE__LISTEN", node.to_string());
            command.env("WASMVERSE_NODE__OPS_LISTEN", node_ops.to_string());
            command.env("WASMVERSE_GATE__HTTP_LISTEN", self.http.to_string());
            command.env("WASMVERSE_GATE__GRPC_LISTEN", self.grpc.to_string());
            command.env("WASMVERSE_GATE__OPS_LISTEN", gate_ops.to_string());
            command.env("WASMVERSE_GATE__NODES", node.to_string());
            command.env("WASMVERSE_GATE__CONNECTIONS_MAX", &room);
            command.env("WASMVERSE_GATE__SESSIONS_MAX", &room);
            self.add(&mut command, name);
        }
        for at in self.ops.clone() {
            self.until("it is ready", |_| {
                Caller::connect(at).ok()?.call("GET", "/readyz", "", b"").ok()
            });
        }
        Ok(())
    }

    fn add(&mut self, command: &mut Command, name: &str) {
        self.processes.push(Process::start(command, &self.folder.path().join(name)));
    }

    fn until<T>(&mut self, what: &str, mut ask: impl FnMut(&Self) -> Option<T>) -> T {
        eventually_sync(what, || {
            for process in &mut self.processes {
                assert!(process.runs(), "it ended: {}", process.printed());
            }
            ask(self)
        })
    }

    /// Where clients of this surface come in.
    pub(crate) fn at(&self, surface: Surface) -> SocketAddr {
        match surface {
            Surface::Sse | Surface::Ws => self.http,
            Surface::Grpc => self.grpc,
        }
    }

    /// Makes clients hear what is said from now on.
    pub(crate) fn join(&self, caller: &mut Caller, tokens: &[String]) -> anyhow::Result<()> {
        if self.kind == Kind::Floor {
            return Ok(());
        }
        let who = json!({ "user": USER }).to_string();
        for token in tokens {
            caller.call("POST", &format!("{ROOM}/join"), token, who.as_bytes())?;
        }
        Ok(())
    }

    /// Sends what makes the server tell all clients of a message; the answer is not read here.
    pub(crate) fn say(
        &self,
        caller: &mut Caller,
        surface: Surface,
        number: u32,
    ) -> anyhow::Result<()> {
        match self.kind {
            Kind::Gate => {
                let said = json!({ "user": USER, "text": wire::text(number) }).to_string();
                caller.send("POST", &format!("{ROOM}/send_message"), "", said.as_bytes())
            }
            Kind::Floor => caller.send("POST", "/say", "", &floor::event(surface, number)),
        }
    }

    /// The processor time that each process has had.
    pub(crate) fn cpu(&self) -> anyhow::Result<Vec<Duration>> {
        self.processes.iter().map(|process| cpu(process.id())).collect()
    }

    /// What the first process has in memory, in bytes.
    pub(crate) fn resident(&self) -> anyhow::Result<u64> {
        let process = self.processes.first().context("a server has a process")?;
        let status = std::fs::read_to_string(format!("/proc/{}/status", process.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.split_whitespace().next()).context("VmRSS")?;
        Ok(kib.parse::<u64>()? << 10)
    }

    /// Pushes that gate and node dropped, as they count them.
    pub(crate) fn dropped(&self) -> anyhow::Result<u64> {
        let mut dropped = 0;
        for at in &self.ops {
            let metrics = Caller::connect(*at)?.call("GET", "/metrics", "", b"")?;
            for line in metrics.lines().filter(|line| !line.starts_with('#')) {
                if let Some((name, value)) = line.rsplit_once(' ')
                    && name.ends_with("_pushes_dropped_total")
                {
                    dropped += value.parse::<u64>()?;
                }
            }
        }
        Ok(dropped)
    }
}

/// The processor time that a process has had.
pub(crate) fn cpu(process: u32) -> anyhow::Result<Duration> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat"))?;
    let (_, fields) = stat.rsplit_once(')').context("the name of a process")?;
    let mut ticks = 0;
    // In user mode, and in the kernel.
    for field in fields.split_whitespace().skip(11).take(2) {
        ticks += field.parse::<u32>()?;
    }
    Ok(Duration::from_secs(1) * ticks / TICKS_PER_SECOND)
}

/// A command that may open as many files as it has clients, and that ends with this process,
/// however that ends.
fn limited(clients: usize) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "prlimit", &files(clients)]);
    command
}

/// Lets this process open so many connections.
fn allow_files(clients: usize) -> anyhow::Result<()> {
    let own = format!("--pid={}", std::process::id());
    let status = Command::new("prlimit").args([own, files(clients)]).status();
    ensure!(status.context("run prlimit")?.success(), "{clients} clients want as many open files");
    Ok(())
}

fn files(clients: usize) -> String {
    format!("--nofile={}:", clients + FILES)
}
