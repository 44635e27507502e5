//! A platform for tests: it answers what the test told it to, and records what was asked.

mod link;
mod reminders;

use std::{
    cell::{Ref, RefCell},
    collections::BTreeMap,
    fmt,
    ops::Deref,
    rc::{Rc, Weak},
    time::Duration,
};

use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

use crate::{Context, Level, Object, ObjectId, Result, codec};

pub(crate) use link::Link;
use reminders::Reminders;

/// A context for native tests: records what the object asks for, answers what the test says.
///
/// ```
/// # use wasmverse_sdk::{prelude::*, TestContext};
/// # #[derive(Default, Serialize, Deserialize)]
/// # struct Greeter;
/// #[object]
/// impl Greeter {
///     fn greet(&self, ctx: &Context) -> Result<String> {
///         let name: String = ctx.call("Profile", ctx.id(), "name", &())?;
///         ctx.info("greeted");
///         Ok(format!("Hello, {name}"))
///     }
/// }
///
/// # fn main() {
/// let ctx = TestContext::new("Greeter", "7");
/// ctx.answer("Profile", "7", "name", Ok("Ada"));
/// assert_eq!(Greeter.greet(&ctx).unwrap(), "Hello, Ada");
/// assert_eq!(ctx.asked()[0].to.to_string(), "Profile/7");
/// assert_eq!(ctx.lines()[0].message, "greeted");
/// # }
/// ```
///
/// References that no context made, such as `CounterRef::at("visits")`, ask the context that was
/// made last on the same thread.
#[derive(Debug)]
pub struct TestContext {
    context: Context,
    world: Rc<RefCell<World>>,
}

/// Something that an object asked of another.
#[derive(Clone, Debug, PartialEq)]
pub struct Asked {
    /// What it is.
    pub what: What,
    /// Of whom.
    pub to: ObjectId,
    /// The method; empty where there is none.
    pub method: String,
    /// The argument; null where there is none or it is no JSON.
    pub argument: Value,
    /// The argument as it was sent.
    pub payload: Vec<u8>,
    /// The call's own limit of time.
    pub timeout: Option<Duration>,
    /// What makes it exactly once in effect.
    pub key: Option<String>,
}

/// What can be asked of another object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is explained at Context")]
pub enum What {
    Call,
    Send,
    Create,
    Delete,
    Exists,
}

/// An event that an object pushed.
#[derive(Clone, Debug, PartialEq)]
pub struct Pushed {
    /// The clients; none: all of them.
    pub to: Option<Vec<String>>,
    /// The event's name.
    pub event: String,
    /// Its data.
    pub data: Value,
}

/// A line that an object logged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// How grave it is.
    pub level: Level,
    /// What it says.
    pub message: String,
    /// Names and values.
    pub fields: Vec<(String, String)>,
}

type Answer = Box<dyn FnMut(&Asked) -> Option<Result<Vec<u8>>>>;

#[derive(Default)]
struct World {
    caller: Option<ObjectId>,
    client: Option<String>,
    key: Option<String>,
    revision: String,
    read_only: bool,
    deadline_micros: u64,
    now_micros: u64,
    random: u64,
    answers: Vec<Answer>,
    asked: Vec<Asked>,
    pushed: Vec<Pushed>,
    lines: Vec<Line>,
    stored: Rc<RefCell<BTreeMap<String, Vec<u8>>>>,
    reminders: Rc<RefCell<Reminders>>,
}

impl fmt::Debug for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("World").field("asked", &self.asked).finish_non_exhaustive()
    }
}

thread_local! {
    static WORLDS: RefCell<Vec<Weak<RefCell<World>>>> = const { RefCell::new(Vec::new()) };
}

/// The beginning of 2026: a time that tests can expect.
const NOW_MICROS: u64 = 1_767_225_600_000_000;
const DEADLINE_MICROS: u64 = 30_000_000;

