//! Messages of version 0.1.0, and what they mean. Never changed once that is out.

mod calls;

use std::time::Duration;

use bytes::Bytes;
use prost::Message;
use wasmverse_core::{CallError, Elsewhere, Epoch, ErrorKind, ObjectId, Reply, ShardId};

use super::Sample;
use crate::{
    convert::{
        bytes_to_reply, elsewhere_to_frame, frame_to_elsewhere, frame_to_reply, object_to_ref,
        ref_to_object, reply_to_bytes, reply_to_frame,
    },
    node::{
        CancelFrame, Fence, Frame, Frames, HandOverAnswer, HandOverCallers, HandOverHead,
        HandOverObject, HandOverPart, Hello, NoMoreCalls, NotOwner, PushAck, PushFrame, ReplyFrame,
        frame::Frame as Kind, hand_over_answer::Answer, hand_over_part::Part,
    },
};
use calls::{
    call_frame, call_of_frame, call_of_part, create, delete, deliver, exists, frame_of, gone,
    invoke, meant, plain,
};

/// A sample: its name, what is recorded, how it is read, and what that has to be.
macro_rules! sample {
    ($name:literal, $write:expr, $read:expr, $meant:expr) => {
        Sample {
            name: $name,
            write: || $write.encode_to_vec(),
            check: |bytes| assert_eq!($read(bytes), $meant, "{}", $name),
        }
    };
}

pub(super) static SAMPLES: [Sample; 35] = [
    sample!("frame.hello.node", frame(Kind::Hello(node())), kind, Kind::Hello(node())),
    sample!("frame.hello.gate", frame(Kind::Hello(gate())), kind, Kind::Hello(gate())),
    sample!("frame.call.invoke", call_frame(invoke()), call_of_frame, meant(&invoke())),
    sample!("frame.call.invoke.plain", call_frame(plain()), call_of_frame, meant(&plain())),
    sample!("frame.call.deliver", call_frame(deliver()), call_of_frame, meant(&deliver())),
    sample!("frame.call.create", call_frame(create()), call_of_frame, meant(&create())),
    sample!("frame.call.delete", call_frame(delete()), call_of_frame, meant(&delete())),
    sample!("frame.call.exists", call_frame(exists()), call_of_frame, meant(&exists())),
    sample!("frame.call.clients_gone", call_frame(gone()), call_of_frame, meant(&gone())),
    sample!("frame.reply.payload", reply_frame(payload()), reply_of_frame, (7, payload())),
    sample!("frame.reply.payload.none", reply_frame(nothing()), reply_of_frame, (7, nothing())),
    sample!("frame.reply.done", reply_frame(Ok(Reply::Done)), reply_of_frame, (7, Ok(Reply::Done))),
    sample!("frame.reply.exists", reply_frame(there(true)), reply_of_frame, (7, there(true))),
    sample!("frame.reply.exists.not", reply_frame(there(false)), reply_of_frame, (7, there(false))),
    sample!("frame.reply.failure", reply_frame(failure()), reply_of_frame, (7, failure())),
    sample!("frame.reply.failure.application", reply_frame(own()), reply_of_frame, (7, own())),
    sample!("frame.reply.failure.elsewhere", reply_frame(away()), reply_of_frame, (7, away())),
    sample!("frame.not_owner", frame(Kind::NotOwner(not_owner())), not_owner_of, (9, moved())),
    sample!("frame.push", frame(Kind::Push(push())), kind, Kind::Push(push())),
    sample!("frame.push.lost", frame(Kind::Push(lost())), kind, Kind::Push(lost())),
    sample!("frame.cancel", frame(cancel()), kind, cancel()),
    sample!("frame.no_more_calls", frame(no_more()), kind, no_more()),
    sample!("frame.push_ack", frame(ack()), kind, ack()),
    sample!("frame.fence", frame(fence()), kind, fence()),
    sample!("frames", Frames { frames: batch() }, frames, every_error()),
    sample!("part.head", part(head()), part_of, head()),
    sample!("part.object", part(object(true)), part_of, object(true)),
    sample!("part.object.bare", part(object(false)), part_of, object(false)),
    sample!("part.call", part(Part::Call(frame_of(invoke()))), call_of_part, meant(&invoke())),
    sample!("part.callers", part(callers()), part_of, callers()),
    sample!("part.complete", part(Part::Complete(true)), part_of, Part::Complete(true)),
    sample!("answer.taken", answer(Answer::Taken(true)), answer_of, Answer::Taken(true)),
    sample!("answer.reply", answer(replied()), reply_of_answer, (7, failure())),
    sample!("answer.not_owner", answer(Answer::NotOwner(not_owner())), refusal_of, (9, moved())),
    // As it is kept in the store for a keyed call.
    sample!("kept.failure", kept(), kept_reply, failure()),
];

