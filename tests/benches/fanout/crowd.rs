//! Many clients in one thread: each has a connection of its own, and nothing else.
//!
//! Of what they hear, only the number of a message is read, by searching for one byte. The time is
//! taken when a frame has arrived whole.

use std::{
    io::{self, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail, ensure};
use mio::{Events, Interest, Poll, Token};
use wasmverse_tests::sessions::Surface;

use super::{
    caller::{PATIENCE, connect},
    wire::{self, Frame},
};

/// What is read at once: more than any frame here.
const READ_BYTES: usize = 64 << 10;
/// Connections that are looked at in one round.
const EVENTS: usize = 1024;

/// The clients.
pub(crate) struct Crowd {
    surface: Surface,
    poll: Poll,
    events: Events,
    clients: Vec<Client>,
    buffer: Vec<u8>,
    heard: Heard,
}

struct Client {
    stream: mio::net::TcpStream,
    /// The beginning of a frame that has not arrived whole.
    rest: Vec<u8>,
    /// The number of the last message.
    last: u32,
}

/// How one message, or what came between two, reached the clients.
#[derive(Clone, Debug, Default)]
pub(crate) struct Heard {
    /// When the first client had it.
    pub(crate) first: Option<Instant>,
    /// When the last one had it.
    pub(crate) last: Option<Instant>,
    /// Clients that have it.
    pub(crate) clients: usize,
    /// The length of its event.
    pub(crate) bytes: usize,
    /// Gaps, messages that came twice or not in order, and connections that ended.
    pub(crate) wrong: usize,
}

impl Crowd {
    /// Opens so many sessions, one after the other; the crowd and the sessions' secrets.
    pub(crate) fn open(
        surface: Surface,
        server: SocketAddr,
        count: usize,
    ) -> anyhow::Result<(Self, Vec<String>)> {
        let poll = Poll::new()?;
        let (mut clients, mut tokens) = (Vec::new(), Vec::new());
        for number in 0..count {
            let (stream, token, rest) = open(surface, server)?;
            stream.set_nonblocking(true)?;
            let mut stream = mio::net::TcpStream::from_std(stream);
            poll.registry().register(&mut stream, Token(number), Interest::READABLE)?;
            clients.push(Client { stream, rest, last: 0 });
            tokens.push(token);
        }
        let (events, buffer) = (Events::with_capacity(EVENTS), vec![0; READ_BYTES]);
        let heard = Heard::default();
        Ok((Self { surface, poll, events, clients, buffer, heard }, tokens))
    }

    /// Waits until all have the next message.
    pub(crate) fn hear(&mut self) -> anyhow::Result<Heard> {
        let began = Instant::now();
        while self.heard.clients < self.clients.len() {
            let left = PATIENCE.saturating_sub(began.elapsed());
            if left.is_zero() || self.heard.wrong > 0 {
                bail!("of {} clients: {:?}", self.clients.len(), self.heard);
            }
            self.look(left)?;
        }
        Ok(std::mem::take(&mut self.heard))
    }

    /// Reads what comes until nothing has come for so long; nothing may be wrong.
    pub(crate) fn settle(&mut self, quiet: Duration) -> anyhow::Result<()> {
        let began = Instant::now();
        while self.look(quiet)? {
            ensure!(began.elapsed() < PATIENCE, "it does not become quiet");
        }
        self.check()
    }

    /// Reads what comes for so long; nothing may be wrong.
    pub(crate) fn idle(&mut self, span: Duration) -> anyhow::Result<()> {
        let began = Instant::now();
        while let Some(left) = span.checked_sub(began.elapsed()) {
            self.look(left)?;
        }
        self.check()
    }

    fn check(&self) -> anyhow::Result<()> {
        ensure!(self.heard.wrong == 0, "something went wrong: {:?}", self.heard);
        Ok(())
    }

    /// One round; `false`: nothing came in this time.
    fn look(&mut self, patience: Duration) -> anyhow::Result<bool> {
        let Self { surface, poll, events, clients, buffer, heard } = self;
        match poll.poll(events, Some(patience)) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(true),
            polled => polled.context("wait for the clients")?,
        }
        for event in events.iter() {
            clients[event.token().0].read(*surface, buffer, heard)?;
        }
        Ok(!events.is_empty())
    }
}

impl Client {
    /// Reads until nothing is there: only then will the system say again that there is.
    fn read(
        &mut self,
        surface: Surface,
        buffer: &mut [u8],
        heard: &mut Heard,
    ) -> anyhow::Result<()> {
        loop {
            let read = match self.stream.read(buffer) {
                Ok(0) => {
                    heard.wrong += 1;
                    return Ok(());
                }
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error).context("read what a client is told"),
            };
            if self.rest.is_empty() {
                let rest = self.take(surface, &buffer[..read], heard)?;
                self.rest.extend(&buffer[rest..read]);
            } else {
                let mut bytes = std::mem::take(&mut self.rest);
                bytes.extend(&buffer[..read]);
                let rest = self.take(surface, &bytes, heard)?;
                self.rest.extend(&bytes[rest..]);
            }
            if read < buffer.len() {
                return Ok(());
            }
        }
    }

    /// Takes the frames that are whole; where the rest begins.
    fn take(&mut self, surface: Surface, bytes: &[u8], heard: &mut Heard) -> anyhow::Result<usize> {
        let mut at = 0;
        while let Some((frame, length)) = wire::first(surface, &bytes[at..]) {
            match frame {
                Frame::Event(event) => self.note(surface, event, heard),
                Frame::Asks(answer) => {
                    self.stream.write_all(&answer).context("answer a server")?;
                }
                Frame::Other => {}
                Frame::End => heard.wrong += 1,
            }
            at += length;
        }
        Ok(at)
    }

    fn note(&mut self, surface: Surface, event: &[u8], heard: &mut Heard) {
        let Some(number) = wire::number(event) else {
            heard.wrong += usize::from(wire::is_gap(surface, event));
            return;
        };
        if number != self.last + 1 {
            heard.wrong += 1;
        }
        self.last = number;
        let now = Instant::now();
        heard.first.get_or_insert(now);
        heard.last = Some(now);
        heard.clients += 1;
        heard.bytes = event.len();
    }
}

/// Opens one session; its connection, its secret, and what came after.
pub(crate) fn open(
    surface: Surface,
    server: SocketAddr,
) -> anyhow::Result<(TcpStream, String, Vec<u8>)> {
    let mut stream = connect(server)?;
    stream.write_all(&wire::hello(surface, server))?;
    let (mut bytes, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        while let Some((frame, length)) = wire::first(surface, &bytes) {
            let token = match frame {
                Frame::Event(event) => wire::token(surface, event),
                Frame::Asks(answer) => {
                    stream.write_all(&answer)?;
                    None
                }
                Frame::Other => None,
                Frame::End => bail!("no session: {}", String::from_utf8_lossy(&bytes)),
            };
            bytes.drain(..length);
            if let Some(token) = token {
                return Ok((stream, token, bytes));
            }
        }
        let read = stream.read(&mut buffer).with_context(|| {
            format!("wait for a session; so far: {}", String::from_utf8_lossy(&bytes))
        })?;
        ensure!(read > 0, "no session: {}", String::from_utf8_lossy(&bytes));
        bytes.extend(&buffer[..read]);
    }
}
