//! What of a room was shown, so that each message is shown once, and in order.

use serde::Deserialize;

/// Something that was said in a room.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct Message {
    pub(crate) room: String,
    pub(crate) user: String,
    pub(crate) text: String,
    pub(crate) at_micros: u64,
    pub(crate) seq: u64,
}

/// What to do about a message that came.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// It is the next one.
    Show,
    /// It was shown.
    Known,
    /// Others come before it: ask the room.
    Fetch,
    /// The room forgot messages that were shown: it went back to an older state.
    WentBack,
}

/// Up to where a room was shown.
#[derive(Debug, Default)]
pub(crate) struct Transcript {
    seq: u64,
    at_micros: u64,
}

impl Transcript {
    /// The last message that was shown.
    pub(crate) fn seq(&self) -> u64 {
        self.seq
    }

    /// Notes that a message was shown.
    pub(crate) fn shown(&mut self, message: &Message) {
        (self.seq, self.at_micros) = (message.seq, message.at_micros);
    }

    /// What to do about one that was pushed or answered.
    pub(crate) fn step(&self, message: &Message) -> Step {
        if message.seq <= self.seq {
            let is_later = message.at_micros > self.at_micros;
            return if is_later { Step::WentBack } else { Step::Known };
        }
        if message.seq == self.seq + 1 { Step::Show } else { Step::Fetch }
    }

    /// Whether a room whose latest messages are these forgot some that were shown.
    pub(crate) fn went_back(&self, latest: &[Message]) -> bool {
        let Some(last) = latest.last() else { return self.seq > 0 };
        let at_mark = latest.iter().find(|message| message.seq == self.seq);
        last.seq < self.seq || at_mark.is_some_and(|message| message.at_micros != self.at_micros)
    }

    /// Of the latest messages of a room that went back, those that were not shown.
    pub(crate) fn unseen(&self, latest: Vec<Message>) -> Vec<Message> {
        latest.into_iter().filter(|message| message.at_micros > self.at_micros).collect()
    }

    /// Goes back, too, to the end of what the room has now.
    pub(crate) fn go_back(&mut self, latest: &[Message]) {
        self.seq = latest.last().map_or(0, |message| message.seq);
        self.at_micros = self.at_micros.max(latest.last().map_or(0, |message| message.at_micros));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(seq: u64, at_micros: u64) -> Message {
        let [room, user, text] = ["r", "u", "t"].map(str::to_owned);
        Message { room, user, text, at_micros, seq }
    }

    #[test]
    fn each_message_is_shown_once_and_none_is_passed_over() {
        let mut transcript = Transcript::default();
        assert_eq!(transcript.step(&message(1, 10)), Step::Show);
        transcript.shown(&message(1, 10));
        assert_eq!(transcript.step(&message(1, 10)), Step::Known);
        assert_eq!(transcript.step(&message(3, 30)), Step::Fetch);
        assert_eq!(transcript.step(&message(2, 10)), Step::Show);
    }

    #[test]
    fn a_room_that_went_back_is_noticed_and_its_new_messages_are_shown() {
        let mut transcript = Transcript::default();
        transcript.shown(&message(5, 50));
        assert_eq!(transcript.step(&message(3, 60)), Step::WentBack);
        assert!(!transcript.went_back(&[message(5, 50), message(6, 60)]));
        assert!(transcript.went_back(&[message(4, 40)]));
        assert!(transcript.went_back(&[message(5, 55), message(6, 60)]));
        assert!(transcript.went_back(&[]));
        let latest = vec![message(2, 20), message(3, 60)];
        assert_eq!(transcript.unseen(latest.clone()), [message(3, 60)]);
        transcript.go_back(&latest);
        assert_eq!(transcript.step(&message(4, 70)), Step::Show);
    }
}