fn frame(kind: Kind) -> Frame {
    Frame { frame: Some(kind) }
}

fn part(part: Part) -> HandOverPart {
    HandOverPart { part: Some(part) }
}

fn answer(answer: Answer) -> HandOverAnswer {
    HandOverAnswer { answer: Some(answer) }
}

fn kind(bytes: &[u8]) -> Kind {
    Frame::decode(bytes).unwrap().frame.unwrap()
}

fn part_of(bytes: &[u8]) -> Part {
    HandOverPart::decode(bytes).unwrap().part.unwrap()
}

fn answer_of(bytes: &[u8]) -> Answer {
    HandOverAnswer::decode(bytes).unwrap().answer.unwrap()
}

fn node() -> Hello {
    let (id, incarnation, role) = ("node-1".into(), "0f1e".into(), "node".into());
    Hello {
        protocol: 1,
        id,
        incarnation,
        cluster: "c5".into(),
        role,
        shards: 8192,
        ..Hello::default()
    }
}

fn gate() -> Hello {
    Hello {
        id: "gate-1".into(),
        role: "gate".into(),
        address: "10.0.0.11:49000".into(),
        pushes_from: "5d0c".into(),
        pushes_seen: 300,
        ..node()
    }
}

fn id(text: &str) -> ObjectId {
    ObjectId::parse("Room", text).unwrap()
}

type Outcome = Result<Reply, CallError>;

fn payload() -> Outcome {
    Ok(Reply::Payload(Bytes::from_static(b"\x01answer\xff")))
}

fn nothing() -> Outcome {
    Ok(Reply::Payload(Bytes::new()))
}

fn there(exists: bool) -> Outcome {
    Ok(Reply::Exists(exists))
}

fn failure() -> Outcome {
    let error = CallError::new(ErrorKind::Unavailable, "the store is away").about(&id("lobby"));
    let error = error.maybe_executed().retry_after(Duration::from_micros(1_234_567));
    Err(error.with("store", "postgresql").with("tries", "3"))
}

fn own() -> Outcome {
    let details = Bytes::from_static(b"{\"seats\":0}");
    Err(CallError::application("room-full", "no seat is free", details).about(&id("lobby")))
}

fn away() -> Outcome {
    Err(CallError::elsewhere(ShardId(4711), Epoch(6)).about(&id("lobby")))
}

fn reply_frame(reply: Outcome) -> Frame {
    frame(Kind::Reply(reply_to_frame(7, reply)))
}

fn reply_of_frame(bytes: &[u8]) -> (u64, Outcome) {
    let Kind::Reply(frame) = kind(bytes) else { panic!("{bytes:?}") };
    (frame.id, frame_to_reply(frame))
}

fn replied() -> Answer {
    Answer::Reply(reply_to_frame(7, failure()))
}

fn reply_of_answer(bytes: &[u8]) -> (u64, Outcome) {
    let Answer::Reply(frame) = answer_of(bytes) else { panic!("{bytes:?}") };
    (frame.id, frame_to_reply(frame))
}

fn kept() -> ReplyFrame {
    ReplyFrame::decode(reply_to_bytes(failure())).unwrap()
}

