//! What a gate does all the time: it tells whether it is ready, and ends sessions that are over.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use fnv::FnvHashMap;
use tokio_util::sync::CancellationToken;
use wasmverse_core::{Action, Call, Caller, Chain, ObjectId};
use wasmverse_daemon::ops::Readiness;
use wasmverse_router::Callee as _;

use crate::{call::Desk, grpc};

/// How often the way to the nodes is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// How often sessions are looked through.
const SWEEP_MIN: Duration = Duration::from_millis(20);
const SWEEP_MAX: Duration = Duration::from_secs(1);
/// The word that a client is gone has so long to arrive.
const GONE_TIMEOUT: Duration = Duration::from_secs(30);

/// Ends the sessions whose clients do not come back.
pub(super) async fn sweep(desk: Arc<Desk>, requested: CancellationToken) {
    let every = (desk.sessions.bounds.window / 4).clamp(SWEEP_MIN, SWEEP_MAX);
    let mut ticks = tokio::time::interval(every);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    while requested.run_until_cancelled(ticks.tick()).await.is_some() {
        tell_gone(&desk, desk.sessions.sweep(Instant::now(), false));
    }
}

/// Tells objects that clients who called them are gone.
pub(super) fn tell_gone(desk: &Desk, gone: Vec<(ObjectId, Arc<str>)>) {
    let mut by_object: FnvHashMap<ObjectId, Vec<Arc<str>>> = FnvHashMap::default();
    for (object, client) in gone {
        by_object.entry(object).or_default().push(client);
    }
    for (object, clients) in by_object {
        desk.router.send(Call {
            object,
            action: Action::ClientsGone(clients),
            caller: Caller::Platform,
            chain: Chain::default(),
            deadline: Instant::now() + GONE_TIMEOUT,
            traceparent: None,
        });
    }
}

/// Keeps telling whether the gate is ready.
pub(super) async fn watch(
    desk: Arc<Desk>,
    readiness: Readiness,
    health: grpc::Health,
    requested: CancellationToken,
) {
    let mut ticks = tokio::time::interval(LOOK_EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    while requested.run_until_cancelled(ticks.tick()).await.is_some() {
        let state = state(&desk);
        health.set(state.is_ok()).await;
        readiness.set("gate", state);
    }
    health.set(false).await;
}

/// Whether clients are served well here.
fn state(desk: &Desk) -> Result<(), String> {
    desk.router.is_serving()?;
    desk.operations.check_registered()?;
    desk.catalog.check().map_err(|error| error.message().to_owned())
}
