//! What is taken, by which link, and what the callers of the rest are told.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use futures_util::task::noop_waker;
use wasmverse_core::{Action, Call, Caller, Chain, Epoch, Reply, ShardId};

use fnv::FnvHashSet;

use super::*;

const LINK_OVER: Poll<Option<Vec<Kind>>> = Poll::Ready(None);
const NOTHING: Poll<Option<Vec<Kind>>> = Poll::Pending;

type Ear = oneshot::Receiver<Word>;

/// A call whose answer is waited for; dropped, it is taken back.
struct Calling {
    id: u64,
    outbox: Arc<Outbox>,
    answer: Ear,
}

impl Calling {
    fn heard(&mut self) -> Option<Answer> {
        match self.answer.try_recv() {
            Ok(Word::Answer(answer)) => Some(answer),
            Ok(Word::Follow(_)) => panic!("it goes elsewhere"),
            Err(_) => None,
        }
    }
}

impl Drop for Calling {
    fn drop(&mut self) {
        self.outbox.abandon(self.id);
    }
}

fn outbox() -> Arc<Outbox> {
    Arc::new(Outbox::new(LinkBounds::default(), Arc::new(Metrics::new())))
}

fn later() -> Instant {
    Instant::now() + Duration::from_secs(30)
}

fn next() -> u64 {
    static LAST: AtomicU64 = AtomicU64::new(0);
    LAST.fetch_add(1, Relaxed) + 1
}

fn put(outbox: &Arc<Outbox>, frame: CallFrame, deadline: Instant, back: Option<Back>) -> Calling {
    let (sender, answer) = oneshot::channel();
    let letter = Letter { number: next(), deadline, answer: Some(sender), back };
    let id = letter.number;
    assert!(outbox.queue(frame, letter, 0).is_ok());
    Calling { id, outbox: Arc::clone(outbox), answer }
}

fn call(outbox: &Arc<Outbox>) -> Calling {
    put(outbox, CallFrame::default(), later(), None)
}

fn send(outbox: &Arc<Outbox>, frame: CallFrame) -> Result<(), CallError> {
    let letter = Letter { number: next(), deadline: later(), answer: None, back: None };
    outbox.queue(frame, letter, 0).map_err(|refused| match refused.1 {
        NotQueued::Error(error) => error,
        NotQueued::Elsewhere => panic!("it goes nowhere else"),
    })
}

/// What may go elsewhere.
fn back(shard: u16) -> Back {
    let call = Call {
        object: "T/a".parse().unwrap(),
        action: Action::Exists,
        caller: Caller::Platform,
        chain: Chain::default(),
        deadline: later(),
        traceparent: None,
    };
    Back { call, shard: ShardId(shard), epoch: Epoch(3) }
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
    assert!(written.heard().unwrap().unwrap_err().may_have_executed());
    assert!(left.heard().is_none(), "it waits on");
    let second = opened(&outbox);
    assert_eq!(take(&outbox, first), LINK_OVER);
    let frames = taken(&outbox, second);
    let Kind::Call(frame) = &frames[0] else { panic!("{frames:?}") };
    outbox.settle(vec![(frame.id, Ok(Reply::Done))]);
    assert_eq!(left.heard().unwrap(), Ok(Reply::Done));
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
    assert_eq!(written.heard().unwrap(), Ok(Reply::Done));
    outbox.lose(first, &unreachable());
    assert!(queued.heard().is_none(), "it waits on");
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
    let _waiting = put(&outbox, frame, deadline, None);
    let _late = put(&outbox, CallFrame::default(), Instant::now(), None);
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
        send(&outbox, frame).unwrap();
    }
    assert_eq!(taken(&outbox, link).len(), 3);
}

