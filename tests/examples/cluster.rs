//! A whole cluster on this machine, to be tried: etcd, PostgreSQL, three nodes and two gates as
//! processes of their own, with the chat deployed. `make cluster` builds what it runs.
//!
//! Ctrl-C goes to all processes of the foreground at once; here they are to end one after another.
//! So all of it runs in the background, and ends when the one in the foreground says nothing more.

use std::{
    io::Read as _,
    net::SocketAddr,
    os::unix::process::CommandExt as _,
    path::Path,
    process::{Command, ExitCode, Stdio},
    time::Duration,
};

use anyhow::Context as _;
use reqwest::Method;
use tempfile::TempDir;
use tokio::signal::unix::{SignalKind, signal};
use wasmverse_tests::{
    fleet::etcd::Etcd,
    guests::{CHAT_LOBBY, CHAT_ROOM, COUNTER},
    http::Http,
    patience::eventually,
    postgres::Postgres,
    programs::{Process, free_address, program},
};

const NODES: usize = 3;
/// Where HTTP and gRPC clients come in, at each gate.
const GATES: [(&str, &str); 2] =
    [("127.0.0.1:8080", "127.0.0.1:49000"), ("127.0.0.1:8081", "127.0.0.1:49100")];
/// Is set for the one in the background.
const BEHIND: &str = "WASMVERSE_CLUSTER_BEHIND";
/// How often is looked whether some process has ended.
const LOOK_EVERY: Duration = Duration::from_millis(500);

fn main() -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let outcome = match std::env::var_os(BEHIND) {
        None => runtime.block_on(in_front()),
        Some(_) => runtime.block_on(behind()).map(|()| ExitCode::SUCCESS),
    };
    // Whoever still reads reads in vain.
    runtime.shutdown_background();
    outcome
}

/// Waits for Ctrl-C, or until the one in the background has ended.
async fn in_front() -> anyhow::Result<ExitCode> {
    let mut command = Command::new(std::env::current_exe()?);
    // Background processes read nothing from the terminal, but from us.
    command.env(BEHIND, "1").stdin(Stdio::piped()).process_group(0);
    let mut behind = command.spawn().context("failed to start the cluster")?;
    let words = behind.stdin.take();
    let ended = tokio::task::spawn_blocking(move || behind.wait());
    let mut terminate = signal(SignalKind::terminate())?;
    let mut ended = std::pin::pin!(ended);
    tokio::select! {
        ended = &mut ended => return Ok(code(ended??.code())),
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
    }
    drop(words);
    Ok(code(ended.await??.code()))
}

fn code(code: Option<i32>) -> ExitCode {
    code.and_then(|code| u8::try_from(code).ok()).map_or(ExitCode::FAILURE, ExitCode::from)
}

async fn behind() -> anyhow::Result<()> {
    let told_to_end = tokio::task::spawn_blocking(|| {
        let mut nothing = Vec::new();
        std::io::stdin().read_to_end(&mut nothing)
    });
    let mut cluster = None;
    tokio::select! {
        _ = told_to_end => {}
        outcome = run(&mut cluster) => outcome?,
    }
    if let Some(cluster) = &mut cluster {
        cluster.stop().await;
    }
    Ok(())
}

async fn run(place: &mut Option<Cluster>) -> anyhow::Result<()> {
    for address in GATES.iter().flat_map(|(http, grpc)| [http, grpc]) {
        let taken = format!("{address} is taken: end what listens there (`wasmverse dev`?)");
        drop(std::net::TcpListener::bind(address).context(taken)?);
    }
    println!("starting etcd and PostgreSQL");
    let cluster = place.insert(Cluster::begin().await?);
    println!("starting {NODES} nodes and {} gates", GATES.len());
    cluster.start_processes();
    cluster.serves().await;
    println!("deploying the chat");
    let gate = Http::new(format!("http://{}", GATES[0].0));
    for guest in [CHAT_LOBBY, CHAT_ROOM, COUNTER] {
        gate.deploy(guest.bytes()).await;
    }
    cluster.introduce();
    cluster.watch().await
}

/// All that runs.
struct Cluster {
    nodes: Vec<Member>,
    gates: Vec<Member>,
    database: String,
    // What the others need ends after them.
    etcd: Etcd,
    _postgres: Postgres,
    folder: TempDir,
}

/// A node or a gate.
struct Member {
    name: String,
    ops: SocketAddr,
    process: Process,
    is_gone: bool,
}

impl Cluster {
    /// Starts what nodes and gates need.
    async fn begin() -> anyhow::Result<Self> {
        let folder = TempDir::with_prefix("wasmverse-cluster-")?;
        let state = folder.path().join("etcd");
        std::fs::create_dir(&state)?;
        let database = tokio::task::spawn_blocking(|| Postgres::start(&[]));
        let (etcd, postgres) = tokio::join!(Etcd::start(1, state), database);
        let postgres = postgres.context("failed to start PostgreSQL")?;
        let database = postgres.database();
        let (nodes, gates) = (Vec::new(), Vec::new());
        Ok(Self { nodes, gates, database, etcd, _postgres: postgres, folder })
    }

