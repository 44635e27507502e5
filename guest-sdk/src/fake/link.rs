//! The platform of a test context, as the object reaches it.

use std::{
    cell::RefCell,
    rc::{Rc, Weak},
    time::Duration,
};

use serde_json::Value;

use super::{Asked, Line, Pushed, WORLDS, What, World};
use crate::{Error, ErrorKind, Level, ObjectId, Result, codec, reference::Outgoing};

/// The platform of one test context.
#[derive(Clone, Debug)]
pub(crate) struct Link(pub(super) Option<Rc<RefCell<World>>>);

impl Link {
    /// That of the context made last on this thread.
    pub(crate) fn current() -> Self {
        Self(WORLDS.with_borrow(|worlds| worlds.iter().rev().find_map(Weak::upgrade)))
    }

    pub(super) fn world(&self) -> Result<&RefCell<World>> {
        self.0.as_deref().ok_or_else(|| {
            let message = "there is no platform here: make a TestContext on this thread first";
            Error::of_kind(ErrorKind::Internal, message)
        })
    }

    fn get<T>(&self, what: impl FnOnce(&World) -> T) -> T {
        what(&self.world().expect("a context has a platform").borrow())
    }

    pub(crate) fn caller(&self) -> Option<ObjectId> {
        self.get(|world| world.caller.clone())
    }

    pub(crate) fn client(&self) -> Option<String> {
        self.get(|world| world.client.clone())
    }

    pub(crate) fn deadline_micros(&self) -> u64 {
        self.get(|world| world.deadline_micros)
    }

    pub(crate) fn turn_id(&self) -> String {
        "test".into()
    }

    pub(crate) fn key(&self) -> Option<String> {
        self.get(|world| world.key.clone())
    }

    pub(crate) fn traceparent(&self) -> Option<String> {
        None
    }

    pub(crate) fn revision(&self) -> String {
        self.get(|world| world.revision.clone())
    }

    pub(crate) fn read_only(&self) -> bool {
        self.get(|world| world.read_only)
    }

    pub(crate) fn now_micros(&self) -> u64 {
        self.get(|world| world.now_micros)
    }

