//! Firings of a reminder, as they were seen from within: each is kept with when it was due and when
//! the next one is, so that a reader can tell whether one is missing or came twice.

use serde_json::{Value, json};
use wasmverse_sdk::{Context, Error, Result};

use crate::Chameleon;

/// So many are kept.
const KEPT: u32 = 1000;

/// Counts the firing whose turn this is, in the state, and keeps it under its number, in the storage.
pub(crate) fn note(me: &mut Chameleon, context: &Context) -> Result<Value> {
    let key = context.key().unwrap_or_default();
    let (due, name) = due(&key).ok_or_else(|| Error::invalid_argument("no reminder has fired"))?;
    let pending = context.reminders()?;
    let next = pending.iter().find(|reminder| reminder.name == name).map(|next| next.due_micros);
    me.kept.value += 1;
    let number = me.kept.value;
    context.storage().set(&place(number), &json!([number, due, next]))?;
    if number > i64::from(KEPT) {
        context.storage().remove(&place(number - i64::from(KEPT)))?;
    }
    Ok(Value::Null)
}

/// How many there were, and those after that number.
pub(crate) fn after(me: &Chameleon, context: &Context, number: i64) -> Result<Value> {
    let fired: Vec<(String, Value)> = context.storage().scan("fired ", &place(number), KEPT)?;
    let fired: Value = fired.into_iter().map(|(_, firing)| firing).collect();
    Ok(json!({ "count": me.kept.value, "fired": fired }))
}

/// The platform makes the key of such a turn: a mark of its own, and `reminder DUE NAME`.
fn due(key: &str) -> Option<(i64, &str)> {
    let (_, firing) = key.split_once("reminder ")?;
    let (due, name) = firing.split_once(' ')?;
    Some((due.parse().ok()?, name))
}

fn place(number: i64) -> String {
    format!("fired {number:012}")
}
