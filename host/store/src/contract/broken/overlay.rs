//! Keyed storage in memory, apart from the objects that it belongs to.

use std::{collections::BTreeMap, sync::Mutex};

use bytes::Bytes;
use wasmverse_core::ObjectId;

use super::Fault;
use crate::{Change, Commit, StoragePage};

#[derive(Default)]
pub(super) struct Overlay(Mutex<BTreeMap<(ObjectId, String), Bytes>>);

impl Overlay {
    /// Keeps what a commit says of storage, as the fault has it.
    pub(super) fn committed(&self, fault: Fault, row: &Commit, written: bool) {
        let mut held = self.0.lock().unwrap();
        if !written && fault != Fault::CommitsStorageApart {
            return;
        }
        if row.change == Change::Delete {
            if fault != Fault::KeepsStorageOfTheDeleted {
                held.retain(|(object, _), _| *object != row.object);
            }
            return;
        }
        for (key, value) in &row.storage {
            let key = (row.object.clone(), key.clone());
            match value {
                Some(value) => {
                    held.insert(key, value.clone());
                }
                None if fault == Fault::UnsetsNothing => {}
                None => {
                    held.remove(&key);
                }
            }
        }
    }

    pub(super) fn get(&self, object: &ObjectId, key: &str) -> Option<Bytes> {
        let key = (object.clone(), key.to_owned());
        self.0.lock().unwrap().get(&key).cloned()
    }

    pub(super) fn scan(
        &self,
        object: &ObjectId,
        prefix: &str,
        after: Option<&str>,
        limit: u32,
    ) -> StoragePage {
        let held = self.0.lock().unwrap();
        let mut of_object = held
            .iter()
            .filter(|((whose, key), _)| {
                whose == object
                    && key.starts_with(prefix)
                    && after.is_none_or(|after| key.as_str() > after)
            })
            .map(|((_, key), value)| (key.clone(), value.clone()));
        let rows = of_object.by_ref().take(limit.min(1000) as usize).collect();
        StoragePage { rows, more: of_object.next().is_some() }
    }
}
