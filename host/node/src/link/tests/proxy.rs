//! A TCP proxy that loses connections on demand.

use std::{net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncWriteExt as _, copy_bidirectional},
    net::{TcpListener, TcpStream},
    sync::watch,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Passes connections on to a node until they are cut.
pub(super) struct Proxy {
    pub(super) address: SocketAddr,
    target: watch::Sender<Option<SocketAddr>>,
    cut: watch::Sender<CancellationToken>,
}

impl Proxy {
    pub(super) async fn start(target: Option<SocketAddr>, tasks: &TaskTracker) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let target = watch::Sender::new(target);
        let cut = watch::Sender::new(CancellationToken::new());
        let (targets, cuts, connections) = (target.subscribe(), cut.subscribe(), tasks.clone());
        tasks.spawn(async move {
            while let Ok((mut from, _)) = listener.accept().await {
                if targets.has_changed().is_err() {
                    return;
                }
                let (target, token) = (*targets.borrow(), cuts.borrow().clone());
                connections.spawn(async move {
                    let Some(target) = target else { return };
                    let Ok(mut to) = TcpStream::connect(target).await else { return };
                    tokio::select! {
                        _ = copy_bidirectional(&mut from, &mut to) => {}
                        () = token.cancelled() => {
                            let _ = from.shutdown().await;
                        }
                    }
                });
            }
        });
        Self { address, target, cut }
    }

    /// Loses all connections; new ones lead to `target`, or nowhere.
    pub(super) fn cut(&self, target: Option<SocketAddr>) {
        self.target.send_replace(target);
        self.cut.send_replace(CancellationToken::new()).cancel();
    }
}

/// Waits for a condition that nothing announces.
pub(super) async fn until(what: &str, condition: impl Fn() -> bool) {
    let polling = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), polling).await.expect(what);
}
