//! When a reminder fires: at a time, every so often, or by a cron pattern in a time zone.

use std::{fmt, str::FromStr, time::Duration};

use croner::{
    Cron,
    parser::{CronParser, Seconds},
};
use jiff::{Timestamp, tz::TimeZone};

use crate::{CallError, ErrorKind};

/// The longest text of it, in bytes.
const TEXT_BYTES_MAX: usize = 255;
/// The shortest and the longest period.
const PERIOD_MIN: Duration = Duration::from_millis(10);
const PERIOD_MAX: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

const FORMS: &str = "write a time as in RFC 3339 (`2030-01-31T09:00:00Z`), a period (`every 5s`), or \
                     a cron pattern with a time zone (`cron 0 9 * * * Europe/Berlin`)";

/// When a reminder fires. Times are in microseconds since 1970.
#[derive(Clone, Debug)]
pub enum When {
    /// Once.
    At(i64),
    /// So long after it was set, and after each firing.
    Every(Duration),
    /// Whenever the pattern fits the clocks of the zone. A time of day that they skip is at the end
    /// of the gap; one that they show twice counts once, unless the pattern has no fixed hour.
    Cron(Box<Cron>, TimeZone),
}

impl When {
    /// The first time it fires if it is set now; none: never.
    pub fn first(&self, now_micros: i64) -> Option<i64> {
        match self {
            Self::At(at) => Some(*at),
            Self::Every(_) | Self::Cron(..) => self.next(now_micros),
        }
    }

    /// The time after `fired`, the moment at which it fired; none: that was the last time. What was
    /// missed in between is not made up for.
    pub fn next(&self, fired_micros: i64) -> Option<i64> {
        match self {
            Self::At(_) => None,
            Self::Every(period) => {
                let micros = i64::try_from(period.as_micros()).unwrap_or(i64::MAX);
                Some(fired_micros.saturating_add(micros))
            }
            Self::Cron(pattern, zone) => {
                let after = Timestamp::from_microsecond(fired_micros).ok()?.to_zoned(zone.clone());
                let next = pattern.find_next_occurrence(&after, false).ok()?;
                Some(next.timestamp().as_microsecond())
            }
        }
    }

    /// When to fire at the latest if it is due then, as the clock stands now: one that fires every
    /// so often does so, too, where the clock was set back.
    pub fn clamped(&self, due_micros: i64, now_micros: i64) -> i64 {
        match self {
            Self::Every(_) => self.next(now_micros).map_or(due_micros, |next| next.min(due_micros)),
            Self::At(_) | Self::Cron(..) => due_micros,
        }
    }
}

impl FromStr for When {
    type Err = CallError;

    /// Reads the forms of the contract.
    fn from_str(text: &str) -> Result<Self, CallError> {
        if text.len() > TEXT_BYTES_MAX {
            return Err(wrong(&format!("it has {} bytes of at most {TEXT_BYTES_MAX}", text.len())));
        }
        match text.split_once(' ') {
            Some(("every", period)) => every(period),
            Some(("cron", pattern)) => cron(pattern),
            _ => match text.parse::<Timestamp>() {
                Ok(at) => Ok(Self::At(at.as_microsecond())),
                Err(error) => Err(wrong(&format!("`{}`: {error}", text.escape_debug()))),
            },
        }
    }
}

fn every(text: &str) -> Result<When, CallError> {
    let period = humantime::parse_duration(text.trim())
        .map_err(|error| wrong(&format!("the period `{}`: {error}", text.escape_debug())))?;
    if !(PERIOD_MIN..=PERIOD_MAX).contains(&period) {
        let text = text.escape_debug();
        return Err(wrong(&format!("the period `{text}` is not between 10 ms and 10 years")));
    }
    Ok(When::Every(period))
}

fn cron(text: &str) -> Result<When, CallError> {
    let mut fields: Vec<&str> = text.split_ascii_whitespace().collect();
    // Without a zone: UTC. Five fields, or six with seconds first.
    let zone = match fields.len() {
        7 => zone(fields.pop().unwrap_or_default())?,
        6 if is_zone(fields[5]) => zone(fields.pop().unwrap_or_default())?,
        _ => TimeZone::UTC,
    };
    let (pattern, shown) = (fields.join(" "), text.escape_debug());
    let parser = CronParser::builder().seconds(Seconds::Optional).build();
    let pattern = parser
        .parse(&pattern)
        .map_err(|error| wrong(&format!("the cron pattern `{shown}`: {error}")))?;
    Ok(When::Cron(Box::new(pattern), zone))
}

/// Whether the last of six fields is a zone, and not a day of the week.
fn is_zone(field: &str) -> bool {
    field.len() > 3
        && field.chars().all(|c| c.is_ascii_alphanumeric() || "/_+-".contains(c))
        && field.contains(|c: char| c.is_ascii_alphabetic())
        && (field.contains('/') || TimeZone::get(field).is_ok())
        || field.eq_ignore_ascii_case("utc")
}

fn zone(name: &str) -> Result<TimeZone, CallError> {
    let told = |_| {
        let name = name.escape_debug();
        wrong(&format!("`{name}` is no time zone: use a name such as `Europe/Berlin`"))
    };
    TimeZone::get(name).map_err(told)
}

fn wrong(problem: &str) -> CallError {
    let message = format!("this says not when a reminder fires: {problem}; {FORMS}");
    CallError::new(ErrorKind::InvalidArgument, message)
}

impl fmt::Display for When {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::At(at) => match Timestamp::from_microsecond(*at) {
                Ok(at) => write!(f, "{at}"),
                Err(_) => write!(f, "{at}"),
            },
            Self::Every(period) => write!(f, "every {}", humantime::format_duration(*period)),
            Self::Cron(pattern, zone) => {
                write!(f, "cron {pattern} {}", zone.iana_name().unwrap_or("UTC"))
            }
        }
    }
}

#[cfg(test)]
mod tests;
