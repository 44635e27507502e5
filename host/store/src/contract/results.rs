//! Claims about results: kept with their commit, under their keys, once.

use std::time::Duration;

use futures_util::future::join_all;
use wasmverse_core::{Epoch, ObjectId, Version};

use super::{
    Case, EPOCH, Verdict, case, commit_one, delete,
    effects::{answer, beside, keep, key, make, of, outbox, remind, send, sent, with},
    ensure, object, put, touch,
};
use crate::{Change, Commit, Effect, Error, Expected, KeptResult, ResultKey, Store};

pub(super) const CASES: &[Case] = &[
    case!("a result is kept with whatever its commit writes, for its object alone", keeps),
    case!("a result that is kept already stays as it is", first),
    case!("whatever is refused keeps no result", refused),
    case!("results outlive their object", outlive),
    case!("any key is a key, and keys are listed, and whether these are all", keys),
    case!("many results of one object are all found", many),
    case!("results are forgotten in time, and not before", forgotten),
    case!("what a send or a reminder that waits may have caused is not forgotten", needed),
    case!("many may forget at once, while others commit", at_once),
];

async fn keeps(store: &dyn Store) -> Verdict {
    let [a, b] = ["a", "b"].map(|id| object("T", id));
    ensure!(answer(store, &a, "k").await?.is_none(), "a stranger was answered");
    let steps = [
        put(&a, None, "1"),
        touch(&a, &[]),
        of(&a, Change::Nothing),
        of(&a, Change::Delete),
        of(&a, Change::Delete),
    ];
    for (n, row) in steps.into_iter().enumerate() {
        commit_one(store, with(row, [keep(&n.to_string(), "yes")])).await??;
    }
    for n in 0..5 {
        let found = answer(store, &a, &n.to_string()).await?;
        ensure!(found == Some("yes".into()), "step {n} was answered {found:?}");
        ensure!(answer(store, &b, &n.to_string()).await?.is_none(), "a stranger was answered");
    }
    let asked = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 255];
    let other = KeptResult { key: key("T/b", "0"), asked, answer: "\0".into() };
    let large = KeptResult { key: key("T/b", "large"), asked, answer: vec![0xff; 3 << 20].into() };
    let effects = [Effect::Result(other.clone()), Effect::Result(large.clone())];
    commit_one(store, beside(&a, effects)).await??;
    for wanted in [other, large] {
        let found = store.result(&a, &wanted.key).await?;
        ensure!(found.as_ref() == Some(&wanted), "{:?} is not what was kept", wanted.key);
    }
    ensure!(answer(store, &a, "0").await? == Some("yes".into()), "origins are mixed up");
    Ok(())
}

async fn first(store: &dyn Store) -> Verdict {
    let object = object("T", "a");
    for answer in ["first", "second"] {
        commit_one(store, beside(&object, [keep("k", answer)])).await??;
    }
    let batch = ["third", "fourth"].map(|answer| beside(&object, [keep("l", answer)]));
    for answer in store.commit(batch.to_vec()).await? {
        answer?;
    }
    for (of, wanted) in [("k", "first"), ("l", "third")] {
        let found = answer(store, &object, of).await?;
        ensure!(found == Some(wanted.into()), "`{of}` became {found:?}");
    }
    let (keys, whole) = store.result_keys(&object, 10).await?;
    ensure!(keys.len() == 2 && whole, "it has {keys:?}");
    let twice = beside(&object, [keep("m", "1"), keep("m", "2")]);
    let answer = commit_one(store, twice).await?;
    ensure!(matches!(answer, Err(Error::Refused(_))), "two at once got {answer:?}");
    Ok(())
}

