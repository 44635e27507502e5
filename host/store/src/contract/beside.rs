//! What a store keeps beside objects, in a model: what every commit makes of it, and whether a store
//! says the same.

use std::{collections::BTreeMap, sync::Arc};

use wasmverse_core::{ObjectId, SendNumber, ShardId, Version};

use super::{
    Verdict,
    effects::{EVERYWHERE, all_due, all_letters, all_sends},
    ensure,
};
use crate::{
    Change, Commit, DeadLetter, DeadSource, Effect, KeptResult, NewSend, ResultKey, SendId, Store,
    StoredReminder, StoredSend, limits::kept_reason,
};

#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Beside {
    /// Of one key the first counts; once it is forgotten, a store may still have the next one.
    pub(super) results: BTreeMap<(ObjectId, ResultKey), Vec<Kept>>,
    pub(super) outbox: BTreeMap<SendId, Sent>,
    /// Sends whose place among those of their version is not known yet.
    revived: Vec<(ShardId, ObjectId, Version, Sent)>,
    pub(super) reminders: BTreeMap<(ObjectId, Arc<str>), StoredReminder>,
    pub(super) letters: Vec<Letter>,
    /// How often something was written.
    now: u64,
}

/// A result, and when it was kept.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Kept {
    result: KeptResult,
    at: u64,
    /// Nobody knows whether it was, for another one stands before it.
    perhaps: bool,
}

/// A send, and when it left.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Sent {
    send: NewSend,
    at: u64,
    /// By the clock of the store; none: not seen yet.
    at_micros: Option<i64>,
}

/// A dead letter.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Letter {
    /// None: not seen yet.
    pub(super) number: Option<u64>,
    pub(super) from: ObjectId,
    shard: ShardId,
    source: DeadSource,
    send: NewSend,
    reason: String,
    sent_at_micros: Option<i64>,
}

impl Letter {
    fn is(&self, found: &DeadLetter) -> bool {
        self.number.is_none_or(|number| number == found.number)
            && self.from == found.from
            && self.shard == found.shard
            && self.source == found.source
            && self.send == found.send
            && self.reason == found.reason
            && self.sent_at_micros.is_none_or(|at| at == found.sent_at_micros)
            && found.died_at_micros > 0
    }
}

impl Beside {
    /// Whether something is not there that a commit wants to be there.
    pub(super) fn lacks(&self, commit: &Commit) -> bool {
        let object = &commit.object;
        commit.effects.iter().any(|effect| match effect {
            Effect::Arrived(send) | Effect::Dead { send, .. } => !self.outbox.contains_key(send),
            Effect::Fired { name, due_micros, .. } => {
                let set = self.reminders.get(&(object.clone(), name.clone()));
                set.is_none_or(|set| set.reminder.due_micros != *due_micros)
            }
            Effect::Revive(number) | Effect::Forget(number) => {
                let of = |letter: &&Letter| letter.number == Some(*number);
                self.letters.iter().find(of).is_none_or(|letter| letter.from != *object)
            }
            Effect::Result(_) | Effect::Send(_) | Effect::Remind(_) | Effect::Cancel(_) => false,
        })
    }

