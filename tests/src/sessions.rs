//! A client with a session, on each of the three surfaces, and a wire that is cut at any point.

use std::{net::SocketAddr, time::Duration};

use futures_util::{SinkExt as _, StreamExt as _, stream::BoxStream};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, copy},
    net::{TcpListener, TcpStream},
};
use tokio_tungstenite::tungstenite::Message;
use tokio_util::task::AbortOnDropHandle;
use wasmverse_gate::Addresses;
use wasmverse_proto::gate::{
    OpenSessionRequest, SessionEvent, gate_service_client::GateServiceClient,
    session_event::Event as Kind,
};

use crate::patience::PATIENCE;

/// By what a session comes in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Surface {
    /// Server-sent events.
    Sse,
    /// WebSocket.
    Ws,
    /// gRPC.
    Grpc,
}

impl Surface {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Sse, Self::Ws, Self::Grpc];

    /// Where it is.
    pub fn of(self, addresses: Addresses) -> SocketAddr {
        match self {
            Self::Sse | Self::Ws => addresses.http,
            Self::Grpc => addresses.grpc,
        }
    }
}

/// Where a session is to go on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mark {
    /// The secret.
    pub token: String,
    /// The last event that was received.
    pub seq: u64,
}

/// Something that a client is told.
#[derive(Clone, Debug, PartialEq)]
pub enum Told {
    /// Who it is.
    Opened(String),
    /// An event and its data.
    Push(String, Value),
    /// So many were missed.
    Gap(Option<u64>),
}

#[expect(missing_debug_implementations, reason = "a stream shows nothing")]
/// One connection of a session. It ends when the connection does.
pub struct Connection {
    told: BoxStream<'static, (Told, Mark)>,
    /// Where to go on from what was received.
    pub mark: Mark,
}

impl Connection {
    /// Opens a session, or resumes one; none: the connection broke before it came about.
    pub async fn try_open(surface: Surface, at: SocketAddr, mark: &Mark) -> Option<Self> {
        let told = match surface {
            Surface::Sse => sse(at, mark).await?,
            Surface::Ws => ws(at, mark).await?,
            Surface::Grpc => grpc(at, mark).await?,
        };
        Some(Self { told, mark: mark.clone() })
    }

    /// Opens a session, or resumes one; its client's id, and the connection.
    ///
    /// # Panics
    /// If the gate is not there.
    pub async fn open(surface: Surface, at: SocketAddr, mark: &Mark) -> (String, Self) {
        let opened = Self::try_open(surface, at, mark).await;
        let mut connection = opened.expect("the gate is there");
        match connection.next().await {
            Some(Told::Opened(client)) => (client, connection),
            other => panic!("first of all a session is opened, not {other:?}"),
        }
    }

    /// What it is told next; none: the connection is over.
    ///
    /// # Panics
    /// If nothing comes for long.
    pub async fn next(&mut self) -> Option<Told> {
        let next = tokio::time::timeout(PATIENCE, self.told.next()).await;
        let (told, mark) = next.expect("something is told in time")?;
        self.mark = mark;
        Some(told)
    }

    /// The data of the next event of that name; others are passed over.
    ///
    /// # Panics
    /// If the connection ends before, or there is a gap.
    pub async fn event(&mut self, name: &str) -> Value {
        loop {
            match self.next().await {
                Some(Told::Push(event, data)) if event == name => return data,
                Some(Told::Push(..)) => {}
                other => panic!("waiting for {name}: {other:?}"),
            }
        }
    }
}

async fn sse(at: SocketAddr, mark: &Mark) -> Option<BoxStream<'static, (Told, Mark)>> {
    let client = reqwest::Client::builder().no_proxy().build().expect("a client");
    let mut request = client.get(format!("http://{at}/v1/events"));
    if !mark.token.is_empty() {
        request = request.header("last-event-id", format!("{}.{}", mark.token, mark.seq));
    }
    let bytes = Box::pin(request.send().await.ok()?.bytes_stream());
    let state = (bytes, String::new());
    let told = futures_util::stream::unfold(state, |(mut bytes, mut text)| async move {
        loop {
            if let Some(end) = text.find("\n\n") {
                let block: String = text.drain(..end + 2).collect();
                if let Some(told) = sse_event(&block) {
                    return Some((told, (bytes, text)));
                }
                continue;
            }
            let chunk = bytes.next().await?.ok()?;
            text.push_str(std::str::from_utf8(&chunk).ok()?);
        }
    });
    Some(told.boxed())
}

