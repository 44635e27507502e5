//! What peers push to our clients: taken once, in order, and acknowledged.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use wasmverse_core::{Action, Call, Caller, Chain, Push, PushTo};
use wasmverse_proto::{convert::ref_to_object, node::PushFrame};

use crate::{Delivery, hub::Hub, peer::Peer};

/// The word that clients are gone has so long to arrive.
const GONE_TIMEOUT: Duration = Duration::from_secs(30);

/// The last push that was taken from a node.
#[derive(Debug, Default)]
pub(crate) struct Taken {
    /// Of the node's process; empty: none was ever met.
    pub(crate) incarnation: String,
    pub(crate) id: u64,
    /// What may have been lost before is told, or nothing was.
    pub(crate) is_told: bool,
}

impl Peer {
    /// A node has said hello. What another process had on its way to our clients, nobody knows.
    pub(crate) fn met(&self, incarnation: &str) {
        let mut taken = self.pushes.lock();
        let is_told = std::mem::take(&mut taken.is_told) || taken.incarnation.is_empty();
        if taken.incarnation == incarnation {
            return;
        }
        *taken = Taken { incarnation: incarnation.into(), ..Taken::default() };
        drop(taken);
        if !is_told {
            self.tell_gap();
        }
    }

    /// It is gone for good. What it had on its way, nobody knows, unless it has left in order.
    pub(crate) fn parted(&self) {
        self.pushes.lock().is_told = true;
        if !self.has_left() {
            self.tell_gap();
        }
    }

    fn tell_gap(&self) {
        if let Some(audience) = &self.terms.audience {
            audience.missed(&PushTo::Everyone);
        }
    }

    /// Brings a push to its clients, unless that was done before; its id, to be acknowledged.
    pub(crate) fn take_push(&self, hub: &Arc<Hub>, frame: PushFrame) -> Option<u64> {
        let audience = self.terms.audience.as_ref()?;
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
            audience.missed(&to);
            return Some(id);
        }
        let Ok(from) = ref_to_object(frame.from.as_ref()) else {
            tracing::debug!("dropped a push that names no object");
            return Some(id);
        };
        let push = Push { to, event: frame.event.into(), payload: frame.payload };
        let gone = audience.deliver(Delivery { from: from.clone(), push });
        if !gone.is_empty() {
            // To whoever serves the object now.
            hub.send(Call {
                object: from,
                action: Action::ClientsGone(gone),
                caller: Caller::Platform,
                chain: Chain::default(),
                deadline: Instant::now() + GONE_TIMEOUT,
                traceparent: None,
            });
        }
        Some(id)
    }
}
