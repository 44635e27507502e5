//! Takes connections and serves them: HTTP/1 and HTTP/2 without TLS, on either surface.
//!
//! Bounded in every way: so many connections at a time, so long until the first request and
//! between headers, so long to finish once the process is asked to end.

use std::{
    convert::Infallible,
    future::Future,
    io,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use bytes::Bytes;
use http::header::UPGRADE;
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::conn::auto,
};
use metrics::Gauge;
use socket2::SockRef;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::Service;

use crate::{
    budget::Budget,
    seat::{Seat, Seated},
    unread::{Unread, Watched},
};

/// Requests that one HTTP/2 connection may have under way.
const STREAMS_MAX: u32 = 1024;
/// What a client may send on a stream, and on a connection, before it is read.
const STREAM_WINDOW_BYTES: u32 = 1 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 8 << 20;
/// What is kept of an HTTP/1 connection's input; bounds its headers, too.
const HTTP1_BUFFER_BYTES_MAX: usize = 128 << 10;
const HEADERS_BYTES_MAX: u32 = 64 << 10;
/// A peer that answers no ping for so long is gone.
const PING_EVERY: Duration = Duration::from_secs(30);
const PING_TIMEOUT: Duration = Duration::from_secs(20);
/// What was sent to a client and is not acknowledged for so long never will be.
const VANISHED_AFTER: Duration = Duration::from_secs(45);
/// How long to wait after the system refuses to hand out a connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(250);

/// What a listener serves, and within which bounds.
#[derive(Clone, Debug)]
pub(crate) struct Server {
    /// Only HTTP/2, as gRPC wants it.
    pub(crate) http2_only: bool,
    pub(crate) connections_max: usize,
    pub(crate) idle_timeout: Duration,
    /// How long a client may read nothing of its answers.
    pub(crate) write_timeout: Duration,
    /// What answers count against beside what was counted of them before.
    pub(crate) budget: Option<Arc<Budget>>,
    pub(crate) connections: Gauge,
    /// Turns when no more is to be taken on.
    pub(crate) stopping: CancellationToken,
    /// Turns when what is under way has had its time.
    pub(crate) killing: CancellationToken,
    pub(crate) tasks: TaskTracker,
}

impl Server {
    /// Serves until it is stopped.
    pub(crate) async fn run<S, B>(self, listener: TcpListener, service: S)
    where
        S: Service<http::Request<Incoming>, Response = http::Response<B>, Error = Infallible>
            + Clone
            + Send
            + Sync
            + 'static,
        S::Future: Send + 'static,
        B: hyper::body::Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let room = Arc::new(Semaphore::new(self.connections_max));
        loop {
            let accepting = async {
                let permit = Arc::clone(&room).acquire_owned().await;
                (accept(&listener).await, permit)
            };
            let Some((stream, permit)) = self.stopping.run_until_cancelled(accepting).await else {
                return;
            };
            // Nobody closes the semaphore.
            let Ok(permit) = permit else { return };
            let Self { write_timeout, killing, connections, .. } = self.clone();
            let seat = Seat::new(permit, write_timeout, killing, connections, &self.tasks);
            self.tasks.spawn(self.connection(
                Seated::new(stream, Arc::clone(&seat)),
                seat,
                service.clone(),
            ));
        }
    }

    fn connection<S, B>(
        &self,
        stream: Seated,
        seat: Arc<Seat>,
        service: S,
    ) -> impl Future<Output = ()> + Send + use<S, B>
    where
        S: Service<http::Request<Incoming>, Response = http::Response<B>, Error = Infallible>
            + Clone
            + Send
            + Sync
            + 'static,
        S::Future: Send + 'static,
        B: hyper::body::Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let builder = self.builder();
        let begun = Arc::new(AtomicBool::new(false));
        let noted = Arc::clone(&begun);
        let unread = Arc::<Unread>::default();
        let (watched, budget) = (Arc::clone(&unread), self.budget.clone());
        let service = service_fn(move |mut request: http::Request<Incoming>| {
            noted.store(true, Relaxed);
            if request.headers().contains_key(UPGRADE) {
                request.extensions_mut().insert(Arc::clone(&seat));
            }
            // Our services are always ready: they queue nothing themselves.
            let answering = service.clone().call(request);
            let (unread, budget) = (Arc::clone(&watched), budget.clone());
            async move {
                let answer = answering.await?;
                Ok::<_, Infallible>(answer.map(|body| Watched::new(body, unread, budget)))
            }
        });
        let Self { idle_timeout, write_timeout, stopping, killing, .. } = self.clone();
        async move {
            let serving = builder.serve_connection_with_upgrades(TokioIo::new(stream), service);
            let mut serving = pin!(serving);
            // A connection that never asks for anything only takes up room.
            let unused = async || {
                tokio::time::sleep(idle_timeout).await;
                if begun.load(Relaxed) {
                    std::future::pending::<()>().await;
                }
            };
            tokio::select! {
                // How a connection ended is the client's business.
                _ = &mut serving => return,
                () = stopping.cancelled() => {}
                () = unused() => {}
                () = unread.neglected(write_timeout) => return,
            }
            serving.as_mut().graceful_shutdown();
            tokio::select! {
                _ = serving => {}
                () = killing.cancelled() => {}
                () = unused() => {}
                () = unread.neglected(write_timeout) => {}
            }
        }
    }

    fn builder(&self) -> auto::Builder<Tasks> {
        let mut builder = auto::Builder::new(Tasks(self.tasks.clone()));
        builder
            .http1()
            .timer(TokioTimer::new())
            .header_read_timeout(self.idle_timeout)
            .max_buf_size(HTTP1_BUFFER_BYTES_MAX)
            .pipeline_flush(true);
        builder
            .http2()
            .timer(TokioTimer::new())
            .max_concurrent_streams(STREAMS_MAX)
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .max_header_list_size(HEADERS_BYTES_MAX)
            .keep_alive_interval(PING_EVERY)
            .keep_alive_timeout(PING_TIMEOUT);
        if self.http2_only { builder.http2_only() } else { builder }
    }
}

/// The next connection. What goes wrong with one of them concerns no other.
async fn accept(listener: &TcpListener) -> TcpStream {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                // Without it small answers wait for acknowledgements.
                let _ = stream.set_nodelay(true);
                // A client that vanished without a word acknowledges nothing, and what is sent to
                // it would be sent again for a quarter of an hour.
                let _ = SockRef::from(&stream).set_tcp_user_timeout(Some(VANISHED_AFTER));
                return stream;
            }
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                tracing::warn!(%error, "failed to take a connection; trying again");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

fn is_of_one_connection(error: &io::Error) -> bool {
    [
        io::ErrorKind::ConnectionRefused,
        io::ErrorKind::ConnectionAborted,
        io::ErrorKind::ConnectionReset,
    ]
    .contains(&error.kind())
}

/// Runs what hyper wants to run beside a connection, so that shutdown waits for it.
#[derive(Clone, Debug)]
struct Tasks(TaskTracker);

impl<F> hyper::rt::Executor<F> for Tasks
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    fn execute(&self, task: F) {
        self.0.spawn(task);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_client_that_acknowledges_nothing_is_given_up() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (_client, stream) = tokio::join!(TcpStream::connect(address), accept(&listener));
        let timeout = SockRef::from(&stream).tcp_user_timeout().unwrap();
        assert_eq!(timeout, Some(VANISHED_AFTER));
    }
}
