//! A stage for one engine: loads components, makes actors of them, and plays the rest of the world.
//!
//! Objects that are on stage answer each other's calls; `Script/…` answers as its methods say;
//! all others are `not-found`.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures_util::future::{BoxFuture, FutureExt};
use wasmverse_core::{
    Action, Call, CallError, Caller, Chain, ErrorKind, Mode, ObjectId, Reminder, ReminderChanges,
    Reply, RevisionNumber, State, TurnEnd,
};
use wasmverse_engine::{
    Component, Config, Engine, Instance, LoadError, LogLine, Outbound, Turn, TurnId, TurnReport,
};

/// An engine and the world around its objects. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Stage {
    engine: Engine,
    world: Arc<World>,
}

#[derive(Debug, Default)]
struct World {
    actors: Mutex<HashMap<ObjectId, Actor>>,
    calls: Mutex<Vec<Call>>,
    lines: Mutex<Vec<LogLine>>,
}

/// One object on stage. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Actor {
    /// Who it is.
    pub me: ObjectId,
    component: Component,
    instance: Arc<tokio::sync::Mutex<Instance>>,
}

impl Stage {
    /// An engine of that configuration.
    ///
    /// # Panics
    /// If it does not start.
    pub fn new(config: Config) -> Self {
        let engine = Engine::new(config).expect("the engine starts");
        Self { engine, world: Arc::default() }
    }

    /// Checks and compiles a component.
    ///
    /// # Errors
    /// What the engine says.
    pub async fn load(&self, bytes: impl Into<Bytes>) -> Result<Component, LoadError> {
        self.engine.load(bytes.into()).await
    }

    /// Makes an object and activates it.
    ///
    /// # Errors
    /// What the object says.
    pub async fn wake(
        &self,
        component: &Component,
        id: &str,
        state: Option<State>,
    ) -> Result<Actor, CallError> {
        let me = ObjectId::parse(component.spec().type_name.as_str(), id)?;
        let world: Arc<dyn Outbound> = Arc::new(Player(Arc::clone(&self.world)));
        let mut instance = component.instantiate(me.clone(), RevisionNumber(7), world).await?;
        instance.activate(state).await?;
        let instance = Arc::new(tokio::sync::Mutex::new(instance));
        let actor = Actor { me: me.clone(), component: component.clone(), instance };
        self.world.actors.lock().expect("no test panics here").insert(me, actor.clone());
        Ok(actor)
    }

    /// Loads a component and wakes one object of it, which must go well.
    ///
    /// # Panics
    /// If it does not.
    pub async fn actor(&self, bytes: impl Into<Bytes>, id: &str) -> Actor {
        let component = self.load(bytes).await.expect("the component is loaded");
        self.wake(&component, id, None).await.expect("the object wakes")
    }

    /// The calls that objects made, in order.
    pub fn calls(&self) -> Vec<Call> {
        self.world.calls.lock().expect("no test panics here").clone()
    }

    /// The lines that objects logged, in order.
    pub fn lines(&self) -> Vec<LogLine> {
        self.world.lines.lock().expect("no test panics here").clone()
    }
}

impl Actor {
    /// Runs a turn for a client.
    pub async fn turn(&self, method: &str, payload: impl Into<Bytes>) -> TurnReport {
        let deadline = Instant::now() + Duration::from_secs(30);
        self.turn_of(method, payload.into(), Caller::Client(None), Chain::default(), deadline).await
    }

    /// Runs a turn for a client, of which only the end matters.
    ///
    /// # Errors
    /// Of a failure or a trap.
    pub async fn ask(&self, method: &str, payload: impl Into<Bytes>) -> Result<Bytes, CallError> {
        match self.turn(method, payload).await.end {
            TurnEnd::Well(result) => Ok(result),
            TurnEnd::Failure(error) | TurnEnd::Trap(error) => Err(error),
        }
    }

    /// Runs a turn that must end well and answer text.
    ///
    /// # Panics
    /// If it does not.
    pub async fn text(&self, method: &str, payload: impl Into<Bytes>) -> String {
        let answer = self.ask(method, payload).await;
        let answer = answer.unwrap_or_else(|error| panic!("{}.{method}: {error}", self.me));
        String::from_utf8(answer.into()).expect("an answer of text")
    }

    /// Its state now.
    ///
    /// # Errors
    /// What the engine says.
    pub async fn snapshot(&self) -> Result<State, CallError> {
        self.instance.lock().await.snapshot().await
    }

