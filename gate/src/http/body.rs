//! Request bodies: taken in whole, within a bound and a deadline.

use std::time::Instant;

use axum::{
    body::{Body, HttpBody as _},
    http::{HeaderMap, header},
};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;
use wasmverse_core::{CallError, ErrorKind};

use crate::{budget::Share, call::too_large, control::drain};

/// So many times the bound is taken in and dropped, so that a client that sends too much reads the
/// answer instead of a broken connection.
const DRAINED_TIMES: usize = 4;

/// What a body must keep to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub(crate) bytes_max: usize,
    pub(crate) deadline: Instant,
}

/// Takes in a whole body, which counts as `share` while it comes in.
///
/// # Errors
/// `invalid-argument` if it is too large or breaks off, `timeout` if it does not come in time,
/// `overloaded` if there is no room for it.
pub(crate) async fn collect(
    headers: &HeaderMap,
    body: Body,
    bounds: Bounds,
    share: Share,
) -> Result<Bytes, CallError> {
    let Bounds { bytes_max, deadline } = bounds;
    // Most calls have none, or one that is here already.
    if body.is_end_stream() {
        return Ok(Bytes::new());
    }
    let taking = take(headers, body, bytes_max, share);
    match tokio::time::timeout_at(deadline.into(), taking).await {
        Ok(taken) => taken,
        Err(_) => Err(CallError::new(ErrorKind::Timeout, "the request did not arrive in time")),
    }
}

/// Takes in and drops the body of a request that is refused whatever it holds.
pub(crate) async fn discard(headers: &HeaderMap, body: Body, bytes_max: usize) {
    // A client that asks first has sent nothing yet, and will not.
    if !headers.contains_key(header::EXPECT) && !body.is_end_stream() {
        drain(body.into_data_stream(), bytes_max).await;
    }
}

async fn take(
    headers: &HeaderMap,
    body: Body,
    bytes_max: usize,
    mut share: Share,
) -> Result<Bytes, CallError> {
    let announced = body.size_hint().lower();
    let announced = usize::try_from(announced).unwrap_or(usize::MAX);
    if announced > bytes_max {
        discard(headers, body, bytes_max.saturating_mul(DRAINED_TIMES)).await;
        return Err(refused(bytes_max));
    }
    let mut chunks = body.into_data_stream();
    let Some(first) = chunks.next().await else { return Ok(Bytes::new()) };
    let first = first.map_err(|_| broken_off())?;
    if first.len() > bytes_max {
        drain(chunks, bytes_max.saturating_mul(DRAINED_TIMES)).await;
        return Err(refused(bytes_max));
    }
    if let Err(error) = share.grow(first.len()) {
        drop(first);
        drain(chunks, bytes_max).await;
        return Err(error);
    }
    let Some(second) = chunks.next().await else { return Ok(first) };
    let mut whole = BytesMut::with_capacity(announced.max(first.len()));
    whole.extend_from_slice(&first);
    let mut next = Some(second);
    while let Some(chunk) = next {
        let chunk = chunk.map_err(|_| broken_off())?;
        if whole.len() + chunk.len() > bytes_max {
            drop(whole);
            drain(chunks, bytes_max.saturating_mul(DRAINED_TIMES)).await;
            return Err(refused(bytes_max));
        }
        if let Err(error) = share.grow(chunk.len()) {
            drop((whole, chunk, share));
            drain(chunks, bytes_max).await;
            return Err(error);
        }
        whole.extend_from_slice(&chunk);
        next = chunks.next().await;
    }
    Ok(whole.freeze())
}

pub(crate) fn broken_off() -> CallError {
    CallError::new(ErrorKind::InvalidArgument, "the request broke off")
}

fn refused(bytes_max: usize) -> CallError {
    CallError::new(ErrorKind::InvalidArgument, too_large(bytes_max))
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::stream;
    use std::{convert::Infallible, time::Duration};

    fn within(bytes_max: usize) -> Bounds {
        Bounds { bytes_max, deadline: Instant::now() + Duration::from_secs(10) }
    }

    fn room(bytes_max: usize) -> Share {
        crate::budget::Budget::new(bytes_max).share()
    }

    async fn collected(pieces: &[&'static [u8]], bytes_max: usize) -> Result<Bytes, ErrorKind> {
        let pieces: Vec<_> =
            pieces.iter().map(|piece| Ok::<_, Infallible>(Bytes::from_static(piece))).collect();
        let body = Body::from_stream(stream::iter(pieces));
        let taken = collect(&HeaderMap::new(), body, within(bytes_max), room(1000)).await;
        taken.map_err(|error| error.kind())
    }

    #[tokio::test]
    async fn a_body_arrives_whole_up_to_its_bound() {
        assert_eq!(collected(&[], 4).await.unwrap(), "");
        assert_eq!(collected(&[b"abcd"], 4).await.unwrap(), "abcd");
        assert_eq!(collected(&[b"a", b"bc", b"d"], 4).await.unwrap(), "abcd");
        for pieces in [&[b"abcde" as &[u8]] as &[&[u8]], &[b"abc", b"de"], &[b"a", b"b", b"cde"]] {
            assert_eq!(collected(pieces, 4).await, Err(ErrorKind::InvalidArgument));
        }
        let whole = collect(&HeaderMap::new(), Body::from("abcde"), within(4), room(1000)).await;
        assert_eq!(whole.unwrap_err().kind(), ErrorKind::InvalidArgument);
    }

    #[tokio::test]
    async fn a_body_that_trickles_runs_into_the_deadline() {
        let body = Body::from_stream(stream::pending::<Result<Bytes, Infallible>>());
        let deadline = Instant::now() + Duration::from_millis(1);
        let bounds = Bounds { bytes_max: 4, deadline };
        let error = collect(&HeaderMap::new(), body, bounds, room(1000)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Timeout);
    }

    #[tokio::test]
    async fn a_body_that_breaks_off_is_no_body() {
        let pieces = [Ok(Bytes::from_static(b"a")), Err(std::io::Error::other("gone"))];
        let body = Body::from_stream(stream::iter(pieces));
        let error = collect(&HeaderMap::new(), body, within(4), room(1000)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    }

    #[tokio::test]
    async fn a_body_without_room_is_refused() {
        for pieces in [&["abcde"] as &[_], &["abc", "de"]] {
            let body =
                Body::from_stream(stream::iter(pieces.iter().map(|p| Ok::<_, Infallible>(*p))));
            let taken = collect(&HeaderMap::new(), body, within(100), room(4)).await;
            assert_eq!(taken.unwrap_err().kind(), ErrorKind::Overloaded);
        }
    }
}
