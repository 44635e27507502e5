//! One message to all clients of a room: how long it takes, and what it costs.

use std::time::{Duration, Instant};

use wasmverse_tests::sessions::Surface;

use super::{
    caller::Caller,
    crowd::{Crowd, Heard},
    median,
    servers::{Kind, Server, cpu},
};

/// Messages that are not measured: the first ones find everything cold.
const WARM_UP: u32 = 3;
/// Messages that are measured, at least.
const MESSAGES_MIN: usize = 10;
/// Deliveries that are measured, at least: processor time is counted in hundredths of a second.
const DELIVERIES_MIN: usize = 100_000;
/// Nothing has come for so long: it is quiet.
const QUIET: Duration = Duration::from_millis(300);

pub(crate) const HEAD: &str = "\
| clients | by | bytes | first ms | last ms | worst ms | server CPU us | node CPU us | clients' CPU us | dropped |
| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |";

/// A row of the table.
pub(crate) fn measure(
    kind: Kind,
    surface: Surface,
    clients: usize,
    messages: Option<usize>,
) -> anyhow::Result<String> {
    let server = Server::start(kind, clients)?;
    let mut caller = Caller::connect(server.http)?;
    let began = Instant::now();
    let (mut crowd, tokens) = Crowd::open(surface, server.at(surface), clients)?;
    let opened = began.elapsed();
    server.join(&mut caller, &tokens)?;
    eprintln!(
        "{clients} sessions opened in {opened:.1?}, joined in {:.1?}",
        began.elapsed() - opened
    );
    crowd.settle(QUIET)?;
    let mut number = 0;
    let mut say = |crowd: &mut Crowd| -> anyhow::Result<(Instant, Heard)> {
        number += 1;
        let said = Instant::now();
        server.say(&mut caller, surface, number)?;
        let heard = crowd.hear()?;
        caller.receive()?;
        Ok((said, heard))
    };
    for _ in 0..WARM_UP {
        say(&mut crowd)?;
    }
    let enough = MESSAGES_MIN.max(DELIVERIES_MIN.div_ceil(clients));
    let messages = messages.unwrap_or(enough);
    let (mut first, mut last, mut bytes) = (Vec::new(), Vec::new(), 0);
    let before = processors(&server)?;
    for _ in 0..messages {
        let (said, heard) = say(&mut crowd)?;
        first.extend(heard.first.map(|at| at - said));
        last.extend(heard.last.map(|at| at - said));
        bytes = heard.bytes;
    }
    let after = processors(&server)?;
    // Nothing more may come: each has each message once.
    crowd.settle(QUIET)?;
    let mut costs = before.iter().zip(after).map(|(before, after)| {
        format!("{:.1}", (after - *before).as_secs_f64() * 1e6 / (messages * clients) as f64)
    });
    let (own, front) = (costs.next().unwrap_or_default(), costs.next().unwrap_or_default());
    let node = costs.next().unwrap_or_default();
    let millis = |span: Option<Duration>| span.unwrap_or_default().as_secs_f64() * 1e3;
    Ok(format!(
        "| {clients} | {} | {bytes} | {:.1} | {:.1} | {:.1} | {front} | {node} | {own} | {} |",
        super::name(kind, surface),
        millis(median(&mut first)),
        millis(median(&mut last)),
        millis(last.iter().max().copied()),
        server.dropped()?,
    ))
}

/// The processor time of the clients, the server and, if there is one, the node.
fn processors(server: &Server) -> anyhow::Result<Vec<Duration>> {
    let mut all = vec![cpu(std::process::id())?];
    all.extend(server.cpu()?);
    Ok(all)
}
