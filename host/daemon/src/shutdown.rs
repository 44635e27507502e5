//! The end of a process: it is asked for once, and every task is waited for.

use std::{
    future::Future,
    time::{Duration, Instant},
};

use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    task::JoinHandle,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Who signals a process and its group (`timeout`, `make`) does it twice and means it once.
const SAME_SIGNAL: Duration = Duration::from_millis(100);
/// How long the last tasks have once all others are gone.
const LAST_GRACE: Duration = Duration::from_secs(1);

/// Asks for the end and waits for it. Clones are one and the same.
#[derive(Clone, Debug, Default)]
pub struct Shutdown {
    requested: CancellationToken,
    tasks: TaskTracker,
    drained: CancellationToken,
    last_tasks: TaskTracker,
}

impl Shutdown {
    /// One that no signal reaches: for tests, and for parts of a process.
    pub fn new() -> Self {
        Self::default()
    }

    /// One that SIGINT and SIGTERM request; a second signal ends the process at once. Wants a
    /// runtime.
    ///
    /// # Errors
    /// If the signals cannot be listened for.
    pub fn on_signal() -> std::io::Result<Self> {
        let shutdown = Self::new();
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let requested = shutdown.requested.clone();
        // Of a tracker of its own: it listens for as long as the process lives.
        TaskTracker::new().spawn(async move {
            let Received { name, .. } = either(&mut interrupt, &mut terminate).await;
            tracing::info!("{name}: shutting down; another one ends the process at once");
            requested.cancel();
            let first = (name, Instant::now());
            let Received { name, exit_code } = loop {
                let received = either(&mut interrupt, &mut terminate).await;
                if received.name != first.0 || first.1.elapsed() > SAME_SIGNAL {
                    break received;
                }
            };
            tracing::warn!("{name} again: ending at once");
            std::process::exit(exit_code);
        });
        Ok(shutdown)
    }

    /// Asks everyone to end.
    pub fn request(&self) {
        self.requested.cancel();
    }

    /// Whether the end was asked for.
    pub fn is_requested(&self) -> bool {
        self.requested.is_cancelled()
    }

    /// Waits until the end is asked for.
    pub async fn requested(&self) {
        self.requested.cancelled().await;
    }

    /// The request, for those who want it as a token.
    pub fn token(&self) -> CancellationToken {
        self.requested.clone()
    }

    /// Runs a task that the process will not exit without.
    pub fn spawn<F>(&self, task: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.tasks.spawn(task)
    }

    /// The tasks that the process will not exit without.
    pub fn tracker(&self) -> &TaskTracker {
        &self.tasks
    }

    /// Asks for the end and waits for the tasks; `false`: some were still there after `grace`.
    pub async fn drain(&self, grace: Duration) -> bool {
        self.request();
        self.tasks.close();
        let all = tokio::time::timeout(grace, self.tasks.wait()).await.is_ok();
        self.drained.cancel();
        self.last_tasks.close();
        all & tokio::time::timeout(LAST_GRACE, self.last_tasks.wait()).await.is_ok()
    }

    /// Runs a task that serves until all others are gone; it gets the token that says so.
    pub(crate) fn spawn_last<F>(&self, task: impl FnOnce(CancellationToken) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.last_tasks.spawn(task(self.drained.clone()));
    }
}

/// A signal, and what a process ends with if it is the second one and will not wait.
struct Received {
    name: &'static str,
    exit_code: i32,
}

async fn either(interrupt: &mut Signal, terminate: &mut Signal) -> Received {
    tokio::select! {
        _ = interrupt.recv() => Received { name: "SIGINT", exit_code: 130 },
        _ = terminate.recv() => Received { name: "SIGTERM", exit_code: 143 },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(30);

    #[tokio::test]
    async fn every_clone_hears_of_the_request() {
        let shutdown = Shutdown::new();
        let (other, token) = (shutdown.clone(), shutdown.token());
        assert!(!other.is_requested() && !token.is_cancelled());
        shutdown.request();
        other.requested().await;
        assert!(other.is_requested() && token.is_cancelled());
    }

    #[tokio::test]
    async fn tasks_are_waited_for_as_long_as_the_grace_lasts() {
        let shutdown = Shutdown::new();
        let requested = shutdown.clone();
        let task = shutdown.spawn(async move {
            requested.requested().await;
            tokio::task::yield_now().await;
            7
        });
        assert!(shutdown.drain(LONG).await);
        assert_eq!(task.await.unwrap(), 7);
        let stuck = shutdown.spawn(std::future::pending::<()>());
        assert!(!shutdown.drain(Duration::ZERO).await);
        stuck.abort();
        assert!(shutdown.drain(LONG).await);
    }

    #[tokio::test]
    async fn the_last_tasks_end_after_all_others() {
        let shutdown = Shutdown::new();
        let (order, mut ended) = tokio::sync::mpsc::channel(2);
        let (last, first) = (order.clone(), order);
        shutdown.spawn_last(|drained| async move {
            drained.cancelled().await;
            last.send("last").await.unwrap();
        });
        let requested = shutdown.clone();
        shutdown.spawn(async move {
            requested.requested().await;
            first.send("first").await.unwrap();
        });
        assert!(shutdown.drain(LONG).await);
        assert_eq!((ended.recv().await, ended.recv().await), (Some("first"), Some("last")));
    }

    #[tokio::test]
    async fn a_signal_requests_the_end() {
        let shutdown = Shutdown::on_signal().unwrap();
        let pid = std::process::id().to_string();
        assert!(std::process::Command::new("kill").arg(&pid).status().unwrap().success());
        tokio::time::timeout(LONG, shutdown.requested()).await.unwrap();
    }
}
