//! Moments as text.

use std::time::{Duration, UNIX_EPOCH};

/// RFC 3339 with microseconds. Moments before 1970 show as 1970.
pub(crate) fn rfc3339(micros: i64) -> String {
    let since = Duration::from_micros(u64::try_from(micros).unwrap_or_default());
    // Beyond the year 9999 there is no such text.
    let last = Duration::from_secs(253_402_300_799);
    humantime::format_rfc3339_micros(UNIX_EPOCH + since.min(last)).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_number_is_a_moment() {
        assert_eq!(rfc3339(1), "1970-01-01T00:00:00.000001Z");
        for micros in [0, -1, i64::MIN, i64::MAX] {
            assert!(rfc3339(micros).ends_with('Z'));
        }
    }
}
