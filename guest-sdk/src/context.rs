//! The turn that is running, and everything that an object may ask of the platform.

use std::{
    fmt,
    time::{Duration, SystemTime},
};

use serde::{Serialize, de::DeserializeOwned};

use crate::{Error, Link, ObjectId, Request, Result, Storage, Target, codec, reference::Outgoing};

/// Clients that the platform lets one push name.
const PUSH_CLIENTS_MAX: usize = 10_000;

/// The turn that is running, and everything that an object may ask of the platform.
///
/// A method that takes `ctx: &Context` gets one. Tests make a [`TestContext`](crate::TestContext).
#[derive(Clone, Debug)]
pub struct Context {
    me: ObjectId,
    link: Link,
}

/// How grave a line of the log is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// The finest detail.
    Trace,
    /// For debugging.
    Debug,
    /// Worth knowing.
    Info,
    /// Something is off.
    Warn,
    /// Something failed.
    Error,
}

impl Level {
    /// The level's name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Trace => "trace",
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
        }
    }
}

/// Who calls, and what for.
impl Context {
    pub(crate) fn new(me: ObjectId, link: Link) -> Self {
        Self { me, link }
    }

    pub(crate) fn link(&self) -> &Link {
        &self.link
    }

    /// The object that runs.
    pub fn me(&self) -> &ObjectId {
        &self.me
    }

    /// Its id.
    pub fn id(&self) -> &str {
        &self.me.id
    }

    /// The object that made this very call; none: a client, a reminder or the platform did.
    pub fn caller(&self) -> Option<ObjectId> {
        self.link.caller()
    }

    /// The id of the client that made this very call; none: an object, a reminder or the platform
    /// did, or a client without a session.
    pub fn client(&self) -> Option<String> {
        self.link.client()
    }

    /// When the caller gives up, in microseconds since 1970.
    pub fn deadline_micros(&self) -> u64 {
        self.link.deadline_micros()
    }

    /// How long the caller will wait still.
    pub fn time_left(&self) -> Duration {
        Duration::from_micros(self.deadline_micros().saturating_sub(self.now_micros()))
    }

    /// Unique among turns; the same in logs and traces. Empty outside turns.
    pub fn turn_id(&self) -> String {
        self.link.turn_id()
    }

    /// The key that makes this call exactly once in effect; none: its caller gave none. The calls
    /// that a turn with a key makes to durable objects have keys made of it: if the turn is run again
    /// and makes the same calls, they are not repeated.
    pub fn key(&self) -> Option<String> {
        self.link.key()
    }

    /// The W3C trace context.
    pub fn traceparent(&self) -> Option<String> {
        self.link.traceparent()
    }

    /// The revision of the type that is running.
    pub fn revision(&self) -> String {
        self.link.revision()
    }

    /// Whether what writes, sends, pushes or sets reminders is `denied` in this turn.
    pub fn read_only(&self) -> bool {
        self.link.read_only()
    }

    /// The wall clock, in microseconds since 1970.
    pub fn now_micros(&self) -> u64 {
        self.link.now_micros()
    }

    /// The wall clock.
    pub fn now(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_micros(self.now_micros())
    }

    /// Unpredictable bytes, at most 65,536 at once. A turn that is run again draws others: what it
    /// calls, and with what, should not hang on them.
    pub fn random_bytes(&self, length: u32) -> Vec<u8> {
        self.link.random_bytes(length)
    }

    /// An unpredictable number.
    pub fn random(&self) -> u64 {
        self.random_bytes(8).iter().fold(0, |number, byte| number << 8 | u64::from(*byte))
    }
}

/// Other objects, by names known at run time. Where the type is known, its typed reference
/// ([`Reference`](crate::Reference)) is shorter and checked.
impl Context {
    /// An object to call, and how: `ctx.object("Counter", "visits").key("…").request(…)`.
    pub fn object(&self, type_name: impl Into<String>, id: impl Into<String>) -> Target {
        Target::over(self.link.clone(), ObjectId::new(type_name.into(), id))
    }

    /// Calls a method and waits for its result. `&()` is no argument.
    ///
    /// # Errors
    /// What the other answered, or why it could not be asked.
    pub fn call<R: DeserializeOwned>(
        &self,
        type_name: &str,
        id: &str,
        method: &str,
        argument: &(impl Serialize + ?Sized),
    ) -> Result<R> {
        self.object(type_name, id).request(method.to_owned(), argument).call()
    }

