//! Claims about dead letters: what was given up is kept until somebody says what becomes of it.

use wasmverse_core::{SendNumber, Version};

use super::{
    Case, SHARD, Verdict, case, commit_one,
    effects::{
        EVERYWHERE, all_letters, all_sends, beside, dead, make, of, outbox, remind, send, sent,
        with,
    },
    ensure, object, put, touch,
};
use crate::{Change, DeadSource, Effect, Error, Store};

pub(super) const CASES: &[Case] = &[
    case!("a send that is given up leaves the outbox, and is kept with the reason", dies),
    case!("a firing that is given up is a letter of the object to itself", misfires),
    case!("a letter that is sent again is a new send", revives),
    case!("a letter is revived or forgotten once, and by its own object", once),
    case!("letters outlive their object", outlive),
    case!("no number is given twice, and pages together are all letters", pages),
];

async fn dies(store: &dyn Store) -> Verdict {
    let [a, b, c] = ["a", "b", "c"].map(|id| object("T", id));
    commit_one(store, with(put(&a, None, "1"), [send(&b, "1"), send(&b, "\0\u{1}")])).await??;
    let before = all_sends(store, EVERYWHERE, 10).await?;
    let lost = sent(&a, 1, 1);
    // Whoever it is that gives it up.
    commit_one(store, with(put(&c, None, "1"), [dead(lost.clone())])).await??;
    ensure!(outbox(store).await? == [sent(&a, 1, 0)], "it is there still");
    let letters = all_letters(store, None, 10).await?;
    ensure!(letters.len() == 1, "the letters are {letters:?}");
    let letter = &letters[0];
    let right = letter.from == a
        && letter.shard == SHARD
        && letter.source == DeadSource::Send(lost.number)
        && letter.send == before[1].send
        && letter.reason == "nobody is there"
        && letter.sent_at_micros == before[1].sent_at_micros
        && letter.died_at_micros >= letter.sent_at_micros
        && letter.number > 0;
    ensure!(right, "it became {letter:?}");
    ensure!(store.dead_letter(letter.number).await?.as_ref() == Some(letter), "alone it differs");
    for number in [0, letter.number + 1, u64::MAX] {
        ensure!(store.dead_letter(number).await?.is_none(), "{number} is there");
    }
    let reason = "é\0".repeat(5000);
    let dead = Effect::Dead { send: sent(&a, 1, 0), reason: reason.clone() };
    commit_one(store, beside(&a, [dead])).await??;
    let found = store.dead_letters(Some(&a), letter.number, 10).await?;
    let told = found.first().map(|letter| letter.reason.as_str()).unwrap_or_default();
    ensure!(told.starts_with('é') && told.len() < reason.len(), "it is told as {told}");
    Ok(())
}

async fn misfires(store: &dyn Store) -> Verdict {
    let object = object("T", "a");
    commit_one(store, with(put(&object, None, "1"), [remind("r", 5), remind("s", 6)])).await??;
    let set = store.reminders(&object).await?;
    let misfired = |name: &str, due_micros, next_micros| Effect::Fired {
        name: name.into(),
        due_micros,
        next_micros,
        dead: Some("it trapped".to_owned()),
    };
    commit_one(store, beside(&object, [misfired("r", 5, Some(9)), misfired("s", 6, None)]))
        .await??;
    let left = store.reminders(&object).await?;
    let right = left.len() == 1 && left[0].reminder.due_micros == 9;
    ensure!(right, "the reminders are {left:?}");
    let mut letters = all_letters(store, None, 10).await?;
    letters.sort_by_key(|letter| letter.sent_at_micros);
    ensure!(letters.len() == 2, "the letters are {letters:?}");
    for (letter, set) in letters.iter().zip(&set) {
        let right = letter.from == object
            && letter.shard == SHARD
            && letter.source == DeadSource::Firing(set.reminder.name.clone())
            && letter.send.to == object
            && letter.send.method == set.reminder.method
            && letter.send.payload == set.reminder.payload
            && letter.reason == "it trapped"
            && letter.sent_at_micros == set.reminder.due_micros
            && letter.died_at_micros > 1_600_000_000_000_000;
        ensure!(right, "{set:?} became {letter:?}");
    }
    Ok(())
}

