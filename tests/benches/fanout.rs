//! What pushing costs: one message to many clients, their memory, and a talk of two.
//!
//! Of the release build, `--workspace` so that both share what they stand on:
//! `cargo build --release --workspace --bins --bench fanout`, then
//! `cargo bench --workspace --bench fanout [-- clients 1000 --surface sse]`.
//! Beside the gate the same clients measure the floor: axum and tonic that write the same frames.

use std::{net::SocketAddr, time::Duration};

use clap::{Parser, Subcommand};
use wasmverse_tests::sessions::Surface;

#[path = "fanout/caller.rs"]
mod caller;
#[path = "fanout/crowd.rs"]
mod crowd;
#[path = "fanout/delivery.rs"]
mod delivery;
#[path = "fanout/floor.rs"]
mod floor;
#[path = "fanout/memory.rs"]
mod memory;
#[path = "fanout/replies.rs"]
mod replies;
#[path = "fanout/servers.rs"]
mod servers;
#[path = "fanout/wire.rs"]
mod wire;

use servers::Kind;

/// As in the gate: the floor is to differ in nothing else.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Measures pushes to many clients; without a part, all of them.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    part: Option<Part>,
    /// `sse`, `ws` or `grpc`; may be given several times [default: all]
    #[arg(long, global = true, value_parser = surface)]
    surface: Vec<Surface>,
    /// What serves; may be given several times [default: both]
    #[arg(long, global = true)]
    server: Vec<Kind>,
    /// Set by `cargo bench`
    #[arg(long, global = true, hide = true)]
    bench: bool,
}

#[derive(Subcommand)]
enum Part {
    /// One message to all clients of a room
    Clients {
        /// How many clients there are
        #[arg(default_values_t = [1_000, 10_000])]
        counts: Vec<usize>,
        /// Messages that are measured [default: 10, or more for 100,000 deliveries]
        #[arg(long)]
        messages: Option<usize>,
    },
    /// Memory of sessions while nothing happens
    Memory {
        /// How many sessions there are
        #[arg(default_value_t = 10_000)]
        sessions: usize,
    },
    /// A push to a reply of a second client
    Replies {
        /// How often
        #[arg(default_value_t = 2_000)]
        rounds: u32,
    },
    /// The floor itself, as a process of its own
    #[command(hide = true)]
    Serve { http: SocketAddr, grpc: SocketAddr },
}

fn main() -> anyhow::Result<()> {
    let mut arguments = Arguments::parse();
    if arguments.surface.is_empty() {
        arguments.surface = Surface::ALL.to_vec();
    }
    if arguments.server.is_empty() {
        arguments.server = vec![Kind::Gate, Kind::Floor];
    }
    let Some(part) = arguments.part.take() else {
        for part in [
            Part::Clients { counts: vec![1_000, 10_000], messages: None },
            Part::Memory { sessions: 10_000 },
            Part::Replies { rounds: 2_000 },
        ] {
            run(&part, &arguments)?;
        }
        return Ok(());
    };
    run(&part, &arguments)
}

fn run(part: &Part, Arguments { surface, server, .. }: &Arguments) -> anyhow::Result<()> {
    let each = || surface.iter().flat_map(|surface| server.iter().map(|kind| (*kind, *surface)));
    match part {
        Part::Clients { counts, messages } => {
            println!(
                "One message to all clients of a room, CPU per delivery. The clients are one \
                 thread, with a connection each, and read only the number of a message; they \
                 share the machine with the servers.\n\n{}",
                delivery::HEAD
            );
            for count in counts {
                for (kind, surface) in each() {
                    println!("{}", delivery::measure(kind, surface, *count, *messages)?);
                }
            }
        }
        Part::Memory { sessions } => {
            println!("Resident memory of the server.\n\n{}", memory::HEAD);
            for (kind, surface) in each() {
                println!("{}", memory::measure(kind, surface, *sessions)?);
            }
        }
        Part::Replies { rounds } => {
            println!("From a call to the push at the second, and to that of its answer.\n");
            println!("{}", replies::HEAD);
            for surface in surface.iter().filter(|surface| **surface != Surface::Grpc) {
                println!("{}", replies::measure(*surface, *rounds)?);
            }
        }
        Part::Serve { http, grpc } => return floor::serve(*http, *grpc),
    }
    println!();
    Ok(())
}

fn surface(name: &str) -> Result<Surface, String> {
    match name {
        "sse" => Ok(Surface::Sse),
        "ws" => Ok(Surface::Ws),
        "grpc" => Ok(Surface::Grpc),
        _ => Err("sse, ws or grpc".to_owned()),
    }
}

/// What a row is called.
fn name(kind: Kind, surface: Surface) -> String {
    let surface = match surface {
        Surface::Sse => "sse",
        Surface::Ws => "ws",
        Surface::Grpc => "grpc",
    };
    match (kind, surface) {
        (Kind::Gate, _) => surface.to_owned(),
        (Kind::Floor, "grpc") => "grpc, bare tonic".to_owned(),
        (Kind::Floor, _) => format!("{surface}, bare axum"),
    }
}

fn median(spans: &mut [Duration]) -> Option<Duration> {
    spans.sort();
    spans.get(spans.len() / 2).copied()
}
