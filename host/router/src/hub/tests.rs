//! Calls on their way through a cluster that changes: the links to its nodes are played by hand.

mod moves;

use std::{task::Context, time::Duration};

use futures_util::task::noop_waker_ref;
use wasmverse_core::{
    Action, Caller, Chain, Elsewhere, Push, PushTo, Reply, ShardCount,
    cluster::{Incarnation, Member, OwnerKey},
};
use wasmverse_proto::{
    convert::{elsewhere_to_frame, reply_to_frame},
    node::{Frame, Frames, NoMoreCalls, PushFrame, frame::Frame as Kind},
};

use crate::{Audience, Delivery, LinkBounds, Role, Router, RouterConfig};

use super::*;

const SHARD: ShardId = ShardId(0);

/// A router in a cluster of one shard.
struct World {
    router: Router,
    view: watch::Sender<Arc<View>>,
    ear: Arc<Ear>,
    revision: u64,
}

/// The clients of the gate.
#[derive(Default)]
struct Ear {
    heard: Mutex<Vec<String>>,
    gaps: Mutex<usize>,
}

impl Audience for Ear {
    fn deliver(&self, delivery: Delivery) -> Vec<Arc<str>> {
        let Push { to, event, .. } = delivery.push;
        self.heard.lock().push(event.to_string());
        match to {
            PushTo::Clients(clients) => clients,
            PushTo::Everyone => Vec::new(),
        }
    }

    fn missed(&self, _to: &PushTo) {
        *self.gaps.lock() += 1;
    }
}

/// A node that serves nothing.
struct Refusing(Epoch);

impl Callee for Refusing {
    fn call(&self, _call: Call) -> BoxFuture<'static, Answer> {
        std::future::ready(Err(CallError::elsewhere(SHARD, self.0))).boxed()
    }

    fn send(&self, _call: Call) {}
}

type Owner<'a> = Option<(&'a str, &'a str, u64)>;

impl World {
    fn new(local: Option<Local>) -> Self {
        let shards = ShardCount::new(1).unwrap();
        let config = RouterConfig {
            secret: None,
            id: "g".into(),
            incarnation: "1".into(),
            address: "g".into(),
            shards,
            bounds: LinkBounds { parked_length_max: 64, ..LinkBounds::default() },
        };
        let (view, seen) = watch::channel(Arc::new(View::empty(shards)));
        let ear = Arc::new(Ear::default());
        let audience: Arc<dyn Audience> = Arc::<Ear>::clone(&ear);
        let (tracker, end) = (TaskTracker::new(), CancellationToken::new());
        let router = Router::new(config, seen, local, Some(audience), Role::Gate, &tracker, end);
        Self { router, view, ear, revision: 0 }
    }

    /// These nodes are registered, those with `!` are leaving; and who owns the shard.
    async fn show(&mut self, nodes: &[(&str, &str)], owner: Owner<'_>) {
        self.revision += 1;
        let mut view = View::empty(ShardCount::new(1).unwrap());
        view.revision = self.revision;
        for (id, incarnation) in nodes {
            let is_leaving = id.ends_with('!');
            let id = NodeId::new(id.trim_end_matches('!'));
            let member = Member {
                id: id.clone(),
                incarnation: Incarnation::new(incarnation),
                // Nobody answers there.
                process: "".into(),
                addresses: ["127.0.0.1:1".to_owned()].into(),
                weight: 1,
                is_leaving,
                version: "".into(),
                revision: self.revision,
            };
            view.nodes.insert(id, Arc::new(member));
        }
        view.slot_mut(SHARD).owner = owner.map(|(node, incarnation, epoch)| OwnerKey {
            holder: Some((NodeId::new(node), Incarnation::new(incarnation))),
            epoch: Epoch(epoch),
            revision: self.revision,
        });
        let view = Arc::new(view);
        self.view.send_replace(Arc::clone(&view));
        while !Arc::ptr_eq(&self.hub().routes.load().view, &view) {
            tokio::task::yield_now().await;
        }
        tokio::task::yield_now().await;
    }