async fn revives(store: &dyn Store) -> Verdict {
    let [a, b] = ["a", "b"].map(|id| object("T", id));
    let sends = (0..3).map(|n| send(&b, n.to_string()));
    let effects = sends.chain([remind("r", 5)]);
    commit_one(store, with(put(&a, None, "1"), effects)).await??;
    let all = (0..3).map(|place| dead(sent(&a, 1, place)));
    let misfired = Effect::Fired {
        name: "r".into(),
        due_micros: 5,
        next_micros: None,
        dead: Some("no".to_owned()),
    };
    commit_one(store, beside(&a, all.chain([misfired]))).await??;
    let letters = all_letters(store, None, 10).await?;
    // Of one commit, of a batch, and with a row that changes.
    let [first, second, third, fourth] = letters.as_slice() else {
        ensure!(false, "the letters are {letters:?}");
        return Ok(());
    };
    let revived = [Effect::Revive(first.number), Effect::Revive(second.number)];
    let answer = commit_one(store, beside(&a, revived)).await?;
    ensure!(answer == Ok(Version(0)), "a row that does not change got {answer:?}");
    let batch = vec![
        beside(&a, [Effect::Revive(third.number)]),
        with(touch(&a, &[]), [Effect::Revive(fourth.number), send(&b, "new")]),
    ];
    for answer in store.commit(batch).await? {
        answer?;
    }
    ensure!(all_letters(store, None, 10).await?.is_empty(), "some are dead still");
    let found = all_sends(store, EVERYWHERE, 10).await?;
    let mut numbers: Vec<SendNumber> = found.iter().map(|send| send.id.number).collect();
    numbers.dedup();
    ensure!(numbers.len() == 5 && numbers.is_sorted(), "the numbers are {numbers:?}");
    let versions: Vec<u64> = numbers.iter().map(|number| number.version.0).collect();
    ensure!(versions == [1, 1, 1, 2, 2] && numbers[3].place == 0, "they are {numbers:?}");
    let mut wanted: Vec<_> = letters.iter().map(|letter| &letter.send).collect();
    for send in &found {
        let place = wanted.iter().position(|wanted| **wanted == send.send);
        let is_new = send.send.payload == "new";
        ensure!(place.is_some() != is_new, "who is {send:?}?");
        place.map(|place| wanted.remove(place));
        let recent = send.sent_at_micros > 1_600_000_000_000_000;
        let right = send.id.from == a && send.id.shard == SHARD && recent;
        ensure!(right, "one is {send:?}");
    }
    ensure!(wanted.is_empty(), "{wanted:?} were not sent");
    Ok(())
}

