//! Claims about the whole: it is counted, found sound, and can be carried to another store.

use bytes::Bytes;
use wasmverse_core::{Encoding, Epoch, ShardId, State};

use super::{
    Case, SHARD, Subject, Verdict, Violation, case, claim_shard, commit_one, delete,
    effects::{
        EVERYWHERE, all_due, all_letters, all_sends, beside, dead, keep, key, of, remind, send,
        sent, with,
    },
    ensure, load, object, owner, put, put_state,
    revisions::upload,
    same, touch,
};
use crate::{
    Change, Commit, Effect, Error, Store,
    dump::{export, import, verify},
};

pub(super) const CASES: &[Case] = &[
    case!("a store counts what it holds", counts),
    case!("what was written well is found sound", sound),
    case!("a store that is not empty takes no dump", not_empty),
    case!("a dump that was cut short, or is none, leaves nothing", cut),
];

/// Something of everything.
async fn fill(store: &dyn Store) -> Verdict {
    claim_shard(store).await?;
    store.claim(owner("other"), vec![(ShardId(3), Epoch(41))]).await?;
    store.add_revision(upload("T", b"one", "me")).await?;
    let second = store.add_revision(upload("T", b"two", "you")).await?;
    store.activate_revision(&second.type_name, second.number).await?;
    for (n, (encoding, data)) in states().into_iter().enumerate() {
        let object = object("T", &n.to_string());
        let state = data.map(|data| State { schema: 2, data: Bytes::from_static(data) });
        commit_one(store, put_state(&object, None, encoding, state)).await??;
        commit_one(store, touch(&object, &[("", Some("0")), ("é", Some("\u{1}"))])).await??;
    }
    let gone = object("U", "gone");
    commit_one(store, put(&gone, None, "1")).await??;
    ensure!(delete(store, &gone).await?, "it was there");
    for n in 0..70 {
        commit_one(store, put(&object("V", &n.to_string()), None, "1")).await??;
    }
    fill_beside(store).await
}

async fn fill_beside(store: &dyn Store) -> Verdict {
    let (object, gone) = (object("V", "0"), object("U", "gone"));
    let answers = ["", "\u{1}", "yes"].map(|answer| keep(answer, answer));
    let sends = (0..4).map(|n| send(&gone, vec![n, 0, 255]));
    let set = [remind("r", 5), remind("\u{1}", i64::MAX), remind("s", 6)];
    let effects = answers.into_iter().chain(sends).chain(set);
    commit_one(store, with(touch(&object, &[]), effects)).await??;
    commit_one(store, with(of(&gone, Change::Delete), [send(&object, ""), keep("k", "")]))
        .await??;
    let misfired = Effect::Fired {
        name: "s".into(),
        due_micros: 6,
        next_micros: None,
        dead: Some("it \u{1} trapped".to_owned()),
    };
    let ends = [dead(sent(&object, 2, 0)), dead(sent(&object, 2, 2)), misfired];
    commit_one(store, beside(&object, ends)).await??;
    let letters = all_letters(store, Some(&object), 10).await?;
    ensure!(letters.len() == 3, "the letters are {letters:?}");
    commit_one(store, beside(&object, [Effect::Revive(letters[0].number)])).await??;
    Ok(())
}

