//! The import `storage`: keyed values of a durable object. Reads see what the turn wrote; what it
//! wrote is collected, and committed with it.

use std::sync::Arc;

use bytes::Bytes;
use wasmverse_core::{CallError, Durability, ErrorKind};

use crate::{
    bindings::{Failure, wasmverse::object::storage},
    host::{EFFECT_BYTES, Host, Step, denied, invalid},
    journal::Writer,
};

/// The longest key, in bytes.
const KEY_BYTES_MAX: usize = 1024;
/// Keys in one page of a scan.
const SCAN_LIMIT_MAX: u32 = 1000;

type Answer<T> = wasmtime::Result<Result<T, Failure>>;
type Pairs<T> = Vec<(String, T)>;

impl storage::Host for Host {
    async fn get(&mut self, key: String) -> Answer<Option<Vec<u8>>> {
        self.count(1)?;
        let answer = self.read(&key).await;
        Ok(self.answer(answer.map(|value| value.map(Into::into))))
    }

    async fn set(&mut self, key: String, value: Vec<u8>) -> Answer<()> {
        self.count(1)?;
        let answer = self.put(&key, value).await;
        Ok(self.answer(answer))
    }

    fn delete(&mut self, key: String) -> Answer<()> {
        self.count(1)?;
        let answer = self.remove(&key);
        Ok(self.answer(answer))
    }

    async fn scan(&mut self, prefix: String, after: String, limit: u32) -> Answer<Pairs<Vec<u8>>> {
        self.count(1)?;
        let answer = self.page(&prefix, after, limit).await;
        let owned = |pairs: Pairs<Bytes>| {
            pairs.into_iter().map(|(key, value)| (key, value.into())).collect()
        };
        Ok(self.answer(answer.map(owned)))
    }
}

impl Host {
    async fn read(&mut self, key: &str) -> Result<Option<Bytes>, CallError> {
        let writer = self.reader("storage.get")?;
        check_key(key)?;
        if let Some(known) = self.storage.known(key) {
            return Ok(known);
        }
        let value = writer.outbound.storage_get(&writer.object, key).await?;
        self.storage.learn(key, value.clone());
        Ok(value)
    }

    async fn put(&mut self, key: &str, value: Vec<u8>) -> Result<(), CallError> {
        let writer = self.writable("storage.set", key)?;
        self.check_payload(&value)?;
        if !self.storage.has_room(key, self.limits.storage_keys) {
            self.look_for_room(&writer, key).await?;
        }
        self.keep(key, Some(value))
    }

    fn remove(&mut self, key: &str) -> Result<(), CallError> {
        self.writable("storage.delete", key)?;
        self.keep(key, None)
    }

    fn keep(&mut self, key: &str, value: Option<Vec<u8>>) -> Result<(), CallError> {
        let bytes = value.as_ref().map_or(0, Vec::len);
        self.take_effect_bytes(EFFECT_BYTES + key.len() + bytes)?;
        self.storage.write(key, value.map(Bytes::from));
        Ok(())
    }

    /// The object, if it may write that key now.
    fn writable(&self, function: &str, key: &str) -> Result<Arc<Writer>, CallError> {
        let writer = self.reader(function)?;
        if self.step == Step::Handle {
            self.write_turn(function)?;
        }
        check_key(key)?;
        Ok(writer)
    }

    /// Whether there may be one key more: asks the store how many there are and, if that is too
    /// many, which of those that were written are not new.
    async fn look_for_room(&mut self, writer: &Writer, key: &str) -> Result<(), CallError> {
        let limit = self.limits.storage_keys;
        let counted = writer.outbound.storage_keys(&writer.object).await?;
        self.storage.count(counted);
        if self.storage.has_room(key, limit) {
            return Ok(());
        }
        for written in self.storage.unsure() {
            let value = writer.outbound.storage_get(&writer.object, &written).await?;
            if value.is_some() {
                self.storage.is_old(&written);
            }
            self.storage.learn(&written, value);
        }
        let value = writer.outbound.storage_get(&writer.object, key).await?;
        let is_old = value.is_some();
        self.storage.learn(key, value);
        if is_old || self.storage.has_room(key, limit) {
            return Ok(());
        }
        self.memory.storage_denied();
        Err(denied(format!(
            "the object has {counted} keys in its storage, and its type's limit `storage_keys` is \
             {limit}: remove keys first, or have the type ask for more"
        )))
    }

    /// A page that holds something, unless there is nothing more.
    async fn page(
        &mut self,
        prefix: &str,
        mut after: String,
        limit: u32,
    ) -> Result<Pairs<Bytes>, CallError> {
        let writer = self.reader("storage.scan")?;
        let limit = if limit == 0 { SCAN_LIMIT_MAX } else { limit.min(SCAN_LIMIT_MAX) };
        loop {
            let stored = writer.outbound.storage_scan(&writer.object, prefix, &after, limit);
            let stored = stored.await?;
            let last = stored.last().map(|(key, _)| key.clone());
            let seen = self.storage.lay_over(prefix, &after, stored);
            match last {
                // All of them were removed by this turn.
                Some(last) if seen.is_empty() => after = last,
                _ => return self.fitting(seen, limit),
            }
        }
    }

    /// As much of a page as one answer may hold, one pair at least.
    fn fitting(&self, mut seen: Pairs<Bytes>, limit: u32) -> Result<Pairs<Bytes>, CallError> {
        let mut left = self.limits.payload_bytes;
        let fits = seen.iter().take(limit as usize).take_while(|(key, value)| {
            let bytes = EFFECT_BYTES + key.len() + value.len();
            let fits = bytes <= left;
            left = left.saturating_sub(bytes);
            fits
        });
        let fitting = fits.count().max(1);
        seen.truncate(fitting);
        Ok(seen)
    }

    /// The object, if its storage may be looked at now.
    fn reader(&self, function: &str) -> Result<Arc<Writer>, CallError> {
        if !matches!(self.step, Step::Activate | Step::Handle) {
            let step = self.step.as_str();
            return Err(denied(format!(
                "`{function}` is for `activate` and `handle` only, this is `{step}`"
            )));
        }
        if self.durability != Durability::Durable {
            return Err(denied(format!(
                "`{function}` is for durable types: declare `\"durability\": \"durable\"`, or \
                 keep the state in the object itself"
            )));
        }
        let nobody = || CallError::new(ErrorKind::Internal, "there is no object");
        self.writer.clone().ok_or_else(nobody)
    }
}

fn check_key(key: &str) -> Result<(), CallError> {
    if key.is_empty() || key.len() > KEY_BYTES_MAX {
        let bytes = key.len();
        return Err(invalid(format!("a key has 1 to {KEY_BYTES_MAX} bytes, this one {bytes}")));
    }
    if key.contains('\0') {
        return Err(invalid("a key holds no U+0000"));
    }
    Ok(())
}
