//! A connection's place among all: it is taken until the last of the connection is gone, also when
//! something other than HTTP goes on over it.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use metrics::Gauge;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    sync::OwnedSemaphorePermit,
};
use tokio_util::{
    sync::CancellationToken,
    task::{TaskTracker, task_tracker::TaskTrackerToken},
};

/// The place of one connection, and what holds for it.
#[derive(Debug)]
pub(crate) struct Seat {
    /// How long a client may read nothing of what it is sent.
    pub(crate) write_timeout: Duration,
    /// Turns when what is under way has had its time.
    pub(crate) killing: CancellationToken,
    /// Bytes that the system took.
    written: AtomicUsize,
    connections: Gauge,
    _permit: OwnedSemaphorePermit,
    /// Shutdown waits for it.
    _task: TaskTrackerToken,
}

impl Seat {
    pub(crate) fn new(
        permit: OwnedSemaphorePermit,
        write_timeout: Duration,
        killing: CancellationToken,
        connections: Gauge,
        tasks: &TaskTracker,
    ) -> Arc<Self> {
        connections.increment(1.0);
        let _task = tasks.token();
        let written = AtomicUsize::new(0);
        Arc::new(Self { write_timeout, killing, written, connections, _permit: permit, _task })
    }

    /// Grows as long as the client reads.
    pub(crate) fn written(&self) -> usize {
        self.written.load(Relaxed)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.connections.decrement(1.0);
    }
}

/// A connection in its seat.
#[derive(Debug)]
pub(crate) struct Seated {
    stream: TcpStream,
    seat: Arc<Seat>,
}

impl Seated {
    pub(crate) fn new(stream: TcpStream, seat: Arc<Seat>) -> Self {
        Self { stream, seat }
    }

    fn note(&self, written: io::Result<usize>) -> Poll<io::Result<usize>> {
        if let Ok(written) = written {
            self.seat.written.fetch_add(written, Relaxed);
        }
        Poll::Ready(written)
    }
}

impl AsyncRead for Seated {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Seated {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.stream).poll_write(cx, bytes));
        self.note(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.stream).poll_write_vectored(cx, slices));
        self.note(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
