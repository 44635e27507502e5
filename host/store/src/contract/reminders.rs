//! Claims about reminders: set, cancelled, and fired once for each time that they are due.

use bytes::Bytes;
use wasmverse_core::{Epoch, ObjectId, Version};

use super::{
    Case, EPOCH, SHARD, Verdict, case, commit_one, delete,
    effects::{EVERYWHERE, all_due, beside, fired, keep, make, of, remind, reminder, with},
    ensure, load, object, put, touch,
};
use crate::{Change, Commit, Effect, Error, NewReminder, Store, StoredReminder};

pub(super) const CASES: &[Case] = &[
    case!("a reminder is what was last set, and gone once it is cancelled", set),
    case!("of what one commit says of a reminder, the last word counts", last_word),
    case!("a reminder fires once for each time that it is due", fires),
    case!("what has fired may be set or cancelled by the same commit", fired_first),
    case!("reminders go with their object, and not without firing", gone),
    case!("a reminder is set only where an object lives", of_the_living),
    case!("whatever is refused changes no reminder", refused),
    case!("any name is a name, and each is its object's own", names),
];

/// The names and due times of an object's reminders.
async fn times(
    store: &dyn Store,
    object: &ObjectId,
) -> Result<Vec<(String, i64)>, super::Violation> {
    let found = store.reminders(object).await?;
    let times = found
        .into_iter()
        .map(|StoredReminder { reminder, .. }| (reminder.name.to_string(), reminder.due_micros));
    Ok(times.collect())
}

fn is(found: &[(String, i64)], wanted: &[(&str, i64)]) -> bool {
    found.iter().map(|(name, due)| (name.as_str(), *due)).eq(wanted.iter().copied())
}

async fn set(store: &dyn Store) -> Verdict {
    let object = object("T", "a");
    ensure!(store.reminders(&object).await?.is_empty(), "a stranger has some");
    commit_one(store, with(put(&object, None, "1"), [remind("b", 5), remind("a", -7)])).await??;
    let wanted = |name: &str, due| StoredReminder {
        object: object.clone(),
        shard: SHARD,
        reminder: reminder(name, due),
    };
    let found = store.reminders(&object).await?;
    ensure!(found == [wanted("a", -7), wanted("b", 5)], "they are {found:?}");
    let other = NewReminder {
        name: "a".into(),
        when: "0 8 * * MON Europe/Berlin".into(),
        method: "other".into(),
        payload: Bytes::new(),
        due_micros: i64::MAX,
    };
    let answer = commit_one(store, beside(&object, [Effect::Remind(other.clone())])).await?;
    ensure!(answer == Ok(Version(0)), "a row that does not change got {answer:?}");
    let found = store.reminders(&object).await?;
    let other = StoredReminder { reminder: other, ..wanted("a", 0) };
    ensure!(found == [other, wanted("b", 5)], "set over they are {found:?}");
    let cancelled = ["b", "nobody"].map(|name| Effect::Cancel(name.into()));
    commit_one(store, with(touch(&object, &[]), cancelled)).await??;
    let found = times(store, &object).await?;
    ensure!(is(&found, &[("a", i64::MAX)]), "cancelled they are {found:?}");
    Ok(())
}

async fn last_word(store: &dyn Store) -> Verdict {
    let object = object("T", "a");
    let cancel = |name: &str| Effect::Cancel(name.into());
    let said = [remind("a", 1), cancel("a"), cancel("b"), remind("b", 2), remind("b", 3)];
    commit_one(store, with(put(&object, None, "1"), said)).await??;
    let found = times(store, &object).await?;
    ensure!(is(&found, &[("b", 3)]), "they are {found:?}");
    let said = [remind("b", 4), remind("a", 5), cancel("b"), cancel("a"), remind("a", 6)];
    commit_one(store, beside(&object, said)).await??;
    let found = times(store, &object).await?;
    ensure!(is(&found, &[("a", 6)]), "then they are {found:?}");
    Ok(())
}

