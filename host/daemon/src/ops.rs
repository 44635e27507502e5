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
    let unmet = conditions
        .iter()
        .filter_map(|(name, state)| state.as_ref().err().map(|reason| format!("{name}: {reason}")));
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

#[cfg(test)]
mod tests {
    use axum::body::{Body, to_bytes};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tower::ServiceExt as _;

    use super::*;

    async fn get(readiness: &Readiness, shutdown: &Shutdown, path: &str) -> (u16, String) {
        let routes = routes(readiness.clone(), crate::metrics::install(), shutdown.clone());
        let request = axum::http::Request::get(path).body(Body::empty()).unwrap();
        let response = routes.oneshot(request).await.unwrap();
        let status = response.status().as_u16();
        let body = to_bytes(response.into_body(), 1 << 20).await.unwrap();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn ready_is_when_every_condition_is_met() {
        let (readiness, shutdown) = (Readiness::new(), Shutdown::new());
        let readyz = async || get(&readiness, &shutdown, "/readyz").await;
        assert_eq!(readyz().await, (503, "starting\n".to_owned()));
        readiness.set("store", Ok(()));
        readiness.set("types", Err("2 of 3 compiled".to_owned()));
        readiness.set("node", Err("no answer".to_owned()));
        let told = "node: no answer; types: 2 of 3 compiled\n".to_owned();
        assert_eq!(readyz().await, (503, told));
        readiness.set("types", Ok(()));
        readiness.set("node", Ok(()));
        assert_eq!(readyz().await, (200, "ready\n".to_owned()));
        shutdown.request();
        assert_eq!(readyz().await, (503, "shutting down\n".to_owned()));
    }

    #[tokio::test]
    async fn whoever_waits_for_readiness_is_woken() {
        let readiness = Readiness::new();
        let (other, waits) = (readiness.clone(), readiness.clone());
        let waiting = tokio::task::JoinSet::from_iter([async move { waits.ready().await }]);
        other.set("types", Err("compiling".to_owned()));
        other.set("types", Ok(()));
        waiting.join_all().await;
        assert!(readiness.is_ready());
    }

    #[tokio::test]
    async fn health_and_metrics_answer_always() {
        let (readiness, shutdown) = (Readiness::new(), Shutdown::new());
        assert_eq!(get(&readiness, &shutdown, "/healthz").await, (200, "ok\n".to_owned()));
        crate::metrics::install();
        ::metrics::counter!("wasmverse_ops_test_total").increment(1);
        let (status, text) = get(&readiness, &shutdown, "/metrics").await;
        assert_eq!(status, 200);
        assert!(text.contains("wasmverse_ops_test_total 1"), "{text}");
    }

    #[tokio::test]
    async fn the_port_is_open_while_tasks_end_and_closed_after() {
        let (readiness, shutdown) = (Readiness::new(), Shutdown::new());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        serve(listener, readiness, crate::metrics::install(), &shutdown);
        let (seen, done) = (shutdown.clone(), shutdown.clone());
        shutdown.spawn(async move {
            seen.requested().await;
            let mut client = tokio::net::TcpStream::connect(address).await.unwrap();
            let request = b"GET /readyz HTTP/1.1\r\nhost: ops\r\nconnection: close\r\n\r\n";
            client.write_all(request).await.unwrap();
            let mut answer = String::new();
            client.read_to_string(&mut answer).await.unwrap();
            assert!(answer.contains("503") && answer.contains("shutting down"), "{answer}");
        });
        assert!(done.drain(std::time::Duration::from_secs(30)).await);
        assert!(tokio::net::TcpStream::connect(address).await.is_err());
    }
}
