//! Answers on their way to a client, in pieces, so that it shows whether the client reads them. One
//! that never does must not hold what they hold for ever.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};

use crate::budget::{Budget, Share};

/// What a slow client must read to show that it reads at all.
const PIECE_BYTES_MAX: usize = 64 << 10;

/// What a connection's client has not read yet of its answers.
#[derive(Debug, Default)]
pub(crate) struct Unread {
    pieces: AtomicUsize,
    read: AtomicUsize,
}

impl Unread {
    /// Returns once a client reads nothing for so long, although there is something to read.
    pub(crate) async fn neglected(&self, patience: Duration) {
        let look = || (self.read.load(Relaxed), self.pieces.load(Relaxed) > 0);
        let mut before = look();
        loop {
            tokio::time::sleep(patience).await;
            let now = look();
            if now == before && now.1 {
                return;
            }
            before = now;
        }
    }
}

/// A body whose pieces are followed until the connection has written them.
pub(crate) struct Watched<B> {
    body: B,
    unread: Arc<Unread>,
    budget: Option<Arc<Budget>>,
    /// What is to be cut into pieces.
    rest: Bytes,
}

impl<B> Watched<B> {
    /// With a budget, what the body makes counts against it.
    pub(crate) fn new(body: B, unread: Arc<Unread>, budget: Option<Arc<Budget>>) -> Self {
        Self { body, unread, budget, rest: Bytes::new() }
    }

    fn piece(&self, bytes: Bytes, share: Option<Share>) -> Bytes {
        self.unread.pieces.fetch_add(1, Relaxed);
        Bytes::from_owner(Piece { bytes, unread: Arc::clone(&self.unread), _share: share })
    }

    fn share(&self, bytes: usize) -> Option<Share> {
        self.budget.as_ref().map(|budget| budget.count(bytes))
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for Watched<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        if self.rest.is_empty() {
            let frame = match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
                Some(Ok(frame)) => frame,
                end => return Poll::Ready(end),
            };
            let data = match frame.into_data() {
                Ok(data) => data,
                Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
            };
            let share = self.share(data.len());
            if data.len() <= PIECE_BYTES_MAX {
                return Poll::Ready(Some(Ok(Frame::data(self.piece(data, share)))));
            }
            // A piece, too: a connection that copies what it is given still has this one to write.
            self.rest = self.piece(data, share);
        }
        let bytes = self.rest.len().min(PIECE_BYTES_MAX);
        let bytes = self.rest.split_to(bytes);
        Poll::Ready(Some(Ok(Frame::data(self.piece(bytes, None)))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (inner, rest) = (self.body.size_hint(), self.rest.len() as u64);
        let mut hint = SizeHint::new();
        hint.set_lower(inner.lower() + rest);
        if let Some(upper) = inner.upper() {
            hint.set_upper(upper + rest);
        }
        hint
    }
}

struct Piece {
    bytes: Bytes,
    unread: Arc<Unread>,
    _share: Option<Share>,
}

impl AsRef<[u8]> for Piece {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        self.unread.read.fetch_add(1, Relaxed);
        self.unread.pieces.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Body as Whole;
    use futures_util::StreamExt as _;

    #[tokio::test]
    async fn an_answer_passes_whole_and_in_pieces() {
        for size in [0, 1, PIECE_BYTES_MAX, PIECE_BYTES_MAX + 1, 1 << 20] {
            let answer: Vec<u8> = (0..=255).cycle().take(size).collect();
            let budget = Budget::new(1);
            let unread = Arc::<Unread>::default();
            let body = Watched::new(Whole::from(answer.clone()), unread.clone(), Some(budget));
            assert_eq!(body.size_hint().exact(), Some(size as u64));
            let pieces: Vec<_> = Whole::new(body).into_data_stream().collect().await;
            let pieces: Vec<Bytes> = pieces.into_iter().map(Result::unwrap).collect();
            assert!(pieces.iter().all(|piece| piece.len() <= PIECE_BYTES_MAX));
            assert_eq!(pieces.concat(), answer);
            assert_eq!(unread.pieces.load(Relaxed) == 0, pieces.is_empty());
            drop(pieces);
            assert_eq!(unread.pieces.load(Relaxed), 0);
        }
    }

    #[tokio::test]
    async fn only_a_client_that_reads_nothing_of_what_is_there_is_neglectful() {
        let (unread, patience) = (Arc::<Unread>::default(), Duration::from_millis(20));
        let idle = unread.neglected(patience);
        assert!(tokio::time::timeout(5 * patience, idle).await.is_err(), "nothing was there");
        let body = Watched::new(Whole::from(vec![0; 1 << 20]), Arc::clone(&unread), None);
        let mut pieces = Whole::new(body).into_data_stream();
        let first = pieces.next().await.unwrap().unwrap();
        unread.neglected(patience).await;
        // What a connection has copied counts as written; the rest still waits.
        drop(first);
        unread.neglected(patience).await;
        drop(pieces);
        let read = unread.neglected(patience);
        assert!(tokio::time::timeout(5 * patience, read).await.is_err(), "all was read");
    }
}
