//! The log of one object: what a step may write to it, and what is dropped and counted.
//!
//! Shared by the import `log` and by standard output, which wasmtime drives without our store.

use std::{
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use parking_lot::Mutex;
use wasmverse_core::ObjectId;

use crate::{LogLevel, LogLine, Outbound, TurnId};

/// The longest line of standard output; a longer one is cut into several.
const LINE_BYTES_MAX: usize = 8 << 10;

/// What a field takes beside its texts: empty ones are kept, too.
const FIELD_BYTES: usize = size_of::<(String, String)>();

/// Who writes, and to whom it goes.
pub(crate) struct Writer {
    pub(crate) object: ObjectId,
    pub(crate) outbound: Arc<dyn Outbound>,
}

/// The log of one object. Without a writer (a component that describes itself) all is dropped.
pub(crate) struct Journal {
    writer: Option<Arc<Writer>>,
    turn: Option<TurnId>,
    bytes_max: usize,
    bytes_left: usize,
    dropped: u32,
    /// Unfinished lines of standard output and standard error.
    partial: [Vec<u8>; 2],
}

/// Which of the two standard streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stream {
    Output,
    Error,
}

impl Stream {
    fn level(self) -> LogLevel {
        match self {
            Self::Output => LogLevel::Info,
            Self::Error => LogLevel::Warn,
        }
    }
}

impl Journal {
    pub(crate) fn new(writer: Option<Arc<Writer>>, bytes_max: usize) -> Arc<Mutex<Self>> {
        let partial = [Vec::new(), Vec::new()];
        let journal =
            Self { writer, turn: None, bytes_max, bytes_left: bytes_max, dropped: 0, partial };
        Arc::new(Mutex::new(journal))
    }

    /// A step begins, with a budget of its own.
    pub(crate) fn begin(&mut self, turn: Option<TurnId>) {
        self.turn = turn;
        self.bytes_left = self.bytes_max;
        self.dropped = 0;
    }

    /// A step ends: what was printed without a line break is a line. Answers how many lines were
    /// dropped.
    pub(crate) fn end(&mut self) -> u32 {
        for stream in [Stream::Output, Stream::Error] {
            if !self.partial[stream as usize].is_empty() {
                self.flush(stream);
            }
        }
        if self.dropped > 0 {
            let (lines, limit) = (self.dropped, self.bytes_max);
            self.note(
                LogLevel::Warn,
                format!(
                    "{lines} log lines dropped beyond {limit} bytes: raise `limits.log_bytes` \
                     in the type's description, or log less at once"
                ),
                Vec::new(),
            );
        }
        self.turn = None;
        self.dropped
    }

    /// A line of the guest's, if its budget still holds it.
    pub(crate) fn write(
        &mut self,
        level: LogLevel,
        message: String,
        fields: Vec<(String, String)>,
    ) {
        let size = |fields: &[(String, String)]| -> usize {
            fields.iter().map(|(name, value)| FIELD_BYTES + name.len() + value.len()).sum()
        };
        let bytes = (message.len() + size(&fields)).max(1);
        // What the budget does not hold ends it: a log with holes misleads.
        if bytes > self.bytes_left {
            self.bytes_left = 0;
            self.dropped = self.dropped.saturating_add(1);
            return;
        }
        self.bytes_left -= bytes;
        self.note(level, message, fields);
    }

    /// A line of ours about the object, whatever its budget.
    pub(crate) fn note(&self, level: LogLevel, message: String, fields: Vec<(String, String)>) {
        if let Some(writer) = &self.writer {
            let object = writer.object.clone();
            let at_micros = now_micros();
            writer.outbound.log(LogLine {
                object,
                turn: self.turn,
                level,
                message,
                fields,
                at_micros,
            });
        }
    }

    /// Standard output or error: whole lines go to the log.
    pub(crate) fn print(&mut self, stream: Stream, bytes: &[u8]) {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let (text, ends) = match piece.strip_suffix(b"\n") {
                Some(text) => (text, true),
                None => (piece, false),
            };
            for part in chunks(text, LINE_BYTES_MAX) {
                if self.partial[stream as usize].len() + part.len() > LINE_BYTES_MAX {
                    self.flush(stream);
                }
                self.partial[stream as usize].extend_from_slice(part);
            }
            if ends {
                self.flush(stream);
            }
        }
    }

    fn flush(&mut self, stream: Stream) {
        let line = std::mem::take(&mut self.partial[stream as usize]);
        let text = String::from_utf8_lossy(&line).into_owned();
        self.write(stream.level(), text, Vec::new());
    }
}