async fn once(store: &dyn Store) -> Verdict {
    let [a, b] = ["a", "b"].map(|id| object("T", id));
    make(store, &b).await?;
    commit_one(store, with(put(&a, None, "1"), [send(&b, "1"), send(&b, "2")])).await??;
    let both = [dead(sent(&a, 1, 0)), dead(sent(&a, 1, 1))];
    commit_one(store, beside(&a, both)).await??;
    let letters = all_letters(store, None, 10).await?;
    let numbers: Vec<u64> = letters.iter().map(|letter| letter.number).collect();
    let [first, second] = numbers.as_slice() else {
        ensure!(false, "the letters are {letters:?}");
        return Ok(());
    };
    let repeated = async |object: &_, effect: Effect| -> Verdict {
        let told = format!("{effect:?} of {object}");
        let row = touch(object, &[("k", Some("v"))]);
        let answer = commit_one(store, with(row, [effect])).await?;
        ensure!(matches!(answer, Err(Error::Repeated(_))), "{told} got {answer:?}");
        ensure!(store.storage_keys(object).await? == 0, "{told} wrote half of it");
        Ok(())
    };
    for number in [*first, 0, second + 1, u64::MAX] {
        repeated(&b, Effect::Revive(number)).await?;
        repeated(&b, Effect::Forget(number)).await?;
    }
    ensure!(all_letters(store, None, 10).await? == letters, "strangers changed them");
    commit_one(store, beside(&a, [Effect::Forget(*first)])).await??;
    let revived = beside(&a, [Effect::Revive(*second)]);
    let answers = store.commit(vec![revived.clone(), revived]).await?;
    let right = matches!(answers.as_slice(), [Ok(_), Err(Error::Repeated(_))]);
    ensure!(right, "twice in a batch got {answers:?}");
    for number in [first, second] {
        repeated(&a, Effect::Revive(*number)).await?;
        repeated(&a, Effect::Forget(*number)).await?;
    }
    let found = all_sends(store, EVERYWHERE, 10).await?;
    let right = found.len() == 1 && found[0].send.payload == "2";
    ensure!(right, "what was sent again is {found:?}");
    Ok(())
}

async fn outlive(store: &dyn Store) -> Verdict {
    let [a, b] = ["a", "b"].map(|id| object("T", id));
    commit_one(store, with(put(&a, None, "1"), [send(&b, "1")])).await??;
    commit_one(store, with(of(&a, Change::Delete), [dead(sent(&a, 1, 0))])).await??;
    let letters = all_letters(store, Some(&a), 10).await?;
    let [letter] = letters.as_slice() else {
        ensure!(false, "the letters are {letters:?}");
        return Ok(());
    };
    commit_one(store, beside(&a, [Effect::Revive(letter.number)])).await??;
    let found = outbox(store).await?;
    let right = found.len() == 1 && found[0].from == a && found[0].number.version == Version(2);
    ensure!(right, "it is {found:?}");
    ensure!(make(store, &a).await? == Version(3), "its versions begin anew");
    Ok(())
}

async fn pages(store: &dyn Store) -> Verdict {
    let objects = ["a", "aa", "b"].map(|id| object("T", id));
    for object in &objects {
        let sends = (0..7).map(|n| send(object, n.to_string()));
        commit_one(store, with(put(object, None, "1"), sends)).await??;
    }
    for place in 0..7 {
        let batch = objects.iter().map(|object| beside(object, [dead(sent(object, 1, place))]));
        for answer in store.commit(batch.collect()).await? {
            answer?;
        }
    }
    let all = all_letters(store, None, 1000).await?;
    ensure!(all.len() == 21 && all.is_sorted_by_key(|letter| letter.number), "they are {all:?}");
    for limit in [1, 4, 20, 21, u32::MAX] {
        ensure!(all_letters(store, None, limit).await? == all, "by {limit} they differ");
        for object in &objects {
            let found = all_letters(store, Some(object), limit).await?;
            let wanted = all.iter().filter(|letter| letter.from == *object);
            ensure!(found.iter().eq(wanted), "of {object} by {limit}: {found:?}");
        }
    }
    ensure!(store.dead_letters(None, u64::MAX, 9).await?.is_empty(), "there are more");
    ensure!(store.dead_letters(None, 0, 0).await?.is_empty(), "a page of nothing has some");
    // The last one goes, and its number with it.
    let last = &all[20];
    commit_one(store, beside(&last.from, [Effect::Forget(last.number)])).await??;
    commit_one(store, with(touch(&objects[0], &[]), [send(&objects[0], "8")])).await??;
    commit_one(store, beside(&objects[1], [dead(sent(&objects[0], 2, 0))])).await??;
    let next = all_letters(store, None, 1000).await?.pop().map(|letter| letter.number);
    ensure!(next > Some(last.number), "after {} comes {next:?}", last.number);
    Ok(())
}
