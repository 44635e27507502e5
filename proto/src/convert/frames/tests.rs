//! Calls, replies and errors come through frames as they were; nothing malformed panics.

use bytes::Bytes;
use proptest::{collection::vec, option, prelude::*};
use prost::Message as _;
use wasmverse_core::Chain;

use super::*;

pub(in crate::convert) fn objects() -> impl Strategy<Value = ObjectId> {
    ("[A-Za-z][A-Za-z0-9_-]{0,20}", "[^\\p{Cc}]{1,40}")
        .prop_map(|(name, id)| ObjectId::parse(&name, &id).unwrap())
}

pub(in crate::convert) fn errors() -> impl Strategy<Value = CallError> {
    let kinds = prop::sample::select(ErrorKind::ALL.to_vec());
    let words = (kinds, ".{0,40}", "[a-z-]{0,12}", vec(any::<u8>(), 0..40));
    let rest = (option::of(objects()), any::<bool>(), option::of(1u64..1 << 40));
    let attributes = prop::collection::btree_map("[a-z]{12}", ".{0,20}", 0..4);
    (words, rest, attributes).prop_map(
        |((kind, message, code, details), (object, maybe_executed, after), attributes)| {
            let mut error = match kind {
                ErrorKind::Application => CallError::application(code, message, details.into()),
                kind => CallError::new(kind, message),
            };
            if let Some(object) = object {
                error = error.about(&object);
            }
            if maybe_executed {
                error = error.maybe_executed();
            }
            if let Some(micros) = after {
                error = error.retry_after(Duration::from_micros(micros));
            }
            attributes.into_iter().fold(error, |error, (name, value)| error.with(name, value))
        },
    )
}

fn texts(pattern: &'static str) -> impl Strategy<Value = Option<Arc<str>>> {
    option::of(pattern.prop_map(|text: String| text.into()))
}

fn calls() -> impl Strategy<Value = Call> {
    let invocation = ("[a-z_]{1,20}", vec(any::<u8>(), 0..80), texts(".{1,20}"), any::<bool>());
    let action = prop_oneof![
        (invocation, option::of((1..u64::MAX, any::<u64>()))).prop_map(|(invocation, number)| {
            let (method, payload, key, read_only) = invocation;
            let (method, payload): (Arc<str>, Bytes) = (method.into(), payload.into());
            let invocation = Invocation { method, payload, key, read_only };
            match number {
                None => Action::Invoke(invocation),
                Some((version, place)) => {
                    Action::Deliver(invocation, SendNumber { version: Version(version), place })
                }
            }
        }),
        Just(Action::Create),
        Just(Action::Delete),
        Just(Action::Exists),
    ];
    let caller = prop_oneof![
        texts(".{1,20}").prop_map(Caller::Client),
        objects().prop_map(Caller::Object),
        Just(Caller::Platform),
    ];
    let chain = vec(objects(), 0..5);
    let left = (0u64..1 << 40).prop_map(Duration::from_micros);
    (objects(), action, caller, chain, left, texts("[0-9a-f-]{1,55}")).prop_map(
        |(object, action, caller, chain, left, traceparent)| Call {
            object,
            action,
            caller,
            chain: chain.iter().collect(),
            deadline: start() + left,
            traceparent,
        },
    )
}

/// One and the same instant in the whole process.
fn start() -> Instant {
    static START: std::sync::LazyLock<Instant> = std::sync::LazyLock::new(Instant::now);
    *START
}

fn shown(call: &Call) -> String {
    format!("{call:?}")
}

