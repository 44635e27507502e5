//! Every fault is found, by random histories and by a named case.

use super::*;

struct BrokenStores(Fault);

impl Subject for BrokenStores {
    fn open<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<Arc<dyn Store>, Error>> {
        async move {
            let inner = Arc::new(SqliteStore::open(Place::Memory, 8).await?);
            let (rows, forgotten) = (Mutex::default(), Mutex::default());
            let (storage, spoilt) = (Overlay::default(), Spoilt::default());
            let broken = Broken { inner, fault: self.0, rows, forgotten, storage, spoilt };
            Ok(Arc::new(broken) as Arc<dyn Store>)
        }
        .boxed()
    }

    fn survives(&self) -> bool {
        false
    }
}

async fn history(fault: Fault) -> Result<(), crate::contract::Violation> {
    check_histories(&BrokenStores(fault), 1..4, 200).await
}

#[tokio::test]
async fn a_store_without_a_fault_passes() {
    history(Fault::Nothing).await.unwrap();
}

#[tokio::test]
async fn random_histories_find_every_fault_and_tell_their_seed() {
    for fault in [
        Fault::DropsSaves,
        Fault::ForgetsTombstones,
        Fault::SavesOverConflicts,
        Fault::LosesEmptiness,
        Fault::ListsByPattern,
        Fault::KnowsNoMore,
        Fault::KeepsTheDeleted,
        Fault::ActivatesUploads,
        Fault::ChecksNoEpoch,
        Fault::RepeatsEpochs,
        Fault::RaisesWhatever,
        Fault::CommitsStorageApart,
        Fault::KeepsStorageOfTheDeleted,
        Fault::UnsetsNothing,
        Fault::CountsNoTouches,
        Fault::MiscountsKeys,
        Fault::KeepsResultsOfTheRefused,
        Fault::ForgetsResultsOfTheDeleted,
        Fault::ForgetsWhatIsNeeded,
        Fault::TakesSendsTwice,
        Fault::LosesSendsOfTheDeleted,
        Fault::LeavesDeadSends,
        Fault::NumbersSendsAnew,
        Fault::KeepsRemindersOfTheDeleted,
        Fault::FiresAtAnyTime,
    ] {
        let found = history(fault).await.expect_err(&format!("{fault:?} was not found"));
        let told = found.to_string();
        assert!(told.contains("seed ") && told.contains(", step "), "{fault:?}: {told}");
    }
}

async fn found(faults: &[(Fault, &str)]) {
    for (fault, claim) in faults {
        let found = check_cases(&BrokenStores(*fault)).await;
        let found = found.expect_err(&format!("{fault:?} was not found")).to_string();
        assert!(found.contains(claim), "{fault:?}: {found}");
    }
}

#[tokio::test]
async fn the_named_cases_find_faults_of_objects_and_tell_the_claim() {
    found(&[
        (Fault::DropsSaves, "no state is not the same as empty state"),
        (Fault::ForgetsTombstones, "a version only grows"),
        (Fault::SavesOverConflicts, "a row that is not as expected is a conflict"),
        (Fault::LosesEmptiness, "no state is not the same as empty state"),
        (Fault::ListsByPattern, "a prefix is taken at its word"),
        (Fault::KnowsNoMore, "pages together are the whole list"),
        (Fault::KeepsTheDeleted, "what was saved is loaded"),
        (Fault::ActivatesUploads, "stored is not active"),
        (Fault::ChecksNoEpoch, "a row that is refused changes neither state nor storage"),
        (Fault::RepeatsEpochs, "each claim raises the epoch"),
        (Fault::RaisesWhatever, "a raise does something only where"),
        (Fault::CommitsStorageApart, "a row without a living object cannot be touched"),
        (Fault::KeepsStorageOfTheDeleted, "an object may stand in a batch more than once"),
        (Fault::UnsetsNothing, "an object may stand in a batch more than once"),
        (Fault::CountsNoTouches, "what is expected decides, and a version counts the writes"),
        (Fault::MiscountsKeys, "many keys in one commit are all set, and all unset"),
    ])
    .await;
}

#[tokio::test]
async fn the_named_cases_find_faults_beside_objects_and_tell_the_claim() {
    found(&[
        (Fault::KeepsResultsOfTheRefused, "whatever is refused keeps no result"),
        (Fault::ForgetsResultsOfTheDeleted, "a result is kept with whatever its commit writes"),
        (Fault::ForgetsWhatIsNeeded, "what a send or a reminder that waits may have caused"),
        (Fault::TakesSendsTwice, "whatever is refused keeps no result"),
        (Fault::LosesSendsOfTheDeleted, "numbers of sends only grow"),
        (Fault::LeavesDeadSends, "of a batch, the first that takes a send has it"),
        (Fault::NumbersSendsAnew, "numbers of sends only grow"),
        (Fault::KeepsRemindersOfTheDeleted, "reminders go with their object"),
        (Fault::FiresAtAnyTime, "a reminder fires once for each time that it is due"),
    ])
    .await;
}

#[test]
fn json_is_compared_by_meaning_and_all_else_by_bytes() {
    let state = |text: &'static str| Some(State { schema: 1, data: text.into() });
    let same = |encoding, left, right| {
        crate::contract::same(encoding, state(left).as_ref(), state(right).as_ref())
    };
    use wasmverse_core::Encoding::{Bytes, Json};
    assert!(same(Json, "{\"a\":1,\"b\":2}", "{\"b\": 2, \"a\": 1}"));
    assert!(!same(Json, "{\"a\":1}", "{\"a\":2}"));
    assert!(!same(Json, "{", "{ "));
    assert!(!same(Bytes, "{}", "{ }"));
    assert!(!crate::contract::same(Json, None, state("").as_ref()));
}
