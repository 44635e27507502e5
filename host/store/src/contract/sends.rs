//! Claims about sends: they leave with their commit, and arrive once.

use futures_util::future::join_all;
use wasmverse_core::{Epoch, ShardId, Version};

use super::{
    Case, EPOCH, SHARD, Verdict, case, commit_one, delete,
    effects::{
        EVERYWHERE, all_sends, beside, dead, keep, make, of, outbox, remind, send, sent, with,
    },
    ensure, load, object, put, touch,
};
use crate::{Change, Commit, Effect, Error, Expected, SendId, Store};

pub(super) const CASES: &[Case] = &[
    case!("a send leaves with its commit, under a number of its own", leaves),
    case!("numbers of sends only grow, across delete and creation, too", grows),
    case!("sends outlive their sender, and one that goes can send", outlives),
    case!("a send arrives once, with all of its commit or nothing", arrives),
    case!("of a batch, the first that takes a send has it", in_order),
    case!("of many who take a send at once, one has it", at_once),
    case!("whatever is refused sends nothing, and leaves sends where they are", refused),
    case!("a row that does not change sends nothing, and is fenced", nothing),
];

async fn leaves(store: &dyn Store) -> Verdict {
    let [a, b] = ["a", "b"].map(|id| object("T", id));
    commit_one(store, with(put(&a, None, "1"), [send(&b, "\0"), keep("k", "1"), send(&a, "2")]))
        .await??;
    commit_one(store, with(touch(&a, &[]), [send(&b, "3")])).await??;
    let found = all_sends(store, EVERYWHERE, 10).await?;
    let ids: Vec<_> = found.iter().map(|send| send.id.clone()).collect();
    ensure!(ids == [sent(&a, 1, 0), sent(&a, 1, 1), sent(&a, 2, 0)], "they are {ids:?}");
    for (found, (to, payload)) in found.iter().zip([(&b, "\0"), (&a, "2"), (&b, "3")]) {
        let Effect::Send(wanted) = send(to, payload) else { continue };
        ensure!(found.send == wanted, "{wanted:?} became {found:?}");
    }
    let updated = load(store, &a).await?.updated_at_micros;
    let right = found.iter().all(|send| (1..=updated).contains(&send.sent_at_micros));
    ensure!(right && found[2].sent_at_micros == updated, "not when they were sent: {found:?}");
    Ok(())
}

async fn grows(store: &dyn Store) -> Verdict {
    let object = object("T", "phoenix");
    for _ in 0..3 {
        commit_one(store, with(put(&object, None, "1"), [send(&object, "1")])).await??;
        commit_one(store, with(touch(&object, &[]), [send(&object, "2"), send(&object, "3")]))
            .await??;
        ensure!(delete(store, &object).await?, "it was there");
    }
    let ids = outbox(store).await?;
    let wanted = [(1, 0), (2, 0), (2, 1), (4, 0), (5, 0), (5, 1), (7, 0), (8, 0), (8, 1)];
    let wanted = wanted.map(|(version, place)| sent(&object, version, place));
    ensure!(ids == wanted, "they are {ids:?}");
    Ok(())
}

async fn outlives(store: &dyn Store) -> Verdict {
    let [a, b, c] = ["a", "b", "c"].map(|id| object("T", id));
    commit_one(store, with(put(&a, None, "1"), [send(&b, "1")])).await??;
    let gone = |expected| Commit { expected, ..of(&a, Change::Delete) };
    let steps = [
        // It goes.
        (Expected::Version(Version(1)), Ok(2)),
        // There is none any more.
        (Expected::Version(Version(2)), Err(())),
        (Expected::Any, Ok(3)),
        (Expected::Absent, Ok(4)),
    ];
    for (expected, wanted) in steps {
        let answer = commit_one(store, with(gone(expected), [send(&b, "2")])).await?;
        let found = answer.as_ref().map(|version| version.0).map_err(|_| ());
        ensure!(found == wanted, "{expected:?} got {answer:?}, not {wanted:?}");
        ensure!(store.load(&a).await?.is_none(), "{expected:?} made an object");
    }
    // There never was one.
    let row =
        with(Commit { expected: Expected::Absent, ..of(&c, Change::Delete) }, [send(&b, "3")]);
    let answer = commit_one(store, row).await?;
    ensure!(answer == Ok(Version(1)), "who never was got {answer:?}");
    let made = commit_one(store, put(&c, None, "1")).await??;
    ensure!(made == Version(2), "and is then made as {made:?}");
    // There is one.
    let row =
        with(Commit { expected: Expected::Absent, ..of(&c, Change::Delete) }, [send(&b, "4")]);
    let answer = commit_one(store, row).await?;
    ensure!(matches!(answer, Err(Error::Conflict(_))), "who lives got {answer:?}");
    let row = with(of(&c, Change::Delete), [send(&b, "5")]);
    let answer = commit_one(store, row).await?;
    ensure!(answer == Ok(Version(3)), "and goes as {answer:?}");
    let ids = outbox(store).await?;
    let wanted = [(&a, 1), (&a, 2), (&a, 3), (&a, 4), (&c, 1), (&c, 3)];
    let wanted = wanted.map(|(object, version)| sent(object, version, 0));
    ensure!(ids == wanted, "they are {ids:?}");
    let (again, listed) = (make(store, &a).await?, store.list(None, "", None, 9).await?);
    ensure!(again == Version(5) && listed.objects.len() == 1, "{again:?}, {listed:?}");
    Ok(())
}

