//! Claims about pages of what is kept beside objects: whole, in order, and not too large.

use bytes::Bytes;
use wasmverse_core::ShardId;

use super::{
    Case, SHARD, Verdict, case, commit_one,
    effects::{
        EVERYWHERE, all_due, all_letters, all_sends, beside, dead, outbox, reminder, send, sent,
        with,
    },
    ensure, object, put, touch,
};
use crate::{Commit, Effect, NewReminder, STORAGE_PAGE_BYTES, SendId, Store, StoredReminder};

pub(super) const CASES: &[Case] = &[
    case!("pages together are all sends of the shards, in order", of_sends),
    case!("a page of sends is bounded by bytes, and has at least one", sends_bounded),
    case!("many sends of one commit are all there, and all arrive", many_sends),
    case!("pages together are all that is due, in order", of_due),
    case!("a page of reminders is bounded by bytes, and has at least one", due_bounded),
    case!("a page of letters is bounded by bytes, and has at least one", letters_bounded),
];

async fn of_sends(store: &dyn Store) -> Verdict {
    let shards = [1, 2, 5].map(ShardId);
    super::claim_shards(store, &shards).await?;
    let mut all: Vec<SendId> = Vec::new();
    for (type_name, id) in [("T", "a"), ("T", "aa"), ("T", "é"), ("T-1", "A"), ("U", "%")] {
        for shard in shards {
            // The same names in all shards: a store does not know better.
            let from = object(type_name, &format!("{id}{shard}"));
            for version in 1..=3 {
                let row = if version == 1 { put(&from, None, "1") } else { touch(&from, &[]) };
                let sends = (0..2).map(|n| send(&from, n.to_string()));
                commit_one(store, with(Commit { shard, ..row }, sends)).await??;
                all.extend((0..2).map(|place| SendId { shard, ..sent(&from, version, place) }));
            }
        }
    }
    all.sort();
    for (first, last) in [(0, 7), (1, 1), (1, 2), (2, 5), (3, 4), (5, 7), (6, 7)] {
        let shards = ShardId(first)..=ShardId(last);
        let wanted: Vec<_> = all.iter().filter(|send| shards.contains(&send.shard)).collect();
        for limit in [1, 7, 1000] {
            let found = all_sends(store, shards.clone(), limit).await?;
            let right = found.iter().map(|send| &send.id).eq(wanted.iter().copied());
            ensure!(right, "{first} to {last} by {limit}: {found:?}");
        }
        let strangers = [sent(&object("S", "x"), 9, 9), sent(&object("T", "aaa"), 1, 5)];
        let strangers = strangers.map(|send| SendId { shard: ShardId(2), ..send });
        for after in all.iter().step_by(5).chain(&strangers) {
            let found = store.sends(shards.clone(), Some(after), 1000).await?;
            let wanted = wanted.iter().copied().filter(|send| *send > after);
            let right = found.iter().map(|send| &send.id).eq(wanted);
            ensure!(right, "{first} to {last} after {after:?}: {found:?}");
        }
    }
    ensure!(store.sends(EVERYWHERE, None, 0).await?.is_empty(), "a page of nothing has some");
    Ok(())
}

async fn sends_bounded(store: &dyn Store) -> Verdict {
    let object = object("T", "a");
    let large = Bytes::from(vec![7; STORAGE_PAGE_BYTES / 4]);
    let huge = Bytes::from(vec![8; STORAGE_PAGE_BYTES * 2]);
    let payload = |n: usize| if n == 6 { huge.clone() } else { large.clone() };
    let sends = (0..12).map(|n| send(&object, payload(n)));
    commit_one(store, with(put(&object, None, "1"), sends)).await??;
    let first = store.sends(EVERYWHERE, None, 100).await?;
    ensure!((3..=6).contains(&first.len()), "a page has {}", first.len());
    let found = all_sends(store, EVERYWHERE, 100).await?;
    let right = found.iter().enumerate().all(|(n, found)| found.send.payload == payload(n));
    ensure!(right && found.len() == 12, "pages together have {}", found.len());
    let page = store.sends(EVERYWHERE, Some(&sent(&object, 1, 5)), 100).await?;
    ensure!(page.len() == 1, "a huge one is with {}", page.len());
    Ok(())
}

async fn many_sends(store: &dyn Store) -> Verdict {
    let object = object("T", "a");
    let sends = (0..1100).map(|n| send(&object, n.to_string()));
    commit_one(store, with(put(&object, None, "1"), sends)).await??;
    let page = store.sends(EVERYWHERE, None, u32::MAX).await?;
    ensure!(page.len() == 1000, "a page has {}", page.len());
    let all = all_sends(store, EVERYWHERE, 1000).await?;
    let right = all.iter().enumerate().all(|(n, found)| found.send.payload == n.to_string());
    ensure!(right && all.len() == 1100, "{} are there", all.len());
    let settled = all.into_iter().enumerate().map(|(n, found)| match n % 2 {
        0 => Effect::Arrived(found.id),
        _ => dead(found.id),
    });
    commit_one(store, beside(&object, settled)).await??;
    ensure!(outbox(store).await?.is_empty(), "some are there still");
    let letters = super::effects::all_letters(store, None, 1000).await?;
    ensure!(letters.len() == 550, "{} are dead", letters.len());
    Ok(())
}

