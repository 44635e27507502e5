//! The import `turn`: what a guest may learn of the turn that it runs. Computed when asked for.

use std::time::Instant;

use wasmverse_core::{Caller, DERIVED};

use crate::{
    bindings::{ObjectRef, wasmverse::object::turn},
    host::Host,
    journal::now_micros,
};

impl turn::Host for Host {
    fn id(&mut self) -> wasmtime::Result<String> {
        self.count(1)?;
        Ok(self.turn.as_ref().map(|turn| turn.id.to_string()).unwrap_or_default())
    }

    fn caller(&mut self) -> wasmtime::Result<Option<ObjectRef>> {
        self.count(1)?;
        let Some(Caller::Object(object)) = self.turn.as_ref().map(|turn| &turn.caller) else {
            return Ok(None);
        };
        let type_name = object.type_name().as_str().to_owned();
        Ok(Some(ObjectRef { type_name, id: object.id().to_owned() }))
    }

    fn client(&mut self) -> wasmtime::Result<Option<String>> {
        self.count(1)?;
        match self.turn.as_ref().map(|turn| &turn.caller) {
            Some(Caller::Client(Some(client))) => Ok(Some(client.as_ref().to_owned())),
            _ => Ok(None),
        }
    }

    fn deadline_micros(&mut self) -> wasmtime::Result<u64> {
        self.count(1)?;
        let left = self.deadline.saturating_duration_since(Instant::now());
        let wall = u64::try_from(now_micros()).unwrap_or_default();
        Ok(wall.saturating_add(u64::try_from(left.as_micros()).unwrap_or(u64::MAX)))
    }

    fn idempotency_key(&mut self) -> wasmtime::Result<Option<String>> {
        self.count(1)?;
        let key = self.turn.as_ref().and_then(|turn| turn.key.as_deref());
        Ok(key.map(|key| key.trim_start_matches(DERIVED).to_owned()))
    }

    fn traceparent(&mut self) -> wasmtime::Result<Option<String>> {
        self.count(1)?;
        let parent = self.turn.as_ref().and_then(|turn| turn.traceparent.as_deref());
        Ok(parent.map(str::to_owned))
    }

    fn revision(&mut self) -> wasmtime::Result<String> {
        self.count(1)?;
        Ok(self.revision.to_string())
    }

    fn read_only(&mut self) -> wasmtime::Result<bool> {
        self.count(1)?;
        Ok(self.turn.as_ref().is_some_and(|turn| turn.read_only))
    }
}
