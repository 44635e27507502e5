//! Tells objects that clients are gone: one after another, so that however many go at once, calls
//! still find room in the object's mailbox.

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use fnv::{FnvHashMap, FnvHashSet};
use parking_lot::Mutex;
use wasmverse_core::{
    Action, Call, CallError, Caller, Chain, Encoding, ErrorKind, Invocation, ON_CLIENT_GONE,
    ObjectId, Reply,
};

use crate::host::Host;

/// Clients that one object has yet to hear of; beyond it they are dropped and counted.
const WAITING_MAX: usize = 65_536;
/// An object has so long to take one in.
const TIMEOUT: Duration = Duration::from_secs(30);

/// An object that cannot listen now is told again so often, with growing pauses.
const TRIES_MAX: u32 = 10;
const PAUSE_MIN: Duration = Duration::from_millis(100);

/// The clients that objects have yet to hear of.
#[derive(Default)]
pub(crate) struct GoneClients(Mutex<FnvHashMap<ObjectId, Waiting>>);

/// The clients that one object has yet to hear of, each once.
#[derive(Default)]
struct Waiting {
    queue: VecDeque<Arc<str>>,
    known: FnvHashSet<Arc<str>>,
}

impl GoneClients {
    /// The next client that an object is to hear of; none: nobody tells it any more.
    fn next(&self, object: &ObjectId) -> Option<Arc<str>> {
        let mut waiting = self.0.lock();
        let next = waiting.get_mut(object).and_then(|waiting| {
            let next = waiting.queue.pop_front()?;
            waiting.known.remove(&next);
            Some(next)
        });
        if next.is_none() {
            waiting.remove(object);
        }
        next
    }

    /// Whether all objects have heard of all.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.lock().is_empty()
    }

    /// It was not told after all: it comes first again.
    fn put_back(&self, object: &ObjectId, client: Arc<str>) {
        let mut waiting = self.0.lock();
        let Waiting { queue, known } = waiting.entry(object.clone()).or_default();
        if known.insert(Arc::clone(&client)) {
            queue.push_front(client);
        }
    }
}

impl Host {
    /// Has an object told, wherever it is, that clients are gone.
    pub(crate) fn tell_gone(self: &Arc<Self>, object: ObjectId, clients: Vec<Arc<str>>) {
        if self.joined().is_none() {
            return self.clients_gone(object, clients);
        }
        self.bring_one_way(Call {
            object,
            action: Action::ClientsGone(clients),
            caller: Caller::Platform,
            chain: Chain::default(),
            deadline: Instant::now() + TIMEOUT,
            traceparent: None,
        });
    }

    /// Tells an object that clients are gone, if it exists and wants to know.
    pub(crate) fn clients_gone(self: &Arc<Self>, object: ObjectId, clients: Vec<Arc<str>>) {
        if clients.is_empty() {
            return;
        }
        let shard = self.shard_of(&object);
        for client in &clients {
            self.gates.callers.forget(client, &object, shard);
        }
        let mut waiting = self.gone.0.lock();
        let is_told = waiting.contains_key(&object);
        let Waiting { queue, known } = waiting.entry(object.clone()).or_default();
        for client in clients {
            if queue.len() >= WAITING_MAX {
                self.metrics.clients_gone_lost.increment(1);
            } else if known.insert(Arc::clone(&client)) {
                queue.push_back(client);
            }
        }
        drop(waiting);
        if !is_told {
            // They still hear of it while the node lets turns end.
            let (host, end) = (Arc::clone(self), self.writer_end.clone());
            self.background.spawn(async move {
                end.run_until_cancelled(host.tell_all(object)).await;
            });
        }
    }

    async fn tell_all(self: Arc<Self>, object: ObjectId) {
        let mut tries = 0;
        loop {
            let Some(client) = self.gone.next(&object) else { return };
            match self.tell(&object, &client).await {
                Ok(()) => {
                    tries = 0;
                    self.metrics.clients_gone.increment(1);
                }
                Err(error) if is_passing(&error) && tries < TRIES_MAX => {
                    self.gone.put_back(&object, client);
                    tokio::time::sleep(PAUSE_MIN.saturating_mul(1 << tries)).await;
                    tries += 1;
                }
                Err(error) => {
                    self.metrics.clients_gone_lost.increment(1);
                    tracing::debug!(%object, %error, "an object did not hear that a client is gone");
                }
            }
        }
    }

    async fn tell(self: &Arc<Self>, object: &ObjectId, client: &str) -> Result<(), CallError> {
        let revision = self.types.get(object.type_name())?;
        let call = |action| Call {
            object: object.clone(),
            action,
            caller: Caller::Platform,
            chain: Chain::default(),
            deadline: Instant::now() + TIMEOUT,
            traceparent: None,
        };
        let hears = revision.spec().methods.contains_key(ON_CLIENT_GONE);
        if !hears || self.bring(call(Action::Exists)).await? != Reply::Exists(true) {
            return Ok(());
        }
        let invocation = Invocation {
            method: ON_CLIENT_GONE.into(),
            payload: argument(client, revision.spec().encoding),
            key: None,
            read_only: false,
        };
        self.bring(call(Action::Invoke(invocation))).await.map(drop)
    }
}

/// Whether the object did not hear of it, and may yet.
fn is_passing(error: &CallError) -> bool {
    let kind = error.kind();
    matches!(kind, ErrorKind::Overloaded | ErrorKind::Unavailable) && !error.may_have_executed()
}

/// A client's id as the argument of a method.
fn argument(client: &str, encoding: Encoding) -> Bytes {
    match encoding {
        Encoding::Json => serde_json::Value::from(client).to_string().into(),
        Encoding::Bytes => Bytes::copy_from_slice(client.as_bytes()),
        // A message whose field 1 is the text.
        Encoding::Protobuf => {
            let mut message = vec![0x0a];
            let mut length = client.len();
            while length >= 0x80 {
                message.push(u8::try_from(length & 0x7f).unwrap_or_default() | 0x80);
                length >>= 7;
            }
            message.push(u8::try_from(length).unwrap_or_default());
            message.extend_from_slice(client.as_bytes());
            message.into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_is_named_in_the_encoding_of_the_type() {
        assert_eq!(argument("g/\"1", Encoding::Json), "\"g/\\\"1\"");
        assert_eq!(argument("g/1", Encoding::Bytes), "g/1");
        assert_eq!(argument("g/1", Encoding::Protobuf), "\n\u{3}g/1");
        let long = "x".repeat(200);
        assert_eq!(argument(&long, Encoding::Protobuf)[..3], [0x0a, 0xc8, 0x01]);
    }
}
