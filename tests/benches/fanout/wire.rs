//! What goes over a client's connection, as bytes: what it says first, and how what it hears falls
//! into frames. No library: 10,000 clients share two cores with what they measure.

use std::net::SocketAddr;

use wasmverse_proto::gate::{SessionEvent, session_event::Event as Kind};
use wasmverse_tests::sessions::Surface;

/// What stands before the number of a message: none of our frames has it anywhere else.
const MARK: u8 = b'~';
/// Digits of a number.
const DIGITS: usize = 6;
/// The largest window that HTTP/2 knows: nobody ever asks for more.
const WINDOW: u32 = (1 << 31) - 1;
/// What HTTP/2 begins a connection's window with.
const WINDOW_AT_FIRST: u32 = (1 << 16) - 1;

// Frames of HTTP/2.
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RESET: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const ACK: u8 = 1;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// A part of what a server sends.
#[derive(Debug)]
pub(crate) enum Frame<'a> {
    /// Something that the client is told.
    Event(&'a [u8]),
    /// The server wants this back.
    Asks(Vec<u8>),
    /// Of no interest.
    Other,
    /// The connection is over.
    End,
}

/// A text that carries a number; what it is made of is as long as what people write.
pub(crate) fn text(number: u32) -> String {
    format!("~{number:0DIGITS$} The quick brown fox jumps over the lazy dog.")
}