async fn arrives(store: &dyn Store) -> Verdict {
    let [a, b] = ["a", "b"].map(|id| object("T", id));
    let two = [send(&b, "1"), send(&b, "2")];
    commit_one(store, with(put(&a, None, "1"), two)).await??;
    let arrived = |place| Effect::Arrived(sent(&a, 1, place));
    commit_one(store, with(put(&b, None, "1"), [arrived(0), keep("k", "1")])).await??;
    ensure!(outbox(store).await? == [sent(&a, 1, 1)], "it is there still");
    let absurd = [(u64::MAX, 0), (1, u64::MAX), (1, 7), (0, 1), (2, 1)];
    let absurd = absurd.map(|(version, place)| Effect::Arrived(sent(&a, version, place)));
    let elsewhere = SendId { shard: ShardId(SHARD.0 - 1), ..sent(&a, 1, 1) };
    let wrong = absurd.into_iter().chain([
        arrived(0),
        Effect::Arrived(elsewhere),
        Effect::Arrived(sent(&b, 1, 1)),
        dead(sent(&a, 1, 0)),
    ]);
    for wrong in wrong {
        let told = format!("{wrong:?}");
        for row in [put(&b, Some(Version(1)), "2"), touch(&b, &[("k", Some("v"))])] {
            // What is there does not go, either.
            let answer = commit_one(store, with(row, [arrived(1), wrong.clone()])).await?;
            ensure!(matches!(answer, Err(Error::Repeated(_))), "{told} got {answer:?}");
        }
        let answer = commit_one(store, beside(&b, [wrong])).await?;
        ensure!(matches!(answer, Err(Error::Repeated(_))), "{told} got {answer:?}");
        let (found, keys) = (load(store, &b).await?, store.storage_keys(&b).await?);
        ensure!(found.version == Version(1) && keys == 0, "{told} wrote {found:?}, {keys} keys");
        ensure!(outbox(store).await? == [sent(&a, 1, 1)], "{told} took the other one");
    }
    let twice = commit_one(store, beside(&b, [arrived(1), arrived(1)])).await?;
    ensure!(matches!(twice, Err(Error::Refused(_))), "twice in a commit got {twice:?}");
    let answer = commit_one(store, beside(&b, [arrived(1)])).await?;
    ensure!(answer == Ok(Version(0)), "a row that does not change got {answer:?}");
    ensure!(outbox(store).await?.is_empty(), "and it is there still");
    Ok(())
}

async fn in_order(store: &dyn Store) -> Verdict {
    let [a, b, c, d] = ["a", "b", "c", "d"].map(|id| object("T", id));
    let sends = (0..3).map(|n| send(&b, n.to_string()));
    commit_one(store, with(put(&a, None, "1"), sends)).await??;
    let takes = |row: Commit, place| with(row, [Effect::Arrived(sent(&a, 1, place))]);
    let batch = vec![
        takes(put(&b, None, "1"), 0),
        takes(put(&c, None, "1"), 0),
        // One that is refused takes nothing.
        takes(put(&b, None, "2"), 1),
        takes(put(&c, None, "2"), 1),
        beside(&d, [dead(sent(&a, 1, 2))]),
        takes(put(&d, None, "1"), 2),
        put(&d, None, "2"),
    ];
    let answers = store.commit(batch).await?;
    let right = matches!(
        answers.as_slice(),
        [
            Ok(_),
            Err(Error::Repeated(_)),
            Err(Error::Conflict(_)),
            Ok(_),
            Ok(_),
            Err(Error::Repeated(_)),
            Ok(_)
        ]
    );
    ensure!(right, "they got {answers:?}");
    let data = load(store, &c).await?.state.map(|state| state.data);
    ensure!(data == Some("2".into()), "the second has {data:?}");
    ensure!(outbox(store).await?.is_empty(), "one is there still");
    Ok(())
}

