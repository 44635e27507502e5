//! Commits with effects, as the cases want them, and all that a store keeps beside objects.

use bytes::Bytes;
use wasmverse_core::{ObjectId, SendNumber, ShardId, Version};

use super::{SHARD, Violation, commit_one, ensure, put};
use crate::{
    Change, Commit, DeadLetter, Effect, Expected, KeptResult, NewReminder, NewSend, ResultKey,
    SendId, Shards, Store, StoredReminder, StoredSend,
};

/// All shards.
pub(super) const EVERYWHERE: Shards = ShardId(0)..=ShardId(u16::MAX);

/// A row with effects.
pub(super) fn with(row: Commit, effects: impl IntoIterator<Item = Effect>) -> Commit {
    Commit { effects: effects.into_iter().collect(), ..row }
}

/// A row of whatever is there that changes in this way.
pub(super) fn of(object: &ObjectId, change: Change) -> Commit {
    Commit { expected: Expected::Any, change, ..put(object, None, "") }
}

/// A row that does not change, with effects.
pub(super) fn beside(object: &ObjectId, effects: impl IntoIterator<Item = Effect>) -> Commit {
    with(of(object, Change::Nothing), effects)
}

/// Makes an object.
pub(super) async fn make(store: &dyn Store, object: &ObjectId) -> Result<Version, Violation> {
    Ok(commit_one(store, put(object, None, "1")).await??)
}

pub(super) fn key(origin: &str, key: &str) -> ResultKey {
    ResultKey { origin: origin.to_owned(), key: key.to_owned() }
}

/// A result under a key of anybody.
pub(super) fn kept(of: &str, answer: &'static str) -> KeptResult {
    KeptResult { key: key("", of), asked: [7; 16], answer: Bytes::from_static(answer.as_bytes()) }
}

pub(super) fn keep(of: &str, answer: &'static str) -> Effect {
    Effect::Result(kept(of, answer))
}

/// What is kept under a key of anybody.
pub(super) async fn answer(
    store: &dyn Store,
    object: &ObjectId,
    of: &str,
) -> Result<Option<Bytes>, Violation> {
    let found = store.result(object, &key("", of)).await?;
    if let Some(found) = &found {
        ensure!(found.key == key("", of) && found.asked == [7; 16], "it became {found:?}");
    }
    Ok(found.map(|found| found.answer))
}

pub(super) fn send(to: &ObjectId, payload: impl Into<Bytes>) -> Effect {
    Effect::Send(NewSend { to: to.clone(), method: "take".into(), payload: payload.into() })
}

/// A send of an object in the shard of all objects.
pub(super) fn sent(from: &ObjectId, version: u64, place: u64) -> SendId {
    let number = SendNumber { version: Version(version), place };
    SendId { shard: SHARD, from: from.clone(), number }
}

pub(super) fn dead(send: SendId) -> Effect {
    Effect::Dead { send, reason: "nobody is there".to_owned() }
}

pub(super) fn reminder(name: &str, due_micros: i64) -> NewReminder {
    NewReminder {
        name: name.into(),
        when: "every hour".into(),
        method: "tick".into(),
        payload: Bytes::from_static(b"\0\xff"),
        due_micros,
    }
}

pub(super) fn remind(name: &str, due_micros: i64) -> Effect {
    Effect::Remind(reminder(name, due_micros))
}

pub(super) fn fired(name: &str, due_micros: i64, next_micros: Option<i64>) -> Effect {
    Effect::Fired { name: name.into(), due_micros, next_micros, dead: None }
}

/// All sends, in pages.
pub(super) async fn all_sends(
    store: &dyn Store,
    shards: Shards,
    limit: u32,
) -> Result<Vec<StoredSend>, Violation> {
    let mut all: Vec<StoredSend> = Vec::new();
    loop {
        let after = all.last().map(|send| send.id.clone());
        let page = store.sends(shards.clone(), after.as_ref(), limit).await?;
        ensure!(page.len() <= limit as usize, "a page of {limit}: {}", page.len());
        if page.is_empty() {
            return Ok(all);
        }
        all.extend(page);
    }
}

/// All reminders that are due until a time, in pages.
pub(super) async fn all_due(
    store: &dyn Store,
    shards: Shards,
    until: i64,
    limit: u32,
) -> Result<Vec<StoredReminder>, Violation> {
    let mut all: Vec<StoredReminder> = Vec::new();
    loop {
        let page = store.due(shards.clone(), until, all.last(), limit).await?;
        ensure!(page.len() <= limit as usize, "a page of {limit}: {}", page.len());
        if page.is_empty() {
            return Ok(all);
        }
        all.extend(page);
    }
}

/// All dead letters, in pages.
pub(super) async fn all_letters(
    store: &dyn Store,
    from: Option<&ObjectId>,
    limit: u32,
) -> Result<Vec<DeadLetter>, Violation> {
    let mut all: Vec<DeadLetter> = Vec::new();
    loop {
        let after = all.last().map_or(0, |letter| letter.number);
        let page = store.dead_letters(from, after, limit).await?;
        ensure!(page.len() <= limit as usize, "a page of {limit}: {}", page.len());
        if page.is_empty() {
            return Ok(all);
        }
        all.extend(page);
    }
}

/// The ids of all sends.
pub(super) async fn outbox(store: &dyn Store) -> Result<Vec<SendId>, Violation> {
    let all = all_sends(store, EVERYWHERE, 1000).await?;
    Ok(all.into_iter().map(|send| send.id).collect())
}
