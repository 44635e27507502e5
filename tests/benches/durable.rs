//! What durability costs: durable calls through the gate, beside a bare program that does the same
//! group commit; one object alone; turns that only read; waking from the store.
//!
//! Of the release build: `cargo build --release --workspace --bins --bench durable`, then
//! `cargo bench --workspace --bench durable [-- --store postgres --seconds 10]`.

use std::time::Duration;

use clap::{Parser, ValueEnum};
use wasmverse_tests::postgres::Postgres;

#[path = "durable/floor.rs"]
mod floor;
#[expect(dead_code, reason = "another benchmark needs more of it")]
#[path = "durable/system.rs"]
mod system;

use system::{Load, System};

/// As in the programs: the floor is to differ in nothing else.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const OBJECTS: u32 = 100;
const CONNECTIONS: u32 = 64;
/// Objects that are woken from the store.
const SLEEPERS: u32 = 2_000;

/// Measures durable objects.
#[derive(Parser)]
struct Arguments {
    /// Where they are kept; may be given several times [default: both]
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

/// A row of the table.
struct Row {
    name: String,
    calls_per_second: f64,
    p50: u64,
    p99: u64,
}

impl Row {
    fn print(&self) {
        let Self { name, calls_per_second, p50, p99 } = self;
        println!("| {name} | {calls_per_second:.0} | {p50} | {p99} |");
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
        let database = || server.as_ref().map(Postgres::database);
        println!("\n{kind:?}\n\n| what | calls/s | p50 us | p99 us |\n| --- | --- | --- | --- |");
        for callers in [CONNECTIONS, 1] {
            floor::measure(database(), callers, time)?.print();
        }
        let add = |via, objects, connections| Load {
            name: format!("`Counter.add` over {via}, {objects} objects, {connections} connections"),
            type_name: "Counter",
            method: "add",
            argument: "1",
            via,
            objects,
            connections,
            time,
            keyed: false,
        };
        let named = |name: &str, load| Load { name: name.to_owned(), ..load };
        let many = named(
            "bare group commit behind HTTP, 64 connections",
            add("http", OBJECTS, CONNECTIONS),
        );
        floor::serve(database(), &many)?.print();
        let one = named("bare group commit behind HTTP, 1 connection", add("http", 1, 1));
        floor::serve(database(), &one)?.print();
        let system = System::start(database())?;
        for load in [
            add("http", OBJECTS, CONNECTIONS),
            add("grpc", OBJECTS, CONNECTIONS),
            add("http", 1, 1),
            Load {
                name: "`Counter.value` (read-only, durable)".to_owned(),
                method: "value",
                argument: "",
                ..add("http", OBJECTS, CONNECTIONS)
            },
            Load {
                name: "`Echo.echo` (volatile)".to_owned(),
                type_name: "Echo",
                method: "echo",
                ..add("http", OBJECTS, CONNECTIONS)
            },
        ] {
            system.measure(&load)?.print();
        }
        println!("\n{}", system.wakes(SLEEPERS)?);
    }
    Ok(())
}
