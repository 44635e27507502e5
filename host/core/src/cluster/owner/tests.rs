//! Each transition of an owner, and each answer that comes too late.

use std::sync::Arc;

use super::*;
use crate::{
    ShardCount,
    cluster::{Member, TargetKey, Why},
};

const SHARD: ShardId = ShardId(0);

fn incarnation() -> Incarnation {
    Incarnation::new("a1")
}

/// Node `a` as it knows of itself, and the view that it has.
struct Seen {
    id: NodeId,
    registration: Option<(Incarnation, u64)>,
    holds_lease: bool,
    view: View,
}

impl Seen {
    /// It is registered, as is `b`, and shard 0 is nobody's.
    fn new() -> Self {
        let mut view = View::empty(ShardCount::new(1).unwrap());
        view.revision = 10;
        let mut seen = Self {
            id: NodeId::new("a"),
            registration: Some((incarnation(), 5)),
            holds_lease: true,
            view,
        };
        seen.join("a", "a1");
        seen.join("b", "b1");
        seen
    }

    fn join(&mut self, id: &str, incarnation: &str) {
        let member = Member {
            id: NodeId::new(id),
            incarnation: Incarnation::new(incarnation),
            process: "".into(),
            addresses: [].into(),
            weight: 1,
            is_leaving: false,
            version: "".into(),
            revision: 5,
        };
        self.view.nodes.insert(NodeId::new(id), Arc::new(member));
    }

    fn target(mut self, node: &str) -> Self {
        self.view.revision += 1;
        let (node, revision) = (NodeId::new(node), self.view.revision);
        self.view.slot_mut(SHARD).target = Some(TargetKey { node, why: Why::Orphan, revision });
        self
    }

    fn owner(mut self, holder: Option<(&str, &str)>, epoch: u64) -> Self {
        self.view.revision += 1;
        let holder = holder.map(|(node, of)| (NodeId::new(node), Incarnation::new(of)));
        let revision = self.view.revision;
        self.view.slot_mut(SHARD).owner = Some(OwnerKey { holder, epoch: Epoch(epoch), revision });
        self
    }

    fn me(&self) -> Me<'_> {
        let registration = self.registration.as_ref().map(|(own, at)| (own, *at));
        Me { id: &self.id, registration, holds_lease: self.holds_lease }
    }

    fn look(&self, state: &State) -> Option<Change> {
        state.look(SHARD, self.me(), &self.view)
    }

    fn after(&self, state: &State, done: Done) -> Option<Change> {
        state.after(done, SHARD, self.me(), &self.view)
    }

    fn bid(&self) -> Bid {
        let slot = self.view.slot(SHARD);
        let target_revision = slot.target.as_ref().unwrap().revision;
        Bid { incarnation: incarnation(), target_revision, owner: slot.owner.clone() }
    }
}

/// It is ours in epoch 3, and the view knows of it.
fn ours() -> (Seen, Held) {
    let seen = Seen::new().target("a").owner(Some(("a", "a1")), 3);
    let held = Held { incarnation: incarnation(), epoch: Epoch(3), since: seen.view.revision };
    (seen, held)
}

fn holding(held: &Held) -> [State; 5] {
    [
        State::Serving(held.clone()),
        State::Draining(held.clone()),
        State::Packing(held.clone()),
        State::Packed(held.clone(), true, 0),
        State::Sending(held.clone(), 12),
    ]
}

#[test]
fn the_target_of_a_shard_that_nobody_owns_claims_and_serves_it() {
    let seen = Seen::new().target("a").owner(None, 2);
    let bid = seen.bid();
    assert_eq!(bid.above(), Epoch(2));
    let (state, action) = seen.look(&State::default()).unwrap();
    assert_eq!(action, Some(Action::Raise(bid.clone())));
    let (state, action) = seen.after(&state, Done::Raised(Some(Epoch(3)))).unwrap();
    assert_eq!(action, Some(Action::Claim(bid, Epoch(3))));
    let (state, action) = seen.after(&state, Done::Claimed(Some(20))).unwrap();
    let held = Held { incarnation: incarnation(), epoch: Epoch(3), since: 20 };
    assert_eq!((state, action), (State::Serving(held), Some(Action::Serve(Epoch(3)))));
}

#[test]
fn what_is_not_ours_to_claim_is_left_alone() {
    let away = State::default();
    let to_us = || Seen::new().target("a");
    assert_eq!(Seen::new().look(&away), None, "no target");
    assert_eq!(Seen::new().target("b").look(&away), None, "another target");
    assert_eq!(to_us().owner(Some(("b", "b1")), 1).look(&away), None, "it lives");
    assert!(to_us().owner(Some(("b", "b0")), 1).look(&away).is_some(), "it is gone");
    assert!(to_us().owner(Some(("a", "a0")), 1).look(&away).is_some(), "we were another");
    assert_eq!(Seen { registration: None, ..to_us() }.look(&away), None);
    assert_eq!(Seen { holds_lease: false, ..to_us() }.look(&away), None);
    let mut early = to_us();
    early.view.nodes.remove(&early.id);
    assert_eq!(early.look(&away), None, "the view is from before our registration");
}

