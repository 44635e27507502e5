//! The command `wasmverse`: makes, builds and runs objects, and talks to a cluster.
//!
//! Each command is one file in commands/; what they print goes through `output`, why they fail
//! through `failure`, which decides the exit code.

use std::process::ExitCode;

mod answers;
mod builder;
mod chat;
mod client;
mod command_line;
mod commands;
mod dev;
mod endpoint;
mod failure;
mod load;
mod output;
mod printable;
mod scaffold;
mod session;

use command_line::CommandLine;
use failure::Failure;
use output::Output;

/// A call makes dozens of small allocations on the way: this one is faster at them than libc's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let line = CommandLine::read();
    let output = Output::new(line.global.json);
    match commands::run(line, output) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) if reader_is_gone(&failure) => ExitCode::SUCCESS,
        Err(failure) => {
            output.failure(&failure);
            ExitCode::from(failure.exit_code())
        }
    }
}

/// `wasmverse list | head`: whoever read has seen enough.
fn reader_is_gone(failure: &Failure) -> bool {
    let Failure::Local(error) = failure else { return false };
    error
        .downcast_ref::<std::io::Error>()
        .is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
}
