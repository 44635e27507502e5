//! A push to a reply of a second client: alice says something, bob is pushed it and answers at
//! once, alice is pushed that.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    time::{Duration, Instant},
};

use anyhow::{bail, ensure};
use serde_json::json;
use wasmverse_tests::sessions::Surface;

use super::{
    caller::Caller,
    crowd,
    servers::{Kind, Server},
    wire::{self, Frame},
};

/// Rounds that are not measured.
const WARM_UP: u32 = 200;

pub(crate) const HEAD: &str = "\
| by | rounds | to the second p50 us | p99 us | and back p50 us | p99 us |
| --- | --- | --- | --- | --- | --- |";

/// One of the two, in a room of their own.
struct Talker {
    surface: Surface,
    stream: TcpStream,
    token: String,
    /// What has arrived and is not read.
    rest: Vec<u8>,
    caller: Caller,
    /// An answer that is not read.
    is_asking: bool,
}

/// A row of the table.
pub(crate) fn measure(surface: Surface, rounds: u32) -> anyhow::Result<String> {
    let server = Server::start(Kind::Gate, 100)?;
    let mut alice = Talker::join(&server, surface)?;
    let mut bob = Talker::join(&server, surface)?;
    let (mut half, mut whole) = (Vec::new(), Vec::new());
    for round in 0..WARM_UP + rounds {
        let began = Instant::now();
        alice.say(2 * round + 1)?;
        bob.hear(2 * round + 1)?;
        let heard = began.elapsed();
        bob.say(2 * round + 2)?;
        alice.hear(2 * round + 2)?;
        let answered = began.elapsed();
        alice.rest()?;
        bob.rest()?;
        if round >= WARM_UP {
            half.push(heard);
            whole.push(answered);
        }
    }
    let [half, whole] = [half, whole].map(|mut spans| {
        spans.sort();
        let at = |percent: usize| spans.get(spans.len() * percent / 100).map(Duration::as_micros);
        format!("{} | {}", at(50).unwrap_or_default(), at(99).unwrap_or_default())
    });
    let by = match surface {
        Surface::Ws => "ws, calls on the same connections",
        Surface::Sse => "sse, calls over HTTP",
        Surface::Grpc => "grpc, calls over HTTP",
    };
    Ok(format!("| {by} | {rounds} | {half} | {whole} |"))
}

impl Talker {
    fn join(server: &Server, surface: Surface) -> anyhow::Result<Self> {
        let (stream, token, rest) = crowd::open(surface, server.at(surface))?;
        let mut caller = Caller::connect(server.http)?;
        server.join(&mut caller, std::slice::from_ref(&token))?;
        Ok(Self { surface, stream, token, rest, caller, is_asking: false })
    }

    fn say(&mut self, number: u32) -> anyhow::Result<()> {
        let said = json!({ "user": "crowd", "text": wire::text(number) });
        if self.surface != Surface::Ws {
            let path = "/v1/objects/ChatRoom/general/send_message";
            self.is_asking = true;
            return self.caller.send("POST", path, &self.token, said.to_string().as_bytes());
        }
        // Its answer has the number, too; it is told apart by its beginning.
        let call = json!({ "op": "call", "id": number, "type": "ChatRoom", "object": "general",
            "method": "send_message", "payload": said });
        Ok(self.stream.write_all(&wire::ws_text(&call.to_string()))?)
    }

    /// Waits for the message of this number; what comes before is passed over.
    fn hear(&mut self, number: u32) -> anyhow::Result<()> {
        let mut buffer = [0; 4096];
        loop {
            let mut at = 0;
            let mut is_here = false;
            while let Some((frame, length)) = wire::first(self.surface, &self.rest[at..]) {
                match frame {
                    Frame::Event(event) => {
                        let is_push = !event.starts_with(br#"{"op":"reply""#);
                        is_here |= is_push && wire::number(event) == Some(number);
                    }
                    Frame::Asks(answer) => self.stream.write_all(&answer)?,
                    Frame::Other => {}
                    Frame::End => bail!("the session ended: {:?}", self.rest),
                }
                at += length;
            }
            self.rest.drain(..at);
            if is_here {
                return Ok(());
            }
            let read = self.stream.read(&mut buffer)?;
            ensure!(read > 0, "the session ended");
            self.rest.extend(&buffer[..read]);
        }
    }

    /// Reads the answer to what it said, outside the time that is measured.
    fn rest(&mut self) -> anyhow::Result<()> {
        if std::mem::take(&mut self.is_asking) {
            self.caller.receive()?;
        }
        Ok(())
    }
}