fn sse_event(block: &str) -> Option<(Told, Mark)> {
    let field = |name: &str| block.lines().find_map(|line| line.strip_prefix(name));
    let (event, id) = (field("event: ")?, field("id: ")?);
    let data: Value = serde_json::from_str(field("data: ")?).expect("JSON");
    let (token, seq) = id.rsplit_once('.').expect("our own ids are known here");
    let mark = Mark { token: token.into(), seq: seq.parse().expect("a number") };
    let told = match event {
        "session" => Told::Opened(text(&data["client_id"])),
        "gap" => Told::Gap(data["missed"].as_u64()),
        name => Told::Push(name.into(), data),
    };
    Some((told, mark))
}

async fn ws(at: SocketAddr, mark: &Mark) -> Option<BoxStream<'static, (Told, Mark)>> {
    let (mut socket, _) =
        tokio_tungstenite::connect_async(format!("ws://{at}/v1/ws")).await.ok()?;
    let first = match mark.token.as_str() {
        "" => json!({"op": "open"}),
        token => json!({"op": "resume", "session": token, "seq": mark.seq}),
    };
    socket.send(Message::text(first.to_string())).await.ok()?;
    let told = socket.scan(mark.clone(), |mark, frame| {
        let told = frame.ok().map(|frame| match frame {
            Message::Text(text) => ws_told(mark, &text).map(|told| (told, mark.clone())),
            _ => None,
        });
        std::future::ready(told)
    });
    Some(told.filter_map(std::future::ready).boxed())
}

fn ws_told(mark: &mut Mark, frame: &str) -> Option<Told> {
    let frame: Value = serde_json::from_str(frame).expect("JSON");
    Some(match frame["op"].as_str()? {
        "session" => {
            let token = text(&frame["session"]);
            if mark.token != token {
                *mark = Mark { token, seq: 0 };
            }
            Told::Opened(text(&frame["client_id"]))
        }
        "push" => {
            mark.seq = frame["seq"].as_u64().expect("a number");
            Told::Push(text(&frame["event"]), frame["payload"].clone())
        }
        "gap" => {
            let missed = frame["missed"].as_u64();
            mark.seq += missed.unwrap_or(1);
            Told::Gap(missed)
        }
        _ => return None,
    })
}

async fn grpc(at: SocketAddr, mark: &Mark) -> Option<BoxStream<'static, (Told, Mark)>> {
    let mut client = GateServiceClient::connect(format!("http://{at}")).await.ok()?;
    let request = OpenSessionRequest { session_token: mark.token.clone(), last_seq: mark.seq };
    let events = client.open_session(request).await.ok()?.into_inner();
    let told = events.scan(mark.clone(), |mark, event| {
        let told = event.ok().map(|event| grpc_told(mark, event).map(|told| (told, mark.clone())));
        std::future::ready(told)
    });
    Some(told.filter_map(std::future::ready).boxed())
}

fn grpc_told(mark: &mut Mark, SessionEvent { seq, event }: SessionEvent) -> Option<Told> {
    mark.seq = seq;
    Some(match event? {
        Kind::Opened(opened) => {
            mark.token = opened.session_token;
            Told::Opened(opened.client_id)
        }
        Kind::Push(push) => {
            Told::Push(push.event, serde_json::from_slice(&push.payload).expect("JSON"))
        }
        Kind::Gap(gap) => Told::Gap(gap.missed),
        Kind::Heartbeat(_) => return None,
    })
}

fn text(value: &Value) -> String {
    value.as_str().expect("text").into()
}

#[derive(Debug)]
/// A wire to a server, which is cut once so many bytes have come from there.
pub struct Wire {
    /// Where to connect instead.
    pub address: SocketAddr,
    _serving: AbortOnDropHandle<()>,
}

impl Wire {
    /// Takes one connection.
    ///
    /// # Panics
    /// If no port can be had.
    pub async fn cut_after(server: SocketAddr, bytes: u64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let serving = tokio_util::task::TaskTracker::new().spawn(async move {
            let Ok((client, _)) = listener.accept().await else { return };
            let Ok(server) = TcpStream::connect(server).await else { return };
            let (mut client_in, mut client_out) = client.into_split();
            let (server_in, mut server_out) = server.into_split();
            let mut limited = server_in.take(bytes);
            tokio::select! {
                _ = copy(&mut client_in, &mut server_out) => {}
                _ = copy(&mut limited, &mut client_out) => {}
            }
            // Whoever waits is told at once.
            drop(client_out.shutdown().await);
        });
        Self { address, _serving: AbortOnDropHandle::new(serving) }
    }
}

/// Shorter than by default, so that tests that are about them end soon.
pub const WINDOW: Duration = Duration::from_millis(300);
