//! What a node does about one shard: claims it, serves it, hands it over, or stops.
//!
//! A [`State`] changes by looking at the view ([`State::look`]) and by what becomes of the one action
//! that is under way ([`State::after`]); each change may ask for one [`Action`]. The node carries
//! actions out and decides nothing. Answers are definite: whoever carries out a write of which nobody
//! knows whether it was done asks again until that is known.
//!
//! ```text
//!          target is us, nobody owns it             epoch raised               key written
//!   Away ───────────────────────────────► Raising ──────────────► Claiming ───────────────► Serving
//!    ▲                                                                                         │ target is another
//!    │ key emptied              sent              packed       nothing runs, or the limit      ▼
//!   Releasing ◄──────────────── Sending ◄── Packed ◄── Packing ◄──────────────────────── Draining
//!        any of the last four, and Serving, when the registration is lost: Fencing ──► Away
//! ```
//!
//! What is released is carried through: whoever is lost meanwhile still hears how it ended. A key
//! that names us though we have stopped serving (the lease had lapsed by our clock, and was confirmed
//! all the same; or see [`State::outrun`]) is emptied first, and claimed anew if the shard is to be
//! ours.

#[cfg(test)]
mod tests;

use crate::{Epoch, NodeId, ShardId};

use super::{Incarnation, OwnerKey, View};

/// The node itself, as it knows of its registration.
#[derive(Clone, Copy, Debug)]
pub struct Me<'a> {
    /// Its name.
    pub id: &'a NodeId,
    /// Its registration, and the revision that wrote it; none: it has none.
    pub registration: Option<(&'a Incarnation, u64)>,
    /// Its lease has not lapsed, by its own clock.
    pub holds_lease: bool,
}

/// What a claim rests on: it is written only if all of it still holds.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Bid {
    /// Our registration.
    pub incarnation: Incarnation,
    /// The revision of the target that names us.
    pub target_revision: u64,
    /// The owner key as it was seen; none: there was none.
    pub owner: Option<OwnerKey>,
}

impl Bid {
    /// The epoch that the new one must exceed.
    pub fn above(&self) -> Epoch {
        self.owner.as_ref().map_or(Epoch(0), |owner| owner.epoch)
    }
}

/// Where a shard is in its life on one node.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// It is not ours. What we wrote of it last has this revision: an older view is not believed.
    Away(u64),
    /// The store is asked for an epoch that nobody had.
    Raising(Bid),
    /// The owner key is being written. It rests on the view of this revision.
    Claiming(Bid, Epoch, u64),
    /// It is ours.
    Serving(Held),
    /// It is to be another's: chains that began before are served, later ones are parked.
    Draining(Held),
    /// Nothing is let in; what is under way ends, and what objects have in memory is packed.
    Packing(Held),
    /// All is packed: it waits for a target that lives, and that was written after this revision.
    /// Whether there is anything in it.
    Packed(Held, bool, u64),
    /// The parcel is on its way to the target that was written at this revision.
    Sending(Held, u64),
    /// The owner key is being emptied, for the target of this revision, if it rests on one.
    Releasing(Held, Option<u64>, bool),
    /// The registration is lost: what objects have in memory is put aside.
    Fencing(Epoch),
}

/// A shard that is ours.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Held {
    /// Under this registration.
    pub incarnation: Incarnation,
    /// In this epoch.
    pub epoch: Epoch,
    /// Since this revision: that of the owner key.
    pub since: u64,
}

/// What the node is to do. One at a time for each shard.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// Ask the store for an epoch above the bid's, so that nobody who may serve is overtaken: the
    /// store raises the epoch only if it is the bid's still ([`Bid::above`]). If the store has a higher
    /// one, somebody has claimed the shard, of which the view does not know yet, or has not come to
    /// claim it. Then, and after that, the coordination is read (linearizably): are the target and the
    /// owner key as the bid has them still, the store is asked to raise the epoch that it had; if
    /// not, or if it has yet another by now, nothing is raised. Answer: [`Done::Raised`].
    Raise(Bid),
    /// Write the owner key, asserting the bid: that our registration is there, that the target and
    /// the owner key were last written when it says, and that the former owner's registration is
    /// gone. Answer: [`Done::Claimed`].
    Claim(Bid, Epoch),
    /// Let calls in: those of the parcel first, if it ends the epoch that was claimed over
    /// ([`Bid::above`] of the claim; epochs between the two were nobody's). No answer.
    Serve(Epoch),
    /// Park chains that began at this revision or later, and later than every one that was let in
    /// here so far: two chains that wait for each other's shards would wait for ever otherwise, as
    /// routers may know of a target before its owner does. Answer: [`Done::Drained`], as soon as
    /// nothing runs or waits, or the drain limit is reached.
    Drain(u64),
    /// Let nothing in; cancel what runs; await commits, saves, and the acknowledgement of pushes;
    /// pack what is in memory. Answer: [`Done::Packed`].
    Pack,
    /// Bring the parcel to this node, the target. Answer: [`Done::Sent`].
    Send(NodeId),
    /// Empty the owner key, keeping its epoch, asserting that it is still ours, and the revision of
    /// the target if one is given. Answer: [`Done::Released`].
    Release(Held, Option<u64>),
    /// Send on whoever still waits here: it is another's. The parcel is not needed any more, unless
    /// this node is the target. No answer.
    Forget,
    /// Let nothing in; put aside what is in memory: it is good for the next epoch if we claim that.
    /// What was under way before is given up, and its answer of no use. Answer: [`Done::Fenced`].
    Fence(Epoch),
}

