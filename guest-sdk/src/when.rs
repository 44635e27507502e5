//! When a reminder fires, and how the contract says it.

use std::time::{Duration, SystemTime};

use crate::{Error, Result};

/// When a reminder fires: [`at`], [`after`], [`every`] or [`cron`] make one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct When(Meant);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Meant {
    /// Once, so long after it is set.
    After(Duration),
    Fixed(Timing),
}

/// When a reminder fires, whenever it is set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Timing {
    /// Once, so long after 1970.
    At(Duration),
    /// So often.
    Every(Duration),
    /// By a schedule, in a time zone.
    Cron(String, String),
}

/// Once, at that time; at once if it has passed.
pub fn at(time: SystemTime) -> When {
    let since_1970 = time.duration_since(SystemTime::UNIX_EPOCH);
    When(Meant::Fixed(Timing::At(since_1970.unwrap_or_default())))
}

/// Once, so long after it is set.
pub fn after(delay: Duration) -> When {
    When(Meant::After(delay))
}

/// Again and again. Each period counts from the firing before it, the first one from now: what
/// comes late moves those after it, and none is made up for.
pub fn every(period: Duration) -> When {
    When(Meant::Fixed(Timing::Every(period)))
}

/// At the minutes, hours, days of the month, months and days of the week of a schedule, by the
/// clocks of a time zone: `cron("0 9 * * *", "Europe/Berlin")` is every day at nine there. A sixth
/// field, before the others, is for seconds.
pub fn cron(schedule: impl Into<String>, zone: impl Into<String>) -> When {
    When(Meant::Fixed(Timing::Cron(schedule.into(), zone.into())))
}

impl When {
    /// What is meant, if it is set now.
    pub(crate) fn set_at(self, now_micros: u64) -> Timing {
        match self.0 {
            Meant::After(delay) => {
                Timing::At(Duration::from_micros(now_micros).saturating_add(delay))
            }
            Meant::Fixed(timing) => timing,
        }
    }
}

impl Timing {
    /// The words of the contract.
    pub(crate) fn words(&self) -> Result<String> {
        match self {
            Self::At(time) => rfc_3339(*time),
            Self::Every(period) => every_so_often(*period),
            Self::Cron(schedule, zone) => by_the_calendar(schedule, zone),
        }
    }
}

/// The last second that four digits of a year can say.
const LAST_SECOND: u64 = 253_402_300_799;

