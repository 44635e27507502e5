//! The platform, reached through the imports of the component.

use crate::{
    Error, Level, ObjectId, Reminder, Result,
    generated::object::wasmverse::object::{
        clients, log, objects, reminders, storage, system, turn,
        types::{ObjectRefParam, ObjectRefResult, Request},
    },
    reference::Outgoing,
    when::Timing,
};

/// The platform. There is one.
#[derive(Clone, Debug)]
pub(crate) struct Link;

impl Link {
    pub(crate) fn current() -> Self {
        Self
    }

    pub(crate) fn caller(&self) -> Option<ObjectId> {
        turn::caller().map(ObjectId::from)
    }

    pub(crate) fn client(&self) -> Option<String> {
        turn::client()
    }

    pub(crate) fn deadline_micros(&self) -> u64 {
        turn::deadline_micros()
    }

    pub(crate) fn turn_id(&self) -> String {
        turn::id()
    }

    pub(crate) fn key(&self) -> Option<String> {
        turn::idempotency_key()
    }

    pub(crate) fn traceparent(&self) -> Option<String> {
        turn::traceparent()
    }

    pub(crate) fn revision(&self) -> String {
        turn::revision()
    }

    pub(crate) fn read_only(&self) -> bool {
        turn::read_only()
    }

    pub(crate) fn now_micros(&self) -> u64 {
        system::now_micros()
    }

    pub(crate) fn random_bytes(&self, length: u32) -> Vec<u8> {
        system::random_bytes(length)
    }

    pub(crate) fn call(&self, call: &Outgoing<'_>) -> Result<Vec<u8>> {
        objects::call(request(call, &options(call))).map_err(Error::from)
    }

    pub(crate) fn call_many(&self, calls: &[&Outgoing<'_>]) -> Vec<Result<Vec<u8>>> {
        let options: Vec<_> = calls.iter().map(|call| options(call)).collect();
        let requests: Vec<_> =
            calls.iter().zip(&options).map(|(call, options)| request(call, options)).collect();
        let results = objects::call_many(&requests);
        results.into_iter().map(|result| result.map_err(Error::from)).collect()
    }

    pub(crate) fn send(&self, call: &Outgoing<'_>) -> Result<()> {
        objects::send(request(call, &options(call))).map_err(Error::from)
    }

    pub(crate) fn create(&self, object: &ObjectId) -> Result<()> {
        objects::create(name(object)).map_err(Error::from)
    }

    pub(crate) fn delete(&self, object: &ObjectId) -> Result<()> {
        objects::delete(name(object)).map_err(Error::from)
    }

    pub(crate) fn exists(&self, object: &ObjectId) -> Result<bool> {
        objects::exists(name(object)).map_err(Error::from)
    }

    pub(crate) fn push(&self, to: &[&str], event: &str, data: &[u8]) -> Result<()> {
        clients::push(to, event, data).map_err(Error::from)
    }

    pub(crate) fn broadcast(&self, event: &str, data: &[u8]) -> Result<()> {
        clients::broadcast(event, data).map_err(Error::from)
    }

    pub(crate) fn storage_get(&self, key: &str) -> Result<Option<Vec<u8>>> {
        storage::get(key).map_err(Error::from)
    }

    pub(crate) fn storage_set(&self, key: &str, value: &[u8]) -> Result<()> {
        storage::set(key, value).map_err(Error::from)
    }

    pub(crate) fn storage_delete(&self, key: &str) -> Result<()> {
        storage::delete(key).map_err(Error::from)
    }

    pub(crate) fn storage_scan(
        &self,
        prefix: &str,
        after: &str,
        limit: u32,
    ) -> Result<Vec<(String, Vec<u8>)>> {
        storage::scan(prefix, after, limit).map_err(Error::from)
    }

    pub(crate) fn set_reminder(
        &self,
        name: &str,
        when: &Timing,
        method: &str,
        payload: &[u8],
    ) -> Result<()> {
        reminders::set(name, &when.words()?, method, payload).map_err(Error::from)
    }

    pub(crate) fn cancel_reminder(&self, name: &str) -> Result<()> {
        reminders::cancel(name).map_err(Error::from)
    }

    pub(crate) fn reminders(&self) -> Result<Vec<Reminder>> {
        Ok(reminders::pending()?.into_iter().map(Reminder::from).collect())
    }

    pub(crate) fn log(&self, level: Level, message: &str, fields: &[(&str, &str)]) {
        log::write(level.as_str(), message, fields);
    }
}

impl From<ObjectRefResult> for ObjectId {
    fn from(object: ObjectRefResult) -> Self {
        Self::new(object.type_name, object.id)
    }
}

impl From<reminders::Reminder> for Reminder {
    fn from(set: reminders::Reminder) -> Self {
        let reminders::Reminder { name, when, method, payload, due_micros } = set;
        Self { name, when, method, payload, due_micros }
    }
}

fn name(object: &ObjectId) -> ObjectRefParam<'_> {
    ObjectRefParam { type_name: &object.type_name, id: &object.id }
}

fn options<'a>(call: &'a Outgoing<'_>) -> Vec<(&'a str, &'a str)> {
    call.options.iter().map(|(name, value)| (*name, &**value)).collect()
}

fn request<'a>(call: &'a Outgoing<'_>, options: &'a [(&'a str, &'a str)]) -> Request<'a> {
    Request { to: name(call.to), method: call.method, payload: call.payload, options }
}
