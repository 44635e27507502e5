//! Dead letters and reminders, by a store that has some.

use std::sync::Mutex;

use futures_util::FutureExt as _;
use wasmverse_core::{ObjectId, SendNumber, ShardId, Version};
use wasmverse_proto::admin::dead_letter::Kind;
use wasmverse_store::{
    self as store, Answer, Commit, DeadSource, Effect, NewReminder, NewSend, Store, StoredReminder,
};

use super::*;

/// How many letters a page of it has, whatever is asked for.
const PAGE: usize = 2;

/// A store with dead letters.
struct Letters {
    inner: Arc<dyn Store>,
    kept: Mutex<Vec<store::DeadLetter>>,
}

impl Letters {
    fn new(inner: Arc<dyn Store>, senders: &[&str]) -> Self {
        let kept = (1..).zip(senders).map(|(number, from)| letter(number, from)).collect();
        Self { inner, kept: Mutex::new(kept) }
    }

    /// What a commit takes away, if it is there.
    fn settle_one(&self, effect: &Effect) -> Result<(), store::Error> {
        let (Effect::Revive(number) | Effect::Forget(number)) = effect else {
            panic!("nothing else is committed here: {effect:?}")
        };
        let mut kept = self.kept.lock().unwrap();
        let place = kept.iter().position(|letter| letter.number == *number);
        let place = place.ok_or_else(|| store::Error::Repeated(number.to_string()))?;
        kept.remove(place);
        Ok(())
    }
}

impl Store for Letters {
    fn commit(&self, batch: Vec<Commit>) -> Answer<'_, Vec<Result<Version, store::Error>>> {
        let row = |row: Commit| {
            let mut effects = row.effects.iter();
            effects.try_for_each(|effect| self.settle_one(effect)).map(|()| Version(1))
        };
        let answers = batch.into_iter().map(row).collect();
        std::future::ready(Ok(answers)).boxed()
    }

    fn dead_letters(
        &self,
        from: Option<&ObjectId>,
        after: u64,
        limit: u32,
    ) -> Answer<'_, Vec<store::DeadLetter>> {
        let mut found = self.kept.lock().unwrap().clone();
        found
            .retain(|letter| letter.number > after && from.is_none_or(|from| *from == letter.from));
        found.truncate(PAGE.min(limit as usize));
        std::future::ready(Ok(found)).boxed()
    }

    fn dead_letter(&self, number: u64) -> Answer<'_, Option<store::DeadLetter>> {
        let kept = self.kept.lock().unwrap();
        let found = kept.iter().find(|letter| letter.number == number).cloned();
        std::future::ready(Ok(found)).boxed()
    }

    fn reminders(&self, object: &ObjectId) -> Answer<'_, Vec<StoredReminder>> {
        let reminder = NewReminder {
            name: "poll".into(),
            when: "every 5s".into(),
            method: "look".into(),
            payload: Bytes::new(),
            due_micros: 7,
        };
        let stored = StoredReminder { object: object.clone(), shard: ShardId(0), reminder };
        std::future::ready(Ok(vec![stored])).boxed()
    }

    wasmverse_store::pass_on! {
        inner: cluster_id, result, result_keys, forget_results, sends, due, add_revision, activate_revision,
            active_revisions, revision, component, load, settle, claim, raise, epochs, storage_get,
            storage_keys, storage_scan, status, dump, restore, list, close
    }
}

fn letter(number: u64, from: &str) -> store::DeadLetter {
    store::DeadLetter {
        number,
        from: format!("T/{from}").parse().unwrap(),
        shard: ShardId(0),
        source: DeadSource::Send(SendNumber { version: Version(number), place: 0 }),
        send: NewSend { to: "T/x".parse().unwrap(), method: "add".into(), payload: "5".into() },
        reason: "application (odd): it would not".into(),
        sent_at_micros: 1,
        died_at_micros: 2,
    }
}

async fn stage(senders: &'static [&'static str]) -> Stage {
    Stage::set_on(|store| Arc::new(Letters::new(store, senders))).await
}

fn object(id: &str) -> Option<ObjectRef> {
    Some(ObjectRef { r#type: "T".into(), id: id.into() })
}

#[tokio::test]
async fn pages_go_on_until_there_are_no_more_however_short_they_are() {
    let stage = stage(&["a", "b", "a", "b", "a"]).await;
    for (from, expected) in [(None, vec![1, 2, 3, 4, 5]), (object("b"), vec![2, 4])] {
        let (mut numbers, mut after) = (Vec::new(), 0);
        loop {
            let asked = ListDeadLettersRequest { object: from.clone(), after, limit: 100 };
            let page = stage.control().list_dead_letters(asked).await.unwrap().into_inner();
            numbers.extend(page.letters.iter().map(|letter| letter.number));
            after = page.next_after;
            if after == 0 {
                break;
            }
        }
        assert_eq!(numbers, expected);
    }
    let of_none = ListDeadLettersRequest { object: object("c"), ..Default::default() };
    let page = stage.control().list_dead_letters(of_none).await.unwrap().into_inner();
    assert_eq!((page.letters.len(), page.next_after), (0, 0));
}

#[tokio::test]
async fn one_is_shown_sent_again_or_forgotten_and_then_it_is_gone() {
    let stage = stage(&["a", "b"]).await;
    let mut control = stage.control();
    let shown = control.get_dead_letter(GetDeadLetterRequest { number: 2 }).await.unwrap();
    let shown = shown.into_inner();
    assert_eq!((shown.from, shown.kind), (object("b"), Some(Kind::Send("2.0".into()))));
    assert_eq!((shown.method.as_str(), &shown.payload[..]), ("add", &b"5"[..]));
    control.retry_dead_letter(RetryDeadLetterRequest { number: 1 }).await.unwrap();
    control.drop_dead_letter(DropDeadLetterRequest { number: 2 }).await.unwrap();
    for number in [1, 2, u64::MAX] {
        let told = [
            control.get_dead_letter(GetDeadLetterRequest { number }).await.map(drop),
            control.retry_dead_letter(RetryDeadLetterRequest { number }).await.map(drop),
            control.drop_dead_letter(DropDeadLetterRequest { number }).await.map(drop),
        ];
        assert!(told.into_iter().all(|told| told.unwrap_err().code() == Code::NotFound));
    }
}

#[tokio::test]
async fn the_reminders_of_an_object_are_listed() {
    let stage = stage(&[]).await;
    let asked = ListRemindersRequest { object: object("a") };
    let found = stage.control().list_reminders(asked).await.unwrap().into_inner().reminders;
    assert_eq!((found.len(), found[0].when.as_str(), found[0].due_micros), (1, "every 5s", 7));
}