async fn fires(store: &dyn Store) -> Verdict {
    let [a, b] = ["a", "b"].map(|id| object("T", id));
    make(store, &b).await?;
    commit_one(store, with(put(&a, None, "1"), [remind("r", 5), remind("s", 5)])).await??;
    let wrong = async |object: &ObjectId, effect: Effect| -> Verdict {
        let told = format!("{effect:?} of {object}");
        let before = times(store, &a).await?;
        let row = touch(object, &[("k", Some("v"))]);
        let answer = commit_one(store, with(row, [effect.clone(), remind("new", 1)])).await?;
        ensure!(matches!(answer, Err(Error::Repeated(_))), "{told} got {answer:?}");
        let answer = commit_one(store, beside(object, [effect])).await?;
        ensure!(matches!(answer, Err(Error::Repeated(_))), "{told} alone got {answer:?}");
        ensure!(store.storage_keys(object).await? == 0, "{told} wrote half of it");
        ensure!(times(store, &a).await? == before, "{told} changed reminders");
        Ok(())
    };
    for (object, effect) in [
        (&a, fired("r", 4, Some(9))),
        (&a, fired("r", 6, None)),
        (&a, fired("t", 5, None)),
        (&b, fired("r", 5, Some(9))),
    ] {
        wrong(object, effect).await?;
    }
    let both = [fired("r", 5, Some(9)), fired("s", 5, None)];
    commit_one(store, beside(&a, both.clone())).await??;
    let found = times(store, &a).await?;
    ensure!(is(&found, &[("r", 9)]), "fired they are {found:?}");
    for effect in both {
        wrong(&a, effect).await?;
    }
    let again = beside(&a, [fired("r", 9, Some(9))]);
    for _ in 0..2 {
        commit_one(store, again.clone()).await??;
    }
    let last = with(touch(&a, &[]), [fired("r", 9, None)]);
    let answers = store.commit(vec![last.clone(), last]).await?;
    let right = matches!(answers.as_slice(), [Ok(_), Err(Error::Repeated(_))]);
    ensure!(right, "twice in a batch got {answers:?}");
    ensure!(load(store, &a).await?.version == Version(2), "both were written");
    let twice = beside(&a, [fired("r", 9, None), fired("r", 9, None)]);
    let answer = commit_one(store, twice).await?;
    ensure!(matches!(answer, Err(Error::Refused(_))), "twice in a commit got {answer:?}");
    Ok(())
}

async fn fired_first(store: &dyn Store) -> Verdict {
    let object = object("T", "a");
    let set = ["a", "b", "c", "d"].map(|name| remind(name, 5));
    commit_one(store, with(put(&object, None, "1"), set)).await??;
    let cancel = |name: &str| Effect::Cancel(name.into());
    let said = [
        remind("a", 7),
        fired("a", 5, None),
        cancel("b"),
        fired("b", 5, Some(9)),
        fired("c", 5, None),
        remind("c", 8),
        fired("d", 5, Some(9)),
        cancel("d"),
    ];
    commit_one(store, beside(&object, said)).await??;
    let found = times(store, &object).await?;
    ensure!(is(&found, &[("a", 7), ("c", 8)]), "they are {found:?}");
    Ok(())
}

async fn gone(store: &dyn Store) -> Verdict {
    let [a, b] = ["a", "aa"].map(|id| object("T", id));
    for object in [&a, &b] {
        commit_one(store, with(put(object, None, "1"), [remind("r", 5), remind("s", 6)])).await??;
    }
    let goes = |effects: &[Effect]| with(of(&a, Change::Delete), effects.iter().cloned());
    let answer = commit_one(store, goes(&[fired("r", 4, None)])).await?;
    ensure!(matches!(answer, Err(Error::Repeated(_))), "at another time it got {answer:?}");
    load(store, &a).await?;
    commit_one(store, goes(&[fired("r", 5, Some(9)), remind("t", 7), keep("k", "1")])).await??;
    let found = store.reminders(&a).await?;
    ensure!(found.is_empty(), "they outlived their object: {found:?}");
    let due = all_due(store, EVERYWHERE, i64::MAX, 10).await?;
    ensure!(due.iter().all(|due| due.object == b) && due.len() == 2, "due are {due:?}");
    make(store, &a).await?;
    ensure!(store.reminders(&a).await?.is_empty(), "it was born with some");
    // One that is given up while its object goes is kept all the same.
    commit_one(store, beside(&a, [remind("r", 5)])).await??;
    let dead = Some("no".to_owned());
    let misfired = Effect::Fired { name: "r".into(), due_micros: 5, next_micros: Some(9), dead };
    commit_one(store, goes(&[misfired])).await??;
    let letters = store.dead_letters(Some(&a), 0, 10).await?;
    ensure!(letters.len() == 1, "the letters are {letters:?}");
    Ok(())
}

