//! What "exactly once" costs: keyed calls beside those without a key, sends between objects,
//! reminders and how late they are.
//!
//! Of the release build: `cargo build --release --workspace --bins --bench once`, then
//! `cargo bench --workspace --bench once [-- --store postgres --seconds 10]`.

#![expect(clippy::cast_precision_loss, reason = "figures for people")]

use std::{
    fs,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use clap::{Parser, ValueEnum};
use wasmverse_tests::postgres::Postgres;

#[path = "once/messages.rs"]
mod messages;
#[expect(dead_code, reason = "another benchmark needs more of it")]
#[path = "durable/system.rs"]
mod system;

use system::{Load, System};

/// As in the programs.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const OBJECTS: u32 = 100;
const CONNECTIONS: u32 = 64;

/// Measures what happens once.
#[derive(Parser)]
struct Arguments {
    /// Where objects are kept; may be given several times [default: both]
    #[arg(long)]
    store: Vec<Kind>,
    /// How long each row is measured
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// Set by `cargo bench`
    #[arg(long, hide = true)]
    bench: bool,
}

/// Where objects are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Kind {
    Sqlite,
    Postgres,
}

/// What `wasmverse bench` told.
struct Row {
    name: String,
    calls_per_second: f64,
    p50: u64,
    p99: u64,
}

/// Processor time of gate, node and database.
struct Processors(Vec<u32>);

impl Processors {
    fn of(system: &System, server: Option<&Postgres>) -> Self {
        let mut all = system.processes();
        all.extend(server.map(Postgres::pid));
        Self(all)
    }

    /// What they have used so far, with what children of theirs have, those that ended too.
    fn used(&self) -> Duration {
        let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
        let all = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
        let times = all.filter_map(|process| {
            let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
            // What stands before may hold anything.
            let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
            let number = |place: usize| fields.get(place)?.parse::<u64>().ok();
            let parent = u32::try_from(number(1)?).ok()?;
            let ended = if self.0.contains(&process) { number(13)? + number(14)? } else { 0 };
            let concerned = self.0.contains(&process) || self.0.contains(&parent);
            concerned.then_some(number(11)? + number(12)? + ended)
        });
        // In hundredths of a second, everywhere on Linux.
        Duration::from_millis(times.sum::<u64>() * 10)
    }
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let kinds = match arguments.store.is_empty() {
        true => vec![Kind::Sqlite, Kind::Postgres],
        false => arguments.store,
    };
    let time = Duration::from_secs(arguments.seconds);
    for kind in kinds {
        let server = (kind == Kind::Postgres).then(|| Postgres::start(&[]));
        let system = System::start(server.as_ref().map(Postgres::database))?;
        let processors = Processors::of(&system, server.as_ref());
        println!("\n{kind:?}\n");
        println!("| what | a second | p50 us | p99 us | a CPU-second of gate, node, database |");
        println!("| --- | --- | --- | --- | --- |");
        for via in ["http", "grpc"] {
            for keyed in [false, true, false, true] {
                let name = if keyed { "with a key" } else { "without" };
                let load = Load {
                    name: format!("`Counter.add` over {via}, {name}"),
                    type_name: "Counter",
                    method: "add",
                    argument: "1",
                    via,
                    objects: OBJECTS,
                    connections: CONNECTIONS,
                    time,
                    keyed,
                };
                let (before, began) = (processors.used(), Instant::now());
                let Row { name, calls_per_second, p50, p99 } = system.measure(&load)?;
                let used = (processors.used() - before).as_secs_f64();
                let each =
                    calls_per_second * began.elapsed().as_secs_f64().min(time.as_secs_f64()) / used;
                println!("| {name} | {calls_per_second:.0} | {p50} | {p99} | {each:.0} |");
            }
        }
        let runtime = tokio::runtime::Runtime::new().context("a runtime")?;
        println!("\n{}", runtime.block_on(messages::sends(&system, &processors))?);
        for period in [100, 50] {
            let row = runtime.block_on(messages::reminders(&system, &processors, period, time))?;
            println!("{row}");
        }
    }
    Ok(())
}
