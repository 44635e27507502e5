//! What leaves the queue without being written: because its shard is served by another, because its
//! time is over, because the peer is.

use std::{collections::VecDeque, time::Instant};

use fnv::FnvHashSet;
use tokio::sync::oneshot;
use wasmverse_core::{CallError, ShardId};

use crate::letter::{Answer, Back, Letter, Word};

use super::{Outbox, Queued, Stage, State, bytes, closed, pop_call, wake};

/// What is left of a peer that is gone.
pub(crate) struct Retired {
    /// Calls that may go elsewhere, in order.
    pub(crate) letters: Vec<Letter>,
    /// Fences that it will not answer.
    pub(crate) fences: Vec<u64>,
    /// It has asked for no more calls, and still answers the last ones.
    pub(crate) drains: bool,
}

impl Outbox {
    /// The peer wants no more calls on this link: those that may go elsewhere come back, the rest
    /// waits for the next one.
    pub(crate) fn hold(&self, link: u64) -> Vec<Letter> {
        let mut state = self.state.lock();
        let mut back = Vec::new();
        if state.link == link && state.stage == Stage::Open {
            state.stage = Stage::Asked;
            back = self.withdraw_if(&mut state, Option::is_some);
        }
        wake(state);
        back
    }

    /// The peer no longer owns these shards, as routes of this number say. What was not written
    /// comes back; of the shards that are named, calls were written and are not answered: the peer
    /// answers the fence behind all that it refuses of these.
    pub(crate) fn withdraw(
        &self,
        shards: &FnvHashSet<ShardId>,
        routes: u64,
        fence: u64,
    ) -> (Vec<Letter>, FnvHashSet<ShardId>) {
        let mut state = self.state.lock();
        state.routes = routes;
        let moved = |back: &Option<Back>| back.as_ref().is_some_and(|b| shards.contains(&b.shard));
        let letters = self.withdraw_if(&mut state, moved);
        let written = state.waiting.values().filter(|waiting| waiting.written);
        let written = written.filter_map(|waiting| Some(waiting.back.as_ref()?.shard));
        let written: FnvHashSet<_> = written.filter(|shard| shards.contains(shard)).collect();
        if !written.is_empty() {
            state.fences.push_back(fence);
            state.fenced.push(fence);
        }
        wake(state);
        (letters, written)
    }

    /// The peer is gone: its registration is. What was not written and may go elsewhere comes back.
    /// What was written is answered, unless the peer has asked for no more calls and still answers
    /// the last ones.
    pub(crate) fn retire(&self, error: &CallError) -> Retired {
        let mut state = self.state.lock();
        state.closed = true;
        let letters = self.withdraw_if(&mut state, Option::is_some);
        let drains = state.is_held();
        let (mut fences, mut lost) = (Vec::new(), Vec::new());
        if !drains {
            fences = state.cut();
            lost = end_all(&mut state, error);
        }
        wake(state);
        self.hand_out(lost);
        Retired { letters, fences, drains }
    }

    /// Gives up on what was queued before `since`, while there is no link.
    pub(crate) fn expire(&self, since: Instant, error: &CallError) {
        let mut state = self.state.lock();
        let mut expired = Vec::new();
        while state.queue.front().is_some_and(|queued| queued.since <= since) {
            let Some(Queued { frame, .. }) = pop_call(&mut state) else { break };
            if frame.one_way {
                self.metrics.sends_lost.increment(1);
            } else if let Some(waiting) = state.waiting.remove(&frame.id) {
                expired.push((waiting.answer, Err(error.clone())));
            }
        }
        drop(state);
        self.hand_out(expired);
    }

    /// Forgets what waits for a link and is of no use any more: late, or without a caller.
    pub(crate) fn sweep(&self, now: Instant) {
        let mut state = self.state.lock();
        let State { queue, queue_bytes, waiting, .. } = &mut *state;
        queue.retain(|Queued { frame, deadline, .. }| {
            let is_late = *deadline <= now;
            let is_wanted = !is_late && (frame.one_way || waiting.contains_key(&frame.id));
            if !is_wanted {
                *queue_bytes -= bytes(frame);
            }
            if frame.one_way && is_late {
                self.metrics.sends_lost.increment(1);
            }
            is_wanted
        });
    }

    /// No more calls; what is queued still goes, and the stream ends after it.
    pub(crate) fn finish(&self) {
        let mut state = self.state.lock();
        state.closed = true;
        wake(state);
    }

    /// No more calls; those that wait are answered.
    pub(crate) fn close(&self) {
        let mut state = self.state.lock();
        state.closed = true;
        state.cut();
        let ended = end_all(&mut state, &closed());
        wake(state);
        self.hand_out(ended);
    }

    /// Takes the queued calls out that this is true of.
    fn withdraw_if(&self, state: &mut State, moved: impl Fn(&Option<Back>) -> bool) -> Vec<Letter> {
        let State { queue, queue_bytes, waiting, .. } = state;
        let (mut letters, mut left) = (Vec::new(), VecDeque::with_capacity(queue.len()));
        for mut queued in queue.drain(..) {
            let number = queued.frame.id;
            let back = match waiting.get(&number) {
                Some(waiting) => &waiting.back,
                None => &queued.back,
            };
            if !moved(back) {
                left.push_back(queued);
                continue;
            }
            *queue_bytes -= bytes(&queued.frame);
            if let Some(waiting) = waiting.remove(&number) {
                self.metrics.waiting.decrement(1.0);
                letters.push(waiting.into_letter(number));
            } else if let Some(back) = queued.back.take() {
                let deadline = queued.deadline;
                letters.push(Letter { number, deadline, answer: None, back: Some(back) });
            }
        }
        *queue = left;
        letters
    }
}

fn end_all(state: &mut State, error: &CallError) -> Vec<(oneshot::Sender<Word>, Answer)> {
    state.queue.clear();
    state.queue_bytes = 0;
    let ended = std::mem::take(&mut state.waiting).into_values().map(|waiting| {
        let error = error.clone();
        let error = if waiting.written { error.maybe_executed() } else { error };
        (waiting.answer, Err(error))
    });
    ended.collect()
}