/// What became of the action that was under way.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Done {
    /// The store gave this epoch; none: it did not, for now.
    Raised(Option<Epoch>),
    /// The owner key was written at this revision; none: surely not.
    Claimed(Option<u64>),
    /// Nothing runs or waits any more, or the limit was reached.
    Drained,
    /// All is packed. Whether there is anything in it, calls or snapshots.
    Packed(bool),
    /// The target has the parcel; `false`: it surely keeps none of it.
    Sent(bool),
    /// The owner key was emptied at this revision, or why surely not.
    Released(Result<u64, Unreleased>),
    /// What was in memory is put aside.
    Fenced,
}

/// Why an owner key was not emptied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Unreleased {
    /// The target is another one by now.
    TargetChanged,
    /// It is not ours any more.
    NotOurs,
}

/// A new state, and what is to be done in it.
pub type Change = (State, Option<Action>);

impl Default for State {
    fn default() -> Self {
        Self::Away(0)
    }
}

impl State {
    /// In which epoch it is ours, if it is.
    pub fn held(&self) -> Option<&Held> {
        match self {
            Self::Serving(held)
            | Self::Draining(held)
            | Self::Packing(held)
            | Self::Packed(held, ..)
            | Self::Sending(held, _)
            | Self::Releasing(held, ..) => Some(held),
            Self::Away(_) | Self::Raising(_) | Self::Claiming(..) | Self::Fencing(_) => None,
        }
    }

    /// What follows from the view, and from the node's registration; none: nothing.
    pub fn look(&self, shard: ShardId, me: Me<'_>, view: &View) -> Option<Change> {
        // What is released is let go of anyway, and nothing is let in: it is carried through.
        if let Some(held) = self.held()
            && !matches!(self, Self::Releasing(..))
            && !keeps(held, shard, me, view)
        {
            return Some((Self::Fencing(held.epoch), Some(Action::Fence(held.epoch))));
        }
        let target = view.slot(shard).target.as_ref();
        match self {
            Self::Away(after) if view.revision >= *after => {
                if let Some(held) = left_behind(shard, me, view) {
                    let release = Action::Release(held.clone(), None);
                    return Some((Self::Releasing(held, None, false), Some(release)));
                }
                let bid = bid(shard, me, view)?;
                Some((Self::Raising(bid.clone()), Some(Action::Raise(bid))))
            }
            Self::Serving(held) => {
                let target = target.filter(|target| target.node != *me.id)?;
                let drain = Action::Drain(target.revision);
                Some((Self::Draining(held.clone()), Some(drain)))
            }
            Self::Packed(held, is_full, after) => {
                let target = target.filter(|target| target.revision > *after)?;
                if target.node == *me.id || !is_full {
                    let resting = (target.node == *me.id).then_some(target.revision);
                    let release = Action::Release(held.clone(), resting);
                    let releasing = Self::Releasing(held.clone(), resting, *is_full);
                    return Some((releasing, Some(release)));
                }
                let member = view.nodes.get(&target.node)?;
                let send = Action::Send(member.id.clone());
                Some((Self::Sending(held.clone(), target.revision), Some(send)))
            }
            Self::Away(_)
            | Self::Raising(_)
            | Self::Claiming(..)
            | Self::Draining(_)
            | Self::Packing(_)
            | Self::Sending(..)
            | Self::Releasing(..)
            | Self::Fencing(_) => None,
        }
    }

    /// The coordination has lost all that it knew, and its revisions begin anew: what was written before
    /// says nothing of how old a view is. What is held still is fenced, since its registration is gone.
    pub fn forget_revisions(&mut self) {
        if let Self::Away(after) = self {
            *after = 0;
        }
    }