    fn hub(&self) -> &Arc<Hub> {
        &self.router.hub
    }

    fn link(&self, node: &str) -> FakeLink {
        let peer = Arc::clone(&self.hub().routes.load().peers[&NodeId::new(node)]);
        let number = peer.outbox.begin();
        peer.outbox.open(number);
        FakeLink { hub: Arc::clone(self.hub()), peer, number }
    }

    /// Calls an object; its place is taken.
    fn call(&self, id: &str) -> tokio::task::JoinHandle<Answer> {
        self.call_for(id, Duration::from_secs(30))
    }

    fn call_for(&self, id: &str, timeout: Duration) -> tokio::task::JoinHandle<Answer> {
        self.hub().tracker.spawn(self.router.call(call(id, timeout)))
    }
}

fn call(id: &str, timeout: Duration) -> Call {
    Call {
        object: ObjectId::parse("T", id).unwrap(),
        action: Action::Create,
        caller: Caller::Client(None),
        chain: Chain::default(),
        deadline: Instant::now() + timeout,
        traceparent: None,
    }
}

/// A link to a node, as its writer and its reader see it.
struct FakeLink {
    hub: Arc<Hub>,
    peer: Arc<Peer>,
    number: u64,
}

impl FakeLink {
    fn written(&self) -> Vec<Kind> {
        let mut cx = Context::from_waker(noop_waker_ref());
        match self.peer.outbox.poll_take(self.number, &mut cx) {
            std::task::Poll::Ready(Some(Frames { frames })) => {
                frames.into_iter().filter_map(|frame| frame.frame).collect()
            }
            _ => Vec::new(),
        }
    }

    /// The calls that are written, as ids of frames and of objects.
    fn calls(&self) -> Vec<(u64, String)> {
        let calls = self.written().into_iter().filter_map(|frame| match frame {
            Kind::Call(frame) => Some((frame.id, frame.object.unwrap().id)),
            _ => None,
        });
        calls.collect()
    }

    fn objects(&self) -> Vec<String> {
        self.calls().into_iter().map(|(_, object)| object).collect()
    }

    fn read(&self, frames: impl IntoIterator<Item = Kind>) {
        let frames = frames.into_iter().map(|frame| Frame { frame: Some(frame) }).collect();
        link::take_in(&self.hub, &self.peer, self.number, frames);
    }
}

fn done(id: u64) -> Kind {
    Kind::Reply(reply_to_frame(id, Ok(Reply::Done)))
}

fn refusal(id: u64, epoch: u64) -> Kind {
    Kind::NotOwner(elsewhere_to_frame(id, Elsewhere { shard: SHARD, epoch: Epoch(epoch) }))
}

