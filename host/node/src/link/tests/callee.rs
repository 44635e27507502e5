//! A callee that objects obey: what a method is called says what it does.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::{FutureExt as _, future::BoxFuture};
use parking_lot::Mutex;
use tokio::sync::{Semaphore, watch};
use wasmverse_core::{Action, Call, CallError, ErrorKind, Reply};
use wasmverse_router::Callee;

use crate::gates::Gates;

/// - `echo` answers its argument;
/// - `gated` answers its argument once the gate is opened;
/// - `slow` answers its argument after two milliseconds;
/// - `fail` answers an error of its own;
/// - `verbose` answers an error of half a mebibyte;
/// - `big` answers as many bytes as its argument says.
///
/// It keeps what it was asked, in order of arrival.
#[derive(Clone)]
pub(super) struct Fake {
    pub(super) seen: Arc<Mutex<Vec<Call>>>,
    pub(super) arrived: watch::Sender<usize>,
    pub(super) gate: Arc<Semaphore>,
    pub(super) gates: Arc<Gates>,
    /// Calls that were dropped before they were answered.
    pub(super) dropped: watch::Sender<usize>,
}

impl Fake {
    pub(super) fn new() -> Self {
        Self {
            seen: Arc::default(),
            arrived: watch::Sender::new(0),
            gate: Arc::new(Semaphore::new(0)),
            gates: Gates::new(Duration::from_secs(3600)),
            dropped: watch::Sender::new(0),
        }
    }

    pub(super) fn open_gate(&self) {
        self.gate.close();
    }

    pub(super) async fn arrived(&self, count: usize) {
        reached(&self.arrived, count).await;
    }

    pub(super) async fn dropped(&self, count: usize) {
        reached(&self.dropped, count).await;
    }

    pub(super) fn ids(&self) -> Vec<String> {
        self.seen.lock().iter().map(|call| call.object.id().to_owned()).collect()
    }

    fn note(&self, call: &Call) {
        self.seen.lock().push(call.clone());
        self.arrived.send_modify(|count| *count += 1);
    }
}

async fn reached(counter: &watch::Sender<usize>, count: usize) {
    let mut watched = counter.subscribe();
    let reached = watched.wait_for(|now| *now >= count);
    tokio::time::timeout(Duration::from_secs(20), reached).await.expect("in time").expect("kept");
}

/// Counts itself as dropped unless it was defused.
struct Fuse(Option<watch::Sender<usize>>);

impl Drop for Fuse {
    fn drop(&mut self) {
        if let Some(dropped) = &self.0 {
            dropped.send_modify(|count| *count += 1);
        }
    }
}

impl Callee for Fake {
    fn call(&self, call: Call) -> BoxFuture<'static, Result<Reply, CallError>> {
        self.note(&call);
        let (gate, fuse) = (Arc::clone(&self.gate), Fuse(Some(self.dropped.clone())));
        async move {
            let mut fuse = fuse;
            let answer = match call.action {
                Action::Invoke(invocation) => match &*invocation.method {
                    "gated" => {
                        // Opened by closing: all pass at once.
                        let _ = gate.acquire().await;
                        Ok(Reply::Payload(invocation.payload))
                    }
                    "slow" => {
                        tokio::time::sleep(Duration::from_millis(2)).await;
                        Ok(Reply::Payload(invocation.payload))
                    }
                    "fail" => Err(CallError::application("nope", "no", Bytes::from_static(b"7"))),
                    "verbose" => {
                        let long = "x".repeat(8 << 10);
                        let error = CallError::application("nope", "no", Bytes::new());
                        Err((0..64).fold(error, |error, _| error.with("", &long)))
                    }
                    "big" => {
                        let size = std::str::from_utf8(&invocation.payload).unwrap();
                        Ok(Reply::Payload(vec![7; size.parse().unwrap()].into()))
                    }
                    "echo" => Ok(Reply::Payload(invocation.payload)),
                    _ => Err(CallError::new(ErrorKind::NotFound, "no such method")),
                },
                Action::Create | Action::Delete | Action::ClientsGone(_) | Action::Deliver(..) => {
                    Ok(Reply::Done)
                }
                Action::Exists => Ok(Reply::Exists(true)),
            };
            fuse.0.take();
            answer
        }
        .boxed()
    }

    fn send(&self, call: Call) {
        self.note(&call);
    }
}