async fn at_once(store: &dyn Store) -> Verdict {
    let a = object("T", "a");
    let sends = (0..10).map(|n| send(&a, n.to_string()));
    commit_one(store, with(put(&a, None, "1"), sends)).await??;
    for place in 0..10 {
        let taking = (0..8).map(|n| {
            let (object, send) = (object("T", &format!("{place}-{n}")), sent(&a, 1, place));
            let effect = if n % 2 == 0 { Effect::Arrived(send) } else { dead(send) };
            store.commit(vec![with(put(&object, None, "1"), [effect])])
        });
        let (mut had, mut wrong) = (0, Vec::new());
        for answer in join_all(taking).await {
            match answer?.remove(0) {
                Ok(_) => had += 1,
                Err(Error::Repeated(_)) => {}
                Err(error) => wrong.push(error),
            }
        }
        ensure!(had == 1 && wrong.is_empty(), "{had} have it, and {wrong:?}");
    }
    let made = store.list(None, "", None, 100).await?.objects.len();
    ensure!(made == 11, "{made} objects are there");
    ensure!(outbox(store).await?.is_empty(), "one is there still");
    Ok(())
}

async fn refused(store: &dyn Store) -> Verdict {
    let [a, b] = ["a", "b"].map(|id| object("T", id));
    commit_one(store, with(put(&a, None, "1"), [send(&b, "1"), send(&b, "2")])).await??;
    make(store, &b).await?;
    let before = outbox(store).await?;
    let fenced = |row: Commit| Commit { epoch: Epoch(EPOCH.0 + 1), ..row };
    let wrong = [
        put(&b, None, "2"),
        put(&b, Some(Version(2)), "2"),
        Commit { expected: Expected::Version(Version(2)), ..of(&b, Change::Delete) },
        Commit { expected: Expected::Absent, ..of(&b, Change::Delete) },
        touch(&object("T", "nobody"), &[]),
        fenced(touch(&b, &[])),
    ];
    for row in wrong {
        let told = format!("{row:?}");
        let effects = [Effect::Arrived(sent(&a, 1, 0)), send(&a, "3"), dead(sent(&a, 1, 1))];
        let answer = commit_one(store, with(row, effects)).await?;
        let right = matches!(answer, Err(Error::Conflict(_) | Error::Fenced(_)));
        ensure!(right, "{told} got {answer:?}");
        let left = outbox(store).await?;
        ensure!(left == before, "{told} left {left:?}");
        let letters = store.dead_letters(None, 0, 10).await?;
        ensure!(letters.is_empty(), "{told} left {letters:?}");
    }
    let long = "m".repeat(1025);
    for method in ["\0", &long] {
        let Effect::Send(sound) = send(&b, "1") else { continue };
        let wrong = Effect::Send(crate::NewSend { method: method.into(), ..sound });
        let batch = vec![with(touch(&a, &[]), [wrong]), touch(&b, &[])];
        let answers = store.commit(batch).await?;
        let right = matches!(answers.as_slice(), [Err(Error::Refused(_)), Ok(_)]);
        ensure!(right, "a method of {} bytes got {answers:?}", method.len());
    }
    Ok(())
}

async fn nothing(store: &dyn Store) -> Verdict {
    let [a, b] = ["a", "b"].map(|id| object("T", id));
    make(store, &a).await?;
    let before = load(store, &a).await?;
    for expected in [Expected::Any, Expected::Absent, Expected::Version(Version(0))] {
        for object in [&a, &b] {
            let row = Commit { expected, ..beside(object, []) };
            let answer = commit_one(store, row).await?;
            ensure!(answer == Ok(Version(0)), "{expected:?} of {object} got {answer:?}");
        }
    }
    ensure!(load(store, &a).await? == before, "and yet it changed");
    ensure!(store.load(&b).await?.is_none(), "and yet it was made");
    let keys = vec![("k".to_owned(), Some("v".into()))];
    for row in [beside(&a, [send(&b, "1")]), Commit { storage: keys, ..beside(&a, []) }] {
        let answer = commit_one(store, row).await?;
        ensure!(matches!(answer, Err(Error::Refused(_))), "it got {answer:?}");
    }
    ensure!(outbox(store).await?.is_empty(), "and yet it was sent");
    for epoch in [0, EPOCH.0 + 1] {
        let row = Commit { epoch: Epoch(epoch), ..beside(&a, [keep("k", "1"), remind("r", 1)]) };
        let answer = commit_one(store, row).await?;
        ensure!(matches!(answer, Err(Error::Fenced(_))), "epoch {epoch} got {answer:?}");
    }
    ensure!(store.reminders(&a).await?.is_empty(), "and yet a reminder was set");
    Ok(())
}