    /// What follows from what became of the action. An answer that is of no use any more changes
    /// nothing.
    pub fn after(&self, done: Done, shard: ShardId, me: Me<'_>, view: &View) -> Option<Change> {
        match (self, done) {
            (Self::Raising(bid), Done::Raised(Some(epoch))) => {
                // It was seen while the store was asked: what it rests on must still be so.
                if self::bid(shard, me, view).as_ref() != Some(bid) {
                    return Some((Self::Away(0), None));
                }
                let claim = Action::Claim(bid.clone(), epoch);
                Some((Self::Claiming(bid.clone(), epoch, view.revision), Some(claim)))
            }
            (Self::Raising(_), Done::Raised(None)) => Some((Self::Away(0), None)),
            // Something that it rests on has changed: the word of it is here, or is to come.
            (Self::Claiming(_, _, seen), Done::Claimed(None)) => Some((Self::Away(seen + 1), None)),
            (Self::Claiming(bid, epoch, _), Done::Claimed(Some(since))) => {
                let (incarnation, epoch) = (bid.incarnation.clone(), *epoch);
                let held = Held { incarnation, epoch, since };
                // It was lost while the key was written: nothing is served in that epoch.
                if !keeps(&held, shard, me, view) {
                    return Some((Self::Away(since), Some(Action::Forget)));
                }
                Some((Self::Serving(held), Some(Action::Serve(epoch))))
            }
            (Self::Draining(held), Done::Drained) => {
                Some((Self::Packing(held.clone()), Some(Action::Pack)))
            }
            (Self::Packing(held), Done::Packed(is_full)) => {
                Some((Self::Packed(held.clone(), is_full, 0), None))
            }
            (Self::Sending(held, target), Done::Sent(true)) => {
                let release = Action::Release(held.clone(), Some(*target));
                Some((Self::Releasing(held.clone(), Some(*target), true), Some(release)))
            }
            (Self::Sending(held, _), Done::Sent(false)) => {
                Some((Self::Packed(held.clone(), true, 0), None))
            }
            (Self::Releasing(..), Done::Released(Ok(revision))) => {
                Some((Self::Away(revision), Some(Action::Forget)))
            }
            (
                Self::Releasing(held, target, is_full),
                Done::Released(Err(Unreleased::TargetChanged)),
            ) => {
                // The next one is to be another.
                let after = target.unwrap_or_default();
                Some((Self::Packed(held.clone(), *is_full, after), None))
            }
            // The registration was lost before, and another has claimed it.
            (Self::Releasing(..), Done::Released(Err(Unreleased::NotOurs))) => {
                Some((Self::Away(0), Some(Action::Forget)))
            }
            (Self::Fencing(_), Done::Fenced) => Some((Self::Away(0), None)),
            _ => None,
        }
    }

    /// What follows from a commit of an epoch that the store refused because the shard has another
    /// one. Where [`Action::Raise`] is carried out as it says this happens only to who has lost the
    /// shard; but should it be ours, nothing that is served can be committed any more. A shard that is
    /// being released is released.
    pub fn outrun(&self, epoch: Epoch) -> Option<Change> {
        match self {
            Self::Serving(held) if held.epoch == epoch => {
                Some((Self::Fencing(held.epoch), Some(Action::Fence(held.epoch))))
            }
            Self::Away(_)
            | Self::Raising(_)
            | Self::Claiming(..)
            | Self::Serving(_)
            | Self::Draining(_)
            | Self::Packing(_)
            | Self::Packed(..)
            | Self::Sending(..)
            | Self::Releasing(..)
            | Self::Fencing(_) => None,
        }
    }
}

/// What the owner key says is ours under this very registration, though it is not served.
fn left_behind(shard: ShardId, me: Me<'_>, view: &View) -> Option<Held> {
    let (registration, _) = me.registration.filter(|_| me.holds_lease)?;
    let owner = view.slot(shard).owner.as_ref()?;
    let (node, incarnation) = owner.holder.as_ref()?;
    (node == me.id && incarnation == registration).then(|| Held {
        incarnation: incarnation.clone(),
        epoch: owner.epoch,
        since: owner.revision,
    })
}

/// Whether a shard that is ours still is.
fn keeps(held: &Held, shard: ShardId, me: Me<'_>, view: &View) -> bool {
    let Some((incarnation, registered_at)) = me.registration else { return false };
    if *incarnation != held.incarnation || !me.holds_lease {
        return false;
    }
    // A view from before says nothing of it.
    if view.revision >= registered_at && !view.is_registered(me.id, incarnation) {
        return false;
    }
    if view.revision < held.since {
        return true;
    }
    let owner = view.slot(shard).owner.as_ref();
    owner.is_some_and(|owner| {
        let is_ours = owner.holder.as_ref().is_some_and(|(n, i)| n == me.id && i == incarnation);
        // Emptied by ourselves, and the word of it is not here yet.
        let is_released = owner.holder.is_none() && owner.epoch == held.epoch;
        (is_ours && owner.epoch == held.epoch) || is_released
    })
}

/// What a claim would rest on; none: the shard is not ours to claim.
fn bid(shard: ShardId, me: Me<'_>, view: &View) -> Option<Bid> {
    let (incarnation, _) = me.registration.filter(|_| me.holds_lease)?;
    let slot = view.slot(shard);
    let target = slot.target.as_ref().filter(|target| target.node == *me.id)?;
    if !view.is_registered(me.id, incarnation) || view.owner(shard).is_some() {
        return None;
    }
    Some(Bid {
        incarnation: incarnation.clone(),
        target_revision: target.revision,
        owner: slot.owner.clone(),
    })
}
