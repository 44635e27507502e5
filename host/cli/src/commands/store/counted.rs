//! Bytes on their way to a file or from it: counted, shown on a bar, and what went wrong with them
//! kept apart from what went wrong with the store.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use indicatif::ProgressBar;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What is written or read, with a bar: of lines that are written, of bytes that are read.
#[derive(Debug)]
pub(super) struct Counted<T> {
    inner: T,
    bar: ProgressBar,
    bytes: u64,
    failed: Option<io::Error>,
}

impl<T> Counted<T> {
    pub(super) fn new(inner: T, bar: ProgressBar) -> Self {
        Self { inner, bar, bytes: 0, failed: None }
    }

    /// How many have passed.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// What went wrong with the file itself.
    pub(super) fn take_failure(&mut self) -> Option<io::Error> {
        self.failed.take()
    }

    fn keep<R>(&mut self, result: io::Result<R>) -> io::Result<R> {
        result.map_err(|error| {
            let told = io::Error::new(error.kind(), error.to_string());
            self.failed = Some(error);
            told
        })
    }

    fn passed(&mut self, bytes: usize, steps: usize) {
        self.bytes += bytes as u64;
        self.bar.inc(steps as u64);
        // The length was an estimate.
        if self.bar.length().is_some_and(|length| self.bar.position() > length) {
            self.bar.set_length(self.bar.position());
        }
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Counted<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.inner).poll_write(context, bytes));
        let written = self.keep(written)?;
        let lines = bytes[..written].iter().filter(|byte| **byte == b'\n').count();
        self.passed(written, lines);
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = ready!(Pin::new(&mut self.inner).poll_flush(context));
        Poll::Ready(self.keep(flushed))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let ended = ready!(Pin::new(&mut self.inner).poll_shutdown(context));
        Poll::Ready(self.keep(ended))
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Counted<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = into.filled().len();
        let read = ready!(Pin::new(&mut self.inner).poll_read(context, into));
        self.keep(read)?;
        let bytes = into.filled().len() - before;
        self.passed(bytes, bytes);
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    #[tokio::test]
    async fn lines_are_counted_going_out_and_bytes_coming_in() {
        let mut out = Counted::new(Vec::new(), ProgressBar::hidden());
        out.bar.set_length(1);
        out.write_all(b"one\ntwo\n").await.unwrap();
        assert_eq!((out.bytes(), out.bar.position(), out.bar.length()), (8, 2, Some(2)));
        let mut from = Counted::new(&b"one\ntwo\n"[..], ProgressBar::hidden());
        from.read_to_end(&mut Vec::new()).await.unwrap();
        assert_eq!((from.bytes(), from.bar.position()), (8, 8));
        assert!(out.take_failure().is_none());
    }

    #[tokio::test]
    async fn what_goes_wrong_with_the_file_is_kept() {
        let mut full = [0; 2];
        let mut out = Counted::new(io::Cursor::new(&mut full[..]), ProgressBar::hidden());
        out.write_all(b"three").await.unwrap_err();
        // A cursor that is full takes nothing more, which is no error of its own.
        assert!(out.take_failure().is_none());
        let folder = tokio::fs::File::open("/").await.unwrap();
        let mut from = Counted::new(folder, ProgressBar::hidden());
        let told = from.read_to_end(&mut Vec::new()).await.unwrap_err();
        assert_eq!(from.take_failure().unwrap().kind(), told.kind());
    }
}
