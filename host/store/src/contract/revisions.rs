//! Claims about types: every upload has its number, and one of them is active.

use bytes::Bytes;
use sha2::{Digest as _, Sha256};
use wasmverse_core::{RevisionNumber, TypeName};

use super::{Case, Verdict, case, ensure};
use crate::{Error, NewRevision, RevisionRecord, Store};

pub(super) const CASES: &[Case] = &[
    case!("revisions are numbered from one, and stored is not active", numbers),
    case!("a digest that is there keeps its number, and may become active again", again),
    case!("what is not there cannot become active", not_there),
    case!("a component is what its digest says", components),
    case!("many uploads at once get a number each", at_once),
];

pub(super) fn type_name(name: &str) -> TypeName {
    TypeName::new(name).expect("the suite names types well")
}

pub(super) fn upload(name: &str, component: &'static [u8], author: &str) -> NewRevision {
    NewRevision {
        type_name: type_name(name),
        digest: Sha256::digest(component).into(),
        component: Bytes::from_static(component),
        description: format!(r#"{{"type":"{name}","by":"{author}"}}"#),
        author: author.to_owned(),
    }
}

async fn numbers(store: &dyn Store) -> Verdict {
    ensure!(store.active_revisions().await?.is_empty(), "an empty store has an active type");
    let components: [&'static [u8]; 3] = [b"one", b"two", b"three"];
    let mut made: Vec<RevisionRecord> = Vec::new();
    for component in components {
        made.push(store.add_revision(upload("T", component, "me")).await?);
    }
    let numbers: Vec<_> = made.iter().map(|record| record.number.0).collect();
    ensure!(numbers == [1, 2, 3], "they are numbered {numbers:?}");
    ensure!(made.iter().all(|record| !record.active), "stored is active: {made:?}");
    ensure!(store.active_revisions().await?.is_empty(), "stored is active");
    for (record, component) in made.iter().zip(components) {
        let found = store.revision(&record.type_name, record.number).await?;
        ensure!(found.as_ref() == Some(record), "{record:?} became {found:?}");
        let wanted = upload("T", component, "me");
        let right = record.digest == wanted.digest
            && record.description == wanted.description
            && record.author == "me"
            && record.created_at_micros > 1_600_000_000_000_000;
        ensure!(right, "{wanted:?} became {record:?}");
    }
    let other = store.add_revision(upload("Other", b"one", "me")).await?;
    ensure!(other.number.0 == 1, "another type begins at {:?}", other.number);
    Ok(())
}

async fn again(store: &dyn Store) -> Verdict {
    let name = type_name("T");
    let first = store.add_revision(upload("T", b"one", "me")).await?;
    let second = store.add_revision(upload("T", b"two", "me")).await?;
    let active = async || -> Result<Vec<u32>, Error> {
        Ok(store.active_revisions().await?.iter().map(|record| record.number.0).collect())
    };
    let record = store.activate_revision(&name, first.number).await?;
    ensure!(record == RevisionRecord { active: true, ..first.clone() }, "activated {record:?}");
    store.activate_revision(&name, second.number).await?;
    ensure!(active().await? == [2], "the second is not the active one");
    let back = store.add_revision(upload("T", b"one", "you")).await?;
    ensure!(back == first, "uploaded again, {first:?} became {back:?}");
    ensure!(active().await? == [2], "to store is not to activate");
    for number in [1, 1, 2, 1] {
        let record = store.activate_revision(&name, RevisionNumber(number)).await?;
        ensure!(record.active && record.number.0 == number, "{number}: {record:?}");
        ensure!(active().await? == [number], "{number} is not the active one");
    }
    store.add_revision(upload("A", b"one", "me")).await?;
    store.activate_revision(&type_name("A"), RevisionNumber(1)).await?;
    let names: Vec<_> = store.active_revisions().await?;
    let names: Vec<_> = names.iter().map(|record| record.type_name.as_str()).collect();
    ensure!(names == ["A", "T"], "active are {names:?}");
    let still = store.add_revision(upload("T", b"one", "me")).await?;
    ensure!(still.active, "the active one, uploaded again, says that it is not: {still:?}");
    Ok(())
}

async fn not_there(store: &dyn Store) -> Verdict {
    let name = type_name("T");
    let first = store.add_revision(upload("T", b"one", "me")).await?;
    store.activate_revision(&name, first.number).await?;
    for (name, number) in [("T", 0), ("T", 2), ("T", u32::MAX), ("Other", 1)] {
        let (name, number) = (type_name(name), RevisionNumber(number));
        let answer = store.activate_revision(&name, number).await;
        ensure!(matches!(answer, Err(Error::NotFound(_))), "{name} {number}: {answer:?}");
        ensure!(store.revision(&name, number).await?.is_none(), "{name} {number} is there");
    }
    let active = store.active_revisions().await?;
    ensure!(active.len() == 1 && active[0].number.0 == 1, "active is {active:?}");
    Ok(())
}

async fn components(store: &dyn Store) -> Verdict {
    let large = Bytes::from((0..20u32 << 20).map(|n| n.to_le_bytes()[2]).collect::<Vec<u8>>());
    let digest: [u8; 32] = Sha256::digest(&large).into();
    let new = NewRevision { digest, component: large.clone(), ..upload("T", b"", "me") };
    store.add_revision(new.clone()).await?;
    ensure!(store.component(digest).await? == Some(large), "a large component changed");
    ensure!(store.component([7; 32]).await?.is_none(), "nobody's component is there");
    let lie = NewRevision { digest: [7; 32], ..new };
    let answer = store.add_revision(lie).await;
    ensure!(matches!(answer, Err(Error::Refused(_))), "a wrong digest: {answer:?}");
    store.add_revision(upload("U", b"shared", "me")).await?;
    store.add_revision(upload("V", b"shared", "me")).await?;
    let found = store.component(upload("V", b"shared", "me").digest).await?;
    ensure!(found == Some(Bytes::from_static(b"shared")), "two types share {found:?}");
    Ok(())
}

async fn at_once(store: &dyn Store) -> Verdict {
    let components: [&'static [u8]; 6] = [b"a", b"b", b"c", b"d", b"a", b"b"];
    let uploads = components.map(|component| store.add_revision(upload("T", component, "me")));
    let mut numbers = Vec::new();
    for made in futures_util::future::join_all(uploads).await {
        numbers.push(made?.number.0);
    }
    ensure!(numbers[..2] == numbers[4..], "the same component twice: {numbers:?}");
    numbers.truncate(4);
    numbers.sort_unstable();
    ensure!(numbers == [1, 2, 3, 4], "numbers are {numbers:?}");
    Ok(())
}