#[tokio::test]
async fn while_nobody_serves_a_shard_its_calls_wait_in_order() {
    let mut world = World::new(None);
    let first = world.call("1");
    world.router.send(call("2", Duration::from_secs(30)));
    let _third = world.call("3");
    world.show(&[("a", "1")], None).await;
    let a = world.link("a");
    assert_eq!(a.objects(), [""; 0]);
    world.show(&[("a", "1")], Some(("a", "1", 4))).await;
    let _fourth = world.call("4");
    let frames = a.written();
    let calls: Vec<_> = frames
        .iter()
        .map(|frame| match frame {
            Kind::Call(frame) => (frame.object.as_ref().unwrap().id.as_str(), frame.one_way),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(calls, [("1", false), ("2", true), ("3", false), ("4", false)]);
    let (Kind::Call(early), Kind::Call(late)) = (&frames[0], &frames[3]) else { panic!("calls") };
    assert_eq!((early.epoch, early.began), (4, 0), "no view was known when it was made");
    assert_eq!((late.epoch, late.began), (4, world.revision));
    a.read([done(early.id)]);
    assert_eq!(first.await.unwrap(), Ok(Reply::Done));
}

#[tokio::test]
async fn a_call_that_is_made_after_a_move_does_not_overtake_one_that_comes_back() {
    let mut world = World::new(None);
    let nodes = [("a", "1"), ("b", "1")];
    world.show(&nodes, Some(("a", "1", 4))).await;
    let (a, b) = (world.link("a"), world.link("b"));
    let _first = world.call("1");
    let written = a.calls();
    assert_eq!(written.len(), 1);
    let _second = world.call("2");
    world.show(&nodes, Some(("b", "1", 5))).await;
    let _third = world.call("3");
    assert_eq!(b.objects(), [""; 0], "the first may come back");
    let fences = a.written();
    let [Kind::Fence(fence)] = &fences[..] else { panic!("{fences:?}") };
    a.read([refusal(written[0].0, 4), done(fence.id)]);
    assert_eq!(b.objects(), ["1", "2", "3"]);
}

#[tokio::test]
async fn an_owner_that_refuses_is_asked_again_only_in_a_later_epoch() {
    let mut world = World::new(None);
    world.show(&[("a", "1")], Some(("a", "1", 4))).await;
    let a = world.link("a");
    let answer = world.call("1");
    a.read([refusal(a.calls()[0].0, 4)]);
    world.show(&[("a", "1")], Some(("a", "1", 4))).await;
    assert_eq!(a.objects(), [""; 0]);
    world.show(&[("a", "1")], Some(("a", "1", 5))).await;
    a.read([done(a.calls()[0].0)]);
    assert_eq!(answer.await.unwrap(), Ok(Reply::Done));
}

#[tokio::test]
async fn a_deadline_ends_the_waiting_and_says_what_was_waited_for() {
    let mut world = World::new(None);
    let error = world.call_for("1", Duration::from_millis(20)).await.unwrap().unwrap_err();
    assert_eq!((error.kind(), error.may_have_executed()), (ErrorKind::Timeout, false));
    assert!(error.message().contains("shard 0 is served by nobody"), "{error}");
    let gone = world.call("2");
    gone.abort();
    assert!(gone.await.is_err());
    world.show(&[("a", "1")], Some(("a", "1", 4))).await;
    assert_eq!(world.link("a").objects(), [""; 0]);
    assert!(!world.hub().is_busy(SHARD));
}

#[tokio::test]
async fn beyond_the_bounds_calls_are_overloaded() {
    let world = World::new(None);
    let _held: Vec<_> = (0..64).map(|n| world.call(&n.to_string())).collect();
    let error = world.call("x").await.unwrap().unwrap_err();
    assert_eq!((error.kind(), error.may_have_executed()), (ErrorKind::Overloaded, false));
}

#[tokio::test]
async fn of_a_node_that_is_gone_only_what_was_written_fails_and_clients_hear_of_a_gap() {
    let mut world = World::new(None);
    let nodes = [("a", "1"), ("b", "1")];
    world.show(&nodes, Some(("a", "1", 4))).await;
    let (a, b) = (world.link("a"), world.link("b"));
    let written = world.call("1");
    assert_eq!(a.objects(), ["1"]);
    let _unwritten = world.call("2");
    world.show(&nodes[1..], Some(("a", "1", 4))).await;
    let error = written.await.unwrap().unwrap_err();
    assert_eq!((error.kind(), error.may_have_executed()), (ErrorKind::Unavailable, true));
    assert_eq!(*world.ear.gaps.lock(), 1);
    assert_eq!(b.objects(), [""; 0]);
    world.show(&nodes[1..], Some(("b", "1", 5))).await;
    assert_eq!(b.objects(), ["2"]);
}

#[tokio::test]
async fn a_registration_that_is_replaced_is_another_peer() {
    let mut world = World::new(None);
    world.show(&[("a", "1")], Some(("a", "1", 4))).await;
    let before = world.link("a");
    let _unwritten = world.call("1");
    world.show(&[("a", "2")], Some(("a", "1", 4))).await;
    assert_eq!(before.objects(), [""; 0]);
    let after = world.link("a");
    assert!(!Arc::ptr_eq(&before.peer, &after.peer));
    world.show(&[("a", "2")], Some(("a", "2", 5))).await;
    assert_eq!(after.objects(), ["1"]);
}

#[tokio::test]
async fn what_is_queued_for_a_node_that_stops_goes_to_the_next_owner_and_nobody_misses_a_push() {
    let mut world = World::new(None);
    let nodes = [("a!", "1"), ("b", "1")];
    world.show(&nodes, Some(("a", "1", 4))).await;
    let (a, b) = (world.link("a"), world.link("b"));
    let written = world.call("1");
    let id = a.calls()[0].0;
    let _queued = world.call("2");
    a.read([Kind::NoMoreCalls(NoMoreCalls {})]);
    let _third = world.call("3");
    assert_eq!(a.written(), [Kind::NoMoreCalls(NoMoreCalls {})]);
    // It is gone from the view, and still answers.
    world.show(&nodes[1..], Some(("a", "1", 4))).await;
    a.read([done(id)]);
    assert_eq!(written.await.unwrap(), Ok(Reply::Done));
    world.show(&nodes[1..], Some(("b", "1", 5))).await;
    assert_eq!(b.objects(), ["2", "3"]);
    assert_eq!(*world.ear.gaps.lock(), 0);
}

#[tokio::test]
async fn what_the_node_in_this_process_does_not_serve_goes_to_who_does() {
    let local = Local { id: NodeId::new("me"), callee: Arc::new(Refusing(Epoch(4))) };
    let mut world = World::new(Some(local));
    let nodes = [("me", "1"), ("b", "1")];
    world.show(&nodes, Some(("me", "1", 4))).await;
    let answer = world.call("1");
    let _second = world.call("2");
    let b = world.link("b");
    world.show(&nodes, Some(("b", "1", 5))).await;
    let calls = b.calls();
    assert_eq!(calls.iter().map(|(_, object)| object).collect::<Vec<_>>(), ["1", "2"]);
    b.read([done(calls[0].0)]);
    assert_eq!(answer.await.unwrap(), Ok(Reply::Done));
}

#[tokio::test]
async fn what_is_pinned_to_a_node_goes_there_or_nowhere() {
    let mut world = World::new(None);
    world.show(&[("a", "1")], None).await;
    let error = world.call("node#h:1/x").await.unwrap().unwrap_err();
    assert_eq!((error.kind(), error.may_have_executed()), (ErrorKind::Unavailable, false));
    let a = world.link("a");
    let answer = world.call("node#127.0.0.1:1/x");
    a.read([refusal(a.calls()[0].0, 4)]);
    let error = answer.await.unwrap().unwrap_err();
    assert_eq!((error.kind(), error.as_elsewhere()), (ErrorKind::Unavailable, None));
}

#[tokio::test]
async fn the_word_that_clients_are_gone_goes_to_whoever_serves_the_object() {
    let mut world = World::new(None);
    let nodes = [("a", "1"), ("b", "1")];
    world.show(&nodes, Some(("b", "1", 4))).await;
    let (a, b) = (world.link("a"), world.link("b"));
    let from = wasmverse_proto::convert::object_to_ref(&"T/x".parse().unwrap());
    let clients = vec!["g/1".to_owned()];
    let push = PushFrame { id: 1, from: Some(from), clients, ..PushFrame::default() };
    a.read([Kind::Push(push.clone()), Kind::Push(push)]);
    assert_eq!(world.ear.heard.lock().len(), 1, "once");
    assert_eq!(b.objects(), ["x"]);
    let acks = a.written();
    assert!(matches!(&acks[..], [Kind::PushAck(ack)] if ack.id == 1), "{acks:?}");
}

#[tokio::test]
async fn a_router_that_ends_answers_all_who_wait() {
    let world = World::new(None);
    let waiting = world.call("1");
    world.hub().shutdown.cancel();
    for answer in [waiting.await.unwrap(), world.call("2").await.unwrap()] {
        let error = answer.unwrap_err();
        assert_eq!((error.kind(), error.may_have_executed()), (ErrorKind::Unavailable, false));
    }
}
