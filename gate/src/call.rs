//! The desk behind both surfaces: requests come here as `core::Call`s, whatever they came in by.

use std::{sync::Arc, time::Instant};

use bytes::Bytes;
use futures_util::future::Either;
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;
use wasmverse_core::{
    Action, Call, CallError, Caller, Chain, ErrorKind, Invocation, ObjectId, Reply,
};
use wasmverse_router::{Callee as _, Router};

use crate::{
    access::{Access, Pages},
    budget::Budget,
    catalog::Catalog,
    cluster::Operations,
    control::Control,
    deadline::Timeouts,
    metrics::Meter,
    sessions::{Client, Sessions},
};

/// The longest name of a method, in bytes: no type has longer ones.
const METHOD_BYTES_MAX: usize = 255;
/// The longest idempotency key, in bytes.
const KEY_BYTES_MAX: usize = 255;

/// What both surfaces share.
#[derive(Debug)]
pub(crate) struct Desk {
    pub(crate) router: Router,
    pub(crate) sessions: Arc<Sessions>,
    pub(crate) control: Control,
    pub(crate) operations: Operations,
    pub(crate) catalog: Catalog,
    pub(crate) access: Access,
    pub(crate) pages: Pages,
    /// What requests and answers may hold.
    pub(crate) budget: Arc<Budget>,
    pub(crate) meter: Meter,
    pub(crate) timeouts: Timeouts,
    /// The largest request.
    pub(crate) body_bytes_max: usize,
    /// The files to show to browsers.
    pub(crate) static_dir: Option<std::path::PathBuf>,
    /// Turns when open-ended answers should end.
    pub(crate) ending: CancellationToken,
}

/// What a caller says beside what it asks for.
#[derive(Clone, Debug)]
pub(crate) struct Terms {
    /// When it gives up.
    pub(crate) deadline: Instant,
    /// W3C trace context.
    pub(crate) traceparent: Option<Arc<str>>,
    /// Whose session it shows.
    pub(crate) client: Option<Client>,
}

impl Desk {
    /// Brings an action to its object; the future waits for the answer. The call has its place
    /// among all calls when this returns.
    pub(crate) fn ask(
        &self,
        object: ObjectId,
        action: Action,
        terms: Terms,
    ) -> impl Future<Output = Result<Reply, CallError>> + Send + use<> {
        let Terms { deadline, traceparent, client } = terms;
        if let Err(error) = self.admit(&object, deadline) {
            return Either::Left(std::future::ready(Err(error)));
        }
        let span = tracing::debug_span!("gate.call", %object);
        if let Some(client) = &client
            && self.catalog.hears_of_clients(object.type_name())
        {
            client.called(&object);
        }
        let caller = Caller::Client(client.map(|client| Arc::clone(client.id())));
        let chain = Chain::default();
        let call = Call { object, action, caller, chain, deadline, traceparent };
        let answering = span.in_scope(|| self.router.call(call));
        let budget = Arc::clone(&self.budget);
        Either::Right(async move {
            let reply = answering.instrument(span).await?;
            let Reply::Payload(payload) = reply else { return Ok(reply) };
            let kept = budget.keep(payload).map_err(CallError::maybe_executed);
            kept.map(Reply::Payload)
        })
    }

    fn admit(&self, object: &ObjectId, deadline: Instant) -> Result<(), CallError> {
        self.catalog.check()?;
        if deadline <= Instant::now() {
            let error = CallError::new(ErrorKind::Timeout, "the deadline passed before the call");
            return Err(error.about(object));
        }
        Ok(())
    }

    /// An invocation within the bounds that hold for all types.
    pub(crate) fn invocation(
        &self,
        method: &str,
        payload: Bytes,
        key: Option<&str>,
    ) -> Result<Action, CallError> {
        let refused = |message: String| Err(CallError::new(ErrorKind::InvalidArgument, message));
        if method.is_empty() {
            return refused("the call names no method".to_owned());
        }
        if method.len() > METHOD_BYTES_MAX {
            return refused(format!("a method's name has up to {METHOD_BYTES_MAX} bytes"));
        }
        if payload.len() > self.body_bytes_max {
            return refused(too_large(self.body_bytes_max));
        }
        if let Some(key) = key
            && (key.is_empty() || key.len() > KEY_BYTES_MAX || key.chars().any(char::is_control))
        {
            return refused(format!(
                "an idempotency key has 1 to {KEY_BYTES_MAX} bytes and no control characters"
            ));
        }
        Ok(Action::Invoke(Invocation {
            method: method.into(),
            payload,
            key: key.map(Into::into),
            read_only: false,
        }))
    }
}

/// What is said of a request that is too large.
pub(crate) fn too_large(bytes_max: usize) -> String {
    format!("the request is too large: at most {bytes_max} bytes")
}

/// The trace context, if it is one; a malformed one is passed over, as W3C has it.
pub(crate) fn traceparent(text: &str) -> Option<Arc<str>> {
    let lengths: [usize; 4] = [2, 32, 16, 2];
    let mut parts = text.splitn(5, '-');
    let hex = |part: &str| part.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    let fits = lengths
        .iter()
        .all(|length| parts.next().is_some_and(|part| part.len() == *length && hex(part)));
    let version = text.get(..2)?;
    let ends = parts.next().is_none() || version != "00";
    (fits && ends && version != "ff" && text.len() <= 128).then(|| text.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_well_formed_trace_context_goes_on() {
        let good = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        assert_eq!(traceparent(good).as_deref(), Some(good));
        let later = format!("cc-{}-more", &good[3..]);
        assert!(traceparent(&later).is_some());
        for bad in [
            "",
            "00",
            "ä",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0\u{7f}",
        ] {
            assert_eq!(traceparent(bad), None, "{bad}");
        }
    }
}
