//! What a broken store makes of results, sends and reminders.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Mutex,
};

use wasmverse_core::{ObjectId, Version};

use super::{Broken, Fault};
use crate::{
    Change, Commit, Effect, Error, Expected, ResultKey, SendId, Shards, StoredReminder, StoredSend,
    contract::effects::EVERYWHERE,
};

/// What it remembers or forgets, and should not.
#[derive(Default)]
pub(super) struct Spoilt {
    results: Mutex<BTreeSet<(ObjectId, ResultKey)>>,
    hidden: Mutex<BTreeSet<(ObjectId, ResultKey)>>,
    sends: Mutex<Vec<StoredSend>>,
    reminders: Mutex<Vec<StoredReminder>>,
    /// By how much the versions of an object's sends are too low.
    begun: Mutex<HashMap<ObjectId, u64>>,
}

impl Spoilt {
    pub(super) fn hides(&self, object: &ObjectId, key: &ResultKey) -> bool {
        self.hidden.lock().unwrap().contains(&(object.clone(), key.clone()))
    }

    pub(super) fn hide_all(&self) {
        let all = self.results.lock().unwrap().clone();
        self.hidden.lock().unwrap().extend(all);
    }
}

/// What was there before a row was written.
pub(super) struct Before {
    sends: Vec<StoredSend>,
    reminders: Vec<StoredReminder>,
}

impl Broken {
    /// Makes of a row's effects what they should not be.
    pub(super) async fn before(&self, row: &mut Commit) -> Result<Before, Error> {
        let sends = self.all_sends(EVERYWHERE).await?;
        let reminders = self.inner.reminders(&row.object).await?;
        for effect in &mut row.effects {
            match (self.fault, effect) {
                (Fault::FiresAtAnyTime, Effect::Fired { name, due_micros, .. }) => {
                    let set = reminders.iter().find(|set| set.reminder.name == *name);
                    *due_micros = set.map_or(*due_micros, |set| set.reminder.due_micros);
                }
                (Fault::NumbersSendsAnew, Effect::Arrived(send) | Effect::Dead { send, .. }) => {
                    let begun = self.spoilt.begun.lock().unwrap();
                    let version = &mut send.number.version.0;
                    *version = version.saturating_add(begun.get(&send.from).copied().unwrap_or(0));
                }
                _ => {}
            }
        }
        Ok(Before { sends, reminders })
    }

    /// Does what it should not do once a row was answered.
    pub(super) async fn after(
        &self,
        row: &Commit,
        before: Before,
        answer: Result<Version, Error>,
    ) -> Result<Result<Version, Error>, Error> {
        let buried = row.change == Change::Delete && answer.is_ok();
        let of_row = |wanted: fn(&Effect) -> bool| -> Vec<Effect> {
            row.effects.iter().filter(|effect| wanted(effect)).cloned().collect()
        };
        let results = of_row(|effect| matches!(effect, Effect::Result(_)));
        match self.fault {
            Fault::KeepsResultsOfTheRefused if answer.is_err() => {
                self.beside(row, results.clone()).await?;
            }
            Fault::ForgetsResultsOfTheDeleted if buried => {
                let (keys, _) = self.inner.result_keys(&row.object, 1000).await?;
                let gone = keys.into_iter().map(|key| (row.object.clone(), key));
                self.spoilt.hidden.lock().unwrap().extend(gone);
            }
            Fault::TakesSendsTwice if matches!(answer, Err(Error::Repeated(_))) => {
                let mut again = row.clone();
                again.effects.retain(|effect| !matches!(effect, Effect::Arrived(_)));
                return Ok(self.inner.commit(vec![again]).await?.remove(0));
            }
            Fault::LosesSendsOfTheDeleted if buried => {
                let lost = before.sends.into_iter().filter(|send| send.id.from == row.object);
                self.beside(row, lost.map(|send| Effect::Arrived(send.id)).collect()).await?;
            }
            Fault::KeepsRemindersOfTheDeleted if buried => {
                self.spoilt.reminders.lock().unwrap().extend(before.reminders);
            }
            Fault::LeavesDeadSends if answer.is_ok() => {
                let left = before.sends.into_iter().filter(|send| {
                    row.effects.iter().any(
                        |effect| matches!(effect, Effect::Dead { send: dead, .. } if *dead == send.id),
                    )
                });
                self.spoilt.sends.lock().unwrap().extend(left);
            }
            Fault::NumbersSendsAnew => {
                let is_new = row.expected == Expected::Absent && row.change != Change::Delete;
                if let (true, Ok(version)) = (is_new, &answer) {
                    let below = version.0.saturating_sub(1);
                    self.spoilt.begun.lock().unwrap().insert(row.object.clone(), below);
                }
            }
            _ => {}
        }
        if answer.is_ok() {
            for effect in results {
                if let Effect::Result(kept) = effect {
                    let of = (row.object.clone(), kept.key);
                    self.spoilt.hidden.lock().unwrap().remove(&of);
                    self.spoilt.results.lock().unwrap().insert(of);
                }
            }
        }
        Ok(answer)
    }

    /// Has effects that nobody asked for, with the epoch of a row.
    async fn beside(&self, row: &Commit, effects: Vec<Effect>) -> Result<(), Error> {
        let (change, storage) = (Change::Nothing, Vec::new());
        let beside = Commit { change, storage, effects, ..row.clone() };
        self.inner.commit(vec![beside]).await.map(|_| ())
    }

    async fn all_sends(&self, shards: Shards) -> Result<Vec<StoredSend>, Error> {
        let mut all: Vec<StoredSend> = Vec::new();
        loop {
            let after = all.last().map(|send| send.id.clone());
            let page = self.inner.sends(shards.clone(), after.as_ref(), 1000).await?;
            if page.is_empty() {
                return Ok(all);
            }
            all.extend(page);
        }
    }

    /// A page of what it takes for sends.
    pub(super) async fn spoilt_sends(
        &self,
        shards: Shards,
        after: Option<SendId>,
        limit: u32,
    ) -> Result<Vec<StoredSend>, Error> {
        let mut all = self.all_sends(shards.clone()).await?;
        all.extend(self.spoilt.sends.lock().unwrap().iter().cloned());
        for send in &mut all {
            let begun = self.spoilt.begun.lock().unwrap().get(&send.id.from).copied();
            let version = &mut send.id.number.version.0;
            *version = version.saturating_sub(begun.unwrap_or(0));
        }
        all.retain(|send| after.as_ref().is_none_or(|after| send.id > *after));
        all.retain(|send| shards.contains(&send.id.shard));
        all.sort_by(|left, right| left.id.cmp(&right.id));
        all.truncate(limit as usize);
        Ok(all)
    }

    /// What it takes for reminders.
    pub(super) fn spoilt_reminders(
        &self,
        mut found: Vec<StoredReminder>,
        object: &ObjectId,
    ) -> Vec<StoredReminder> {
        let kept = self.spoilt.reminders.lock().unwrap();
        found.extend(kept.iter().filter(|set| set.object == *object).cloned());
        found
    }

    /// What it takes for due: the first page.
    pub(super) fn spoilt_due(&self, mut found: Vec<StoredReminder>) -> Vec<StoredReminder> {
        found.extend(self.spoilt.reminders.lock().unwrap().iter().cloned());
        found
    }
}
