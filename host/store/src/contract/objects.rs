//! Claims about objects: what is saved is there, and nobody's save is lost.

use bytes::Bytes;
use futures_util::future::join_all;
use wasmverse_core::{Encoding, ObjectId, RevisionNumber, State, Version};

use super::{
    Case, Subject, Verdict, Violation, case, claim_shard, commit_one, delete, ensure, load, object,
    put, put_state, same,
};
use crate::{Change, Commit, Error, StateDigest, Store};

pub(super) const CASES: &[Case] = &[
    case!("what was saved is loaded", loads),
    case!("no state is not the same as empty state", keeps_emptiness),
    case!("any bytes are state, whatever the encoding says", keeps_any_bytes),
    case!("a row that is not as expected is a conflict", conflicts),
    case!("a row that conflicts harms no other of its batch", fails_alone),
    case!("a version only grows, across delete and creation, too", grows),
    case!("every row of a large batch answers for itself, in order", large_batch),
    case!("any id is an id", any_id),
    case!("large state is state", large_state),
    case!("of many who save at once, one wins, and no save is lost", no_lost_update),
];

async fn loads(store: &dyn Store) -> Verdict {
    let object = object("Counter", "visits");
    ensure!(store.load(&object).await?.is_none(), "a stranger is there");
    ensure!(!delete(store, &object).await?, "a stranger was deleted");
    let first = commit_one(store, put(&object, None, r#"{"value":1}"#)).await??;
    let made = load(store, &object).await?;
    ensure!(made.version == first, "saved as {first:?}, loaded as {:?}", made.version);
    ensure!(made.created_at_micros == made.updated_at_micros, "it was updated: {made:?}");
    ensure!(made.created_at_micros > 1_600_000_000_000_000, "not microseconds: {made:?}");
    let mut row = put(&object, Some(first), "2");
    if let Change::Put { revision, .. } = &mut row.change {
        *revision = RevisionNumber(9);
    }
    let second = commit_one(store, row).await??;
    let found = load(store, &object).await?;
    ensure!(second > first && found.version == second, "{first:?} became {second:?}: {found:?}");
    ensure!(found.state.as_ref().is_some_and(|s| s.data == "2"), "not the last state: {found:?}");
    ensure!(found.revision.0 == 9, "not the last revision: {found:?}");
    ensure!(found.created_at_micros == made.created_at_micros, "it was made anew: {found:?}");
    ensure!(delete(store, &object).await?, "it was there");
    ensure!(store.load(&object).await?.is_none(), "it was deleted");
    ensure!(!delete(store, &object).await?, "it was deleted twice");
    ensure!(store.commit(Vec::new()).await?.is_empty(), "nothing was saved, and answered");
    Ok(())
}

async fn keeps_emptiness(store: &dyn Store) -> Verdict {
    let empty = State { schema: 0, data: Bytes::new() };
    let states = [None, Some(empty), None, Some(State { schema: u32::MAX, data: "0".into() })];
    for (n, encoding) in [Encoding::Json, Encoding::Protobuf, Encoding::Bytes].iter().enumerate() {
        let object = object("T", &n.to_string());
        let mut expected = None;
        for state in &states {
            let row = put_state(&object, expected, *encoding, state.clone());
            expected = Some(commit_one(store, row).await??);
            let found = load(store, &object).await?.state;
            ensure!(found == *state, "{encoding}: {state:?} became {found:?}");
        }
    }
    Ok(())
}

async fn keeps_any_bytes(store: &dyn Store) -> Verdict {
    let deep = format!("{}{}", "[".repeat(5000), "]".repeat(5000));
    let data: [&[u8]; 13] = [
        br#"{"b":1,"a":[1,2.5,null,true],"c":"\u0000 \ud83d\ude00"}"#,
        br#"{"a":1,"a":2}"#,
        b"1e999",
        b"[-0.0,-0,1E-400]",
        b"\"\\ud800\"",
        b"{not json",
        b"\"raw \0 zero\"",
        b"\0",
        b"\xff\xfe",
        b"\"\xff\"",
        b" 1 ",
        "\"\u{10FFFF}\"".as_bytes(),
        deep.as_bytes(),
    ];
    for encoding in [Encoding::Json, Encoding::Protobuf, Encoding::Bytes] {
        for (n, data) in data.iter().enumerate() {
            let object = object("T", &format!("{encoding}-{n}"));
            let state = Some(State { schema: 3, data: Bytes::copy_from_slice(data) });
            let row = put_state(&object, None, encoding, state.clone());
            commit_one(store, row).await??;
            let found = load(store, &object).await?;
            let digest = state.as_ref().map(StateDigest::of);
            ensure!(found.digest == digest, "{encoding}: {state:?} has the digest of another");
            let found = found.state;
            ensure!(
                same(encoding, state.as_ref(), found.as_ref()),
                "{encoding}: {state:?} became {found:?}"
            );
        }
    }
    Ok(())
}

async fn conflicts(store: &dyn Store) -> Verdict {
    let object = object("T", "a");
    let refused = async |expected: Option<Version>, why: &str| -> Verdict {
        let answer = commit_one(store, put(&object, expected, "0")).await?;
        ensure!(matches!(answer, Err(Error::Conflict(_))), "{why}: it answered {answer:?}");
        Ok(())
    };
    refused(Some(Version(0)), "no row").await?;
    refused(Some(Version(1)), "no row").await?;
    ensure!(store.load(&object).await?.is_none(), "a conflict made a row");
    let first = commit_one(store, put(&object, None, "1")).await??;
    refused(None, "it is there").await?;
    let second = commit_one(store, put(&object, Some(first), "2")).await??;
    refused(Some(first), "it has changed").await?;
    refused(Some(Version(second.0 + 1)), "it has not got there").await?;
    refused(Some(Version(u64::MAX)), "it will never get there").await?;
    let found = load(store, &object).await?;
    ensure!(found.version == second, "a conflict changed the version: {found:?}");
    ensure!(found.state.as_ref().is_some_and(|s| s.data == "2"), "or the state: {found:?}");
    delete(store, &object).await?;
    refused(Some(second), "it was deleted").await?;
    refused(Some(Version(second.0 + 1)), "it was deleted, and a tombstone is no row").await
}

async fn fails_alone(store: &dyn Store) -> Verdict {
    let [taken, free, gone] = ["taken", "free", "gone"].map(|id| object("T", id));
    let version = commit_one(store, put(&taken, None, "0")).await??;
    let answers = store
        .commit(vec![put(&gone, Some(version), "1"), put(&free, None, "1"), put(&taken, None, "1")])
        .await?;
    let as_it_should =
        matches!(answers.as_slice(), [Err(Error::Conflict(_)), Ok(_), Err(Error::Conflict(_))]);
    ensure!(as_it_should, "not each for itself: {answers:?}");
    let found = load(store, &free).await?;
    ensure!(found.state.is_some_and(|s| s.data == "1"), "a good row was not saved");
    Ok(())
}

async fn grows(store: &dyn Store) -> Verdict {
    let object = object("T", "phoenix");
    let mut highest = Version(0);
    for life in 0..4 {
        let mut version = commit_one(store, put(&object, None, "0")).await??;
        ensure!(version > highest, "life {life} begins at {version:?}, after {highest:?}");
        for _ in 0..life {
            let next = commit_one(store, put(&object, Some(version), "0")).await??;
            ensure!(next > version, "{version:?} became {next:?}");
            version = next;
        }
        highest = version;
        ensure!(delete(store, &object).await?, "it was there");
    }
    Ok(())
}

async fn large_batch(store: &dyn Store) -> Verdict {
    let objects: Vec<_> = (0..1003).map(|n| object("T", &format!("{n}"))).collect();
    let rows = |versions: &[Option<Version>]| -> Vec<Commit> {
        let numbered = objects.iter().zip(versions).enumerate();
        numbered.map(|(n, (object, version))| put(object, *version, &n.to_string())).collect()
    };
    let made = store.commit(rows(&vec![None; objects.len()])).await?;
    ensure!(made.len() == objects.len(), "{} rows got {} answers", objects.len(), made.len());
    let made = made.into_iter().collect::<Result<Vec<_>, _>>()?;
    // Every third is refused; some are new, in the midst of those that changed.
    for object in &objects[500..510] {
        delete(store, object).await?;
    }
    let expected: Vec<_> = (0..objects.len())
        .map(|n| match (500..510).contains(&n) {
            true => None,
            false if n % 3 == 0 => Some(Version(made[n].0 + 40)),
            false => Some(made[n]),
        })
        .collect();
    let answers = store.commit(rows(&expected)).await?;
    for (n, answer) in answers.iter().enumerate() {
        let refused = n % 3 == 0 && !(500..510).contains(&n);
        let right = if refused { answer.is_err() } else { answer.is_ok() };
        ensure!(right, "row {n} got {answer:?}");
        let found = load(store, &objects[n]).await?;
        let says = found.state.map(|state| state.data);
        ensure!(says == Some(n.to_string().into()), "row {n} holds {says:?}");
        let version = *answer.as_ref().unwrap_or(&made[n]);
        ensure!(found.version == version, "row {n} is {:?}, not {version:?}", found.version);
    }
    Ok(())
}

async fn any_id(store: &dyn Store) -> Verdict {
    let long = "é".repeat(127) + "x";
    let ids = [
        "%",
        "_",
        "'",
        "''; DROP TABLE objects; --",
        "\"",
        "\\",
        "?1",
        ":a",
        "$1",
        "a b",
        " ",
        "a",
        "A",
        "é",
        "e\u{301}",
        "😀",
        "\u{feff}",
        "\u{10FFFF}",
        "shard#1/x",
        "{tag}x",
        "NULL",
        &long,
    ];
    for (n, id) in ids.iter().enumerate() {
        commit_one(store, put(&object("T", id), None, &n.to_string())).await??;
    }
    for (n, id) in ids.iter().enumerate() {
        let found = load(store, &object("T", id)).await?.state.map(|state| state.data);
        ensure!(found == Some(n.to_string().into()), "`{id}` holds {found:?}, not {n}");
    }
    ensure!(delete(store, &object("T", "%")).await?, "`%` was there");
    let left = store.list(None, "", None, 1000).await?.objects.len();
    ensure!(left == ids.len() - 1, "deleting `%` left {left} of {}", ids.len());
    Ok(())
}

async fn large_state(store: &dyn Store) -> Verdict {
    let text = format!("\"{}\"", "x".repeat(4 << 20));
    let bytes: Vec<u8> = (0..4u32 << 20).map(|n| n.to_le_bytes()[1]).collect();
    let states = [(Encoding::Json, Bytes::from(text)), (Encoding::Bytes, bytes.into())];
    let rows = (0..6).map(|n| {
        let (encoding, data) = states[n % 2].clone();
        let state = Some(State { schema: 1, data });
        put_state(&object("T", &n.to_string()), None, encoding, state)
    });
    for answer in store.commit(rows.collect()).await? {
        answer?;
    }
    for n in 0..6 {
        let found = load(store, &object("T", &n.to_string())).await?.state;
        ensure!(found.is_some_and(|state| state.data == states[n % 2].1), "row {n} changed");
    }
    Ok(())
}

async fn no_lost_update(store: &dyn Store) -> Verdict {
    let object = object("Counter", "contended");
    commit_one(store, put(&object, None, "0")).await??;
    let won = join_all((0..8).map(|_| count_up(store, &object, 20))).await;
    let won: u64 = won.into_iter().sum::<Result<u64, Violation>>()?;
    let found = load(store, &object).await?.state.map(|state| state.data);
    ensure!(found == Some(won.to_string().into()), "{won} saves won, and it counts {found:?}");
    Ok(())
}

/// Loads, adds one, saves; answers how often it won.
async fn count_up(store: &dyn Store, object: &ObjectId, tries: u32) -> Result<u64, Violation> {
    let mut won = 0;
    for _ in 0..tries {
        let found = load(store, object).await?;
        let data = found.state.map(|state| state.data).unwrap_or_default();
        let value: u64 = serde_json::from_slice(&data).map_err(|e| Violation(e.to_string()))?;
        let row = put(object, Some(found.version), &(value + 1).to_string());
        match commit_one(store, row).await? {
            Ok(_) => won += 1,
            Err(Error::Conflict(_)) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(won)
}

/// What was answered is there after a restart.
pub(super) async fn survives(subject: &dyn Subject) -> Verdict {
    let told = |violation| Violation(format!("what was answered outlives a restart: {violation}"));
    restarts(subject).await.map_err(told)
}

async fn restarts(subject: &dyn Subject) -> Verdict {
    let [kept, gone] = ["kept", "gone"].map(|id| object("T", id));
    let store = subject.open("restart").await?;
    claim_shard(&*store).await?;
    let version = commit_one(&*store, put(&kept, None, "[1]")).await??;
    let buried = commit_one(&*store, put(&gone, None, "[2]")).await??;
    delete(&*store, &gone).await?;
    let before = load(&*store, &kept).await?;
    store.close().await?;
    let store = subject.open("restart").await?;
    let after = load(&*store, &kept).await?;
    ensure!(before == after && after.version == version, "{before:?} became {after:?}");
    ensure!(store.load(&gone).await?.is_none(), "what was deleted is there again");
    let again = commit_one(&*store, put(&gone, None, "[3]")).await??;
    ensure!(again > buried, "a tombstone was lost: {buried:?}, then {again:?}");
    store.close().await?;
    Ok(())
}
