//! What is known of a room: it is told what callers were told, what was pushed and what the room
//! holds, and says whether these can be of one history.

use std::collections::{BTreeMap, BTreeSet};

use super::verdict::{Found, Verdict, Violation};

/// A message: its place, and its text, which no other has.
pub(crate) type Message = (u64, String);

/// All that is known of one room.
#[derive(Clone, Debug, Default)]
pub(crate) struct Talk {
    acknowledged: BTreeMap<u64, String>,
    pushed: BTreeMap<u64, String>,
    /// As it was read.
    held: BTreeMap<u64, String>,
    /// Where the texts that are held stand.
    places: BTreeMap<String, u64>,
    /// Posts since it was last read of which nobody knows.
    unknown: BTreeSet<String>,
    /// The last push that each listener saw.
    heard: BTreeMap<usize, u64>,
}

impl Talk {
    /// A post was acknowledged.
    pub(crate) fn acknowledged(&mut self, (seq, text): Message) -> Verdict {
        self.compare(seq, &text)?;
        if seq <= self.last() && !self.held.contains_key(&seq) {
            let told = format!("{text} was acknowledged as {seq}, which was not there");
            return Err(Found::new(Violation::AcknowledgedIsGone, told));
        }
        self.acknowledged.insert(seq, text);
        Ok(())
    }

    /// Nobody knows what became of a post. That it comes later is a violation.
    pub(crate) fn unknown(&mut self, text: String) {
        self.unknown.insert(text);
    }

    /// A listener was pushed a message. It may be late: what was pushed before a restart is perhaps
    /// seen after it.
    pub(crate) fn pushed(&mut self, listener: usize, (seq, text): Message) -> Verdict {
        if seq <= self.last() && self.held.get(&seq) != Some(&text) {
            let told = format!("{seq}, {text} was pushed, not {:?}", self.held.get(&seq));
            return Err(Found::new(Violation::PushedIsGone, told));
        }
        self.compare(seq, &text)?;
        let before = self.heard.insert(listener, seq).unwrap_or_default();
        if seq <= before {
            let told = format!("listener {listener} heard {seq}, {text} after {before}");
            return Err(Found::new(Violation::PushedOutOfOrder, told));
        }
        self.pushed.insert(seq, text);
        Ok(())
    }

    /// The room holds these after that one, and no post is under way.
    pub(crate) fn held(&mut self, after: u64, messages: &[Message]) -> Verdict {
        let (now, length) = (BTreeMap::from_iter(messages.iter().cloned()), messages.len());
        if now.len() != length {
            return Err(Found::new(Violation::Unasked, format!("a place is there twice: {now:?}")));
        }
        let later = || after + 1..;
        for (known, violation) in [
            (&self.acknowledged, Violation::AcknowledgedIsGone),
            (&self.held, Violation::AcknowledgedIsGone),
            (&self.pushed, Violation::PushedIsGone),
        ] {
            let mut known = known.range(later());
            if let Some((seq, text)) = known.find(|(seq, text)| now.get(seq) != Some(text)) {
                let told = format!("{seq}, {text}: {:?} is there", now.get(seq));
                return Err(Found::new(violation, told));
            }
        }
        for (seq, text) in &now {
            let is_known = self.held.contains_key(seq) || self.acknowledged.contains_key(seq);
            if !is_known && !self.unknown.contains(text) {
                let told = format!("{seq}, {text} was refused, or never asked for");
                return Err(Found::new(Violation::Unasked, told));
            }
            if let Some(place) = self.places.insert(text.clone(), *seq).filter(|it| it != seq) {
                let told = format!("{text} is there as {place} and as {seq}");
                return Err(Found::new(Violation::Unasked, told));
            }
        }
        self.held.extend(now);
        self.unknown.clear();
        Ok(())
    }

    /// The last message that it was read to hold.
    pub(crate) fn last(&self) -> u64 {
        self.held.last_key_value().map_or(0, |(seq, _)| *seq)
    }

