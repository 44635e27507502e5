//! Calls and replies as frames of a link, and back.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use prost::Message as _;
use wasmverse_core::{
    Action, Call, CallError, Caller, Chain, Elsewhere, Epoch, ErrorKind, Invocation, ObjectId,
    Reply, SendNumber, ShardId, Version,
};

use crate::{
    gate::ObjectRef,
    node::{
        self, Attribute, CallFailure, CallFrame, NotOwner, ReplyFrame,
        caller::Caller as WireCaller, reply_frame::Reply as WireReply,
    },
};

/// More objects than this wait in no chain; a longer one is malformed.
const CHAIN_LENGTH_MAX: usize = 64;
/// A deadline further away than this is taken for this far: clocks cannot count on for ever.
const TIMEOUT_MAX: Duration = Duration::from_secs(365 * 24 * 3600);

/// An object as the wire names it.
pub fn object_to_ref(object: &ObjectId) -> ObjectRef {
    ObjectRef { r#type: object.type_name().as_str().into(), id: object.id().into() }
}

/// The object that the wire names.
///
/// # Errors
/// `invalid-argument` if none is named, or its name is none.
pub fn ref_to_object(object: Option<&ObjectRef>) -> Result<ObjectId, CallError> {
    let object = object.ok_or_else(|| malformed("it names no object"))?;
    Ok(ObjectId::parse(&object.r#type, &object.id)?)
}

/// A call as a frame: `id` is chosen by the sender, `shard` is where it takes the object to be.
/// What is left of the deadline is counted from `now`.
pub fn call_to_frame(id: u64, shard: u32, call: Call, now: Instant) -> CallFrame {
    let mut frame = CallFrame {
        id,
        shard,
        object: Some(object_to_ref(&call.object)),
        timeout_micros: micros(call.deadline.saturating_duration_since(now)),
        caller: Some(caller_to_wire(&call.caller)),
        chain: call.chain.objects().into_iter().map(object_to_ref).collect(),
        traceparent: call.traceparent.as_deref().unwrap_or_default().into(),
        began: call.chain.began(),
        ..CallFrame::default()
    };
    let action = match call.action {
        Action::Invoke(invocation) => {
            invocation_to_frame(&mut frame, invocation);
            node::Action::Invoke
        }
        Action::Deliver(invocation, number) => {
            invocation_to_frame(&mut frame, invocation);
            (frame.send_version, frame.send_place) = (number.version.0, number.place);
            node::Action::Deliver
        }
        Action::Create => node::Action::Create,
        Action::Delete => node::Action::Delete,
        Action::Exists => node::Action::Exists,
        Action::ClientsGone(clients) => {
            frame.clients = clients.iter().map(|client| (**client).into()).collect();
            node::Action::ClientsGone
        }
    };
    frame.action = action.into();
    frame
}

fn invocation_to_frame(frame: &mut CallFrame, invocation: Invocation) {
    let Invocation { method, payload, key, read_only } = invocation;
    frame.method = (*method).into();
    frame.payload = payload;
    frame.key = key.as_deref().unwrap_or_default().into();
    frame.read_only = read_only;
}

/// The call in a frame. Its deadline is counted from `now`.
///
/// # Errors
/// `invalid-argument` if the frame is malformed.
pub fn frame_to_call(frame: CallFrame, now: Instant) -> Result<Call, CallError> {
    let object = ref_to_object(frame.object.as_ref())?;
    if frame.chain.len() > CHAIN_LENGTH_MAX {
        return Err(malformed("its chain is too long").about(&object));
    }
    let waiting = frame.chain.iter().map(|waiting| ref_to_object(Some(waiting)));
    let chain: Vec<ObjectId> = waiting.collect::<Result<_, _>>()?;
    let number = SendNumber { version: Version(frame.send_version), place: frame.send_place };
    let invocation = Invocation {
        method: frame.method.into(),
        payload: frame.payload,
        key: some(frame.key),
        read_only: frame.read_only,
    };
    let action = match node::Action::try_from(frame.action) {
        Ok(node::Action::Invoke) => Action::Invoke(invocation),
        Ok(node::Action::Deliver) => Action::Deliver(invocation, number),
        Ok(node::Action::Create) => Action::Create,
        Ok(node::Action::Delete) => Action::Delete,
        Ok(node::Action::Exists) => Action::Exists,
        Ok(node::Action::ClientsGone) => {
            Action::ClientsGone(frame.clients.into_iter().map(Into::into).collect())
        }
        Err(_) => return Err(malformed("its action is unknown").about(&object)),
    };
    Ok(Call {
        object,
        action,
        caller: wire_to_caller(frame.caller)?,
        chain: chain.iter().collect::<Chain>().since(frame.began),
        deadline: now + Duration::from_micros(frame.timeout_micros).min(TIMEOUT_MAX),
        traceparent: some(frame.traceparent),
    })
}

/// What became of the call `id`, as a frame.
pub fn reply_to_frame(id: u64, reply: Result<Reply, CallError>) -> ReplyFrame {
    let reply = match reply {
        Ok(Reply::Payload(payload)) => WireReply::Payload(payload),
        Ok(Reply::Done) => WireReply::Done(true),
        Ok(Reply::Exists(exists)) => WireReply::Exists(exists),
        Err(error) => WireReply::Failure(error_to_failure(&error)),
    };
    ReplyFrame { id, reply: Some(reply) }
}

/// What became of a call.
///
/// # Errors
/// What the callee answered; `internal` if the frame holds no answer that we know.
pub fn frame_to_reply(frame: ReplyFrame) -> Result<Reply, CallError> {
    match frame.reply {
        Some(WireReply::Payload(payload)) => Ok(Reply::Payload(payload)),
        Some(WireReply::Done(_)) => Ok(Reply::Done),
        Some(WireReply::Exists(exists)) => Ok(Reply::Exists(exists)),
        Some(WireReply::Failure(failure)) => Err(failure_to_error(failure)),
        None => Err(CallError::new(
            ErrorKind::Internal,
            "the call was answered, but the answer is of an unknown kind",
        )
        .maybe_executed()),
    }
}

/// What became of a call, as it is kept.
pub fn reply_to_bytes(reply: Result<Reply, CallError>) -> Bytes {
    reply_to_frame(0, reply).encode_to_vec().into()
}

/// What became of a call, as it was kept.
///
/// # Errors
/// What the callee answered; `internal` if it cannot be read.
pub fn bytes_to_reply(bytes: Bytes) -> Result<Reply, CallError> {
    let frame = ReplyFrame::decode(bytes).map_err(|error| {
        let message = format!("the answer that was kept cannot be read: {error}");
        CallError::new(ErrorKind::Internal, message)
    })?;
    frame_to_reply(frame)
}

/// An error, whole.
pub fn error_to_failure(error: &CallError) -> CallFailure {
    let attributes = error.attributes().iter();
    CallFailure {
        kind: error.kind().as_str().into(),
        message: error.message().into(),
        code: error.code().into(),
        details: error.details().clone(),
        object: error.object().map(object_to_ref),
        maybe_executed: error.may_have_executed(),
        // 0 says "not known", so what is known is at least 1.
        retry_after_micros: error.retry_after_hint().map_or(0, |after| micros(after).max(1)),
        attributes: attributes
            .map(|(name, value)| Attribute { name: name.clone(), value: value.clone() })
            .collect(),
        elsewhere_shard: error.as_elsewhere().map(|elsewhere| elsewhere.shard.0.into()),
        elsewhere_epoch: error.as_elsewhere().map_or(0, |elsewhere| elsewhere.epoch.0),
    }
}

/// The word that the call `id` was not executed, because its shard is served elsewhere.
pub fn elsewhere_to_frame(id: u64, elsewhere: Elsewhere) -> NotOwner {
    let Elsewhere { shard, epoch } = elsewhere;
    NotOwner { id, shard: shard.0.into(), owner: String::new(), epoch: epoch.0 }
}

/// What a caller is told by that word: an error that says `elsewhere`; `unavailable` alone if it names
/// no shard that there could be.
pub fn frame_to_elsewhere(frame: &NotOwner) -> CallError {
    elsewhere(frame.shard, frame.epoch)
}

fn elsewhere(shard: u32, epoch: u64) -> CallError {
    match u16::try_from(shard) {
        Ok(shard) => CallError::elsewhere(ShardId(shard), Epoch(epoch)),
        Err(_) => {
            CallError::new(ErrorKind::Unavailable, format!("the node does not own shard {shard}"))
        }
    }
}

/// The error in a frame. One of a kind that we do not know is `internal`, and says so.
pub fn failure_to_error(failure: CallFailure) -> CallError {
    let mut error = match ErrorKind::from_name(&failure.kind) {
        Some(ErrorKind::Unavailable) if failure.elsewhere_shard.is_some() => {
            elsewhere(failure.elsewhere_shard.unwrap_or_default(), failure.elsewhere_epoch)
        }
        Some(ErrorKind::Application) => {
            CallError::application(failure.code, failure.message, failure.details)
        }
        Some(kind) => CallError::new(kind, failure.message),
        None => CallError::new(ErrorKind::Internal, failure.message).with("kind", failure.kind),
    };
    if let Ok(object) = ref_to_object(failure.object.as_ref()) {
        error = error.about(&object);
    }
    if failure.maybe_executed {
        error = error.maybe_executed();
    }
    if failure.retry_after_micros > 0 {
        error = error.retry_after(Duration::from_micros(failure.retry_after_micros));
    }
    let attributes = failure.attributes.into_iter();
    attributes.fold(error, |error, attribute| error.with(attribute.name, attribute.value))
}

fn caller_to_wire(caller: &Caller) -> node::Caller {
    let caller = match caller {
        Caller::Client(id) => WireCaller::Client(id.as_deref().unwrap_or_default().into()),
        Caller::Object(object) => WireCaller::Object(object_to_ref(object)),
        Caller::Platform => WireCaller::Platform(true),
    };
    node::Caller { caller: Some(caller) }
}

fn wire_to_caller(caller: Option<node::Caller>) -> Result<Caller, CallError> {
    match caller.and_then(|caller| caller.caller) {
        Some(WireCaller::Client(id)) => Ok(Caller::Client(some(id))),
        Some(WireCaller::Object(object)) => ref_to_object(Some(&object)).map(Caller::Object),
        Some(WireCaller::Platform(true)) => Ok(Caller::Platform),
        Some(WireCaller::Platform(false)) | None => Err(malformed("it names no caller")),
    }
}

fn malformed(problem: &str) -> CallError {
    CallError::new(ErrorKind::InvalidArgument, format!("the call is malformed: {problem}"))
}

fn some(text: String) -> Option<Arc<str>> {
    (!text.is_empty()).then(|| text.into())
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
pub(super) mod tests;
