//! What is taken, by which link, and what the callers of the rest are told.

use futures_util::task::noop_waker;
use wasmverse_core::Reply;

use super::*;

const LINK_OVER: Poll<Option<Vec<Kind>>> = Poll::Ready(None);
const NOTHING: Poll<Option<Vec<Kind>>> = Poll::Pending;

fn outbox() -> Arc<Outbox> {
    Arc::new(Outbox::new(LinkBounds::default(), Arc::new(Metrics::new())))
}

fn later() -> Instant {
    Instant::now() + Duration::from_secs(30)
}

fn call(outbox: &Arc<Outbox>) -> Ticket {
    outbox.call(CallFrame::default(), later()).unwrap()
}

fn opened(outbox: &Outbox) -> u64 {
    let link = outbox.begin();
    outbox.open(link);
    link
}

fn take(outbox: &Outbox, link: u64) -> Poll<Option<Vec<Kind>>> {
    let waker = noop_waker();
    let taken = outbox.poll_take(link, &mut Context::from_waker(&waker));
    taken.map(|taken| taken.map(|f| f.frames.into_iter().filter_map(|f| f.frame).collect()))
}

fn taken(outbox: &Outbox, link: u64) -> Vec<Kind> {
    let Poll::Ready(Some(frames)) = take(outbox, link) else { panic!("nothing is taken") };
    frames
}

fn unreachable() -> CallError {
    CallError::new(ErrorKind::Unavailable, "gone")
}

#[test]
fn nothing_is_taken_before_the_peer_has_said_hello() {
    let outbox = outbox();
    let _waiting = call(&outbox);
    let link = outbox.begin();
    assert_eq!(take(&outbox, link), NOTHING);
    outbox.open(link);
    assert_eq!(taken(&outbox, link).len(), 1);
}

#[test]
fn a_lost_link_takes_nothing_more_and_the_next_one_what_was_left() {
    let outbox = outbox();
    let first = opened(&outbox);
    let mut written = call(&outbox);
    assert_eq!(taken(&outbox, first).len(), 1);
    let mut left = call(&outbox);
    outbox.lose(first, &unreachable());
    assert_eq!(take(&outbox, first), LINK_OVER);
    assert!(written.answer.try_recv().unwrap().unwrap_err().may_have_executed());
    assert!(left.answer.try_recv().is_err(), "it waits on");
    let second = opened(&outbox);
    assert_eq!(take(&outbox, first), LINK_OVER);
    let frames = taken(&outbox, second);
    let Kind::Call(frame) = &frames[0] else { panic!("{frames:?}") };
    outbox.settle(vec![(frame.id, Ok(Reply::Done))]);
    assert_eq!(left.answer.try_recv().unwrap(), Ok(Reply::Done));
}

#[test]
fn a_call_whose_caller_has_gone_is_taken_back_or_never_written() {
    let outbox = outbox();
    let link = opened(&outbox);
    let written = call(&outbox);
    let id = written.id;
    assert_eq!(taken(&outbox, link).len(), 1);
    drop(call(&outbox));
    drop(written);
    assert_eq!(taken(&outbox, link), [Kind::Cancel(CancelFrame { id })]);
    assert_eq!(take(&outbox, link), NOTHING);
}

#[test]
fn a_peer_that_wants_no_more_calls_is_told_that_none_will_come_and_they_wait_for_the_next() {
    let outbox = outbox();
    let first = opened(&outbox);
    let mut written = call(&outbox);
    let Kind::Call(frame) = &taken(&outbox, first)[0] else { panic!("it is a call") };
    let mut queued = call(&outbox);
    outbox.hold(first);
    assert_eq!(taken(&outbox, first), [Kind::NoMoreCalls(NoMoreCalls {})]);
    assert_eq!(take(&outbox, first), NOTHING);
    outbox.settle(vec![(frame.id, Ok(Reply::Done))]);
    assert_eq!(written.answer.try_recv().unwrap(), Ok(Reply::Done));
    outbox.lose(first, &unreachable());
    assert!(queued.answer.try_recv().is_err(), "it waits on");
    let second = opened(&outbox);
    outbox.hold(first);
    assert_eq!(taken(&outbox, second).len(), 1);
}

#[test]
fn waiting_in_the_queue_counts_against_the_deadline() {
    let outbox = outbox();
    let link = opened(&outbox);
    let deadline = Instant::now() + Duration::from_secs(1);
    let frame = CallFrame { timeout_micros: u64::MAX, ..CallFrame::default() };
    let _waiting = outbox.call(frame, deadline).unwrap();
    let _late = outbox.call(CallFrame::default(), Instant::now()).unwrap();
    let frames = taken(&outbox, link);
    let [Kind::Call(frame)] = &frames[..] else { panic!("the late one is not sent: {frames:?}") };
    assert!(frame.timeout_micros <= 1_000_000);
}

#[test]
fn a_batch_is_bounded_in_frames_and_in_bytes() {
    let outbox = outbox();
    let link = opened(&outbox);
    let _many: Vec<_> = (0..300).map(|_| call(&outbox)).collect();
    assert_eq!(taken(&outbox, link).len(), BATCH_FRAMES_MAX);
    assert_eq!(taken(&outbox, link).len(), 300 - BATCH_FRAMES_MAX);
    let payload = vec![0; 200 << 10];
    for _ in 0..6 {
        let frame = CallFrame { payload: payload.clone().into(), ..CallFrame::default() };
        outbox.send(frame, later()).unwrap();
    }
    assert_eq!(taken(&outbox, link).len(), 3);
}

#[test]
fn a_long_name_weighs_as_much_as_a_payload() {
    let outbox = outbox();
    let link = opened(&outbox);
    for _ in 0..6 {
        let frame = CallFrame { method: "m".repeat(200 << 10), ..CallFrame::default() };
        outbox.send(frame, later()).unwrap();
    }
    assert_eq!(taken(&outbox, link).len(), 3);
}

#[test]
fn patience_ends_for_those_who_have_waited_longest() {
    let outbox = outbox();
    let mut first = call(&outbox);
    let between = Instant::now();
    while Instant::now() == between {}
    let mut second = call(&outbox);
    outbox.expire(between, &unreachable());
    let error = first.answer.try_recv().unwrap().unwrap_err();
    assert!(!error.may_have_executed());
    assert!(second.answer.try_recv().is_err(), "it waits on");
}

#[test]
fn a_queue_gives_back_the_room_of_what_has_left_it() {
    let bounds = LinkBounds { queue_bytes_max: 1000, ..LinkBounds::default() };
    let outbox = Arc::new(Outbox::new(bounds, Arc::new(Metrics::new())));
    let frame = || CallFrame { payload: vec![0; 800].into(), ..CallFrame::default() };
    let link = opened(&outbox);
    for _ in 0..3 {
        outbox.send(frame(), later()).unwrap();
        let full = outbox.send(frame(), later()).unwrap_err();
        assert_eq!(full.kind(), ErrorKind::Overloaded);
        assert_eq!(taken(&outbox, link).len(), 1);
    }
    outbox.send(frame(), later()).unwrap();
    outbox.expire(Instant::now(), &unreachable());
    outbox.send(frame(), later()).unwrap();
}