    /// The same bytes in every run, others at every asking.
    pub(crate) fn random_bytes(&self, length: u32) -> Vec<u8> {
        let mut world = self.world().expect("a context has a platform").borrow_mut();
        let mut next = || {
            // splitmix64
            world.random = world.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mixed = (world.random ^ (world.random >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            mixed.to_le_bytes()[4]
        };
        (0..length).map(|_| next()).collect()
    }

    /// Records what is asked, and finds the last answer given for it.
    fn ask(&self, asked: &Asked) -> Result<Option<Vec<u8>>> {
        let world = self.world()?;
        let what = asked.what;
        if !matches!(what, What::Call | What::Exists) && world.borrow().read_only {
            return Err(denied());
        }
        world.borrow_mut().asked.push(asked.clone());
        // Taken out while they run, so that an answer may use the context.
        let mut answers = std::mem::take(&mut world.borrow_mut().answers);
        let answer = answers.iter_mut().rev().find_map(|answer| answer(asked));
        let mut world = world.borrow_mut();
        answers.append(&mut world.answers);
        world.answers = answers;
        match (what, answer) {
            (_, Some(answer)) => answer.map(Some),
            (What::Call, None) => Err(Error::of_kind(
                ErrorKind::NotFound,
                format!("the test has no answer for {}.{}", asked.to, asked.method),
            )),
            (_, None) => Ok(None),
        }
    }

    pub(crate) fn call(&self, call: &Outgoing<'_>) -> Result<Vec<u8>> {
        self.ask(&asked(What::Call, call)).map(Option::unwrap_or_default)
    }

    pub(crate) fn call_many(&self, calls: &[&Outgoing<'_>]) -> Vec<Result<Vec<u8>>> {
        calls.iter().map(|call| self.call(call)).collect()
    }

    pub(crate) fn send(&self, call: &Outgoing<'_>) -> Result<()> {
        self.ask(&asked(What::Send, call)).map(drop)
    }

    pub(crate) fn create(&self, object: &ObjectId) -> Result<()> {
        self.ask(&plain(What::Create, object)).map(drop)
    }

    pub(crate) fn delete(&self, object: &ObjectId) -> Result<()> {
        self.ask(&plain(What::Delete, object)).map(drop)
    }

    pub(crate) fn exists(&self, object: &ObjectId) -> Result<bool> {
        Ok(self.ask(&plain(What::Exists, object))?.as_deref() == Some(b"true"))
    }

    pub(crate) fn push(&self, to: &[&str], event: &str, data: &[u8]) -> Result<()> {
        self.pushed(Some(to.iter().map(|&client| client.into()).collect()), event, data)
    }

    pub(crate) fn broadcast(&self, event: &str, data: &[u8]) -> Result<()> {
        self.pushed(None, event, data)
    }

    fn pushed(&self, to: Option<Vec<String>>, event: &str, data: &[u8]) -> Result<()> {
        let mut world = self.world()?.borrow_mut();
        if world.read_only {
            return Err(denied());
        }
        world.pushed.push(Pushed { to, event: event.into(), data: codec::decode(data)? });
        Ok(())
    }

    pub(crate) fn storage_get(&self, key: &str) -> Result<Option<Vec<u8>>> {
        Ok(self.world()?.borrow().stored.borrow().get(key).cloned())
    }

    pub(crate) fn storage_set(&self, key: &str, value: &[u8]) -> Result<()> {
        self.writable()?.borrow().stored.borrow_mut().insert(key.into(), value.into());
        Ok(())
    }

    pub(crate) fn storage_delete(&self, key: &str) -> Result<()> {
        self.writable()?.borrow().stored.borrow_mut().remove(key);
        Ok(())
    }

    pub(crate) fn storage_scan(
        &self,
        prefix: &str,
        after: &str,
        limit: u32,
    ) -> Result<Vec<(String, Vec<u8>)>> {
        let world = self.world()?.borrow();
        let stored = world.stored.borrow();
        let matching = stored.iter();
        let matching = matching.filter(|(key, _)| key.starts_with(prefix) && key.as_str() > after);
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let page = matching.take(if limit == 0 { usize::MAX } else { limit });
        Ok(page.map(|(key, value)| (key.clone(), value.clone())).collect())
    }

    /// The world, if the turn may change it.
    pub(super) fn writable(&self) -> Result<&RefCell<World>> {
        let world = self.world()?;
        if world.borrow().read_only { Err(denied()) } else { Ok(world) }
    }

    pub(crate) fn log(&self, level: Level, message: &str, fields: &[(&str, &str)]) {
        if let Ok(world) = self.world() {
            let fields = fields.iter().map(|&(name, value)| (name.into(), value.into())).collect();
            world.borrow_mut().lines.push(Line { level, message: message.into(), fields });
        }
    }
}

fn denied() -> Error {
    Error::of_kind(ErrorKind::Denied, "the method is read-only")
}

fn plain(what: What, object: &ObjectId) -> Asked {
    Asked {
        what,
        to: object.clone(),
        method: String::new(),
        argument: Value::Null,
        payload: Vec::new(),
        timeout: None,
        key: None,
    }
}

fn asked(what: What, call: &Outgoing<'_>) -> Asked {
    let option = |wanted| {
        let (_, value) = call.options.iter().find(|(name, _)| *name == wanted)?;
        Some(value.to_string())
    };
    let timeout = option("timeout").and_then(|text| text.trim_end_matches("ms").parse().ok());
    Asked {
        method: call.method.into(),
        argument: serde_json::from_slice(call.payload).unwrap_or_default(),
        payload: call.payload.into(),
        timeout: timeout.map(Duration::from_millis),
        key: option("idempotency-key"),
        ..plain(what, call.to)
    }
}
