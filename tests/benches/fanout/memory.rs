//! What a session takes of the gate's memory while nothing happens.

use std::time::Duration;

use wasmverse_tests::sessions::Surface;

use super::{
    crowd::Crowd,
    servers::{Kind, Server},
};

/// Sessions that are there before: the first ones find everything cold.
const WARM_UP: usize = 100;
/// Longer than a heartbeat takes to come.
const IDLE: Duration = Duration::from_secs(20);
/// Nothing has come for so long: it is quiet.
const QUIET: Duration = Duration::from_millis(300);

pub(crate) const HEAD: &str = "\
| sessions | by | before MiB | after MiB | KiB each | KiB each after a heartbeat |
| --- | --- | --- | --- | --- | --- |";

/// A row of the table.
pub(crate) fn measure(kind: Kind, surface: Surface, sessions: usize) -> anyhow::Result<String> {
    let server = Server::start(kind, sessions + WARM_UP)?;
    let (mut early, _) = Crowd::open(surface, server.at(surface), WARM_UP)?;
    let before = server.resident()?;
    let (mut crowd, _) = Crowd::open(surface, server.at(surface), sessions)?;
    crowd.settle(QUIET)?;
    let after = server.resident()?;
    crowd.idle(IDLE)?;
    early.settle(QUIET)?;
    let later = server.resident()?;
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    let each = |bytes: u64| (bytes.saturating_sub(before)) as f64 / 1024.0 / sessions as f64;
    Ok(format!(
        "| {sessions} | {} | {:.0} | {:.0} | {:.1} | {:.1} |",
        super::name(kind, surface),
        mib(before),
        mib(after),
        each(after),
        each(later),
    ))
}