impl TestContext {
    /// A turn of that object: called by nobody in particular, at a fixed time, with 30 s left.
    pub fn new(type_name: &str, id: &str) -> Self {
        let world = Rc::new(RefCell::new(World {
            revision: "test".into(),
            now_micros: NOW_MICROS,
            deadline_micros: NOW_MICROS + DEADLINE_MICROS,
            ..World::default()
        }));
        WORLDS.with_borrow_mut(|worlds| {
            worlds.retain(|world| world.strong_count() > 0);
            worlds.push(Rc::downgrade(&world));
        });
        let link = Link(Some(Rc::clone(&world)));
        let context = Context::new(ObjectId::new(type_name.to_owned(), id), link);
        Self { context, world }
    }

    /// A turn of an object of type `T`.
    pub fn of<T: Object>(id: &str) -> Self {
        Self::new(T::TYPE, id)
    }

    /// Another object makes the call.
    #[must_use]
    pub fn called_by(self, type_name: &str, id: &str) -> Self {
        self.world.borrow_mut().caller = Some(ObjectId::new(type_name.to_owned(), id));
        self
    }

    /// A client makes the call.
    #[must_use]
    pub fn from_client(self, client: &str) -> Self {
        self.world.borrow_mut().client = Some(client.into());
        self
    }

    /// The call has an idempotency key.
    #[must_use]
    pub fn keyed(self, key: &str) -> Self {
        self.world.borrow_mut().key = Some(key.into());
        self
    }

    /// The turn is read-only: what writes, sends, pushes or sets reminders is `denied`.
    #[must_use]
    pub fn in_read_only(self) -> Self {
        self.world.borrow_mut().read_only = true;
        self
    }

    /// The turn comes after another one of the same object, and finds the storage and the reminders
    /// that it left. Its clock begins where that of all begins.
    #[must_use]
    pub fn after(self, earlier: &Self) -> Self {
        let World { stored, reminders, .. } = &*earlier.world.borrow();
        let mut world = self.world.borrow_mut();
        (world.stored, world.reminders) = (Rc::clone(stored), Rc::clone(reminders));
        drop(world);
        self
    }

    /// Lets time pass.
    pub fn pass(&self, time: Duration) {
        let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        let mut world = self.world.borrow_mut();
        world.now_micros = world.now_micros.saturating_add(micros);
    }

    /// What calls of that method of that object answer from now on.
    pub fn answer<R: Serialize>(&self, type_name: &str, id: &str, method: &str, with: Result<R>) {
        let (to, method) = (ObjectId::new(type_name.to_owned(), id), method.to_owned());
        let reply = with.and_then(|value| codec::encode(&value));
        self.answer_with(move |asked| {
            let meant = asked.what == What::Call && asked.to == to && asked.method == method;
            meant.then(|| reply.clone())
        });
    }

    /// Answers whatever is asked from now on, as JSON bytes; `None` leaves it to the answers given
    /// before. What nobody answers is `not-found` for a call, `false` for `exists`, done for the rest.
    pub fn answer_with(&self, answer: impl FnMut(&Asked) -> Option<Result<Vec<u8>>> + 'static) {
        self.world.borrow_mut().answers.push(Box::new(answer));
    }

    /// Runs a method the way the host does, with JSON in and out; no result is null.
    ///
    /// # Errors
    /// What the method answers, or what is wrong with its name or argument.
    pub fn invoke<T: Object, R: DeserializeOwned>(
        &self,
        object: &mut T,
        method: &str,
        argument: &(impl Serialize + ?Sized),
    ) -> Result<R> {
        codec::decode(&object.handle(&self.context, method, codec::encode(argument)?)?)
    }

    /// What was asked of other objects, in order.
    pub fn asked(&self) -> Ref<'_, [Asked]> {
        Ref::map(self.world.borrow(), |world| &world.asked[..])
    }

    /// What was pushed to clients, in order.
    pub fn pushed(&self) -> Ref<'_, [Pushed]> {
        Ref::map(self.world.borrow(), |world| &world.pushed[..])
    }

    /// What was logged, in order.
    pub fn lines(&self) -> Ref<'_, [Line]> {
        Ref::map(self.world.borrow(), |world| &world.lines[..])
    }
}

impl Deref for TestContext {
    type Target = Context;

    fn deref(&self) -> &Context {
        &self.context
    }
}