    /// Calls a method one way: it leaves when this turn ends well, and its result goes to nobody.
    ///
    /// Between durable objects it arrives exactly once, in the order of sending; if the other refuses
    /// it with an error of its own, it becomes a dead letter. A sender that is not durable sends at
    /// most once; a target that is not durable may get it more than once.
    ///
    /// # Errors
    /// `denied` in a read-only turn, `invalid-argument` for a name that is none.
    pub fn send(
        &self,
        type_name: &str,
        id: &str,
        method: &str,
        argument: &(impl Serialize + ?Sized),
    ) -> Result<()> {
        self.object(type_name, id).request::<()>(method.to_owned(), argument).send()
    }

    /// Makes calls side by side. Each fails alone; the results stand in the order of the requests.
    pub fn call_many<R>(&self, requests: impl IntoIterator<Item = Request<R>>) -> Vec<Result<R>> {
        let requests: Vec<_> = requests.into_iter().collect();
        let outgoing: Vec<_> = requests.iter().map(Request::outgoing).collect();
        let ready: Vec<_> = outgoing.iter().filter_map(|one| one.as_ref().ok()).collect();
        let mut replies = self.link.call_many(&ready).into_iter();
        let lost = || Err(Error::of_kind(crate::ErrorKind::Internal, "a reply is missing"));
        let read = |(request, one): (&Request<R>, &Result<Outgoing<'_>>)| match one {
            Ok(_) => request.read(&replies.next().unwrap_or_else(lost)?),
            Err(error) => Err(error.clone()),
        };
        requests.iter().zip(&outgoing).map(read).collect()
    }

    /// Creates an object now.
    ///
    /// # Errors
    /// `already-exists` if it is there.
    pub fn create(&self, type_name: &str, id: &str) -> Result<()> {
        self.link.create(&ObjectId::new(type_name.to_owned(), id))
    }

    /// Deletes an object with all its state: another one now, oneself when this turn ends well.
    ///
    /// # Errors
    /// What the platform answered.
    pub fn delete(&self, type_name: &str, id: &str) -> Result<()> {
        self.link.delete(&ObjectId::new(type_name.to_owned(), id))
    }

    /// Whether an object was created, or completed a write turn, and was not deleted since.
    ///
    /// # Errors
    /// What the platform answered.
    pub fn exists(&self, type_name: &str, id: &str) -> Result<bool> {
        self.link.exists(&ObjectId::new(type_name.to_owned(), id))
    }
}

/// What is kept beside the state.
impl Context {
    /// The keyed storage of this object; see also [`Map`](crate::Map) and [`Log`](crate::Log).
    pub fn storage(&self) -> Storage<'_> {
        Storage::new(&self.link)
    }
}

/// Clients and the log.
impl Context {
    /// Pushes an event to a client, when this turn ends well.
    ///
    /// # Errors
    /// `denied` in a read-only turn.
    pub fn push(&self, client: &str, event: &str, data: &(impl Serialize + ?Sized)) -> Result<()> {
        self.push_all([client], event, data)
    }

    /// Pushes an event to each of these clients, however many, when this turn ends well.
    ///
    /// # Errors
    /// `denied` in a read-only turn.
    pub fn push_all<'a>(
        &self,
        clients: impl IntoIterator<Item = &'a str>,
        event: &str,
        data: &(impl Serialize + ?Sized),
    ) -> Result<()> {
        let clients: Vec<&str> = clients.into_iter().collect();
        let data = codec::encode(data)?;
        clients.chunks(PUSH_CLIENTS_MAX).try_for_each(|some| self.link.push(some, event, &data))
    }

    /// Pushes an event to every connected client, when this turn ends well.
    ///
    /// # Errors
    /// `denied` in a read-only turn.
    pub fn broadcast(&self, event: &str, data: &(impl Serialize + ?Sized)) -> Result<()> {
        self.link.broadcast(event, &codec::encode(data)?)
    }

    /// Writes a line to the object's log, with names and values.
    pub fn log(&self, level: Level, message: &str, fields: &[(&str, &dyn fmt::Display)]) {
        let texts: Vec<_> = fields.iter().map(|(name, value)| (*name, value.to_string())).collect();
        let fields: Vec<_> = texts.iter().map(|(name, text)| (*name, text.as_str())).collect();
        self.link.log(level, message, &fields);
    }

    /// Writes a line of the finest detail.
    pub fn trace(&self, message: &str) {
        self.link.log(Level::Trace, message, &[]);
    }

    /// Writes a line for debugging.
    pub fn debug(&self, message: &str) {
        self.link.log(Level::Debug, message, &[]);
    }

    /// Writes a line worth knowing.
    pub fn info(&self, message: &str) {
        self.link.log(Level::Info, message, &[]);
    }

    /// Writes that something is off.
    pub fn warn(&self, message: &str) {
        self.link.log(Level::Warn, message, &[]);
    }

    /// Writes that something failed.
    pub fn error(&self, message: &str) {
        self.link.log(Level::Error, message, &[]);
    }
}