    /// Whether it trapped.
    pub async fn is_dead(&self) -> bool {
        self.instance.lock().await.is_dead()
    }

    /// Its instance, once nobody else holds it.
    ///
    /// # Panics
    /// If somebody does.
    pub fn into_instance(self, stage: &Stage) -> Instance {
        stage.world.actors.lock().expect("no test panics here").remove(&self.me);
        Arc::into_inner(self.instance).expect("nobody else holds it").into_inner()
    }

    async fn turn_of(
        &self,
        method: &str,
        payload: Bytes,
        caller: Caller,
        chain: Chain,
        deadline: Instant,
    ) -> TurnReport {
        let spec = self.component.spec();
        let read_only = spec.methods.get(method).is_some_and(|it| it.mode == Mode::ReadOnly);
        let turn = Turn {
            id: TurnId { process: 1, sequence: 1 },
            caller,
            chain,
            deadline,
            key: None,
            traceparent: None,
            read_only,
            reminders: ReminderChanges::default(),
        };
        self.instance.lock().await.handle(turn, method, payload).await
    }
}

/// What objects call out to.
struct Player(Arc<World>);

impl Outbound for Player {
    fn call(&self, call: Call) -> BoxFuture<'static, Result<Reply, CallError>> {
        self.0.calls.lock().expect("no test panics here").push(call.clone());
        let actor = self.0.actors.lock().expect("no test panics here").get(&call.object).cloned();
        answer(call, actor).boxed()
    }

    fn storage_get(
        &self,
        _object: &ObjectId,
        _key: &str,
    ) -> BoxFuture<'static, Result<Option<Bytes>, CallError>> {
        Box::pin(async { Ok(None) })
    }

    fn storage_keys(&self, _object: &ObjectId) -> BoxFuture<'static, Result<u64, CallError>> {
        Box::pin(async { Ok(0) })
    }

    fn storage_scan(
        &self,
        _object: &ObjectId,
        _prefix: &str,
        _after: &str,
        _limit: u32,
    ) -> BoxFuture<'static, Result<Vec<(String, Bytes)>, CallError>> {
        Box::pin(async { Ok(Vec::new()) })
    }

    fn reminders(
        &self,
        _object: &ObjectId,
    ) -> BoxFuture<'static, Result<BTreeMap<Arc<str>, Reminder>, CallError>> {
        Box::pin(async { Ok(BTreeMap::new()) })
    }

    fn log(&self, line: LogLine) {
        self.0.lines.lock().expect("no test panics here").push(line);
    }
}

async fn answer(call: Call, actor: Option<Actor>) -> Result<Reply, CallError> {
    let invocation = match call.action {
        Action::Invoke(invocation) | Action::Deliver(invocation, _) => invocation,
        Action::Create if actor.is_some() => {
            return Err(CallError::new(ErrorKind::AlreadyExists, "it is on stage"));
        }
        Action::Create | Action::Delete | Action::ClientsGone(_) => return Ok(Reply::Done),
        Action::Exists => return Ok(Reply::Exists(actor.is_some())),
    };
    call.chain.admit(&call.object)?;
    if call.object.type_name().as_str() == "Script" {
        return script(&invocation.method, invocation.payload, call.deadline).await;
    }
    let actor = actor.ok_or_else(|| CallError::new(ErrorKind::NotFound, "it is not on stage"))?;
    let turn = actor.turn_of(
        &invocation.method,
        invocation.payload,
        call.caller,
        call.chain,
        call.deadline,
    );
    match turn.boxed().await.end {
        TurnEnd::Well(result) => Ok(Reply::Payload(result)),
        TurnEnd::Failure(error) | TurnEnd::Trap(error) => Err(error),
    }
}

/// What `Script/…` answers: its argument; nothing until the deadline; or the error that it is
/// called by.
async fn script(method: &str, payload: Bytes, deadline: Instant) -> Result<Reply, CallError> {
    match method {
        "echo" => Ok(Reply::Payload(payload)),
        "hang" => {
            tokio::time::sleep_until(deadline.into()).await;
            Err(CallError::new(ErrorKind::Timeout, "the script hung"))
        }
        "application" => Err(CallError::application("scripted", "as written", payload)),
        _ => match ErrorKind::from_name(method) {
            Some(kind) => Err(CallError::new(kind, "as written").maybe_executed()),
            None => Err(CallError::new(ErrorKind::NotFound, "not in the script")),
        },
    }
}