fn states() -> [(Encoding, Option<&'static [u8]>); 8] {
    [
        (Encoding::Json, None),
        (Encoding::Json, Some(b"{\"b\":1,\"a\":[1.50,\"x\"]}")),
        (Encoding::Json, Some(b"\"\\u0000\"")),
        (Encoding::Json, Some(b"1e999")),
        (Encoding::Json, Some(b"{broken")),
        (Encoding::Bytes, Some(b"\0\xff")),
        (Encoding::Protobuf, Some(b"")),
        (Encoding::Bytes, Some(b"{}")),
    ]
}

async fn counts(store: &dyn Store) -> Verdict {
    let empty = store.status().await?;
    ensure!(empty.objects.is_empty() && empty.claimed == 0, "an empty store has {empty:?}");
    fill(store).await?;
    let found = store.status().await?;
    let right = found.objects == [("T".to_owned(), 8), ("V".to_owned(), 70)]
        && found.storage_keys == 16
        && found.results == 4
        && found.sends == 4
        && found.reminders == 2
        && found.dead_letters == 2
        && found.claimed == 2
        && found.shards > SHARD.0
        && found.cluster_id == empty.cluster_id
        && found.cluster_id.len() == 32
        && found.schema > 0
        && found.bytes > 0;
    ensure!(right, "it has {found:?}");
    ensure!(empty.results + empty.sends + empty.reminders + empty.dead_letters == 0, "{empty:?}");
    Ok(())
}

async fn sound(store: &dyn Store) -> Verdict {
    fill(store).await?;
    let problems = verify(store).await?;
    ensure!(problems.is_empty(), "it finds {problems:?}");
    Ok(())
}

async fn exported(store: &dyn Store) -> Result<Vec<u8>, Violation> {
    let mut lines = Vec::new();
    let count = export(store, &mut lines).await?;
    let found = lines.iter().filter(|byte| **byte == b'\n').count();
    ensure!(u64::try_from(found) == Ok(count), "{count} records are {found} lines");
    Ok(lines)
}

async fn not_empty(store: &dyn Store) -> Verdict {
    let nothing = exported(store).await?;
    store.claim(owner("somebody"), vec![(SHARD, Epoch(0))]).await?;
    let answer = import(store, &mut nothing.as_slice()).await;
    ensure!(matches!(answer, Err(Error::NotOurs(_))), "it answers {answer:?}");
    Ok(())
}

async fn cut(store: &dyn Store) -> Verdict {
    let nothing = exported(store).await?;
    let shard =
        br#"{"kind":"shard","shard":1,"epoch":1,"node":"n","incarnation":"i","claimed_at":1}"#;
    let first = nothing.split_inclusive(|byte| *byte == b'\n').next().unwrap_or_default();
    let open = [first, shard].concat();
    let whole = [first, shard, b"\n", nothing.split_at(first.len()).1].concat();
    let more = [&whole[..], b"{}\n"].concat();
    let foreign = String::from_utf8_lossy(&nothing).replace("\"shards\":", "\"shards\":1");
    for (lines, wanted) in [
        (open.as_slice(), "cut short"),
        (b"", "cut short"),
        (shard, "not in order"),
        (b"what?", "line 1"),
        (more.as_slice(), "more after the end"),
        (foreign.as_bytes(), "shards"),
    ] {
        let answer = import(store, &mut &*lines).await;
        let told = answer.as_ref().map_or_else(ToString::to_string, ToString::to_string);
        ensure!(answer.is_err() && told.contains(wanted), "{wanted}: it answers {told}");
        ensure!(store.epochs().await?.is_empty(), "{wanted}: something was left");
    }
    Ok(())
}

/// What one store exports, another one imports.
pub(super) async fn moves(subject: &dyn Subject) -> Verdict {
    let told = |violation| Violation(format!("a dump carries all to another store: {violation}"));
    carries(subject).await.map_err(told)
}

async fn carries(subject: &dyn Subject) -> Verdict {
    let (from, to) = (subject.open("move-from").await?, subject.open("move-to").await?);
    fill(&*from).await?;
    let keyed = object("T", "0");
    let keys = (0..300).map(|n| (n.to_string(), Some(Bytes::from("x".repeat(n)))));
    commit_one(&*from, Commit { storage: keys.collect(), ..touch(&keyed, &[]) }).await??;
    let lines = exported(&*from).await?;
    import(&*to, &mut lines.as_slice()).await?;
    ensure!(exported(&*to).await? == lines, "exported again it says something else");
    let problems = verify(&*to).await?;
    ensure!(problems.is_empty(), "it finds {problems:?}");
    for (n, (encoding, _)) in states().into_iter().enumerate() {
        let object = object("T", &n.to_string());
        let (left, right) = (load(&*from, &object).await?, load(&*to, &object).await?);
        let alike = same(encoding, left.state.as_ref(), right.state.as_ref());
        ensure!(alike && left.digest == right.digest, "{left:?} became {right:?}");
        let counted = [from.storage_keys(&object).await?, to.storage_keys(&object).await?];
        ensure!(counted == [if n == 0 { 302 } else { 2 }; 2], "{object} has {counted:?} keys");
    }
    carries_beside(&*from, &*to).await?;
    let phoenix = commit_one(&*to, put(&object("U", "gone"), None, "1")).await??;
    ensure!(phoenix.0 == 4, "a tombstone was lost: it begins with {phoenix:?}");
    from.close().await?;
    to.close().await?;
    Ok(())
}

async fn carries_beside(from: &dyn Store, to: &dyn Store) -> Verdict {
    let (left, right) =
        (all_sends(from, EVERYWHERE, 9).await?, all_sends(to, EVERYWHERE, 9).await?);
    ensure!(left == right, "sends {left:?} became {right:?}");
    let until = i64::MAX;
    let (left, right) =
        (all_due(from, EVERYWHERE, until, 9).await?, all_due(to, EVERYWHERE, until, 9).await?);
    ensure!(left == right, "reminders {left:?} became {right:?}");
    let (left, right) = (all_letters(from, None, 9).await?, all_letters(to, None, 9).await?);
    ensure!(left == right, "letters {left:?} became {right:?}");
    let object = object("V", "0");
    let (mut keys, _) = to.result_keys(&object, 9).await?;
    keys.sort();
    ensure!(keys == ["", "\u{1}", "yes"].map(|of| key("", of)), "the results are of {keys:?}");
    for key in &keys {
        let (left, right) = (from.result(&object, key).await?, to.result(&object, key).await?);
        ensure!(left == right, "{left:?} became {right:?}");
    }
    let highest = right.iter().map(|letter| letter.number).max();
    commit_one(to, beside(&object, [dead(sent(&object, 2, 1))])).await??;
    let next = all_letters(to, None, 9).await?.pop().map(|letter| letter.number);
    ensure!(next > highest, "after {highest:?} comes {next:?}");
    Ok(())
}
