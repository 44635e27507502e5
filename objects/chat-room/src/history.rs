//! What was said in a room: the latest messages, bounded in number and in bytes.

use std::collections::VecDeque;

use wasmverse_sdk::prelude::*;

/// Messages that are kept.
const LENGTH_MAX: usize = 1000;
/// What they may hold as JSON, in bytes: a part of what a state may.
const BYTES_MAX: usize = 1 << 20;
/// What surrounds the texts of a message.
const ENVELOPE_BYTES: usize = 96;

/// Something that was said: the data of the event `message`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Message {
    /// Where.
    pub room: String,
    /// By whom.
    pub user: String,
    /// What, as it was written.
    pub text: String,
    /// When, in microseconds since 1970.
    pub at_micros: u64,
    /// Counts the messages of a room, from 1.
    pub seq: u64,
}

impl Message {
    fn bytes(&self) -> usize {
        let texts = [&self.room, &self.user, &self.text];
        ENVELOPE_BYTES + texts.map(|text| json_bytes(text)).iter().sum::<usize>()
    }
}

/// What a text takes as JSON, at most: a control character takes six bytes.
pub(crate) fn json_bytes(text: &str) -> usize {
    let escaped = text.bytes().map(|byte| match byte {
        b'"' | b'\\' => 2,
        0..0x20 => 6,
        _ => 1,
    });
    2 + escaped.sum::<usize>()
}

/// Which messages are asked for.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct Range {
    /// Those that come after this one; none: the latest.
    pub after_seq: Option<u64>,
    /// So many at most; none: 50.
    pub limit: Option<usize>,
}

/// The latest messages of a room.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct History {
    messages: VecDeque<Message>,
    bytes: usize,
    last_seq: u64,
}

impl History {
    /// Adds a message, and forgets the earliest if there are too many.
    pub(crate) fn add(&mut self, room: &str, user: String, text: String, now: u64) -> Message {
        self.last_seq += 1;
        // Clocks may go back; what is said later is never shown as earlier.
        let at_micros = now.max(self.messages.back().map_or(0, |last| last.at_micros));
        let message = Message { room: room.into(), user, text, at_micros, seq: self.last_seq };
        self.bytes += message.bytes();
        self.messages.push_back(message.clone());
        while self.messages.len() > LENGTH_MAX || self.bytes > BYTES_MAX {
            let Some(earliest) = self.messages.pop_front() else { break };
            self.bytes -= earliest.bytes();
        }
        message
    }

    /// The latest ones, the earliest first.
    pub(crate) fn latest(&self, limit: usize) -> Vec<Message> {
        let skipped = self.messages.len().saturating_sub(limit);
        self.messages.iter().skip(skipped).cloned().collect()
    }

    /// The first ones after that one.
    pub(crate) fn after(&self, seq: u64, limit: usize) -> Vec<Message> {
        let skipped = self.messages.partition_point(|message| message.seq <= seq);
        self.messages.iter().skip(skipped).take(limit).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seqs(messages: &[Message]) -> Vec<u64> {
        messages.iter().map(|message| message.seq).collect()
    }

    #[test]
    fn messages_are_kept_up_to_a_number_and_to_a_size() {
        let mut history = History::default();
        for n in 0..LENGTH_MAX as u64 + 5 {
            history.add("r", "a".into(), "x".into(), n);
        }
        assert_eq!(history.messages.len(), LENGTH_MAX);
        assert_eq!(history.messages[0].seq, 6);
        for _ in 0..300 {
            history.add("r", "a".into(), "x".repeat(4096), 0);
        }
        assert_eq!(history.bytes, history.messages.iter().map(Message::bytes).sum::<usize>());
        let each = ENVELOPE_BYTES + 2 * 3 + 2 + 4096;
        assert!(history.bytes <= BYTES_MAX && history.messages.len() == BYTES_MAX / each);
        // What control characters become counts.
        history.add("r", "a".into(), "\0".repeat(4096), 0);
        assert!(serde_json::to_vec(&history).unwrap().len() < BYTES_MAX + 100);
    }

    #[test]
    fn the_latest_or_those_after_one_come_earliest_first() {
        let mut history = History::default();
        for n in 0..10 {
            history.add("r", "a".into(), n.to_string(), 100 - n);
        }
        assert_eq!(seqs(&history.latest(3)), [8, 9, 10]);
        assert_eq!(seqs(&history.after(3, 2)), [4, 5]);
        assert_eq!(seqs(&history.after(10, 2)), [0; 0]);
        assert_eq!(history.latest(100).len(), 10);
        assert!(history.messages.iter().all(|message| message.at_micros == 100));
    }
}