fn chunks(text: &[u8], size: usize) -> impl Iterator<Item = &[u8]> {
    text.chunks(size)
}

/// The wall clock, in microseconds since 1970.
pub(crate) fn now_micros() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use futures_util::future::BoxFuture;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    use wasmverse_core::{Call, CallError, Reminder, Reply};

    use super::*;

    #[derive(Default)]
    struct Lines(Mutex<Vec<String>>);

    impl Outbound for Lines {
        fn call(&self, _call: Call) -> BoxFuture<'static, Result<Reply, CallError>> {
            Box::pin(async { Ok(Reply::Done) })
        }

        fn storage_get(
            &self,
            _object: &ObjectId,
            _key: &str,
        ) -> BoxFuture<'static, Result<Option<Bytes>, CallError>> {
            Box::pin(async { Ok(None) })
        }

        fn storage_keys(&self, _object: &ObjectId) -> BoxFuture<'static, Result<u64, CallError>> {
            Box::pin(async { Ok(0) })
        }

        fn storage_scan(
            &self,
            _object: &ObjectId,
            _prefix: &str,
            _after: &str,
            _limit: u32,
        ) -> BoxFuture<'static, Result<Vec<(String, Bytes)>, CallError>> {
            Box::pin(async { Ok(Vec::new()) })
        }

        fn reminders(
            &self,
            _object: &ObjectId,
        ) -> BoxFuture<'static, Result<BTreeMap<Arc<str>, Reminder>, CallError>> {
            Box::pin(async { Ok(BTreeMap::new()) })
        }

        fn log(&self, line: LogLine) {
            self.0.lock().push(line.message);
        }
    }

    fn journal(bytes_max: usize) -> (Arc<Lines>, Arc<Mutex<Journal>>) {
        let lines = Arc::new(Lines::default());
        let outbound: Arc<dyn Outbound> = lines.clone();
        let writer = Writer { object: "T/a".parse().unwrap(), outbound };
        (lines, Journal::new(Some(Arc::new(writer)), bytes_max))
    }

    #[test]
    fn what_exceeds_the_budget_is_dropped_and_counted() {
        let (lines, journal) = journal(10);
        let mut journal = journal.lock();
        journal.begin(None);
        for text in ["12345", "1234", "12", "1"] {
            journal.write(LogLevel::Info, text.into(), Vec::new());
        }
        assert_eq!(journal.end(), 2);
        let lines = lines.0.lock();
        assert_eq!(lines[..2], ["12345", "1234"]);
        assert!(lines[2].contains("2 log lines dropped"), "{}", lines[2]);
    }

    #[test]
    fn empty_fields_take_room_as_well() {
        let (lines, journal) = journal(1000);
        let mut journal = journal.lock();
        journal.begin(None);
        for fields in [10, 1000] {
            journal.write(LogLevel::Info, "a".into(), vec![Default::default(); fields]);
        }
        assert_eq!(journal.end(), 1);
        assert_eq!(lines.0.lock()[0], "a");
    }

    #[test]
    fn the_next_step_has_a_budget_of_its_own() {
        let (lines, journal) = journal(3);
        for _ in 0..2 {
            let mut journal = journal.lock();
            journal.begin(None);
            journal.write(LogLevel::Info, "abc".into(), Vec::new());
            assert_eq!(journal.end(), 0);
        }
        assert_eq!(*lines.0.lock(), ["abc", "abc"]);
    }

    #[test]
    fn printed_text_becomes_lines_and_the_rest_is_flushed_at_the_end() {
        let (lines, journal) = journal(1000);
        let mut journal = journal.lock();
        journal.begin(None);
        journal.print(Stream::Output, b"one\ntw");
        journal.print(Stream::Error, b"oops");
        journal.print(Stream::Output, b"o\n\nthree");
        journal.end();
        assert_eq!(*lines.0.lock(), ["one", "two", "", "three", "oops"]);
    }

    proptest! {
        #[test]
        fn no_printed_byte_is_lost_and_no_line_is_too_long(
            texts in prop::collection::vec("[a-z\n]{0,9000}", 0..6)
        ) {
            let (lines, journal) = journal(1 << 20);
            let mut journal = journal.lock();
            journal.begin(None);
            for text in &texts {
                journal.print(Stream::Output, text.as_bytes());
            }
            journal.end();
            let lines = lines.0.lock();
            prop_assert!(lines.iter().all(|line| line.len() <= LINE_BYTES_MAX));
            let printed: String = texts.concat().replace('\n', "");
            prop_assert_eq!(lines.concat(), printed);
        }
    }
}