#[test]
fn an_older_view_is_not_believed() {
    let seen = Seen::new().target("a").owner(None, 2);
    assert_eq!(seen.look(&State::Away(seen.view.revision + 1)), None);
    assert!(seen.look(&State::Away(seen.view.revision)).is_some());
}

#[test]
fn a_bid_that_does_not_hold_any_more_is_dropped() {
    let seen = Seen::new().target("a");
    let raising = State::Raising(seen.bid());
    let raised = Done::Raised(Some(Epoch(1)));
    assert_eq!(seen.after(&raising, Done::Raised(None)), Some((State::Away(0), None)));
    for changed in [
        Seen::new().target("a").target("b"),
        Seen::new().target("a").target("a"),
        Seen::new().target("a").owner(Some(("b", "b1")), 1),
        Seen { registration: None, ..Seen::new().target("a") },
        Seen { holds_lease: false, ..Seen::new().target("a") },
    ] {
        assert_eq!(changed.after(&raising, raised.clone()), Some((State::Away(0), None)));
    }
}

#[test]
fn a_claim_that_is_refused_waits_for_the_word_of_what_has_changed() {
    let seen = Seen::new().target("a");
    let claiming = State::Claiming(seen.bid(), Epoch(1), seen.view.revision);
    let after = (State::Away(seen.view.revision + 1), None);
    assert_eq!(seen.after(&claiming, Done::Claimed(None)), Some(after));
}

#[test]
fn a_claim_that_is_lost_before_it_is_heard_of_serves_nothing() {
    let seen = Seen::new().target("a");
    let claiming = State::Claiming(seen.bid(), Epoch(1), seen.view.revision);
    let mut gone = Seen::new().target("a");
    gone.view.nodes.remove(&NodeId::new("a"));
    for lost in [
        Seen { registration: None, ..Seen::new().target("a") },
        Seen { holds_lease: false, ..Seen::new().target("a") },
        Seen { registration: Some((Incarnation::new("a2"), 30)), ..Seen::new().target("a") },
        gone,
    ] {
        let after = lost.after(&claiming, Done::Claimed(Some(20)));
        assert_eq!(after, Some((State::Away(20), Some(Action::Forget))));
    }
}

#[test]
fn what_is_ours_stays_so_while_nothing_changes() {
    let (seen, held) = ours();
    assert_eq!(seen.look(&State::Serving(held.clone())), None);
    let early = Seen::new().target("a").owner(Some(("b", "b1")), 2);
    let later = Held { since: early.view.revision + 1, ..held };
    assert_eq!(early.look(&State::Serving(later)), None, "the view is from before our claim");
}

#[test]
fn what_is_to_be_anothers_is_drained_packed_sent_and_released() {
    let (seen, held) = ours();
    let seen = seen.target("b");
    let to = seen.view.revision;
    let (state, action) = seen.look(&State::Serving(held.clone())).unwrap();
    assert_eq!(action, Some(Action::Drain(to)));
    assert_eq!(seen.look(&state), None);
    let (state, action) = seen.after(&state, Done::Drained).unwrap();
    assert_eq!(action, Some(Action::Pack));
    let (state, action) = seen.after(&state, Done::Packed(true)).unwrap();
    assert_eq!(action, None);
    let (state, action) = seen.look(&state).unwrap();
    assert_eq!(action, Some(Action::Send(NodeId::new("b"))));
    let (state, action) = seen.after(&state, Done::Sent(true)).unwrap();
    assert_eq!(action, Some(Action::Release(held, Some(to))));
    let change = seen.after(&state, Done::Released(Ok(30)));
    assert_eq!(change, Some((State::Away(30), Some(Action::Forget))));
}

#[test]
fn what_has_nothing_in_it_is_not_sent() {
    let (seen, held) = ours();
    let packed = State::Packed(held.clone(), false, 0);
    let (_, action) = seen.target("b").look(&packed).unwrap();
    assert_eq!(action, Some(Action::Release(held, None)));
}

#[test]
fn a_release_that_has_begun_is_carried_through_even_if_it_is_to_stay() {
    let (seen, held) = ours();
    let target = seen.view.slot(SHARD).target.as_ref().unwrap().revision;
    assert_eq!(seen.look(&State::Draining(held.clone())), None);
    let (_, action) = seen.look(&State::Packed(held.clone(), true, 0)).unwrap();
    assert_eq!(action, Some(Action::Release(held, Some(target))));
}

