//! Random effects: some can be had, some were had before, some never can.

use std::sync::Arc;

use bytes::Bytes;
use wasmverse_core::{ObjectId, SendNumber, Version};

use super::{
    effects::key,
    history::{History, SHARDS},
    object,
};
use crate::{Effect, KeptResult, NewReminder, NewSend, SendId};

const ORIGINS: [&str; 3] = ["", "T/a", "me"];
const KEYS: [&str; 4] = ["", "1", "2", "\u{1}"];
const NAMES: [&str; 3] = ["", "r", "é"];
/// Times that have passed, and one that has not.
const TIMES: [i64; 5] = [-1, 1000, 2000, FAR, FAR];
const FAR: i64 = 4_102_444_800_000_000;
const PAYLOADS: [&[u8]; 3] = [b"", b"1", b"\0\xff"];

impl History {
    /// An object that has something to do with reminders or dead letters, or any.
    pub(super) fn object_with_effects(&mut self) -> ObjectId {
        let beside = &self.model.beside;
        let of_reminders: Vec<_> =
            beside.reminders.keys().map(|(object, _)| object.clone()).collect();
        let of_letters: Vec<_> = beside.letters.iter().map(|letter| letter.from.clone()).collect();
        let of = match self.dice.below(4) {
            0 => of_reminders,
            1 => of_letters,
            _ => Vec::new(),
        };
        if of.is_empty() { self.object() } else { of[self.dice.below(of.len())].clone() }
    }

    /// What goes with a row of an object.
    pub(super) fn effects(&mut self, of: &ObjectId) -> Vec<Effect> {
        if self.dice.below(3) == 0 {
            return Vec::new();
        }
        let mut effects = Vec::new();
        for _ in 0..self.dice.below(5) {
            let effect = self.effect(of);
            // Twice the same is refused; seldom is enough.
            let is_new = effects.iter().all(|other| !same_thing(other, &effect));
            if is_new || self.dice.below(8) == 0 {
                effects.push(effect);
            }
        }
        effects
    }

    fn effect(&mut self, of: &ObjectId) -> Effect {
        match self.dice.below(18) {
            0..=2 => self.result(),
            3..=6 => Effect::Send(NewSend {
                to: self.object(),
                method: self.dice.pick(&["take", "", "é"]).into(),
                payload: Bytes::from_static(self.dice.pick(&PAYLOADS)),
            }),
            7..=9 => Effect::Arrived(self.send()),
            10 => Effect::Dead { send: self.send(), reason: self.reason() },
            11 | 12 => self.remind(),
            13 => Effect::Cancel(self.dice.pick(&NAMES).into()),
            14 | 15 => self.fired(of),
            16 => Effect::Revive(self.letter(of)),
            _ => Effect::Forget(self.letter(of)),
        }
    }

    fn result(&mut self) -> Effect {
        let key = match self.dice.below(40) {
            0 => key("", "\0"),
            1 => key(&"o".repeat(1025), ""),
            _ => key(self.dice.pick(&ORIGINS), self.dice.pick(&KEYS)),
        };
        let asked = [u8::try_from(self.dice.below(256)).unwrap_or(0); 16];
        let answer = Bytes::from_static(self.dice.pick(&PAYLOADS));
        Effect::Result(KeptResult { key, asked, answer })
    }

    /// One that is there, or one that is not.
    fn send(&mut self) -> SendId {
        let there: Vec<_> = self.model.beside.outbox.keys().cloned().collect();
        if !there.is_empty() && self.dice.below(10) > 0 {
            return there[self.dice.below(there.len())].clone();
        }
        let from = object("T", "a");
        let highest = self.model.objects.get(&from).map_or(0, |row| row.version.0);
        let version = Version(self.dice.pick(&[0, 1, highest, u64::MAX]));
        let number = SendNumber { version, place: self.dice.pick(&[0, 1, u64::MAX]) };
        SendId { shard: self.dice.pick(&SHARDS), from, number }
    }

    fn reason(&mut self) -> String {
        match self.dice.below(8) {
            0 => "é".repeat(5000),
            1 => "a\0b".to_owned(),
            _ => "nobody is there".to_owned(),
        }
    }

    fn remind(&mut self) -> Effect {
        let name: Arc<str> = match self.dice.below(40) {
            0 => "\0".into(),
            _ => self.dice.pick(&NAMES).into(),
        };
        Effect::Remind(NewReminder {
            name,
            when: self.dice.pick(&["hourly", ""]).into(),
            method: "tick".into(),
            payload: Bytes::from_static(self.dice.pick(&PAYLOADS)),
            due_micros: self.dice.pick(&TIMES),
        })
    }

    /// One that is due then, mostly.
    fn fired(&mut self, of: &ObjectId) -> Effect {
        let set = self.model.beside.reminders.values().filter(|set| set.object == *of);
        let set: Vec<_> =
            set.map(|set| (set.reminder.name.clone(), set.reminder.due_micros)).collect();
        let (name, due_micros) = match self.dice.below(6) {
            0 => (self.dice.pick(&NAMES).into(), self.dice.pick(&TIMES)),
            1 if !set.is_empty() => (set[0].0.clone(), set[0].1 + 1),
            _ if set.is_empty() => (self.dice.pick(&NAMES).into(), FAR),
            _ => set[self.dice.below(set.len())].clone(),
        };
        let next_micros = (self.dice.below(2) > 0).then(|| self.dice.pick(&TIMES));
        let dead = (self.dice.below(4) == 0).then(|| self.reason());
        Effect::Fired { name, due_micros, next_micros, dead }
    }

    /// One of the object's, mostly.
    fn letter(&mut self, of: &ObjectId) -> u64 {
        let letters = self.model.beside.letters.iter();
        let numbers = letters.filter_map(|letter| Some((letter.number?, letter.from == *of)));
        let numbers: Vec<(u64, bool)> = numbers.collect();
        let own: Vec<u64> = numbers.iter().filter(|(_, own)| *own).map(|(it, _)| *it).collect();
        match self.dice.below(8) {
            0 if !numbers.is_empty() => numbers[self.dice.below(numbers.len())].0,
            1 => self.dice.pick(&[0, 1, 99_999, u64::MAX]),
            _ if own.is_empty() => 0,
            _ => own[self.dice.below(own.len())],
        }
    }
}

/// Whether two may not go with one row.
fn same_thing(left: &Effect, right: &Effect) -> bool {
    let send = |effect: &Effect| match effect {
        Effect::Arrived(send) | Effect::Dead { send, .. } => Some(send.clone()),
        _ => None,
    };
    let number = |effect: &Effect| match effect {
        Effect::Revive(number) | Effect::Forget(number) => Some(*number),
        _ => None,
    };
    match (left, right) {
        (Effect::Result(left), Effect::Result(right)) => left.key == right.key,
        (Effect::Fired { name: left, .. }, Effect::Fired { name: right, .. }) => left == right,
        _ => {
            (send(left).is_some() && send(left) == send(right))
                || (number(left).is_some() && number(left) == number(right))
        }
    }
}
