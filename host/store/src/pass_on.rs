//! Stores made of another store: what they do not change they pass on.

#[doc(hidden)]
pub mod names {
    //! What the methods of a store speak of.

    pub use bytes::Bytes;
    pub use tokio::sync::mpsc;
    pub use wasmverse_core::{Epoch, ObjectId, RevisionNumber, ShardId, TypeName, Version};

    pub use crate::{
        Answer, Claimed, Commit, DeadLetter, Error, KeptResult, NewRevision, Owner, Page, Raised,
        ResultKey, RevisionRecord, SendId, Shards, StoragePage, StoredObject, StoredReminder,
        StoredSend,
        dump::{Record, Status},
    };
}

/// Within `impl Store for …`: passes these methods on to the store in a field.
#[macro_export]
macro_rules! pass_on {
    ($inner:ident: $($method:ident),+ $(,)?) => {
        $( $crate::pass_on!(@ $inner $method); )+
    };
    (@ $inner:ident cluster_id) => {
        fn cluster_id(&self) -> &str {
            self.$inner.cluster_id()
        }
    };
    (@ $inner:ident add_revision) => {
        fn add_revision(
            &self,
            new: $crate::names::NewRevision,
        ) -> $crate::names::Answer<'_, $crate::names::RevisionRecord> {
            self.$inner.add_revision(new)
        }
    };
    (@ $inner:ident activate_revision) => {
        fn activate_revision(
            &self,
            type_name: &$crate::names::TypeName,
            number: $crate::names::RevisionNumber,
        ) -> $crate::names::Answer<'_, $crate::names::RevisionRecord> {
            self.$inner.activate_revision(type_name, number)
        }
    };
    (@ $inner:ident active_revisions) => {
        fn active_revisions(
            &self,
        ) -> $crate::names::Answer<'_, Vec<$crate::names::RevisionRecord>> {
            self.$inner.active_revisions()
        }
    };
    (@ $inner:ident revision) => {
        fn revision(
            &self,
            type_name: &$crate::names::TypeName,
            number: $crate::names::RevisionNumber,
        ) -> $crate::names::Answer<'_, Option<$crate::names::RevisionRecord>> {
            self.$inner.revision(type_name, number)
        }
    };
    (@ $inner:ident component) => {
        fn component(
            &self,
            digest: [u8; 32],
        ) -> $crate::names::Answer<'_, Option<$crate::names::Bytes>> {
            self.$inner.component(digest)
        }
    };
    (@ $inner:ident load) => {
        fn load(
            &self,
            object: &$crate::names::ObjectId,
        ) -> $crate::names::Answer<'_, Option<$crate::names::StoredObject>> {
            self.$inner.load(object)
        }
    };
    (@ $inner:ident commit) => {
        fn commit(
            &self,
            batch: Vec<$crate::names::Commit>,
        ) -> $crate::names::Answer<'_, Vec<Result<$crate::names::Version, $crate::names::Error>>>
        {
            self.$inner.commit(batch)
        }
    };
    (@ $inner:ident settle) => {
        fn settle(&self) -> $crate::names::Answer<'_, ()> {
            self.$inner.settle()
        }
    };
    (@ $inner:ident claim) => {
        fn claim(
            &self,
            owner: $crate::names::Owner,
            shards: Vec<($crate::names::ShardId, $crate::names::Epoch)>,
        ) -> $crate::names::Answer<'_, Vec<($crate::names::ShardId, $crate::names::Epoch)>> {
            self.$inner.claim(owner, shards)
        }
    };
    (@ $inner:ident raise) => {
        fn raise(
            &self,
            owner: $crate::names::Owner,
            shards: Vec<($crate::names::ShardId, $crate::names::Epoch)>,
        ) -> $crate::names::Answer<'_, Vec<$crate::names::Raised>> {
            self.$inner.raise(owner, shards)
        }
    };
    (@ $inner:ident epochs) => {
        fn epochs(&self) -> $crate::names::Answer<'_, Vec<$crate::names::Claimed>> {
            self.$inner.epochs()
        }
    };
    (@ $inner:ident storage_get) => {
        fn storage_get(
            &self,
            object: &$crate::names::ObjectId,
            key: &str,
        ) -> $crate::names::Answer<'_, Option<$crate::names::Bytes>> {
            self.$inner.storage_get(object, key)
        }
    };
    (@ $inner:ident storage_keys) => {
        fn storage_keys(
            &self,
            object: &$crate::names::ObjectId,
        ) -> $crate::names::Answer<'_, u64> {
            self.$inner.storage_keys(object)
        }
    };
    (@ $inner:ident storage_scan) => {
        fn storage_scan(
            &self,
            object: &$crate::names::ObjectId,
            prefix: &str,
            after: Option<&str>,
            limit: u32,
        ) -> $crate::names::Answer<'_, $crate::names::StoragePage> {
            self.$inner.storage_scan(object, prefix, after, limit)
        }
    };
    (@ $inner:ident result) => {
        fn result(
            &self,
            object: &$crate::names::ObjectId,
            key: &$crate::names::ResultKey,
        ) -> $crate::names::Answer<'_, Option<$crate::names::KeptResult>> {
            self.$inner.result(object, key)
        }
    };
    (@ $inner:ident result_keys) => {
        fn result_keys(
            &self,
            object: &$crate::names::ObjectId,
            limit: u32,
        ) -> $crate::names::Answer<'_, (Vec<$crate::names::ResultKey>, bool)> {
            self.$inner.result_keys(object, limit)
        }
    };
    (@ $inner:ident forget_results) => {
        fn forget_results(&self, kept: ::std::time::Duration) -> $crate::names::Answer<'_, bool> {
            self.$inner.forget_results(kept)
        }
    };
    (@ $inner:ident sends) => {
        fn sends(
            &self,
            shards: $crate::names::Shards,
            after: Option<&$crate::names::SendId>,
            limit: u32,
        ) -> $crate::names::Answer<'_, Vec<$crate::names::StoredSend>> {
            self.$inner.sends(shards, after, limit)
        }
    };
    (@ $inner:ident reminders) => {
        fn reminders(
            &self,
            object: &$crate::names::ObjectId,
        ) -> $crate::names::Answer<'_, Vec<$crate::names::StoredReminder>> {
            self.$inner.reminders(object)
        }
    };
    (@ $inner:ident due) => {
        fn due(
            &self,
            shards: $crate::names::Shards,
            until_micros: i64,
            after: Option<&$crate::names::StoredReminder>,
            limit: u32,
        ) -> $crate::names::Answer<'_, Vec<$crate::names::StoredReminder>> {
            self.$inner.due(shards, until_micros, after, limit)
        }
    };
    (@ $inner:ident dead_letters) => {
        fn dead_letters(
            &self,
            from: Option<&$crate::names::ObjectId>,
            after: u64,
            limit: u32,
        ) -> $crate::names::Answer<'_, Vec<$crate::names::DeadLetter>> {
            self.$inner.dead_letters(from, after, limit)
        }
    };
    (@ $inner:ident dead_letter) => {
        fn dead_letter(
            &self,
            number: u64,
        ) -> $crate::names::Answer<'_, Option<$crate::names::DeadLetter>> {
            self.$inner.dead_letter(number)
        }
    };
    (@ $inner:ident status) => {
        fn status(&self) -> $crate::names::Answer<'_, $crate::names::Status> {
            self.$inner.status()
        }
    };
    (@ $inner:ident dump) => {
        fn dump(
            &self,
            into: $crate::names::mpsc::Sender<Result<$crate::names::Record, $crate::names::Error>>,
        ) -> $crate::names::Answer<'_, ()> {
            self.$inner.dump(into)
        }
    };
    (@ $inner:ident restore) => {
        fn restore(
            &self,
            from: $crate::names::mpsc::Receiver<$crate::names::Record>,
        ) -> $crate::names::Answer<'_, ()> {
            self.$inner.restore(from)
        }
    };
    (@ $inner:ident list) => {
        fn list(
            &self,
            type_name: Option<&$crate::names::TypeName>,
            prefix: &str,
            after: Option<&$crate::names::ObjectId>,
            limit: u32,
        ) -> $crate::names::Answer<'_, $crate::names::Page> {
            self.$inner.list(type_name, prefix, after, limit)
        }
    };
    (@ $inner:ident close) => {
        fn close(&self) -> $crate::names::Answer<'_, ()> {
            self.$inner.close()
        }
    };
}