#[test]
fn a_long_name_weighs_as_much_as_a_payload() {
    let outbox = outbox();
    let link = opened(&outbox);
    for _ in 0..6 {
        let frame = CallFrame { method: "m".repeat(200 << 10), ..CallFrame::default() };
        send(&outbox, frame).unwrap();
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
    let error = first.heard().unwrap().unwrap_err();
    assert!(!error.may_have_executed());
    assert!(second.heard().is_none(), "it waits on");
}

#[test]
fn a_queue_gives_back_the_room_of_what_has_left_it() {
    let bounds = LinkBounds { queue_bytes_max: 1000, ..LinkBounds::default() };
    let outbox = Arc::new(Outbox::new(bounds, Arc::new(Metrics::new())));
    let frame = || CallFrame { payload: vec![0; 800].into(), ..CallFrame::default() };
    let link = opened(&outbox);
    for _ in 0..3 {
        send(&outbox, frame()).unwrap();
        let full = send(&outbox, frame()).unwrap_err();
        assert_eq!(full.kind(), ErrorKind::Overloaded);
        assert_eq!(taken(&outbox, link).len(), 1);
    }
    send(&outbox, frame()).unwrap();
    outbox.expire(Instant::now(), &unreachable());
    send(&outbox, frame()).unwrap();
}

fn shards(all: &[u16]) -> FnvHashSet<ShardId> {
    all.iter().copied().map(ShardId).collect()
}

#[test]
fn what_has_moved_comes_back_in_order_and_a_fence_goes_behind_what_was_written() {
    let outbox = outbox();
    let link = opened(&outbox);
    let at = |shard| put(&outbox, CallFrame::default(), later(), Some(back(shard)));
    let mut written = at(1);
    assert_eq!(taken(&outbox, link).len(), 1);
    let (_stays, first, second) = (at(2), at(1), at(1));
    let (letters, fenced) = outbox.withdraw(&shards(&[1, 7]), 5, 99);
    let numbers: Vec<_> = letters.iter().map(|letter| letter.number).collect();
    assert_eq!((numbers, fenced), (vec![first.id, second.id], shards(&[1])));
    let frames = taken(&outbox, link);
    assert!(matches!(frames[..], [Kind::Fence(Fence { id: 99 }), Kind::Call(_)]), "{frames:?}");
    let refusal = CallError::elsewhere(ShardId(1), Epoch(3));
    let settled = outbox.settle(vec![(written.id, Err(refusal)), (99, Ok(Reply::Done))]);
    assert_eq!((settled.refused.len(), settled.fences), (1, vec![99]));
    assert!(written.heard().is_none(), "it goes on elsewhere");
}

#[test]
fn a_call_that_was_routed_before_its_shard_moved_is_not_queued() {
    let outbox = outbox();
    outbox.withdraw(&shards(&[1]), 5, 99);
    let (answer, _ear) = oneshot::channel();
    let letter = Letter { number: 1, deadline: later(), answer: Some(answer), back: Some(back(1)) };
    let refused = outbox.queue(CallFrame::default(), letter, 4).err().unwrap();
    assert!(matches!(refused.1, NotQueued::Elsewhere));
    assert!(outbox.queue(CallFrame::default(), refused.0, 5).is_ok());
}

#[test]
fn of_a_peer_that_is_gone_what_was_written_is_answered_and_the_rest_comes_back() {
    let outbox = outbox();
    let link = opened(&outbox);
    let at = |shard| put(&outbox, CallFrame::default(), later(), Some(back(shard)));
    let mut written = at(1);
    assert_eq!(taken(&outbox, link).len(), 1);
    let (mut only_there, mut queued) = (call(&outbox), at(1));
    let retired = outbox.retire(&unreachable());
    assert_eq!(retired.letters.len(), 1);
    assert!(!retired.drains);
    assert!(written.heard().unwrap().unwrap_err().may_have_executed());
    assert!(!only_there.heard().unwrap().unwrap_err().may_have_executed());
    assert!(queued.heard().is_none());
    assert_eq!(take(&outbox, link), LINK_OVER);
}

#[test]
fn a_peer_that_is_gone_but_answers_its_last_calls_is_let_go_in_peace() {
    let outbox = outbox();
    let link = opened(&outbox);
    let mut written = put(&outbox, CallFrame::default(), later(), Some(back(1)));
    assert_eq!(taken(&outbox, link).len(), 1);
    let _queued = put(&outbox, CallFrame::default(), later(), Some(back(1)));
    assert_eq!(outbox.hold(link).len(), 1, "it comes back");
    assert!(!outbox.takes_calls());
    assert!(outbox.retire(&unreachable()).drains);
    outbox.settle(vec![(written.id, Ok(Reply::Done))]);
    assert_eq!(written.heard(), Some(Ok(Reply::Done)));
}

#[test]
fn what_is_late_or_unwanted_leaves_the_queue_while_there_is_no_link() {
    let outbox = outbox();
    let _late = put(&outbox, CallFrame::default(), Instant::now(), Some(back(1)));
    drop(put(&outbox, CallFrame::default(), later(), Some(back(1))));
    let kept = put(&outbox, CallFrame::default(), later(), Some(back(1)));
    outbox.sweep(Instant::now());
    let state = outbox.state.lock();
    let ids: Vec<_> = state.queue.iter().map(|queued| queued.frame.id).collect();
    assert_eq!((ids, state.queue_bytes), (vec![kept.id], FRAME_OVERHEAD_BYTES));
}