async fn of_due(store: &dyn Store) -> Verdict {
    let shards = [1, 2, 5].map(ShardId);
    super::claim_shards(store, &shards).await?;
    let mut all: Vec<StoredReminder> = Vec::new();
    for (n, (type_name, id)) in
        [("T", "a"), ("T", "aa"), ("T", "é"), ("T-1", "A"), ("U", "%"), ("U", "b")]
            .into_iter()
            .enumerate()
    {
        let (object, shard) = (object(type_name, id), shards[n % 3]);
        let set: Vec<_> = (0..6_i64).map(|m| reminder(&m.to_string(), m % 3 * 10)).collect();
        let effects = set.iter().cloned().map(Effect::Remind);
        commit_one(store, with(Commit { shard, ..put(&object, None, "1") }, effects)).await??;
        all.extend(set.into_iter().map(|reminder| StoredReminder {
            object: object.clone(),
            shard,
            reminder,
        }));
    }
    let place = |due: &StoredReminder| {
        (due.reminder.due_micros, due.object.clone(), due.reminder.name.clone())
    };
    all.sort_by_key(place);
    for (first, last) in [(0, 7), (1, 1), (1, 2), (2, 5), (3, 4), (6, 7)] {
        let shards = ShardId(first)..=ShardId(last);
        for until in [i64::MIN, -1, 0, 9, 10, 19, 20, i64::MAX] {
            let wanted = all
                .iter()
                .filter(|due| shards.contains(&due.shard) && due.reminder.due_micros <= until);
            let wanted: Vec<_> = wanted.collect();
            for limit in [1, 5, 1000] {
                let found = all_due(store, shards.clone(), until, limit).await?;
                let right = found.iter().eq(wanted.iter().copied());
                ensure!(right, "{first} to {last} until {until} by {limit}: {found:?}");
            }
            let stranger = StoredReminder {
                object: object("T", "ab"),
                shard: SHARD,
                reminder: reminder("x", 10),
            };
            for after in all.iter().step_by(7).chain([&stranger]) {
                let found = store.due(shards.clone(), until, Some(after), 1000).await?;
                let wanted = wanted.iter().copied().filter(|due| place(due) > place(after));
                ensure!(found.iter().eq(wanted), "after {after:?}: {found:?}");
            }
        }
    }
    ensure!(store.due(EVERYWHERE, 99, None, 0).await?.is_empty(), "a page of nothing has some");
    Ok(())
}

async fn due_bounded(store: &dyn Store) -> Verdict {
    let object = object("T", "a");
    let large = Bytes::from(vec![7; STORAGE_PAGE_BYTES / 4]);
    let huge = Bytes::from(vec![8; STORAGE_PAGE_BYTES * 2]);
    let payload = |n: i64| if n == 6 { huge.clone() } else { large.clone() };
    let set =
        |n: i64| Effect::Remind(NewReminder { payload: payload(n), ..reminder(&n.to_string(), n) });
    commit_one(store, with(put(&object, None, "1"), (0..12).map(set))).await??;
    let first = store.due(EVERYWHERE, 99, None, 100).await?;
    ensure!((3..=6).contains(&first.len()), "a page has {}", first.len());
    let found = all_due(store, EVERYWHERE, 99, 100).await?;
    let right = (0..).zip(&found).all(|(n, found)| found.reminder.payload == payload(n));
    ensure!(right && found.len() == 12, "pages together have {}", found.len());
    let page = store.due(EVERYWHERE, 99, Some(&found[5]), 100).await?;
    ensure!(page.len() == 1, "a huge one is with {}", page.len());
    Ok(())
}

async fn letters_bounded(store: &dyn Store) -> Verdict {
    let object = object("T", "a");
    let large = Bytes::from(vec![7; STORAGE_PAGE_BYTES / 4]);
    let huge = Bytes::from(vec![8; STORAGE_PAGE_BYTES * 2]);
    let payload = |n: u64| if n == 6 { huge.clone() } else { large.clone() };
    let sends = (0..12).map(|n| send(&object, payload(n)));
    commit_one(store, with(put(&object, None, "1"), sends)).await??;
    for place in 0..12 {
        commit_one(store, beside(&object, [dead(sent(&object, 1, place))])).await??;
    }
    for from in [None, Some(&object)] {
        let first = store.dead_letters(from, 0, 100).await?;
        ensure!((3..=6).contains(&first.len()), "a page has {}", first.len());
        let found = all_letters(store, from, 100).await?;
        let right = (0..).zip(&found).all(|(n, found)| found.send.payload == payload(n));
        ensure!(right && found.len() == 12, "pages together have {}", found.len());
        let page = store.dead_letters(from, found[5].number, 100).await?;
        ensure!(page.len() == 1, "a huge one is with {}", page.len());
    }
    Ok(())
}