/// A time as `2026-01-31T09:00:00.000000Z`; rounded up, since nothing fires early.
fn rfc_3339(time: Duration) -> Result<String> {
    let part = u64::from(time.subsec_nanos().div_ceil(1000));
    let (seconds, micros) = (time.as_secs().saturating_add(part / 1_000_000), part % 1_000_000);
    if seconds > LAST_SECOND {
        return Err(Error::invalid_argument("a reminder is due before the year 10000"));
    }
    let (year, month, day) = date(seconds / 86_400);
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    Ok(format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{micros:06}Z"))
}

/// Year, month and day, so many days after the beginning of 1970.
fn date(days: u64) -> (u64, u64, u64) {
    // Years that begin in March end with the leap day, and 400 of them are always as long.
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    match month < 10 {
        true => (era * 400 + year, month + 3, day),
        false => (era * 400 + year + 1, month - 9, day),
    }
}

/// A period as `every 5s`, in the largest unit that says it exactly. The clocks of the platform
/// count microseconds: what is finer is rounded up.
fn every_so_often(period: Duration) -> Result<String> {
    let (seconds, nanos) = (period.as_secs(), u64::from(period.subsec_nanos()));
    let in_all = |factor: u64, part: u64| seconds.saturating_mul(factor).saturating_add(part);
    let (count, unit) = match (seconds, nanos) {
        (0, 0) => return Err(Error::invalid_argument("a reminder has a period that is not zero")),
        (_, 0) if seconds % 3600 == 0 => (seconds / 3600, "h"),
        (_, 0) if seconds % 60 == 0 => (seconds / 60, "m"),
        (_, 0) => (seconds, "s"),
        (_, nanos) if nanos % 1_000_000 == 0 => (in_all(1000, nanos / 1_000_000), "ms"),
        (_, nanos) => (in_all(1_000_000, nanos.div_ceil(1000)), "us"),
    };
    Ok(format!("every {count}{unit}"))
}

/// A schedule as `cron 0 9 * * * Europe/Berlin`. What its fields say the platform reads.
fn by_the_calendar(schedule: &str, zone: &str) -> Result<String> {
    let fields: Vec<_> = schedule.split_whitespace().collect();
    if !(5..=6).contains(&fields.len()) {
        let message = format!(
            "a schedule has five fields (minute, hour, day of the month, month, day of the week), \
             as in \"0 9 * * *\", or six, with seconds first; {schedule:?} has {}",
            fields.len()
        );
        return Err(Error::invalid_argument(message));
    }
    if zone.is_empty() || zone.contains(char::is_whitespace) {
        let message = format!("a time zone has a name like \"Europe/Berlin\", not {zone:?}");
        return Err(Error::invalid_argument(message));
    }
    Ok(format!("cron {} {zone}", fields.join(" ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(when: When) -> Result<String> {
        when.set_at(1_000_000).words()
    }

    #[test]
    fn a_time_is_written_as_the_calendar_has_it() {
        let second = |seconds| at(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds));
        for (seconds, written) in [
            (0, "1970-01-01T00:00:00.000000Z"),
            (951_782_399, "2000-02-28T23:59:59.000000Z"),
            (951_782_400, "2000-02-29T00:00:00.000000Z"),
            (951_868_800, "2000-03-01T00:00:00.000000Z"),
            (1_767_225_599, "2025-12-31T23:59:59.000000Z"),
            (1_767_225_600, "2026-01-01T00:00:00.000000Z"),
            (4_107_542_400, "2100-03-01T00:00:00.000000Z"),
            (LAST_SECOND, "9999-12-31T23:59:59.000000Z"),
        ] {
            assert_eq!(words(second(seconds)).unwrap(), written);
        }
        assert!(words(second(LAST_SECOND + 1)).is_err());
    }

    #[test]
    fn every_day_of_800_years_follows_the_one_before() {
        let length = |year: u64, month| match month {
            2 if year.is_multiple_of(400) => 29,
            2 if year.is_multiple_of(4) && !year.is_multiple_of(100) => 29,
            2 => 28,
            4 | 6 | 9 | 11 => 30,
            _ => 31,
        };
        let (mut year, mut month, mut day) = (1970, 1, 1);
        for days in 0..800 * 366 {
            assert_eq!(date(days), (year, month, day));
            day += 1;
            if day > length(year, month) {
                (month, day) = (month + 1, 1);
            }
            if month > 12 {
                (year, month) = (year + 1, 1);
            }
        }
    }

    #[test]
    fn nothing_is_due_early_and_what_has_passed_is_due_at_once() {
        let time = |nanos| words(after(Duration::from_nanos(nanos))).unwrap();
        assert_eq!(time(1), "1970-01-01T00:00:01.000001Z");
        assert_eq!(time(1000), "1970-01-01T00:00:01.000001Z");
        assert_eq!(time(999_999_001), "1970-01-01T00:00:02.000000Z");
        let before = at(SystemTime::UNIX_EPOCH - Duration::from_secs(1));
        assert_eq!(words(before).unwrap(), "1970-01-01T00:00:00.000000Z");
        assert!(words(after(Duration::MAX)).is_err());
    }

    #[test]
    fn a_period_reads_back_as_what_it_was() {
        for (micros, written) in [
            (1, "every 1us"),
            (50_000, "every 50ms"),
            (1_500_000, "every 1500ms"),
            (5_000_000, "every 5s"),
            (90_000_000, "every 90s"),
            (300_000_000, "every 5m"),
            (86_400_000_000, "every 24h"),
        ] {
            let period = Duration::from_micros(micros);
            let text = words(every(period)).unwrap();
            assert_eq!(text, written);
            let read = humantime::parse_duration(text.trim_start_matches("every "));
            assert_eq!(read.unwrap(), period);
        }
        assert_eq!(words(every(Duration::from_nanos(1))).unwrap(), "every 1us");
        assert!(words(every(Duration::MAX)).is_ok());
        assert!(words(every(Duration::ZERO)).is_err());
    }

    #[test]
    fn a_schedule_has_five_or_six_fields_and_a_zone() {
        let written = words(cron("0  9 * * 1-5 ", "Europe/Berlin")).unwrap();
        assert_eq!(written, "cron 0 9 * * 1-5 Europe/Berlin");
        assert_eq!(words(cron("*/5 * * * * *", "UTC")).unwrap(), "cron */5 * * * * * UTC");
        for (schedule, zone) in
            [("0 9 * *", "UTC"), ("0 0 0 9 * * *", "UTC"), ("0 9 * * *", ""), ("0 9 * * *", "a b")]
        {
            assert!(words(cron(schedule, zone)).is_err(), "{schedule} {zone}");
        }
    }
}