fn kept_reply(bytes: &[u8]) -> Outcome {
    bytes_to_reply(Bytes::copy_from_slice(bytes))
}

fn not_owner() -> NotOwner {
    elsewhere_to_frame(9, Elsewhere { shard: ShardId(4711), epoch: Epoch(6) })
}

fn moved() -> CallError {
    CallError::elsewhere(ShardId(4711), Epoch(6))
}

fn not_owner_of(bytes: &[u8]) -> (u64, CallError) {
    let Kind::NotOwner(frame) = kind(bytes) else { panic!("{bytes:?}") };
    (frame.id, frame_to_elsewhere(&frame))
}

fn refusal_of(bytes: &[u8]) -> (u64, CallError) {
    let Answer::NotOwner(frame) = answer_of(bytes) else { panic!("{bytes:?}") };
    (frame.id, frame_to_elsewhere(&frame))
}

fn push() -> PushFrame {
    let clients = vec!["10.0.0.11:49000/x".into(), "10.0.0.11:49000/y".into()];
    let (event, payload) = ("message".into(), Bytes::from_static(b"hi\0"));
    let from = Some(object_to_ref(&id("lobby")));
    PushFrame { id: 41, from, clients, event, payload, ..PushFrame::default() }
}

fn lost() -> PushFrame {
    PushFrame { id: 42, lost: true, ..PushFrame::default() }
}

fn cancel() -> Kind {
    Kind::Cancel(CancelFrame { id: 8 })
}

fn no_more() -> Kind {
    Kind::NoMoreCalls(NoMoreCalls {})
}

fn ack() -> Kind {
    Kind::PushAck(PushAck { id: 42 })
}

fn fence() -> Kind {
    Kind::Fence(Fence { id: 10 })
}

/// A failure of each kind.
fn batch() -> Vec<Frame> {
    let failures = ErrorKind::ALL.into_iter().filter(|kind| *kind != ErrorKind::Application);
    let reply = |kind: ErrorKind| Err(CallError::new(kind, kind.as_str()));
    (0..).zip(failures).map(|(id, it)| frame(Kind::Reply(reply_to_frame(id, reply(it))))).collect()
}

fn frames(bytes: &[u8]) -> Vec<String> {
    let frames = Frames::decode(bytes).unwrap().frames.into_iter();
    let replies = frames.map(|frame| match frame.frame {
        Some(Kind::Reply(reply)) => frame_to_reply(reply).unwrap_err(),
        other => panic!("{other:?}"),
    });
    replies.map(|error| format!("{} {}", error.kind().as_str(), error.message())).collect()
}

fn every_error() -> Vec<String> {
    let kinds = [
        "not-found",
        "already-exists",
        "invalid-argument",
        "denied",
        "unauthenticated",
        "cycle",
        "overloaded",
        "timeout",
        "trapped",
        "unavailable",
        "internal",
    ];
    kinds.iter().map(|kind| format!("{kind} {kind}")).collect()
}

fn head() -> Part {
    let (node, incarnation) = ("node-1".into(), "0f1e".into());
    Part::Head(HandOverHead { shard: 4711, epoch: 5, node, incarnation, ..HandOverHead::default() })
}

fn callers() -> Part {
    let clients = vec!["10.0.0.11:49000/7f".into(), "10.0.0.12:49000/1".into()];
    Part::Callers(HandOverCallers { object: Some(object_to_ref(&id("lobby-ä"))), clients })
}

fn object(has_state: bool) -> Part {
    let object = Some(object_to_ref(&id("lobby-ä")));
    assert_eq!(ref_to_object(object.as_ref()), Ok(id("lobby-ä")));
    let bare = HandOverObject { object, ..HandOverObject::default() };
    let state = Bytes::from_static(b"{\"n\":1}");
    let whole = HandOverObject { has_state: true, revision: 3, schema: 2, state, ..bare.clone() };
    Part::Object(if has_state { whole } else { bare })
}