async fn refused(store: &dyn Store) -> Verdict {
    let object = object("T", "a");
    make(store, &object).await?;
    let kept = || [keep("k", "no")];
    let repeated = [keep("k", "no"), Effect::Arrived(sent(&object, 1, 0))];
    let fenced = |row: Commit| Commit { epoch: Epoch(EPOCH.0 + 1), ..row };
    for row in [
        with(put(&object, None, "2"), kept()),
        with(put(&object, Some(Version(9)), "2"), kept()),
        with(Commit { expected: Expected::Absent, ..of(&object, Change::Delete) }, kept()),
        with(touch(&super::object("T", "nobody"), &[]), kept()),
        fenced(with(touch(&object, &[]), kept())),
        fenced(beside(&object, kept())),
        beside(&object, repeated.clone()),
        with(touch(&object, &[]), repeated),
    ] {
        let (whose, told) = (row.object.clone(), format!("{row:?}"));
        let refused = commit_one(store, row).await?;
        ensure!(refused.is_err(), "{told} got {refused:?}");
        let found = answer(store, &whose, "k").await?;
        ensure!(found.is_none(), "{told} kept {found:?}");
    }
    Ok(())
}

async fn outlive(store: &dyn Store) -> Verdict {
    let object = object("T", "a");
    commit_one(store, with(put(&object, None, "1"), [keep("k", "yes")])).await??;
    ensure!(delete(store, &object).await?, "it was there");
    for life in 0..2 {
        let found = answer(store, &object, "k").await?;
        ensure!(found == Some("yes".into()), "life {life} has {found:?}");
        let (keys, _) = store.result_keys(&object, 10).await?;
        ensure!(keys == [key("", "k")], "life {life} has {keys:?}");
        if life == 0 {
            make(store, &object).await?;
        }
    }
    Ok(())
}

async fn keys(store: &dyn Store) -> Verdict {
    let [a, b] = ["a", "b"].map(|id| object("T", id));
    let long = "é".repeat(512);
    let origins = ["", "T/a", "%", "user\u{1}", &long];
    let texts = ["", "a", "A", "a%", "_", "\u{10ffff}", "'", "\u{1}\n", &long];
    let mut all: Vec<ResultKey> = Vec::new();
    for origin in origins {
        all.extend(texts.iter().map(|text| key(origin, text)));
    }
    let effect = |key: &ResultKey| {
        let answer = format!("{key:?}").into();
        Effect::Result(KeptResult { key: key.clone(), asked: [1; 16], answer })
    };
    commit_one(store, beside(&a, all.iter().map(effect))).await??;
    commit_one(store, beside(&b, [keep("b", "1")])).await??;
    for key in &all {
        let found = store.result(&a, key).await?.map(|found| found.answer);
        ensure!(found == Some(format!("{key:?}").into()), "{key:?} became {found:?}");
    }
    all.sort();
    let length = u32::try_from(all.len()).expect("a few");
    for limit in [length, length + 1, u32::MAX] {
        let (mut found, whole) = store.result_keys(&a, limit).await?;
        found.sort();
        ensure!(found == all && whole, "{limit} of {length}: {found:?}, {whole}");
    }
    for limit in [0, 1, length - 1] {
        let (found, whole) = store.result_keys(&a, limit).await?;
        let right = found.len() == limit as usize && found.iter().all(|key| all.contains(key));
        ensure!(right && !whole, "{limit} of {length}: {found:?}, {whole}");
    }
    for wrong in
        [key("", "\0"), key("\0", ""), key(&format!("{long}x"), ""), key("", &(long + "x"))]
    {
        let batch = vec![beside(&a, [effect(&wrong)]), beside(&b, [keep("c", "1")])];
        let answers = store.commit(batch).await?;
        let right = matches!(answers.as_slice(), [Err(Error::Refused(_)), Ok(_)]);
        ensure!(right, "{wrong:?} got {answers:?}");
        let found = store.result(&a, &wrong).await?;
        ensure!(found.is_none(), "{wrong:?} was kept");
    }
    Ok(())
}

async fn many(store: &dyn Store) -> Verdict {
    let (hot, cold) = (object("T", "hot"), object("T", "cold"));
    for round in 0..4 {
        let kept = |n: usize| keep(&format!("{round}-{n}"), "x");
        let batch = vec![beside(&hot, (0..700).map(kept)), beside(&cold, [kept(0)])];
        for answer in store.commit(batch).await? {
            answer?;
        }
    }
    let (keys, whole) = store.result_keys(&hot, 10_000).await?;
    ensure!(keys.len() == 2800 && whole, "{} are listed", keys.len());
    for n in [0, 127, 128, 511, 512, 699] {
        let found = answer(store, &hot, &format!("3-{n}")).await?;
        ensure!(found == Some("x".into()), "{n} became {found:?}");
    }
    let (keys, whole) = store.result_keys(&cold, 10_000).await?;
    ensure!(keys.len() == 4 && whole, "the other has {keys:?}");
    Ok(())
}

