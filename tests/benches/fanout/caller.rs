//! A caller over HTTP/1 that keeps its connection, and that says when a call leaves.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use anyhow::{Context as _, bail, ensure};

/// How long anything may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// One connection; one call at a time.
#[derive(Debug)]
pub(crate) struct Caller {
    stream: TcpStream,
    server: SocketAddr,
}

impl Caller {
    /// Connects.
    pub(crate) fn connect(server: SocketAddr) -> anyhow::Result<Self> {
        Ok(Self { stream: connect(server)?, server })
    }

    /// Sends a request; with the token it is that client's own.
    pub(crate) fn send(
        &mut self,
        method: &str,
        path: &str,
        token: &str,
        body: &[u8],
    ) -> anyhow::Result<()> {
        let session = match token {
            "" => String::new(),
            token => format!("wasmverse-session: {token}\r\n"),
        };
        let (server, length) = (self.server, body.len());
        let mut request = format!(
            "{method} {path} HTTP/1.1\r\nhost: {server}\r\n{session}content-length: {length}\r\n\r\n"
        )
        .into_bytes();
        request.extend(body);
        self.stream.write_all(&request).with_context(|| format!("send {method} {path}"))
    }

    /// The body of its answer, which must be a good one.
    pub(crate) fn receive(&mut self) -> anyhow::Result<String> {
        let (mut bytes, mut buffer) = (Vec::new(), vec![0; 64 << 10]);
        loop {
            let read = self.stream.read(&mut buffer).context("read an answer")?;
            ensure!(read > 0, "the connection ended within an answer");
            bytes.extend(&buffer[..read]);
            let text = String::from_utf8_lossy(&bytes);
            let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
            if body.len() >= length(head)? {
                let status = head.get(9..12).unwrap_or_default();
                ensure!(status.starts_with('2'), "the answer is {status}: {body}");
                return Ok(body.to_owned());
            }
        }
    }

    /// Both.
    pub(crate) fn call(
        &mut self,
        method: &str,
        path: &str,
        token: &str,
        body: &[u8],
    ) -> anyhow::Result<String> {
        self.send(method, path, token, body)?;
        self.receive().with_context(|| format!("{method} {path}"))
    }
}

/// A connection that waits for nothing for ever.
pub(crate) fn connect(server: SocketAddr) -> anyhow::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&server, PATIENCE)
        .with_context(|| format!("connect to {server}"))?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    Ok(stream)
}

fn length(head: &str) -> anyhow::Result<usize> {
    for line in head.lines() {
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            return value.trim().parse().context("read the length of an answer");
        }
    }
    if head.starts_with("HTTP/1.1 204") {
        return Ok(0);
    }
    bail!("an answer without a length: {head}")
}
