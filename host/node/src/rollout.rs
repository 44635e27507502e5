//! How far a deploy has come: each live object answers for itself, once.

use std::sync::Arc;

use tokio::sync::watch;
use wasmverse_core::{ObjectId, RevisionNumber};

/// So many refusals are told with their reasons, and so much of each reason.
const REFUSED_SHOWN_MAX: usize = 100;
const REASON_BYTES_MAX: usize = 1024;

/// How far the latest deploy of a type has come.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// The revision that the type moves to.
    pub revision: RevisionNumber,
    /// Objects that were live when it became active.
    pub live: u32,
    /// Those that run it.
    pub moved: u32,
    /// Those that have gone or fallen asleep since: they wake on it.
    pub gone: u32,
    /// Those that stay on their old revision, and why: the first hundred. What is shown at every
    /// step must stay small.
    pub refused: Vec<(ObjectId, String)>,
    /// How many stay in all.
    pub refused_total: u32,
    /// All have answered, or a later deploy took over.
    pub done: bool,
}

impl Progress {
    fn answered(&self) -> u32 {
        self.moved.saturating_add(self.gone).saturating_add(self.refused_total)
    }
}

fn count(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

/// One deploy under way.
#[derive(Debug)]
pub(crate) struct Rollout(watch::Sender<Progress>);

impl Rollout {
    /// One that waits for the answers of these objects.
    pub(crate) fn new(revision: RevisionNumber, live: usize) -> Arc<Self> {
        let progress =
            Progress { revision, live: count(live), done: live == 0, ..Progress::default() };
        Arc::new(Self(watch::Sender::new(progress)))
    }

    pub(crate) fn watch(&self) -> watch::Receiver<Progress> {
        self.0.subscribe()
    }

    /// A later deploy takes over: nobody waits for this one.
    pub(crate) fn supersede(&self) {
        self.0.send_if_modified(|progress| !std::mem::replace(&mut progress.done, true));
    }

    /// The ticket of one of the objects that it waits for.
    pub(crate) fn ticket(self: &Arc<Self>, object: ObjectId) -> Ticket {
        Ticket { rollout: self.clone(), object, answered: false }
    }

    fn answer(&self, note: impl FnOnce(&mut Progress)) {
        self.0.send_modify(|progress| {
            note(progress);
            progress.done |= progress.answered() >= progress.live;
        });
    }
}

/// What a live object holds until it has answered; dropped without an answer it counts as gone.
#[derive(Debug)]
pub(crate) struct Ticket {
    rollout: Arc<Rollout>,
    object: ObjectId,
    answered: bool,
}

impl Ticket {
    /// It runs the new revision.
    pub(crate) fn moved(mut self) {
        self.answered = true;
        self.rollout.answer(|progress| progress.moved += 1);
    }

    /// It stays on the old one.
    pub(crate) fn refused(mut self, reason: String) {
        self.answered = true;
        let object = self.object.clone();
        let reason = match reason.len() {
            ..=REASON_BYTES_MAX => reason,
            _ => format!("{}…", &reason[..reason.floor_char_boundary(REASON_BYTES_MAX)]),
        };
        self.rollout.answer(|progress| {
            progress.refused_total += 1;
            if progress.refused.len() < REFUSED_SHOWN_MAX {
                progress.refused.push((object, reason));
            }
        });
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if !self.answered {
            self.rollout.answer(|progress| progress.gone += 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rollout_is_done_when_every_live_object_has_answered() {
        let rollout = Rollout::new(RevisionNumber(2), 3);
        let watch = rollout.watch();
        let mut tickets =
            ["a", "b", "c"].map(|id| rollout.ticket(ObjectId::parse("T", id).unwrap())).into_iter();
        tickets.next().unwrap().moved();
        tickets.next().unwrap().refused("no".into());
        assert!(!watch.borrow().done);
        drop(tickets.next());
        let progress = watch.borrow();
        assert!(progress.done);
        assert_eq!((progress.moved, progress.gone, progress.refused.len()), (1, 1, 1));
    }

    #[test]
    fn however_many_refuse_at_length_what_is_shown_stays_small() {
        let rollout = Rollout::new(RevisionNumber(2), 1000);
        for n in 0..1000 {
            assert!(!rollout.watch().borrow().done);
            let ticket = rollout.ticket(ObjectId::parse("T", &n.to_string()).unwrap());
            ticket.refused("ü".repeat(4096));
        }
        let watch = rollout.watch();
        let progress = watch.borrow();
        assert!(progress.done);
        assert_eq!((progress.refused_total, progress.refused.len()), (1000, REFUSED_SHOWN_MAX));
        assert!(progress.refused.iter().all(|(_, reason)| reason.len() <= REASON_BYTES_MAX + 3));
    }

    #[test]
    fn a_rollout_without_live_objects_is_done_at_once() {
        assert!(Rollout::new(RevisionNumber(1), 0).watch().borrow().done);
    }

    #[test]
    fn a_later_deploy_ends_it() {
        let rollout = Rollout::new(RevisionNumber(1), 1);
        rollout.supersede();
        assert!(rollout.watch().borrow().done);
    }
}