    /// Whether others were told the same of this place: if not, what they were told of is gone.
    fn compare(&self, seq: u64, text: &String) -> Verdict {
        for (known, violation) in [
            (&self.acknowledged, Violation::AcknowledgedIsGone),
            (&self.held, Violation::AcknowledgedIsGone),
            (&self.pushed, Violation::PushedIsGone),
        ] {
            if let Some(other) = known.get(&seq).filter(|other| *other != text) {
                return Err(Found::new(violation, format!("{seq} was {other}, and is {text}")));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(messages: &[(u64, &str)]) -> Vec<Message> {
        messages.iter().map(|(seq, text)| (*seq, (*text).to_owned())).collect()
    }

    fn one(seq: u64, text: &str) -> Message {
        (seq, text.to_owned())
    }

    fn violation(verdict: Verdict) -> Option<Violation> {
        verdict.err().map(|found| found.violation)
    }

    /// `a` is there for sure, `b` perhaps.
    fn talk() -> Talk {
        let mut talk = Talk::default();
        talk.acknowledged(one(1, "a")).unwrap();
        talk.unknown("b".to_owned());
        talk
    }

    #[test]
    fn what_was_acknowledged_is_there_and_what_is_unknown_may_be() {
        talk().held(0, &said(&[(1, "a")])).unwrap();
        let mut talk = talk();
        talk.held(0, &said(&[(1, "a"), (2, "b")])).unwrap();
        talk.pushed(0, one(2, "b")).unwrap();
        talk.acknowledged(one(3, "c")).unwrap();
        talk.held(2, &said(&[(3, "c")])).unwrap();
        talk.held(0, &said(&[(1, "a"), (2, "b"), (3, "c")])).unwrap();
        assert_eq!(talk.last(), 3);
    }

    #[test]
    fn an_acknowledged_message_that_is_gone_moved_or_changed_is_found() {
        for held in [&[][..], &[(2, "a")], &[(1, "b")]] {
            let verdict = talk().held(0, &said(held));
            assert_eq!(violation(verdict), Some(Violation::AcknowledgedIsGone), "{held:?}");
        }
        let mut talk = talk();
        talk.held(0, &said(&[(1, "a"), (2, "b")])).unwrap();
        let verdict = talk.held(0, &said(&[(1, "a")]));
        assert_eq!(violation(verdict), Some(Violation::AcknowledgedIsGone));
    }

    #[test]
    fn an_acknowledged_message_whose_place_another_takes_is_found() {
        for other in [one(1, "c"), one(2, "c")] {
            let mut talk = talk();
            talk.acknowledged(one(3, "d")).unwrap();
            talk.held(1, &said(&[(3, "d")])).unwrap();
            let verdict = talk.acknowledged(other);
            assert_eq!(violation(verdict), Some(Violation::AcknowledgedIsGone));
        }
    }

    #[test]
    fn a_push_of_what_is_gone_is_found_whenever_it_is_seen() {
        let mut early = talk();
        early.pushed(0, one(2, "b")).unwrap();
        let verdict = early.held(0, &said(&[(1, "a")]));
        assert_eq!(violation(verdict), Some(Violation::PushedIsGone));

        let mut late = talk();
        late.held(0, &said(&[(1, "a")])).unwrap();
        late.pushed(0, one(2, "b")).unwrap();
        assert_eq!(violation(late.acknowledged(one(2, "c"))), Some(Violation::PushedIsGone));

        let mut later = talk();
        later.acknowledged(one(2, "c")).unwrap();
        later.held(0, &said(&[(1, "a"), (2, "c")])).unwrap();
        assert_eq!(violation(later.pushed(0, one(2, "b"))), Some(Violation::PushedIsGone));
    }

    #[test]
    fn a_message_that_is_there_twice_or_was_not_asked_for_is_found() {
        for held in [&[(1, "a"), (2, "x")][..], &[(1, "a"), (2, "b"), (3, "b")]] {
            assert_eq!(
                violation(talk().held(0, &said(held))),
                Some(Violation::Unasked),
                "{held:?}"
            );
        }
        let twice = said(&[(1, "a"), (1, "b")]);
        assert_eq!(violation(talk().held(0, &twice)), Some(Violation::Unasked));
    }

    #[test]
    fn what_was_not_there_at_a_restart_does_not_come_later() {
        let mut talk = talk();
        talk.held(0, &said(&[(1, "a")])).unwrap();
        assert_eq!(violation(talk.held(1, &said(&[(2, "b")]))), Some(Violation::Unasked));
    }

    #[test]
    fn pushes_that_come_twice_or_out_of_order_are_found() {
        let mut talk = talk();
        talk.pushed(0, one(1, "a")).unwrap();
        talk.pushed(1, one(1, "a")).unwrap();
        assert_eq!(violation(talk.pushed(0, one(1, "a"))), Some(Violation::PushedOutOfOrder));
        talk.pushed(1, one(3, "c")).unwrap();
        assert_eq!(violation(talk.pushed(1, one(2, "b"))), Some(Violation::PushedOutOfOrder));
        assert_eq!(violation(talk.pushed(1, one(3, "d"))), Some(Violation::PushedIsGone));
    }
}
