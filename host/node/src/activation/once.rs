//! Turns that are run once: for a keyed call, a send or a reminder that fires. That it ended, and how,
//! is committed with what it changed.

use std::sync::Arc;

use wasmverse_core::{
    CallError, Caller, DERIVED, Durability, Outcome, Reminder, ReminderChanges, TurnEnd, Version,
    When, outbox::Pending,
};
use wasmverse_store::{Effect, NewReminder, NewSend, SendId};

use super::{
    Activation,
    recall::{Keyed, Recalled},
};
use crate::letter::{Answer, Source};

/// For what a turn is run once.
pub(super) enum Once {
    /// It is not.
    No,
    /// A send, to an object that has no commit to say so: whoever brings it settles it.
    Unsettled,
    /// A keyed call: its answer is kept.
    Keyed(Keyed),
    /// A send, which arrives.
    Send(SendId),
    /// A reminder that fires, and what becomes of it.
    Firing(Box<FiringTurn>),
}

/// A reminder that fires, and what becomes of it.
pub(super) struct FiringTurn {
    name: Arc<str>,
    due_micros: i64,
    /// Due anew; none: it is gone.
    next: Option<Reminder>,
}

/// How a turn begins.
pub(super) enum Beginning {
    /// It runs; its own calls derive their keys from this one, if there is one.
    Run(Once, Option<Arc<str>>),
    /// It has been run, or is not to be run any more.
    Answered(Answer),
}

impl Activation {
    /// Looks whether a turn is to be run, and for what. `key`: of the call.
    pub(super) async fn begin(
        &mut self,
        source: Source,
        key: Option<Arc<str>>,
        caller: &Caller,
        asked: (&str, &[u8]),
        read_only: bool,
    ) -> Beginning {
        let is_durable = self.durability() == Some(Durability::Durable);
        match (source, key) {
            (Source::Call, Some(key)) if is_durable && !read_only => {
                let keyed = Keyed::new(caller.origin(), &key, asked.0, asked.1);
                match self.recall(&keyed).await {
                    Recalled::New => Beginning::Run(Once::Keyed(keyed), Some(key)),
                    Recalled::Answer(answer) => Beginning::Answered(answer),
                }
            }
            // Nothing is kept under it here, and what this turn calls can still be sure of it.
            (Source::Call, key) => Beginning::Run(Once::No, key.filter(|_| !read_only)),
            (Source::Send(number), _) => {
                let key = format!("{DERIVED}send {number}").into();
                let sender = match caller {
                    Caller::Object(from) if is_durable => self.host.shard_of(from).zip(Some(from)),
                    Caller::Object(_) | Caller::Client(_) | Caller::Platform => None,
                };
                let once = sender.map_or(Once::Unsettled, |(shard, from)| {
                    Once::Send(SendId { shard, from: from.clone(), number })
                });
                Beginning::Run(once, Some(key))
            }
            (Source::Reminder(firing), _) => {
                let now = self.host.clock.now_micros();
                if !self.host.reminders.is_current(&firing) {
                    return Beginning::Answered(Ok(wasmverse_core::Reply::Done));
                }
                let reminder = firing.reminder;
                self.host.metrics.lateness(now.saturating_sub(reminder.due));
                let due = reminder.when.parse::<When>().ok().and_then(|when| when.next(now));
                let next = due.map(|due_micros| Reminder {
                    when: reminder.when,
                    method: reminder.method,
                    payload: reminder.payload,
                    due_micros,
                });
                let key = format!("{DERIVED}reminder {} {}", reminder.due, reminder.name).into();
                let (name, due_micros) = (reminder.name, reminder.due);
                let firing = Box::new(FiringTurn { name, due_micros, next });
                Beginning::Run(Once::Firing(firing), Some(key))
            }
        }
    }