    fn start_processes(&mut self) {
        for number in 1..=NODES {
            let name = format!("node-{number}");
            let mut command = self.command("wasmverse-node");
            command.env("WASMVERSE_NODE__ID", &name);
            command.env("WASMVERSE_NODE__LISTEN", free_address().to_string());
            command.env("WASMVERSE_STORE__URL", &self.database);
            command.env("WASMVERSE_STORE__DATA_DIR", self.folder.path().join(&name));
            self.nodes.push(self.member(name, "WASMVERSE_NODE__OPS_LISTEN", command));
        }
        let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../gate/web/dist");
        for (number, (http, grpc)) in GATES.iter().enumerate() {
            let name = format!("gate-{}", number + 1);
            let mut command = self.command("wasmverse-gate");
            command.env("WASMVERSE_GATE__ID", &name);
            command.env("WASMVERSE_GATE__HTTP_LISTEN", http);
            command.env("WASMVERSE_GATE__GRPC_LISTEN", grpc);
            if page.exists() {
                command.env("WASMVERSE_GATE__STATIC_DIR", &page);
            }
            self.gates.push(self.member(name, "WASMVERSE_GATE__OPS_LISTEN", command));
        }
    }

    /// A program that knows what all of the cluster agree on.
    fn command(&self, name: &str) -> Command {
        let etcd: Vec<_> = self.etcd.clients().map(|(_, at)| format!("http://{at}")).collect();
        let mut command = Command::new(program(name));
        // No configuration but this: not that of the folder that we were called in.
        command.current_dir(self.folder.path());
        command.env("WASMVERSE_CLUSTER__ETCD", etcd.join(","));
        // Whoever cannot see most of the nodes moves nothing.
        command.env("WASMVERSE_CLUSTER__MIN_NODES", (NODES / 2 + 1).to_string());
        command
    }

    fn member(&self, name: String, ops_key: &str, mut command: Command) -> Member {
        let ops = free_address();
        command.env(ops_key, ops.to_string());
        let process = Process::start(&mut command, &self.log(&name));
        Member { name, ops, process, is_gone: false }
    }

    fn log(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(format!("{name}.log"))
    }

    /// Waits until all say that they are ready, and every shard is served.
    async fn serves(&mut self) {
        for member in self.nodes.iter_mut().chain(&mut self.gates) {
            let http = Http::new(format!("http://{}", member.ops));
            let what = format!("{} is ready", member.name);
            eventually(&what, async || {
                assert!(member.process.runs(), "it ended: {}", member.process.printed());
                let answer = http.try_request(Method::GET, "/readyz", "", &[]).await.ok()?;
                (answer.status == 200).then_some(())
            })
            .await;
        }
        let gate = Http::new(format!("http://{}", GATES[0].0));
        eventually("all shards are served", async || {
            let status = gate.get("/v1/admin/cluster").await.json();
            (status["shards"]["served"] == status["shards"]["count"]).then_some(())
        })
        .await;
    }

    /// Says what there is, and what to try.
    fn introduce(&self) {
        println!("\na cluster runs (Ctrl-C ends it, and forgets all of it)\n");
        for (gate, (http, grpc)) in self.gates.iter().zip(GATES) {
            println!("  {}  http://{http}  grpc://{grpc}", gate.name);
        }
        for node in &self.nodes {
            println!(
                "  {}  process {}  {}",
                node.name,
                node.process.id(),
                self.log(&node.name).display()
            );
        }
        println!("  state   {}", self.database);
        if let Some((_, etcd)) = self.etcd.clients().next() {
            println!("  etcd    http://{etcd}");
        }
        let wasmverse = program("wasmverse");
        let wasmverse = wasmverse.display();
        println!("\nnext, from other terminals:");
        println!("  {wasmverse} cluster status");
        println!("  {wasmverse} chat --user alice");
        println!("  {wasmverse} chat --user bob --url http://{}", GATES[1].0);
        println!("  {wasmverse} cluster drain {}      while they chat", self.nodes[1].name);
        println!(
            "  kill -9 {}                        and see who takes over\n",
            self.nodes[0].process.id()
        );
    }

    /// Tells of processes that end, until only the database is left.
    async fn watch(&mut self) -> anyhow::Result<()> {
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            let logs = self.folder.path().to_owned();
            for member in self.nodes.iter_mut().chain(&mut self.gates) {
                if !member.is_gone && !member.process.runs() {
                    member.is_gone = true;
                    let log = logs.join(format!("{}.log", member.name));
                    println!("{} has ended: see {}", member.name, log.display());
                }
            }
            let is_left = |members: &[Member]| members.iter().any(|member| !member.is_gone);
            anyhow::ensure!(is_left(&self.nodes) || is_left(&self.gates), "all have ended");
        }
    }

    /// Clients leave, then the nodes hand over and save; etcd and PostgreSQL end with us.
    async fn stop(&mut self) {
        println!("\nstopping, one after another");
        for member in self.gates.iter_mut().chain(&mut self.nodes) {
            if member.process.runs() {
                // It waits, and so blocks: nothing else is to be done meanwhile.
                tokio::task::block_in_place(|| member.process.stop());
                println!("{} has ended", member.name);
            }
        }
    }
}