proptest! {
    #[test]
    fn a_call_comes_through_as_it_was(call in calls(), id: u64, shard: u32) {
        let frame = call_to_frame(id, shard, call.clone(), start());
        let frame = CallFrame::decode(&*frame.encode_to_vec()).unwrap();
        prop_assert_eq!((frame.id, frame.shard), (id, shard));
        prop_assert_eq!(shown(&frame_to_call(frame, start()).unwrap()), shown(&call));
    }

    #[test]
    fn only_what_is_left_of_a_deadline_passes_on(call in calls(), late in 0u64..1 << 41) {
        let now = start() + Duration::from_micros(late);
        let frame = call_to_frame(1, 1, call.clone(), now);
        let there = frame_to_call(frame, now).unwrap();
        prop_assert_eq!(there.deadline, call.deadline.max(now));
    }

    #[test]
    fn an_error_comes_through_as_it_was(error in errors(), id: u64) {
        let frame = reply_to_frame(id, Err(error.clone()));
        let frame = ReplyFrame::decode(&*frame.encode_to_vec()).unwrap();
        prop_assert_eq!(frame.id, id);
        prop_assert_eq!(frame_to_reply(frame), Err(error));
    }

    #[test]
    fn a_good_answer_comes_through_as_it_was(payload in vec(any::<u8>(), 0..80), yes: bool) {
        for reply in [Reply::Payload(payload.into()), Reply::Done, Reply::Exists(yes)] {
            let frame = reply_to_frame(7, Ok(reply.clone()));
            let frame = ReplyFrame::decode(&*frame.encode_to_vec()).unwrap();
            prop_assert_eq!(frame_to_reply(frame), Ok(reply));
        }
    }

    #[test]
    fn no_frame_makes_us_panic(
        names in vec(".{0,6}", 6),
        action: i32,
        timeout_micros: u64,
        bytes in vec(any::<u8>(), 0..60),
    ) {
        let object = |at: usize| {
            Some(ObjectRef { r#type: names[at].clone(), id: names[at + 1].clone() })
        };
        let caller = object(1).map(WireCaller::Object);
        let frame = CallFrame {
            object: object(0),
            action,
            method: names[4].clone(),
            key: names[5].clone(),
            timeout_micros,
            caller: Some(node::Caller { caller }),
            chain: object(3).into_iter().collect(),
            ..CallFrame::default()
        };
        let _ = frame_to_call(frame, Instant::now());
        let _ = CallFrame::decode(&*bytes).map(|frame| frame_to_call(frame, Instant::now()));
        let _ = ReplyFrame::decode(&*bytes).map(frame_to_reply);
    }
}

#[test]
fn a_malformed_call_is_refused_and_says_why() {
    let call = Call {
        object: "T/a".parse().unwrap(),
        action: Action::Exists,
        caller: Caller::Client(None),
        chain: Chain::default(),
        deadline: start(),
        traceparent: None,
    };
    let good = call_to_frame(1, 1, call, start());
    let object = good.object.clone().unwrap();
    let faults: [(&str, CallFrame); 4] = [
        ("no object", CallFrame { object: None, ..good.clone() }),
        ("no caller", CallFrame { caller: None, ..good.clone() }),
        ("action", CallFrame { action: 99, ..good.clone() }),
        ("chain", CallFrame { chain: vec![object; 65], ..good.clone() }),
    ];
    for (what, frame) in faults {
        let error = frame_to_call(frame, start()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        assert!(error.message().contains(what), "{error}");
    }
    assert!(frame_to_call(good, start()).is_ok());
}

#[test]
fn an_error_of_a_kind_we_do_not_know_is_internal_and_names_it() {
    let failure = CallFailure { kind: "teapot".into(), ..CallFailure::default() };
    let error = failure_to_error(failure);
    assert_eq!(error.kind(), ErrorKind::Internal);
    assert_eq!(error.attributes(), [("kind".to_owned(), "teapot".to_owned())]);
}

#[test]
fn an_answer_of_an_unknown_kind_may_have_been_executed() {
    let error = frame_to_reply(ReplyFrame { id: 1, reply: None }).unwrap_err();
    assert!(error.may_have_executed());
}

#[test]
fn the_bytes_of_an_argument_are_not_copied() {
    let payload = Bytes::from_static(b"here");
    let invocation =
        Invocation { method: "m".into(), payload: payload.clone(), key: None, read_only: false };
    let call = Call {
        object: "T/a".parse().unwrap(),
        action: Action::Invoke(invocation),
        caller: Caller::Client(None),
        chain: Chain::default(),
        deadline: start(),
        traceparent: None,
    };
    assert_eq!(call_to_frame(1, 1, call, start()).payload.as_ptr(), payload.as_ptr());
}

#[test]
fn a_call_that_is_elsewhere_stays_so_in_a_reply_and_in_a_frame_of_its_own() {
    let error = CallError::elsewhere(ShardId(7), Epoch(3)).about(&"T/a".parse().unwrap());
    assert_eq!(frame_to_reply(reply_to_frame(1, Err(error.clone()))), Err(error.clone()));
    let elsewhere = error.as_elsewhere().unwrap();
    let frame = elsewhere_to_frame(9, elsewhere);
    assert_eq!((frame.id, frame_to_elsewhere(&frame).as_elsewhere()), (9, Some(elsewhere)));
    let none = frame_to_elsewhere(&NotOwner { shard: 1 << 20, ..frame });
    assert_eq!((none.kind(), none.as_elsewhere()), (ErrorKind::Unavailable, None));
}
