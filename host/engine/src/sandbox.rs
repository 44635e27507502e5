//! One store with one instance in it, ready to be entered.

use std::{sync::Arc, time::Instant};

use wasmtime::Store;
use wasmverse_core::{CallError, Durability, ErrorKind, Limits, RevisionNumber};

use crate::{
    Turn,
    bindings::{Object, ObjectPre},
    engine::Shared,
    host::{Host, Step},
    journal::Writer,
    meter::{Budget, Meter},
    metrics::LiveInstance,
    run::run,
    stop::{LimitHit, Stop, Verdict, traffic_bytes_max},
};

/// One store with one instance in it.
pub(crate) struct Sandbox {
    pub(crate) store: Store<Host>,
    pub(crate) object: Object,
    pub(crate) meter: Arc<Meter>,
    _live: LiveInstance,
}

impl Sandbox {
    /// Instantiates a component, which runs its start code.
    pub(crate) async fn start(
        engine: &Shared,
        pre: &ObjectPre<Host>,
        writer: Option<Arc<Writer>>,
        revision: RevisionNumber,
        durability: Durability,
        limits: Limits,
    ) -> Result<Self, CallError> {
        let meter = Meter::new(Arc::clone(&engine.lane), Arc::clone(&engine.metrics));
        let metrics = Arc::clone(&engine.metrics);
        let (running, counting) = (Arc::clone(&meter), Arc::clone(&metrics));
        let host = Host::new(writer, revision, durability, limits, running, counting);
        let budget = host.described_budget();
        let mut store = Store::new(&engine.wasmtime, host);
        store.set_hostcall_fuel(traffic_bytes_max(store.data().limits.payload_bytes));
        store.limiter_async(|host| &mut host.memory);
        store.epoch_deadline_callback(|store| store.data().on_tick());
        store.set_epoch_deadline(1);
        let began = Instant::now();
        store.data_mut().begin(Step::Start, budget, None, began);
        let started = run(&meter, budget, began, pre.instantiate_async(&mut store)).await;
        store.data_mut().end(false);
        match started {
            Ok(object) => Ok(Self { store, object, meter, _live: LiveInstance::new(metrics) }),
            Err(stop) if no_room(&stop, store.data()) => Err(overloaded(&stop)),
            Err(stop) => {
                let verdict = Verdict::new(&stop, store.data());
                metrics.trapped(verdict.cause);
                Err(verdict.error())
            }
        }
    }

    /// A step begins.
    pub(crate) fn begin(&mut self, step: Step, budget: Budget, turn: Option<Turn>) -> Instant {
        let now = Instant::now();
        self.store.data_mut().begin(step, budget, turn, now);
        self.store.set_epoch_deadline(1);
        now
    }
}

/// Neither the guest's code nor a limit of its own stopped it: the machine did.
fn no_room(stop: &Stop, host: &Host) -> bool {
    let Stop::Trap(error) = stop else {
        return false;
    };
    let own = error.is::<wasmtime::Trap>()
        || error.is::<LimitHit>()
        || error.is::<wasmtime_wasi::I32Exit>();
    !own && !host.memory.memory_denied && !host.memory.tables_denied
}

fn overloaded(stop: &Stop) -> CallError {
    let reason = match stop {
        Stop::Trap(error) => error.root_cause().to_string(),
        Stop::Time(_) | Stop::Panic(_) => String::new(),
    };
    CallError::new(ErrorKind::Overloaded, format!("there is no room for another object: {reason}"))
}
