//! What objects write to their logs: the latest lines are kept, and whoever wants follows along.
//!
//! Writing never waits: a reader that is too slow loses lines, and is told how many.

use std::{collections::VecDeque, sync::Arc};

use futures_util::{Stream, stream};
use parking_lot::Mutex;
use tokio::sync::broadcast::{self, error::RecvError};
use wasmverse_core::{ObjectId, TypeName};
use wasmverse_engine::LogLine;

/// A reader may be so many lines behind before it loses some.
const BEHIND_MAX: usize = 1024;
/// The latest lines take so many bytes at most: one line may be as long as a turn's log budget.
const KEPT_BYTES_MAX: usize = 16 << 20;

/// The log lines of a node's objects.
#[derive(Debug)]
pub struct LogHub {
    recent: Mutex<Recent>,
    kept: usize,
    followers: broadcast::Sender<Arc<LogLine>>,
}

#[derive(Debug, Default)]
struct Recent {
    lines: VecDeque<Arc<LogLine>>,
    bytes: usize,
}

/// Whose lines to follow.
#[derive(Clone, Debug, Default)]
pub struct LogFilter {
    /// None: all types.
    pub type_name: Option<TypeName>,
    /// None: all objects of the type.
    pub id: Option<String>,
}

impl LogFilter {
    fn takes(&self, object: &ObjectId) -> bool {
        self.type_name.as_ref().is_none_or(|name| name == object.type_name())
            && self.id.as_ref().is_none_or(|id| id == object.id())
    }
}

/// A line, as one who follows gets it.
#[derive(Clone, Debug)]
pub struct TailLine {
    /// The line.
    pub line: Arc<LogLine>,
    /// Lines lost before it because the reader was too slow; whose they were is not known.
    pub missed: u64,
}

impl LogHub {
    /// One that keeps so many of the latest lines.
    pub(crate) fn new(kept: usize) -> Self {
        Self { recent: Mutex::default(), kept, followers: broadcast::channel(BEHIND_MAX).0 }
    }

    /// Takes a line.
    pub(crate) fn write(&self, line: LogLine) {
        let line = Arc::new(line);
        let mut recent = self.recent.lock();
        recent.bytes += bytes(&line);
        recent.lines.push_back(line.clone());
        while recent.lines.len() > self.kept || recent.bytes > KEPT_BYTES_MAX {
            let Some(oldest) = recent.lines.pop_front() else { break };
            recent.bytes -= bytes(&oldest);
        }
        // Under the lock, so that a new reader neither misses a line nor gets it twice. Without
        // readers it is nobody's.
        let _ = self.followers.send(line);
    }

    /// The latest lines that pass the filter, at most `recent`, then every further one.
    pub fn tail(
        &self,
        filter: LogFilter,
        recent: usize,
    ) -> impl Stream<Item = TailLine> + Send + Unpin + use<> {
        let kept = self.recent.lock();
        let follower = self.followers.subscribe();
        let mut first: Vec<_> = kept
            .lines
            .iter()
            .rev()
            .filter(|line| filter.takes(&line.object))
            .take(recent)
            .cloned()
            .collect();
        drop(kept);
        first.reverse();
        let state = (first.into_iter(), follower, filter);
        Box::pin(stream::unfold(state, |(mut first, mut follower, filter)| async move {
            if let Some(line) = first.next() {
                return Some((TailLine { line, missed: 0 }, (first, follower, filter)));
            }
            let mut missed = 0;
            loop {
                match follower.recv().await {
                    Ok(line) if filter.takes(&line.object) => {
                        return Some((TailLine { line, missed }, (first, follower, filter)));
                    }
                    Ok(_) => {}
                    Err(RecvError::Lagged(lines)) => missed += lines,
                    Err(RecvError::Closed) => return None,
                }
            }
        }))
    }
}

/// What a line takes, roughly.
fn bytes(line: &LogLine) -> usize {
    let fields = line.fields.iter().map(|(name, value)| name.len() + value.len());
    size_of::<LogLine>() + line.message.len() + fields.sum::<usize>()
}

#[cfg(test)]
mod tests {
    use futures_util::StreamExt;
    use wasmverse_engine::LogLevel;

    use super::*;

    fn line(id: &str, message: &str) -> LogLine {
        LogLine {
            object: ObjectId::parse("T", id).unwrap(),
            turn: None,
            level: LogLevel::Info,
            message: message.to_owned(),
            fields: Vec::new(),
            at_micros: 0,
        }
    }

    #[tokio::test]
    async fn a_reader_gets_the_latest_lines_then_the_new_ones() {
        let hub = LogHub::new(3);
        for message in ["1", "2", "3", "4"] {
            hub.write(line("a", message));
        }
        hub.write(line("b", "other"));
        let filter = LogFilter { id: Some("a".into()), ..LogFilter::default() };
        let mut tail = hub.tail(filter, 9);
        hub.write(line("a", "5"));
        let mut seen = Vec::new();
        for _ in 0..3 {
            seen.push(tail.next().await.unwrap().line.message.clone());
        }
        assert_eq!(seen, ["3", "4", "5"]);
    }

    #[tokio::test]
    async fn long_lines_push_out_more_of_the_old_ones() {
        let hub = LogHub::new(1000);
        let long = "x".repeat(KEPT_BYTES_MAX / 4);
        for _ in 0..9 {
            hub.write(line("a", &long));
        }
        assert_eq!(hub.recent.lock().lines.len(), 3);
        hub.write(line("a", &"x".repeat(KEPT_BYTES_MAX)));
        assert_eq!(hub.recent.lock().bytes, 0);
    }

    #[tokio::test]
    async fn a_slow_reader_is_told_how_many_lines_it_lost() {
        let hub = LogHub::new(0);
        let mut tail = hub.tail(LogFilter::default(), 9);
        for n in 0..BEHIND_MAX + 10 {
            hub.write(line("a", &n.to_string()));
        }
        let first = tail.next().await.unwrap();
        assert_eq!((first.missed, first.line.message.as_str()), (10, "10"));
        assert_eq!(tail.next().await.unwrap().missed, 0);
    }
}