    /// Takes what goes with a commit that is written; `version`: of the row now, if it ever was there.
    pub(super) fn apply(&mut self, commit: &Commit, version: Version) {
        self.now += 1;
        let mut place = 0;
        for effect in &commit.effects {
            match effect {
                Effect::Result(result) => {
                    let kept = Kept { result: result.clone(), at: self.now, perhaps: false };
                    let of = (commit.object.clone(), result.key.clone());
                    self.results.entry(of).or_default().push(kept);
                }
                Effect::Send(send) => {
                    let number = SendNumber { version, place };
                    let (shard, from) = (commit.shard, commit.object.clone());
                    self.outbox.insert(SendId { shard, from, number }, self.sent(send));
                    place += 1;
                }
                Effect::Arrived(send) => drop(self.outbox.remove(send)),
                Effect::Dead { send, reason } => self.dies(send, reason),
                Effect::Fired { name, next_micros, dead, .. } => {
                    self.fires(&commit.object, name, *next_micros, dead.as_deref());
                }
                Effect::Revive(number) => {
                    let at = self.letters.iter().position(|it| it.number == Some(*number));
                    if let Some(letter) = at.map(|at| self.letters.remove(at)) {
                        let sent = self.sent(&letter.send);
                        self.revived.push((letter.shard, letter.from, version, sent));
                    }
                }
                Effect::Forget(number) => self.letters.retain(|it| it.number != Some(*number)),
                Effect::Remind(_) | Effect::Cancel(_) => {}
            }
        }
        if commit.change == Change::Delete {
            self.reminders.retain(|(object, _), _| *object != commit.object);
            return;
        }
        for effect in &commit.effects {
            let of = |name: &Arc<str>| (commit.object.clone(), name.clone());
            match effect {
                Effect::Remind(reminder) => {
                    let (object, shard) = (commit.object.clone(), commit.shard);
                    let set = StoredReminder { object, shard, reminder: reminder.clone() };
                    self.reminders.insert(of(&reminder.name), set);
                }
                Effect::Cancel(name) => drop(self.reminders.remove(&of(name))),
                _ => {}
            }
        }
    }

    /// Takes what goes with a commit of which nothing shows whether it was written.
    pub(super) fn apply_perhaps(&mut self, written: &Self) {
        for (of, kept) in &written.results {
            let known = self.results.entry(of.clone()).or_default();
            let more = kept.iter().skip(known.len()).cloned();
            known.extend(more.map(|kept| Kept { perhaps: true, ..kept }));
        }
    }

    fn sent(&self, send: &NewSend) -> Sent {
        Sent { send: send.clone(), at: self.now, at_micros: None }
    }

    fn dies(&mut self, send: &SendId, reason: &str) {
        let Some(sent) = self.outbox.remove(send) else { return };
        self.letters.push(Letter {
            number: None,
            from: send.from.clone(),
            shard: send.shard,
            source: DeadSource::Send(send.number),
            send: sent.send,
            reason: kept_reason(reason).into_owned(),
            sent_at_micros: sent.at_micros,
        });
    }

    fn fires(&mut self, object: &ObjectId, name: &Arc<str>, next: Option<i64>, dead: Option<&str>) {
        let of = (object.clone(), name.clone());
        let Some(mut set) = self.reminders.remove(&of) else { return };
        if let Some(reason) = dead {
            let (method, payload) = (set.reminder.method.clone(), set.reminder.payload.clone());
            self.letters.push(Letter {
                number: None,
                from: object.clone(),
                shard: set.shard,
                source: DeadSource::Firing(name.clone()),
                send: NewSend { to: object.clone(), method, payload },
                reason: kept_reason(reason).into_owned(),
                sent_at_micros: Some(set.reminder.due_micros),
            });
        }
        if let Some(next) = next {
            set.reminder.due_micros = next;
            self.reminders.insert(of, set);
        }
    }

    /// Whether a store has just these sends, reminders and letters; learns what it alone decides.
    pub(super) async fn agrees(&mut self, store: &dyn Store) -> Verdict {
        self.agrees_on_sends(all_sends(store, EVERYWHERE, 1000).await?)?;
        self.agrees_on_letters(&all_letters(store, None, 1000).await?)?;
        let mut wanted: Vec<&StoredReminder> = self.reminders.values().collect();
        wanted.sort_by_key(|set| set.reminder.due_micros);
        let found = all_due(store, EVERYWHERE, i64::MAX, 1000).await?;
        ensure!(found.iter().eq(wanted.iter().copied()), "due are {found:?}, not {wanted:?}");
        Ok(())
    }

