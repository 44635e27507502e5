//! The room one is in, and what of it was shown.

use serde::Deserialize;

/// Something that was said.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct Message {
    pub(crate) user: String,
    pub(crate) text: String,
    pub(crate) at_micros: u64,
    pub(crate) seq: u64,
}

/// The room one is in.
#[derive(Debug)]
pub(super) struct Room {
    pub(super) name: String,
    /// The last message that was shown: its place, and its time.
    last: (u64, u64),
}

impl Room {
    pub(super) fn new(name: &str) -> Self {
        Self { name: name.to_owned(), last: (0, 0) }
    }

    /// The last message that was shown; 0: none.
    pub(super) fn last_seq(&self) -> u64 {
        self.last.0
    }

    /// Whether a message was not shown yet; it counts as shown from now on. A room that was set
    /// back to an earlier state counts on from there: what it says later is news all the same.
    pub(super) fn is_news(&mut self, message: &Message) -> bool {
        let (seq, at_micros) = self.last;
        let is_news = message.seq > seq || message.at_micros > at_micros;
        if is_news {
            self.last = (message.seq, message.at_micros);
        }
        is_news
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(seq: u64, at_micros: u64) -> Message {
        Message { user: "a".into(), text: "x".into(), at_micros, seq }
    }

    #[test]
    fn each_message_is_news_once_also_in_a_room_that_was_set_back() {
        let mut room = Room::new("r");
        assert!(room.is_news(&message(1, 10)) && room.is_news(&message(2, 10)));
        assert!(!room.is_news(&message(1, 10)) && !room.is_news(&message(2, 10)));
        assert!(room.is_news(&message(1, 20)), "it lost what it had not saved");
        assert!(!room.is_news(&message(1, 20)));
        assert_eq!(room.last_seq(), 1);
    }
}
