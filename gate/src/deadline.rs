//! How long a caller is willing to wait: read from headers, bounded, and turned into an instant.
//!
//! A deadline is set here, once, and never extended on the way.

use std::time::{Duration, Instant};

use wasmverse_core::{CallError, ErrorKind};

/// What callers get when they do not say, and the most that they may ask for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timeouts {
    pub(crate) default: Duration,
    pub(crate) max: Duration,
}

impl Timeouts {
    /// The instant at which the caller gives up.
    pub(crate) fn deadline(self, asked: Option<Duration>) -> Instant {
        Instant::now() + asked.unwrap_or(self.default).min(self.max)
    }
}

/// Reads `Wasmverse-Timeout`: `5s`, `250ms`, `1m 30s`, or a plain number of seconds.
pub(crate) fn from_words(text: &str) -> Result<Duration, CallError> {
    let text = text.trim();
    let plain = || text.parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    humantime::parse_duration(text).ok().or_else(plain).ok_or_else(|| {
        let shown: String = text.chars().take(40).collect();
        CallError::new(
            ErrorKind::InvalidArgument,
            format!("`{shown}` is no timeout: use `5s`, `250ms` or a number of seconds"),
        )
    })
}

/// Reads `grpc-timeout`: up to eight digits and a unit (`H`, `M`, `S`, `m`, `u`, `n`).
pub(crate) fn from_grpc(text: &str) -> Result<Duration, CallError> {
    let parsed = text.split_at_checked(text.len().saturating_sub(1)).and_then(|(digits, unit)| {
        let plain = (1..=8).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
        let count: u64 = digits.parse().ok().filter(|_| plain)?;
        Some(match unit {
            "H" => Duration::from_secs(count * 3600),
            "M" => Duration::from_secs(count * 60),
            "S" => Duration::from_secs(count),
            "m" => Duration::from_millis(count),
            "u" => Duration::from_micros(count),
            "n" => Duration::from_nanos(count),
            _ => return None,
        })
    });
    parsed.ok_or_else(|| {
        let shown: String = text.chars().take(40).collect();
        CallError::new(ErrorKind::InvalidArgument, format!("`{shown}` is no grpc-timeout"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn timeouts_are_words_or_seconds() {
        for (text, millis) in [
            ("5s", 5_000),
            ("250ms", 250),
            ("1m 30s", 90_000),
            (" 2s ", 2_000),
            ("3", 3_000),
            ("0.5", 500),
            ("0", 0),
            ("0s", 0),
        ] {
            assert_eq!(from_words(text).unwrap(), Duration::from_millis(millis), "{text}");
        }
        for text in ["", "soon", "-1", "-1s", "5 parsecs", "NaN", "inf", "1e400", "5s;", "٥s"] {
            let error = from_words(text).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{text}");
        }
    }

    #[test]
    fn grpc_timeouts_have_one_unit() {
        for (text, micros) in [
            ("1H", 3_600_000_000),
            ("2M", 120_000_000),
            ("3S", 3_000_000),
            ("4m", 4_000),
            ("5u", 5),
        ] {
            assert_eq!(from_grpc(text).unwrap(), Duration::from_micros(micros), "{text}");
        }
        assert_eq!(from_grpc("99999999n").unwrap(), Duration::from_nanos(99_999_999));
        for text in ["", "S", "5", "5s", "123456789S", "+5S", "-5S", "5 S", "5ä", "ä"] {
            assert!(from_grpc(text).is_err(), "{text}");
        }
    }

    #[test]
    fn no_caller_waits_longer_than_the_operator_allows() {
        let timeouts = Timeouts { default: Duration::from_secs(1), max: Duration::from_secs(2) };
        let left = |asked| timeouts.deadline(asked).saturating_duration_since(Instant::now());
        assert!(left(None) <= Duration::from_secs(1));
        let long = left(Some(Duration::MAX));
        assert!(long > Duration::from_secs(1) && long <= Duration::from_secs(2));
        assert_eq!(left(Some(Duration::ZERO)), Duration::ZERO);
    }

    proptest! {
        #[test]
        fn reading_a_timeout_never_panics(text in "\\PC{0,30}") {
            let _ = (from_words(&text), from_grpc(&text));
        }
    }
}