    fn agrees_on_sends(&mut self, found: Vec<StoredSend>) -> Verdict {
        let mut wanted = self.outbox.clone();
        for StoredSend { id, send, sent_at_micros } in found {
            let mut sent = match wanted.remove(&id) {
                Some(sent) => sent,
                None => {
                    let place = self.revived.iter().position(|(shard, from, version, sent)| {
                        let number = id.number.version;
                        *shard == id.shard
                            && *from == id.from
                            && *version == number
                            && sent.send == send
                    });
                    ensure!(place.is_some(), "{id:?} is there: {send:?}");
                    let (.., sent) = self.revived.remove(place.unwrap_or_default());
                    sent
                }
            };
            let right = sent.send == send
                && sent.at_micros.is_none_or(|at| at == sent_at_micros)
                && sent_at_micros > 0;
            ensure!(right, "{id:?} is {send:?} of {sent_at_micros}, not {sent:?}");
            sent.at_micros = Some(sent_at_micros);
            self.outbox.insert(id, sent);
        }
        ensure!(wanted.is_empty(), "sends are gone: {wanted:?}");
        ensure!(self.revived.is_empty(), "letters were not sent again: {:?}", self.revived);
        Ok(())
    }

    fn agrees_on_letters(&mut self, found: &[DeadLetter]) -> Verdict {
        // Those first whose numbers are known.
        let (known, mut wanted): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.letters).into_iter().partition(|it| it.number.is_some());
        let highest = known.iter().filter_map(|letter| letter.number).max();
        for letter in found {
            let is_known = known.iter().any(|it| it.is(letter));
            let place = wanted.iter().position(|it| it.is(letter)).filter(|_| !is_known);
            ensure!(is_known || place.is_some(), "a letter is there: {letter:?}");
            let mut known = match place {
                Some(place) => {
                    let right = Some(letter.number) > highest;
                    ensure!(right, "{letter:?} got the number of another");
                    wanted.remove(place)
                }
                None => known.iter().find(|it| it.is(letter)).cloned().expect("it is known"),
            };
            known.number = Some(letter.number);
            known.sent_at_micros = Some(letter.sent_at_micros);
            self.letters.push(known);
        }
        ensure!(wanted.is_empty(), "letters are not there: {wanted:?}");
        let right = self.letters.len() == found.len()
            && known.iter().all(|it| self.letters.iter().any(|found| found.number == it.number));
        ensure!(right, "letters are gone: of {known:?} there is {found:?}");
        Ok(())
    }

    /// Whether a store has just these results of an object.
    pub(super) async fn agrees_on_results(&self, store: &dyn Store, object: &ObjectId) -> Verdict {
        let of = self.results.iter().filter(|((of, _), _)| of == object);
        let wanted: Vec<&KeptResult> = of.map(|(_, kept)| &kept[0].result).collect();
        let (mut found, whole) = store.result_keys(object, 1000).await?;
        found.sort();
        let right = found.iter().eq(wanted.iter().map(|result| &result.key));
        ensure!(right && whole, "{object} has results of {found:?}, not {wanted:?}");
        for wanted in wanted {
            let found = store.result(object, &wanted.key).await?;
            ensure!(found.as_ref() == Some(wanted), "{object}: {wanted:?} became {found:?}");
        }
        Ok(())
    }

    /// After a store was asked to forget whatever it may: what it must still have, and the rest it may.
    pub(super) async fn forgets(&mut self, store: &dyn Store, now_micros: i64) -> Verdict {
        let oldest = self.outbox.values().map(|sent| sent.at).min();
        let waits = self.reminders.values().any(|set| set.reminder.due_micros <= now_micros);
        for ((object, key), kept) in &mut self.results {
            let found = store.result(object, key).await?;
            while kept.first().is_some_and(|first| found.as_ref() != Some(&first.result)) {
                let first = kept.remove(0);
                let needed = waits || oldest.is_some_and(|oldest| oldest <= first.at);
                ensure!(
                    !needed || first.perhaps,
                    "{first:?} of {object} is gone, and something waits"
                );
            }
            ensure!(kept.is_empty() == found.is_none(), "{object} was never answered {found:?}");
        }
        self.results.retain(|_, kept| !kept.is_empty());
        Ok(())
    }
}