#[test]
fn what_is_packed_waits_for_a_target_that_lives_and_is_new() {
    let (seen, held) = ours();
    let dead = seen.target("c");
    assert_eq!(dead.look(&State::Packed(held.clone(), true, 0)), None);
    let seen = dead.target("b");
    let revision = seen.view.revision;
    assert_eq!(seen.look(&State::Packed(held.clone(), true, revision)), None);
    assert!(seen.look(&State::Packed(held, true, revision - 1)).is_some());
}

#[test]
fn a_parcel_that_is_not_taken_is_still_here() {
    let (seen, held) = ours();
    let change = seen.after(&State::Sending(held.clone(), 12), Done::Sent(false));
    assert_eq!(change, Some((State::Packed(held, true, 0), None)));
}

#[test]
fn a_target_that_changes_before_the_release_is_waited_for() {
    let (seen, held) = ours();
    let releasing = State::Releasing(held.clone(), Some(12), true);
    let change = seen.after(&releasing, Done::Released(Err(Unreleased::TargetChanged)));
    assert_eq!(change, Some((State::Packed(held, true, 12), None)));
}

#[test]
fn a_release_hears_how_it_ended_whatever_is_lost() {
    let (seen, held) = ours();
    let releasing = State::Releasing(held, None, true);
    let seen = Seen { registration: None, ..seen.owner(Some(("b", "b1")), 4) };
    assert_eq!(seen.look(&releasing), None);
    let change = seen.after(&releasing, Done::Released(Err(Unreleased::NotOurs)));
    assert_eq!(change, Some((State::Away(0), Some(Action::Forget))));
}

#[test]
fn who_loses_its_registration_stops_whatever_it_does() {
    let (_, held) = ours();
    let fencing = Some((State::Fencing(Epoch(3)), Some(Action::Fence(Epoch(3)))));
    let here = || ours().0;
    let mut gone = here();
    gone.view.nodes.remove(&NodeId::new("a"));
    let mut replaced = here();
    replaced.join("a", "a2");
    for lost in [
        Seen { registration: None, ..here() },
        Seen { holds_lease: false, ..here() },
        Seen { registration: Some((Incarnation::new("a2"), 30)), ..here() },
        here().owner(Some(("b", "b1")), 4),
        here().owner(None, 4),
        gone,
        replaced,
    ] {
        for state in holding(&held) {
            assert_eq!(lost.look(&state), fencing, "{state:?}");
        }
    }
    let (seen, _) = ours();
    let away = Some((State::Away(0), None));
    assert_eq!(seen.after(&State::Fencing(Epoch(3)), Done::Fenced), away);
}

#[test]
fn a_view_from_before_our_registration_takes_nothing() {
    let (mut seen, held) = ours();
    seen.view.nodes.remove(&NodeId::new("a"));
    seen.registration = Some((incarnation(), seen.view.revision + 1));
    assert_eq!(seen.look(&State::Serving(held)), None);
}

#[test]
fn a_key_that_names_us_though_we_serve_nothing_is_emptied() {
    let (seen, held) = ours();
    let (state, action) = seen.look(&State::Away(0)).unwrap();
    assert_eq!(action, Some(Action::Release(held, None)));
    let change = seen.after(&state, Done::Released(Ok(30)));
    assert_eq!(change, Some((State::Away(30), Some(Action::Forget))));
    assert_eq!(seen.look(&State::Away(30)), None, "the view still says that it is ours");
}

#[test]
fn who_is_outrun_stops_serving() {
    let (_, held) = ours();
    let serving = State::Serving(held.clone());
    let fencing = Some((State::Fencing(Epoch(3)), Some(Action::Fence(Epoch(3)))));
    assert_eq!(serving.outrun(Epoch(3)), fencing);
    assert_eq!(serving.outrun(Epoch(2)), None, "a turn from before");
    assert_eq!(State::Packing(held).outrun(Epoch(3)), None);
    assert_eq!(State::Away(0).outrun(Epoch(3)), None);
}

#[test]
fn an_answer_to_something_else_changes_nothing() {
    let (seen, held) = ours();
    let bid = seen.bid();
    let [serving, draining, packing, packed, sending] = holding(&held);
    let states = [
        (State::Away(0), None),
        (State::Raising(bid.clone()), Some(0)),
        (State::Claiming(bid, Epoch(4), 12), Some(1)),
        (serving, None),
        (draining, Some(2)),
        (packing, Some(3)),
        (packed, None),
        (sending, Some(4)),
        (State::Releasing(held, None, true), Some(5)),
        (State::Fencing(Epoch(3)), Some(6)),
    ];
    let answers = [
        Done::Raised(Some(Epoch(4))),
        Done::Claimed(Some(30)),
        Done::Drained,
        Done::Packed(true),
        Done::Sent(true),
        Done::Released(Ok(30)),
        Done::Fenced,
    ];
    for (state, awaited) in &states {
        for (number, answer) in answers.iter().enumerate() {
            let changes = seen.after(state, answer.clone()).is_some();
            assert_eq!(changes, *awaited == Some(number), "{state:?} {answer:?}");
        }
    }
}
