//! The name of a send among all that an object ever sent.

use std::{fmt, num::ParseIntError, str::FromStr};

use crate::Version;

/// Which send of its sender: the version of the sender's row that was committed with it, and its
/// place in that commit. It grows with each send, also across delete and re-creation of the sender,
/// because versions do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SendNumber {
    /// Of the sender's row.
    pub version: Version,
    /// Among what that commit sent, from 0. A dead letter that was sent again has the time of that,
    /// in microseconds since 1970.
    pub place: u64,
}

/// `version.place`.
impl fmt::Display for SendNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.version.0, self.place)
    }
}

impl FromStr for SendNumber {
    type Err = ParseIntError;

    fn from_str(text: &str) -> Result<Self, ParseIntError> {
        let (version, place) = text.split_once('.').unwrap_or((text, ""));
        Ok(Self { version: Version(version.parse()?), place: place.parse()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_grow_with_the_version_and_then_with_the_place() {
        let numbers = ["1.0", "1.1", "1.10", "2.0", "10.0"].map(|text| text.parse().unwrap());
        assert!(numbers.is_sorted_by(|left: &SendNumber, right| left < right));
        assert_eq!(numbers.map(|number| number.to_string()), ["1.0", "1.1", "1.10", "2.0", "10.0"]);
        assert!("1".parse::<SendNumber>().is_err());
    }
}
