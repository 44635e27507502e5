//! The import `storage`: keyed state needs the durable store, so for now it answers `denied`.

use wasmverse_core::CallError;

use crate::{
    bindings::{Failure, wasmverse::object::storage},
    host::{Host, Step, denied},
};

type Answer<T> = wasmtime::Result<Result<T, Failure>>;

impl storage::Host for Host {
    fn get(&mut self, _key: String) -> Answer<Option<Vec<u8>>> {
        self.no_storage("storage.get")
    }

    fn set(&mut self, _key: String, _value: Vec<u8>) -> Answer<()> {
        self.no_storage("storage.set")
    }

    fn delete(&mut self, _key: String) -> Answer<()> {
        self.no_storage("storage.delete")
    }

    fn scan(
        &mut self,
        _prefix: String,
        _after: String,
        _limit: u32,
    ) -> Answer<Vec<(String, Vec<u8>)>> {
        self.no_storage("storage.scan")
    }
}

impl Host {
    fn no_storage<T>(&mut self, function: &str) -> Answer<T> {
        self.count(1)?;
        let error = self.storage_denied(function);
        Ok(self.answer(Err(error)))
    }

    fn storage_denied(&self, function: &str) -> CallError {
        match self.step {
            Step::Activate | Step::Handle => denied(format!(
                "`{function}` is for durable types, and needs the durable store, which this \
                 version does not have yet: keep the state in the object itself"
            )),
            Step::Start | Step::Describe | Step::Snapshot | Step::Deactivate => {
                let step = self.step.as_str();
                denied(format!(
                    "`{function}` is for `activate` and `handle` only, this is `{step}`"
                ))
            }
        }
    }
}
