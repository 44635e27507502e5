//! Calls of version 0.1.0.

use std::time::{Duration, Instant};

use bytes::Bytes;
use wasmverse_core::{Action, Call, Caller, Chain, Invocation, SendNumber, Version};

use super::{frame, id, kind, part_of};
use crate::{
    convert::{call_to_frame, frame_to_call},
    node::{CallFrame, Frame, frame::Frame as Kind, hand_over_part::Part},
};

fn invocation() -> Invocation {
    let (method, payload) = ("send_message".into(), Bytes::from_static(b"{\"a\":1}\0\xff"));
    Invocation { method, payload, key: Some("key-1".into()), read_only: true }
}

fn call(action: Action, caller: Caller) -> Call {
    Call {
        object: id("lobby-ä"),
        action,
        caller,
        chain: [id("outer"), id("inner")].iter().collect::<Chain>().since(77),
        deadline: start() + Duration::from_millis(1500),
        traceparent: Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".into()),
    }
}

pub(super) fn invoke() -> Call {
    call(Action::Invoke(invocation()), Caller::Client(Some("10.0.0.11:49000/x".into())))
}

pub(super) fn plain() -> Call {
    let method = "list".into();
    let invocation = Invocation { method, payload: Bytes::new(), key: None, read_only: false };
    let call = call(Action::Invoke(invocation), Caller::Client(None));
    Call { chain: Chain::default(), traceparent: None, ..call }
}

pub(super) fn deliver() -> Call {
    let number = SendNumber { version: Version(12), place: 3 };
    call(Action::Deliver(invocation(), number), Caller::Object(id("sender")))
}

pub(super) fn create() -> Call {
    call(Action::Create, Caller::Platform)
}

pub(super) fn delete() -> Call {
    call(Action::Delete, Caller::Object(id("owner")))
}

pub(super) fn exists() -> Call {
    call(Action::Exists, Caller::Client(None))
}

pub(super) fn gone() -> Call {
    let clients = ["10.0.0.11:49000/x", "10.0.0.11:49000/y"].map(Into::into);
    call(Action::ClientsGone(clients.into_iter().collect()), Caller::Platform)
}

/// One and the same instant in the whole process.
fn start() -> Instant {
    static START: std::sync::LazyLock<Instant> = std::sync::LazyLock::new(Instant::now);
    *START
}

pub(super) fn frame_of(call: Call) -> CallFrame {
    CallFrame { epoch: 5, one_way: true, ..call_to_frame(7, 4711, call, start()) }
}

pub(super) fn call_frame(call: Call) -> Frame {
    frame(Kind::Call(frame_of(call)))
}

/// All that is said of a call.
pub(super) type Said = (u64, u32, u64, bool, String);

pub(super) fn said(frame: CallFrame) -> Said {
    let CallFrame { id, shard, epoch, one_way, .. } = frame;
    (id, shard, epoch, one_way, format!("{:?}", frame_to_call(frame, start()).unwrap()))
}

pub(super) fn meant(call: &Call) -> Said {
    (7, 4711, 5, true, format!("{call:?}"))
}

pub(super) fn call_of_frame(bytes: &[u8]) -> Said {
    let Kind::Call(frame) = kind(bytes) else { panic!("{bytes:?}") };
    said(frame)
}

pub(super) fn call_of_part(bytes: &[u8]) -> Said {
    let Part::Call(frame) = part_of(bytes) else { panic!("{bytes:?}") };
    said(frame)
}