const HOUR: Duration = Duration::from_secs(3600);
/// More than a store takes to forget what is older than nothing.
const STEPS: usize = 30;

async fn forgotten(store: &dyn Store) -> Verdict {
    let [a, b] = ["a", "b"].map(|id| object("T", id));
    commit_one(store, beside(&a, [keep("k", "yes")])).await??;
    for _ in 0..STEPS {
        ensure!(!store.forget_results(HOUR).await?, "something of an hour was there");
    }
    ensure!(answer(store, &a, "k").await?.is_some(), "it was forgotten at once");
    let mut steps = 0;
    for n in 0..STEPS {
        steps += usize::from(store.forget_results(Duration::ZERO).await?);
        // What is kept in between can be found in between.
        let of = n.to_string();
        commit_one(store, beside(&b, [keep(&of, "yes")])).await??;
        ensure!(answer(store, &b, &of).await?.is_some(), "step {n} has lost what was just kept");
    }
    ensure!(steps > 0, "no step was made");
    ensure!(answer(store, &a, "k").await?.is_none(), "it was not forgotten");
    ensure!(answer(store, &b, "0").await?.is_none(), "and neither was the next one");
    let (keys, whole) = store.result_keys(&a, 10).await?;
    ensure!(keys.is_empty() && whole, "and yet it is listed: {keys:?}");
    commit_one(store, beside(&a, [keep("k", "again")])).await??;
    let found = answer(store, &a, "k").await?;
    ensure!(found == Some("again".into()), "kept again it is {found:?}");
    Ok(())
}

async fn forget_all(store: &dyn Store) -> Verdict {
    for _ in 0..STEPS {
        store.forget_results(Duration::ZERO).await?;
    }
    Ok(())
}

async fn needed(store: &dyn Store) -> Verdict {
    let [a, b] = ["a", "b"].map(|id| object("T", id));
    make(store, &b).await?;
    commit_one(store, with(put(&a, None, "1"), [send(&b, "x")])).await??;
    commit_one(store, beside(&b, [keep("k", "yes")])).await??;
    forget_all(store).await?;
    ensure!(answer(store, &b, "k").await?.is_some(), "a send waits, and it was forgotten");
    commit_one(store, beside(&b, [Effect::Arrived(sent(&a, 1, 0)), remind("r", 1)])).await??;
    forget_all(store).await?;
    ensure!(answer(store, &b, "k").await?.is_some(), "a reminder waits, and it was forgotten");
    // One that is not due yet waits for nothing.
    let far = 4_102_444_800_000_000;
    commit_one(store, beside(&b, [remind("r", far)])).await??;
    forget_all(store).await?;
    ensure!(answer(store, &b, "k").await?.is_none(), "nothing waits, and it was not forgotten");
    Ok(())
}

async fn at_once(store: &dyn Store) -> Verdict {
    let (sender, target) = (object("T", "sender"), object("T", "target"));
    make(store, &target).await?;
    commit_one(store, with(put(&sender, None, "1"), [send(&target, "x")])).await??;
    let object_of = |n: usize| object("T", &n.to_string());
    let writing = join_all((0..40).map(|n| async move {
        let object: ObjectId = object_of(n);
        commit_one(store, with(put(&object, None, "1"), [keep("k", "yes")])).await
    }));
    let forgetting = join_all((0..40).map(|_| store.forget_results(Duration::ZERO)));
    let (written, forgot) = futures_util::future::join(writing, forgetting).await;
    for answer in written {
        answer??;
    }
    for answer in forgot {
        answer?;
    }
    for n in 0..40 {
        let found = answer(store, &object_of(n), "k").await?;
        ensure!(found == Some("yes".into()), "{n} was forgotten, and a send waits");
    }
    ensure!(outbox(store).await?.len() == 1, "the send is gone");
    Ok(())
}
