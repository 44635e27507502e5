//! What the peer pushes to our clients: taken once, in order, and acknowledged.

use std::time::{Duration, Instant};

use wasmverse_core::{Action, Call, Caller, Chain, Push, PushTo};
use wasmverse_proto::{convert::ref_to_object, node::PushFrame};

use crate::{Delivery, peer::Peer};

/// The word that clients are gone has so long to arrive.
const GONE_TIMEOUT: Duration = Duration::from_secs(30);

/// The last push that was taken.
#[derive(Debug, Default)]
pub(crate) struct Taken {
    pub(crate) incarnation: String,
    pub(crate) id: u64,
}

impl Peer {
    /// A node has said hello. What another one had on its way to our clients, nobody knows.
    pub(crate) fn met(&self, incarnation: &str) {
        let mut taken = self.pushes.lock();
        if taken.incarnation == incarnation {
            return;
        }
        let is_first = taken.incarnation.is_empty();
        *taken = Taken { incarnation: incarnation.into(), id: 0 };
        drop(taken);
        if !is_first {
            self.audience.missed(&PushTo::Everyone);
        }
    }

    /// Brings a push to its clients, unless that was done before; its id, to be acknowledged.
    pub(crate) fn take_push(&self, frame: PushFrame) -> Option<u64> {
        let id = frame.id;
        {
            let mut taken = self.pushes.lock();
            if id <= taken.id {
                return Some(taken.id);
            }
            taken.id = id;
        }
        let clients: Vec<_> = frame.clients.into_iter().map(Into::into).collect();
        let to = if clients.is_empty() { PushTo::Everyone } else { PushTo::Clients(clients) };
        if frame.lost {
            self.audience.missed(&to);
            return Some(id);
        }
        let Ok(from) = ref_to_object(frame.from.as_ref()) else {
            tracing::debug!("dropped a push that names no object");
            return Some(id);
        };
        let push = Push { to, event: frame.event.into(), payload: frame.payload };
        let gone = self.audience.deliver(Delivery { from: from.clone(), push });
        if !gone.is_empty() {
            self.send(
                Call {
                    object: from,
                    action: Action::ClientsGone(gone),
                    caller: Caller::Platform,
                    chain: Chain::default(),
                    deadline: Instant::now() + GONE_TIMEOUT,
                    traceparent: None,
                },
                0,
            );
        }
        Some(id)
    }
}
