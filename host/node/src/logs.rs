//! What objects write to their logs: the latest lines are kept, and whoever wants follows along.
//!
//! Writing never waits: a reader that is too slow loses lines, and is told how many.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::Arc,
};

use futures_util::{Stream, stream};
use parking_lot::Mutex;
use tokio::sync::broadcast::{self, error::RecvError};
use wasmverse_core::{ObjectId, TypeName};
use wasmverse_engine::LogLine;

/// A reader may be so many lines behind before it loses some.
const BEHIND_MAX: usize = 1024;
/// The latest lines take so many bytes at most: one line may be as long as a turn's log budget.
const KEPT_BYTES_MAX: usize = 16 << 20;

/// An object's lines take this part of the room at most, or so many lines: one that writes without
/// end pushes out its own lines before those of others.
const SHARE: usize = 8;
const SHARE_LINES_MIN: usize = 1000;
/// What keeping a line costs beside its bytes.
const KEEPING_BYTES: usize = 64;

/// The log lines of a node's objects.
#[derive(Debug)]
pub struct LogHub {
    recent: Mutex<Recent>,
    kept: usize,
    followers: broadcast::Sender<Arc<LogLine>>,
}

#[derive(Debug, Default)]
struct Recent {
    next: u64,
    /// By order of arrival.
    lines: BTreeMap<u64, Arc<LogLine>>,
    bytes: usize,
    shares: HashMap<ObjectId, Share>,
}

/// The lines of one object.
#[derive(Debug, Default)]
struct Share {
    places: VecDeque<u64>,
    bytes: usize,
}

impl Recent {
    fn push(&mut self, line: Arc<LogLine>) {
        let bytes = bytes(&line);
        let place = self.next;
        self.next += 1;
        self.bytes += bytes;
        if let Some(share) = self.shares.get_mut(&line.object) {
            share.places.push_back(place);
            share.bytes += bytes;
        } else {
            let share = Share { places: [place].into(), bytes };
            self.shares.insert(line.object.clone(), share);
        }
        self.lines.insert(place, line);
    }

    /// The oldest line of an object that has more than its share; none: it has not.
    fn beyond_share(&self, object: &ObjectId, lines_max: usize) -> Option<u64> {
        let share = self.shares.get(object)?;
        let beyond = share.places.len() > lines_max || share.bytes > KEPT_BYTES_MAX / SHARE;
        beyond.then(|| share.places.front().copied())?
    }

    fn remove(&mut self, place: u64) {
        let Some(line) = self.lines.remove(&place) else { return };
        let bytes = bytes(&line);
        self.bytes -= bytes;
        if let Some(share) = self.shares.get_mut(&line.object) {
            // Whose line goes, its oldest goes.
            share.places.pop_front();
            share.bytes -= bytes;
            if share.places.is_empty() {
                self.shares.remove(&line.object);
            }
        }
    }
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
        recent.push(line.clone());
        let share = (self.kept / SHARE).max(SHARE_LINES_MIN);
        while let Some(oldest) = recent.beyond_share(&line.object, share) {
            recent.remove(oldest);
        }
        while recent.lines.len() > self.kept || recent.bytes > KEPT_BYTES_MAX {
            let Some((&oldest, _)) = recent.lines.first_key_value() else { break };
            recent.remove(oldest);
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
            .values()
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
    let field = size_of::<(String, String)>();
    let fields = line.fields.iter().map(|(name, value)| field + name.len() + value.len());
    size_of::<LogLine>() + KEEPING_BYTES + line.message.len() + fields.sum::<usize>()
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
        let long = "x".repeat(KEPT_BYTES_MAX / SHARE - 1000);
        for n in 0..19 {
            hub.write(line(&n.to_string(), &long));
        }
        let kept = hub.recent.lock();
        assert_eq!(kept.lines.len(), SHARE);
        assert_eq!(kept.bytes, kept.lines.values().map(|line| bytes(line)).sum::<usize>());
    }

    #[test]
    fn one_that_writes_without_end_pushes_out_its_own_lines_alone() {
        let hub = LogHub::new(10_000);
        hub.write(line("quiet", "my last words"));
        for _ in 0..20_000 {
            hub.write(line("loud", ""));
        }
        hub.write(line("loud", &"x".repeat(KEPT_BYTES_MAX)));
        let kept = hub.recent.lock();
        let messages: Vec<_> = kept.lines.values().map(|line| line.message.as_str()).collect();
        assert_eq!(messages, ["my last words"]);
        assert_eq!((kept.shares.len(), kept.bytes), (1, bytes(&line("quiet", "my last words"))));
    }

    #[test]
    fn fields_are_charged_for_even_if_they_are_empty() {
        let mut many = line("a", "");
        many.fields = vec![(String::new(), String::new()); 1000];
        assert!(bytes(&many) >= 48_000);
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
