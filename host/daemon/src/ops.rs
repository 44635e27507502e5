//! The port for operators' tools: is it alive, is it ready, what does it count.

use std::{borrow::Cow, collections::BTreeMap, sync::Arc};

use axum::{
    Router,
    extract::State,
    http::{StatusCode, header},
    response::IntoResponse,
    routing::get,
};
use tokio::{net::TcpListener, sync::watch};

use crate::{Shutdown, metrics::Metrics};

type Conditions = BTreeMap<Cow<'static, str>, Result<(), String>>;

/// Whether a process is ready: when it has conditions and all of them are met. Clones are one.
#[derive(Clone, Debug)]
pub struct Readiness(Arc<watch::Sender<Conditions>>);

impl Default for Readiness {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::default()))
    }
}

impl Readiness {
    /// Not ready: nothing has been said yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Says whether a condition is met, or why not.
    pub fn set(&self, name: impl Into<Cow<'static, str>>, state: Result<(), String>) {
        let name = name.into();
        self.0.send_if_modified(|conditions| {
            let changed = conditions.get(&name) != Some(&state);
            conditions.insert(name, state);
            changed
        });
    }

    /// Why it is not ready.
    ///
    /// # Errors
    /// The reasons, each after the name of its condition.
    pub fn check(&self) -> Result<(), String> {
        check(&self.0.borrow())
    }

    /// Whether it is ready.
    pub fn is_ready(&self) -> bool {
        self.check().is_ok()
    }

    /// Waits until it is ready.
    pub async fn ready(&self) {
        // The sender is `self`: it cannot be gone.
        let _ = self.0.subscribe().wait_for(|conditions| check(conditions).is_ok()).await;
    }
}

fn check(conditions: &Conditions) -> Result<(), String> {
    if conditions.is_empty() {
        return Err("starting".to_owned());
    }
    let unmet = conditions.iter().filter_map(|(name, state)| {
        state.as_ref().err().map(|reason| format!("{name}: {reason}"))
    });
    match unmet.collect::<Vec<_>>().join("; ") {
        reasons if reasons.is_empty() => Ok(()),
        reasons => Err(reasons),
    }
}

/// Serves `/healthz`, `/readyz` and `/metrics` until all tasks of `shutdown` are gone, so that a
/// process that is shutting down can still be watched.
pub fn serve(listener: TcpListener, readiness: Readiness, metrics: Metrics, shutdown: &Shutdown) {
    let routes = routes(readiness, metrics, shutdown.clone());
    shutdown.spawn_last(|drained| async move {
        let serving = axum::serve(listener, routes)
            .with_graceful_shutdown(async move { drained.cancelled().await });
        if let Err(error) = serving.await {
            tracing::error!(%error, "the ops port failed");
        }
    });
}

/// The routes alone, for a process that serves them beside its own.
pub fn routes(readiness: Readiness, metrics: Metrics, shutdown: Shutdown) -> Router {
    Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(readyz))
        .with_state((readiness, shutdown))
        .route("/metrics", get(async move || metrics_text(&metrics)))
}

async fn readyz(
    State((readiness, shutdown)): State<(Readiness, Shutdown)>,
) -> (StatusCode, String) {
    let ready = match shutdown.is_requested() {
        true => Err("shutting down".to_owned()),
        false => readiness.check(),
    };
    match ready {
        Ok(()) => (StatusCode::OK, "ready\n".to_owned()),
        Err(reason) => (StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n")),
    }
}

fn metrics_text(metrics: &Metrics) -> impl IntoResponse + use<> {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], metrics.render())
}
