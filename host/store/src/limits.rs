//! What no store would ever take, whatever it holds.

use std::{borrow::Cow, collections::HashSet, hash::Hash};

use crate::{Change, Commit, Effect, Error, STORAGE_KEY_BYTES_MAX};

/// The longest name, method, key or origin of an effect, in bytes.
const TEXT_BYTES_MAX: usize = 1024;
/// The longest reason that is kept, in bytes; more is cut off.
const REASON_BYTES_MAX: usize = 8 << 10;

impl Commit {
    /// Whether no store would ever take it.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let mut seen = HashSet::with_capacity(self.storage.len());
        for (key, _) in &self.storage {
            check_key(key)?;
            once(&mut seen, key, || format!("the key `{}`", key.escape_debug()))?;
        }
        if self.change == Change::Nothing && !self.storage.is_empty() {
            return Err(Error::Refused("storage of a row that does not change".to_owned()));
        }
        if self.effects.is_empty() { Ok(()) } else { self.check_effects() }
    }

    fn check_effects(&self) -> Result<(), Error> {
        let (mut results, mut sends) = (HashSet::new(), HashSet::new());
        let (mut fired, mut letters) = (HashSet::new(), HashSet::new());
        for effect in &self.effects {
            effect.check()?;
            match effect {
                Effect::Result(kept) => once(&mut results, &kept.key, || "a result".to_owned())?,
                Effect::Arrived(send) | Effect::Dead { send, .. } => {
                    once(&mut sends, send, || {
                        format!("the send {} of {}", send.number, send.from)
                    })?;
                }
                Effect::Fired { name, .. } => {
                    once(&mut fired, name, || format!("the firing of `{}`", name.escape_debug()))?;
                }
                Effect::Revive(number) | Effect::Forget(number) => {
                    once(&mut letters, number, || format!("the dead letter {number}"))?;
                }
                Effect::Send(_) if self.change == Change::Nothing => {
                    let told = "a send of a row that does not change: it would have no number";
                    return Err(Error::Refused(told.to_owned()));
                }
                Effect::Send(_) | Effect::Remind(_) | Effect::Cancel(_) => {}
            }
        }
        Ok(())
    }
}

impl Effect {
    fn check(&self) -> Result<(), Error> {
        match self {
            Self::Result(kept) => {
                check_text("the origin of a key", &kept.key.origin)?;
                check_text("a key", &kept.key.key)
            }
            Self::Send(send) => check_text("a method", &send.method),
            Self::Remind(reminder) => {
                check_text("the name of a reminder", &reminder.name)?;
                check_text("the time of a reminder", &reminder.when)?;
                check_text("a method", &reminder.method)
            }
            Self::Cancel(name) | Self::Fired { name, .. } => {
                check_text("the name of a reminder", name)
            }
            Self::Arrived(_) | Self::Dead { .. } | Self::Revive(_) | Self::Forget(_) => Ok(()),
        }
    }
}

/// What stands in a commit twice is a mistake.
fn once<T: Eq + Hash>(
    seen: &mut HashSet<T>,
    thing: T,
    told: impl Fn() -> String,
) -> Result<(), Error> {
    match seen.insert(thing) {
        true => Ok(()),
        false => Err(Error::Refused(format!("{} twice", told()))),
    }
}

/// Whether a key of storage is one.
pub(crate) fn check_key(key: &str) -> Result<(), Error> {
    check_length("a storage key", key, STORAGE_KEY_BYTES_MAX)
}

/// Whether a name, a method, a key or an origin of an effect is one.
pub(crate) fn check_text(what: &str, text: &str) -> Result<(), Error> {
    check_length(what, text, TEXT_BYTES_MAX)
}

fn check_length(what: &str, text: &str, bytes_max: usize) -> Result<(), Error> {
    let length = text.len();
    if length > bytes_max {
        return Err(Error::Refused(format!("{what} of {length} bytes: {bytes_max} is the most")));
    }
    match text.contains('\0') {
        true => Err(Error::Refused(format!("{what} with a zero byte"))),
        false => Ok(()),
    }
}

/// A reason as it is kept: nothing is refused because of the words for it.
pub(crate) fn kept_reason(reason: &str) -> Cow<'_, str> {
    let end = reason.floor_char_boundary(REASON_BYTES_MAX);
    match reason[..end].contains('\0') {
        true => Cow::Owned(reason[..end].replace('\0', " ")),
        false => Cow::Borrowed(&reason[..end]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_cut_between_characters_and_has_no_zero_bytes() {
        assert_eq!(kept_reason("a\0b"), "a b");
        let long = "é".repeat(REASON_BYTES_MAX);
        assert_eq!(kept_reason(&long).len(), REASON_BYTES_MAX);
        let long = format!("x{long}");
        assert_eq!(kept_reason(&long).len(), REASON_BYTES_MAX - 1);
    }
}