/// The number that an event carries.
pub(crate) fn number(event: &[u8]) -> Option<u32> {
    let at = event.iter().position(|byte| *byte == MARK)?;
    let digits = event.get(at + 1..at + 1 + DIGITS)?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// Does the event say that others were missed?
pub(crate) fn is_gap(surface: Surface, event: &[u8]) -> bool {
    let holds = |words: &[u8]| event.windows(words.len()).any(|window| window == words);
    match surface {
        Surface::Sse => holds(b"event: gap\n"),
        Surface::Ws => holds(br#""op":"gap""#),
        Surface::Grpc => {
            let event = <SessionEvent as prost::Message>::decode(event);
            matches!(event, Ok(SessionEvent { event: Some(Kind::Gap(_)), .. }))
        }
    }
}

/// The secret in the event that opens a session.
pub(crate) fn token(surface: Surface, event: &[u8]) -> Option<String> {
    if surface == Surface::Grpc {
        let event: SessionEvent = prost::Message::decode(event).ok()?;
        return match event.event? {
            Kind::Opened(opened) => Some(opened.session_token),
            Kind::Push(_) | Kind::Gap(_) | Kind::Heartbeat(_) => None,
        };
    }
    let text = std::str::from_utf8(event).ok()?;
    let (_, rest) = text.split_once(r#""session":""#)?;
    rest.split('"').next().map(str::to_owned)
}

/// What a client says to open a session.
pub(crate) fn hello(surface: Surface, server: SocketAddr) -> Vec<u8> {
    match surface {
        Surface::Sse => format!("GET /v1/events HTTP/1.1\r\nhost: {server}\r\n\r\n").into_bytes(),
        Surface::Ws => {
            let mut hello = format!(
                "GET /v1/ws HTTP/1.1\r\nhost: {server}\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\
                 sec-websocket-version: 13\r\nsec-websocket-key: d2FzbXZlcnNlIGZhbm91dA==\r\n\r\n"
            )
            .into_bytes();
            hello.extend(ws_text(r#"{"op":"open"}"#));
            hello
        }
        Surface::Grpc => grpc_hello(&server.to_string()),
    }
}

/// A text frame of a client; its mask is zero, which leaves the text as it is.
pub(crate) fn ws_text(text: &str) -> Vec<u8> {
    let mut frame = vec![0x81];
    match u8::try_from(text.len()) {
        Ok(length) if length < 126 => frame.push(0x80 | length),
        Ok(_) | Err(_) => {
            let length = u16::try_from(text.len()).expect("our texts are short");
            frame.push(0x80 | 126);
            frame.extend(length.to_be_bytes());
        }
    }
    frame.extend([0; 4]);
    frame.extend(text.as_bytes());
    frame
}

fn grpc_hello(server: &str) -> Vec<u8> {
    // Names and values as they are, without compression; numbers below 127 are one byte.
    let literal = |text: &str| {
        let mut bytes = vec![u8::try_from(text.len()).expect("our headers are short")];
        bytes.extend(text.as_bytes());
        bytes
    };
    let mut headers = vec![0x83, 0x86, 0x04];
    headers.extend(literal("/wasmverse.gate.v1.GateService/OpenSession"));
    headers.push(0x01);
    headers.extend(literal(server));
    for (name, value) in [("content-type", "application/grpc"), ("te", "trailers")] {
        headers.push(0x00);
        headers.extend(literal(name));
        headers.extend(literal(value));
    }
    let mut window = vec![0, 4];
    window.extend(WINDOW.to_be_bytes());
    let mut hello = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    hello.extend(h2(SETTINGS, 0, 0, &window));
    hello.extend(h2(WINDOW_UPDATE, 0, 0, &(WINDOW - WINDOW_AT_FIRST).to_be_bytes()));
    hello.extend(h2(HEADERS, END_HEADERS, 1, &headers));
    // An empty message.
    hello.extend(h2(DATA, END_STREAM, 1, &[0; 5]));
    hello
}

fn h2(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("our frames are short");
    let mut frame = length.to_be_bytes()[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// The first frame, and its length; none: it has not arrived whole.
pub(crate) fn first(surface: Surface, bytes: &[u8]) -> Option<(Frame<'_>, usize)> {
    match surface {
        Surface::Sse => sse(bytes),
        Surface::Ws => ws(bytes),
        Surface::Grpc => grpc(bytes),
    }
}

/// An event ends with an empty line. The head of the answer and the sizes of chunks stand before
/// the event that comes next, since their lines end otherwise.
fn sse(bytes: &[u8]) -> Option<(Frame<'_>, usize)> {
    if bytes.starts_with(b"\r\n") {
        return Some((Frame::Other, 2));
    }
    if bytes.starts_with(b"0\r\n") {
        return Some((Frame::End, bytes.len()));
    }
    let end = position(bytes, b"\n\n")?;
    Some((Frame::Event(&bytes[..end]), end))
}

fn ws(bytes: &[u8]) -> Option<(Frame<'_>, usize)> {
    if bytes.starts_with(b"HTTP/1.1 ") {
        let end = position(bytes, b"\r\n\r\n")?;
        let is_open = bytes.starts_with(b"HTTP/1.1 101");
        return Some((if is_open { Frame::Other } else { Frame::End }, end));
    }
    let (head, length) = match *bytes.get(1)? {
        126 => (4, usize::from(u16::from_be_bytes([*bytes.get(2)?, *bytes.get(3)?]))),
        // Nothing as long as that is sent here.
        127.. => return Some((Frame::End, bytes.len())),
        length => (2, usize::from(length)),
    };
    let payload = bytes.get(head..head + length)?;
    let frame = match bytes[0] & 0x0f {
        1 => Frame::Event(payload),
        8 => Frame::End,
        9 => Frame::Asks(vec![0x8a, 0x80, 0, 0, 0, 0]),
        _ => Frame::Other,
    };
    Some((frame, head + length))
}

fn grpc(bytes: &[u8]) -> Option<(Frame<'_>, usize)> {
    let head = bytes.get(..9)?;
    let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
    let (kind, flags, end) = (head[3], head[4], 9 + length);
    let payload = bytes.get(9..end)?;
    let frame = match kind {
        DATA | HEADERS if flags & END_STREAM != 0 => Frame::End,
        RESET | GOAWAY => Frame::End,
        SETTINGS if flags & ACK == 0 => Frame::Asks(h2(SETTINGS, ACK, 0, &[])),
        PING if flags & ACK == 0 => Frame::Asks(h2(PING, ACK, 0, payload)),
        // One message in a frame: none is sent before the one before has come.
        DATA if length >= 5 => Frame::Event(&payload[5..]),
        _ => Frame::Other,
    };
    Some((frame, end))
}

/// The end of the first such bytes.
fn position(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    let start = bytes.windows(wanted.len()).position(|window| window == wanted)?;
    Some(start + wanted.len())
}