async fn of_the_living(store: &dyn Store) -> Verdict {
    let object = object("T", "a");
    let said = || [remind("r", 5), keep("k", "1")];
    for _ in 0..2 {
        for row in [of(&object, Change::Nothing), touch(&object, &[])] {
            let answer = commit_one(store, with(row, said())).await?;
            ensure!(matches!(answer, Err(Error::Conflict(_))), "nobody got {answer:?}");
        }
        let found = store.reminders(&object).await?;
        ensure!(found.is_empty(), "nobody has {found:?}");
        commit_one(store, beside(&object, [Effect::Cancel("r".into())])).await??;
        make(store, &object).await?;
        ensure!(delete(store, &object).await?, "it was there");
    }
    Ok(())
}

async fn refused(store: &dyn Store) -> Verdict {
    let object = object("T", "a");
    commit_one(store, with(put(&object, None, "1"), [remind("r", 5), remind("s", 5)])).await??;
    let before = store.reminders(&object).await?;
    let fenced = |row: Commit| Commit { epoch: Epoch(EPOCH.0 + 1), ..row };
    let wrong = [
        put(&object, None, "2"),
        put(&object, Some(Version(9)), "2"),
        Commit { expected: crate::Expected::Absent, ..of(&object, Change::Delete) },
        fenced(of(&object, Change::Delete)),
        fenced(beside(&object, [])),
    ];
    for row in wrong {
        let told = format!("{row:?}");
        let said = [remind("s", 6), remind("t", 7), Effect::Cancel("s".into())];
        let answer =
            commit_one(store, with(row, said.into_iter().chain([fired("r", 5, None)]))).await?;
        let right = matches!(answer, Err(Error::Conflict(_) | Error::Fenced(_)));
        ensure!(right, "{told} got {answer:?}");
        let found = store.reminders(&object).await?;
        ensure!(found == before, "{told} left {found:?}");
    }
    Ok(())
}

async fn names(store: &dyn Store) -> Verdict {
    let [a, b] = ["a", "b"].map(|id| object("T", id));
    let long = "é".repeat(512);
    let mut all = ["", "\u{1}\n", "%", "'", "A", "_", "a", "a%", "\u{10ffff}", &long];
    for object in [&a, &b] {
        let set = all.iter().map(|name| remind(name, 1));
        commit_one(store, with(put(object, None, "1"), set)).await??;
    }
    commit_one(store, beside(&b, all.iter().map(|name| Effect::Cancel((*name).into())))).await??;
    all.sort_unstable();
    let found = times(store, &a).await?;
    ensure!(is(&found, &all.map(|name| (name, 1))), "they are {found:?}");
    ensure!(store.reminders(&b).await?.is_empty(), "those of the other are there still");
    let longer = format!("{long}x");
    for wrong in ["\0", &longer] {
        let sound = reminder("sound", 1);
        let set = [
            NewReminder { name: wrong.into(), ..sound.clone() },
            NewReminder { when: wrong.into(), ..sound.clone() },
            NewReminder { method: wrong.into(), ..sound },
        ];
        for reminder in set {
            let batch =
                vec![beside(&a, [Effect::Remind(reminder)]), beside(&b, [remind("sound", 1)])];
            let answers = store.commit(batch).await?;
            let right = matches!(answers.as_slice(), [Err(Error::Refused(_)), Ok(_)]);
            ensure!(right, "a name of {} bytes got {answers:?}", wrong.len());
        }
    }
    Ok(())
}
