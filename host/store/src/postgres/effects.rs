//! What goes with rows, as the procedure takes it: a column for each property, whose meaning is that
//! of the kind (migration 0007).

use std::borrow::Cow;

use crate::{Effect, SendId, limits::kept_reason, prepared::Prepared};

/// One effect.
#[derive(Default)]
struct Line<'a> {
    kind: i64,
    texts: [Option<Cow<'a, str>>; 3],
    numbers: [Option<i64>; 3],
    asked: Option<&'a [u8]>,
    value: Option<&'a [u8]>,
}

/// The effects of a statement.
#[derive(Default)]
pub(super) struct EffectColumns<'a> {
    pub(super) places: Vec<i64>,
    pub(super) kinds: Vec<i64>,
    pub(super) types: Vec<&'a str>,
    pub(super) ids: Vec<&'a str>,
    pub(super) texts: [Vec<Option<Cow<'a, str>>>; 3],
    pub(super) numbers: [Vec<Option<i64>>; 3],
    pub(super) askeds: Vec<Option<&'a [u8]>>,
    pub(super) values: Vec<Option<&'a [u8]>>,
}

impl<'a> EffectColumns<'a> {
    /// Those of a row, by its place from 1.
    pub(super) fn push(&mut self, place: i64, row: &'a Prepared) {
        let (mut hashes, mut sent) = (row.hashes.iter(), 0);
        for effect in &row.commit.effects {
            let line = match effect {
                Effect::Result(kept) => Line {
                    kind: 0,
                    texts: [some(&kept.key.origin), some(&kept.key.key), None],
                    numbers: [hashes.next().copied(), None, None],
                    asked: Some(&kept.asked),
                    value: Some(&kept.answer),
                },
                Effect::Send(send) => {
                    sent += 1;
                    let (to_type, to_id) = (send.to.type_name().as_str(), send.to.id());
                    Line {
                        kind: 1,
                        texts: [some(to_type), some(to_id), some(&send.method)],
                        numbers: [Some(sent - 1), None, None],
                        value: Some(&send.payload),
                        ..Line::default()
                    }
                }
                Effect::Arrived(send) => settled(2, send, None),
                Effect::Dead { send, reason } => settled(3, send, Some(kept_reason(reason))),
                Effect::Fired { name, due_micros, next_micros, dead } => Line {
                    kind: 6,
                    texts: [some(name), dead.as_deref().map(kept_reason), None],
                    numbers: [Some(*due_micros), *next_micros, None],
                    ..Line::default()
                },
                Effect::Revive(number) => numbered(7, *number),
                Effect::Forget(number) => numbered(8, *number),
                // What is left of them comes below.
                Effect::Remind(_) | Effect::Cancel(_) => continue,
            };
            self.push_line(place, row, line);
        }
        for effect in row.reminders() {
            let line = match effect {
                Effect::Remind(reminder) => Line {
                    kind: 4,
                    texts: [some(&reminder.name), some(&reminder.when), some(&reminder.method)],
                    numbers: [Some(reminder.due_micros), None, None],
                    value: Some(&reminder.payload),
                    ..Line::default()
                },
                Effect::Cancel(name) => {
                    Line { kind: 5, texts: [some(name), None, None], ..Line::default() }
                }
                _ => continue,
            };
            self.push_line(place, row, line);
        }
    }

    fn push_line(&mut self, place: i64, row: &'a Prepared, line: Line<'a>) {
        let (type_name, id) = row.name();
        self.places.push(place);
        self.kinds.push(line.kind);
        self.types.push(type_name);
        self.ids.push(id);
        for (column, text) in self.texts.iter_mut().zip(line.texts) {
            column.push(text);
        }
        for (column, number) in self.numbers.iter_mut().zip(line.numbers) {
            column.push(number);
        }
        self.askeds.push(line.asked);
        self.values.push(line.value);
    }
}

fn some(text: &str) -> Option<Cow<'_, str>> {
    Some(Cow::Borrowed(text))
}

/// A send that leaves the outbox.
fn settled<'a>(kind: i64, send: &'a SendId, reason: Option<Cow<'a, str>>) -> Line<'a> {
    // A number that is none of the database's is in no outbox.
    let number = |number: u64| Some(i64::try_from(number).unwrap_or(-1));
    let (version, place) = (number(send.number.version.0), number(send.number.place));
    Line {
        kind,
        texts: [some(send.from.type_name().as_str()), some(send.from.id()), reason],
        numbers: [Some(i64::from(send.shard.0)), version, place],
        ..Line::default()
    }
}

/// A dead letter that goes.
fn numbered<'a>(kind: i64, number: u64) -> Line<'a> {
    let number = i64::try_from(number).unwrap_or(-1);
    Line { kind, numbers: [Some(number), None, None], ..Line::default() }
}