    /// What goes with a turn, beside its row and its storage.
    pub(super) fn effects_of(
        &self,
        once: &Once,
        outcome: &Outcome,
        is_durable: bool,
    ) -> Vec<Effect> {
        let effects = &outcome.effects;
        let mut all = Vec::new();
        if outcome.is_once {
            all.extend(once.effect(outcome));
        }
        // A deleted object has no reminders, and what is not durable sends by itself.
        if !effects.delete {
            all.extend(effects.reminders.iter().map(|(name, change)| match change {
                None => Effect::Cancel(Arc::clone(name)),
                Some(reminder) => Effect::Remind(NewReminder {
                    name: Arc::clone(name),
                    when: Arc::clone(&reminder.when),
                    method: Arc::clone(&reminder.method),
                    payload: reminder.payload.clone(),
                    due_micros: reminder.due_micros,
                }),
            }));
        }
        if is_durable {
            all.extend(effects.sends.iter().map(|send| {
                Effect::Send(NewSend {
                    to: send.to.clone(),
                    method: Arc::clone(&send.method),
                    payload: send.payload.clone(),
                })
            }));
        }
        all
    }

    /// A turn was committed: what it set off begins. `version`: that of its row.
    pub(super) fn committed(
        &mut self,
        once: &Once,
        outcome: &mut Outcome,
        is_durable: bool,
        version: Version,
    ) {
        if let (Once::Keyed(keyed), Some(awake), true) = (once, &mut self.awake, outcome.is_once) {
            awake.keep(keyed);
        }
        let (object, shard) = (self.object().clone(), self.entry.shard);
        if let (Once::Send(send), TurnEnd::Failure(error), true) =
            (once, &outcome.end, outcome.is_once)
        {
            self.host.note_dead(&send.from, &object, error);
        }
        let reminders = &self.host.reminders;
        if outcome.effects.delete {
            reminders.deleted(&object);
        } else {
            if let (Once::Firing(firing), true) = (once, outcome.is_once) {
                let next = (Arc::clone(&firing.name), firing.next.clone());
                let next = ReminderChanges::from([next]);
                reminders.changed(&self.host.clock, &object, next, |it| self.host.is_at_work(it));
            }
            let changes = std::mem::take(&mut outcome.effects.reminders);
            reminders.changed(&self.host.clock, &object, changes, |it| self.host.is_at_work(it));
        }
        if !is_durable || outcome.effects.sends.is_empty() {
            return;
        }
        let sends = std::mem::take(&mut outcome.effects.sends);
        self.host.metrics.sends.increment(sends.len() as u64);
        let pending = (0..).zip(sends).map(|(place, send)| Pending {
            from: object.clone(),
            shard,
            number: wasmverse_core::SendNumber { version, place },
            to: send.to,
            method: send.method,
            payload: send.payload,
        });
        self.host.sends.committed(pending, || self.host.owned.shards.is_open(shard));
    }
}

impl Once {
    /// What a reminder that fires is by then, for the turn to see.
    pub(super) fn reminders(&self) -> ReminderChanges {
        match self {
            Self::Firing(firing) => {
                ReminderChanges::from([(Arc::clone(&firing.name), firing.next.clone())])
            }
            Self::No | Self::Unsettled | Self::Keyed(_) | Self::Send(_) => ReminderChanges::new(),
        }
    }

    /// That its turn ended, and how.
    fn effect(&self, outcome: &Outcome) -> Option<Effect> {
        match self {
            Self::No | Self::Unsettled => None,
            Self::Keyed(keyed) => Some(Effect::Result(keyed.result(&outcome.end))),
            Self::Send(send) => Some(match &outcome.end {
                TurnEnd::Failure(error) => {
                    Effect::Dead { send: send.clone(), reason: reason(error) }
                }
                TurnEnd::Well(_) | TurnEnd::Trap(_) => Effect::Arrived(send.clone()),
            }),
            Self::Firing(firing) => Some(Effect::Fired {
                name: Arc::clone(&firing.name),
                due_micros: firing.due_micros,
                next_micros: firing.next.as_ref().map(|next| next.due_micros),
                dead: None,
            }),
        }
    }
}

/// Why a send or a firing is given up, in words.
pub(crate) fn reason(error: &CallError) -> String {
    const BYTES_MAX: usize = 4096;
    let code = if error.code().is_empty() { String::new() } else { format!(" ({})", error.code()) };
    let mut reason = format!("{}{code}: {}", error.kind(), error.message());
    if reason.len() > BYTES_MAX {
        reason.truncate(reason.floor_char_boundary(BYTES_MAX));
    }
    reason
}
