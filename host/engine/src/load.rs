//! From bytes to a component: checked, compiled once, and asked to describe itself.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Weak},
    time::{Duration, Instant},
};

use bytes::Bytes;
use sha2::{Digest as _, Sha256};
use tokio::sync::oneshot;
use wasmverse_core::{Durability, RevisionNumber, TypeSpec};

use crate::{
    Component, Digest, LoadError, Refusal,
    bindings::ObjectPre,
    check, complexity,
    component::Revision,
    describe,
    engine::Shared,
    footprint,
    host::{Host, Step},
    meter::Budget,
    run::run,
    sandbox::Sandbox,
    stop::{Remedy, Verdict},
};

/// The component of one digest, while somebody loads or uses it.
pub(crate) type Slot = Arc<tokio::sync::Mutex<Weak<Revision>>>;

/// What `describe` may use.
const DESCRIBE: Budget =
    Budget { cpu: Duration::from_millis(200), time: Duration::from_secs(2), remedy: Remedy::Fixed };

/// Loads a component. The same bytes loaded at once, or in use, are compiled once.
pub(crate) async fn load(engine: &Arc<Shared>, bytes: Bytes) -> Result<Component, LoadError> {
    let loaded = load_once(engine, bytes).await;
    if let Err(LoadError::Refused(_)) = &loaded {
        engine.metrics.refused();
    }
    loaded.map(Component::new)
}

async fn load_once(engine: &Arc<Shared>, bytes: Bytes) -> Result<Arc<Revision>, LoadError> {
    let limit = engine.config.component_bytes;
    if bytes.len() > limit {
        return Err(Refusal::new(
            format!("it has {} bytes of at most {limit}", bytes.len()),
            "build it with optimization for size and without debug information",
        )
        .into());
    }
    let digest = digest(bytes.clone()).await?;
    let slot = slot(engine, digest);
    let mut place = slot.lock().await;
    if let Some(revision) = place.upgrade() {
        return Ok(revision);
    }
    let pre = compile(engine, bytes).await?;
    let spec = Arc::new(ask(engine, &pre).await?);
    let revision = Arc::new(Revision { engine: Arc::clone(engine), digest, spec, pre });
    *place = Arc::downgrade(&revision);
    Ok(revision)
}

async fn digest(bytes: Bytes) -> Result<Digest, LoadError> {
    let hash = tokio::task::spawn_blocking(move || Digest(Sha256::digest(&bytes).into())).await;
    hash.map_err(|error| LoadError::Internal(format!("hash the component: {error}")))
}

/// The place of a digest; places that nobody needs any more are cleared.
fn slot(engine: &Shared, digest: Digest) -> Slot {
    let mut slots = engine.loaded.lock();
    slots.retain(|_, slot| {
        let used = || slot.try_lock().map_or(true, |place| place.strong_count() > 0);
        Arc::strong_count(slot) > 1 || used()
    });
    Arc::clone(slots.entry(digest).or_default())
}

/// Checks and compiles on the engine's own threads, as many at once as the configuration says.
async fn compile(engine: &Arc<Shared>, bytes: Bytes) -> Result<ObjectPre<Host>, LoadError> {
    let ended = || LoadError::Internal("compile the component: the engine is shutting down".into());
    let permit = Arc::clone(&engine.compiling).acquire_owned().await.map_err(|_| ended())?;
    let (done, compiled) = oneshot::channel();
    let shared = Arc::clone(engine);
    engine.compilers.spawn(move || {
        let began = Instant::now();
        let answer = catch_unwind(AssertUnwindSafe(|| prepare(&shared, &bytes)));
        shared.metrics.compiled(began.elapsed());
        drop((permit, shared));
        // Whoever asked may have given up.
        let _ = done.send(answer);
    });
    match compiled.await {
        Ok(Ok(answer)) => answer,
        Ok(Err(_panic)) => Err(Refusal::new(
            "the compiler gave up on it",
            "build it with another version of its toolchain, or with less optimization",
        )
        .into()),
        Err(_) => Err(ended()),
    }
}

fn prepare(engine: &Shared, bytes: &[u8]) -> Result<ObjectPre<Host>, LoadError> {
    // Cheapest first, and what bounds the others before them.
    check::form(bytes)?;
    complexity::check(bytes)?;
    footprint::check(bytes)?;
    engine.world.check(bytes)?;
    let refuse = |what: &str, error: &wasmtime::Error| {
        let cause = format!("{what}: {}", error.root_cause());
        Refusal::new(cause, "build it with a current toolchain and its default features")
    };
    let component = wasmtime::component::Component::from_binary(&engine.wasmtime, bytes)
        .map_err(|error| refuse("it does not compile", &error))?;
    // Mapped now: the first instance is as quick as all others.
    component.initialize_copy_on_write_image().map_err(|error| {
        LoadError::Internal(format!("map the component's memory image: {error:#}"))
    })?;
    let pre = engine.linker.instantiate_pre(&component);
    let pre = pre.map_err(|error| refuse("its imports do not fit", &error))?;
    Ok(ObjectPre::new(pre).map_err(|error| refuse("its exports do not fit", &error))?)
}

/// Asks a component what it is, in an instance that is never activated.
async fn ask(engine: &Shared, pre: &ObjectPre<Host>) -> Result<TypeSpec, Refusal> {
    let bounds = engine.config.bounds.clone();
    let started =
        Sandbox::start(engine, pre, None, RevisionNumber(0), Durability::Volatile, bounds).await;
    let mut sandbox = started.map_err(|error| {
        Refusal::new(
            format!("it does not start: {}", error.message()),
            "let its start code do less; an instance is made for every object",
        )
    })?;
    let began = sandbox.begin(Step::Describe, DESCRIBE, None);
    let Sandbox { store, object, meter, .. } = &mut sandbox;
    let describe = object.wasmverse_object_guest().call_describe(&mut *store);
    let answer = run(meter, DESCRIBE, began, describe).await;
    store.data_mut().end(false);
    let json = answer.map_err(|stop| {
        let verdict = Verdict::new(&stop, store.data());
        Refusal::new(
            format!("its `describe` gives no answer: {}", verdict.message),
            "let `describe` return a constant text",
        )
    })?;
    let spec = describe::parse(json, &engine.config)?;
    check_size(&spec, store.data())?;
    Ok(spec)
}

/// An instance fits into the limits that its own type asks for.
fn check_size(spec: &TypeSpec, host: &Host) -> Result<(), Refusal> {
    let sizes = [
        ("memory_bytes", host.memory.bytes, spec.limits.memory_bytes),
        ("table_elements", host.memory.elements, spec.limits.table_elements),
    ];
    for (name, size, limit) in sizes {
        if size > limit {
            return Err(Refusal::new(
                format!("it starts with {size}, its `limits.{name}` is {limit}"),
                format!("raise `limits.{name}` in the description, or start smaller"),
            ));
        }
    }
    Ok(())
}
