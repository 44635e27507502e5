//! When reminders fire, by the clocks of their zones too.

use proptest::prelude::*;

use super::*;

const SECOND: i64 = 1_000_000;

fn when(text: &str) -> When {
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn micros(text: &str) -> i64 {
    text.parse::<Timestamp>().unwrap().as_microsecond()
}

/// The next so many times after `from`.
fn times(pattern: &str, from: &str, count: usize) -> Vec<String> {
    let when = when(pattern);
    let mut at = micros(from);
    (0..count)
        .map(|_| {
            at = when.next(at).unwrap();
            Timestamp::from_microsecond(at).unwrap().to_string()
        })
        .collect()
}

#[test]
fn a_time_fires_once_and_also_if_it_has_passed() {
    let at = when("2030-01-31T09:00:00.000001Z");
    assert_eq!(at.first(0), Some(micros("2030-01-31T09:00:00.000001Z")));
    assert_eq!(at.first(i64::MAX), at.first(0));
    assert_eq!(at.next(0), None);
    assert_eq!(when("2030-01-31T10:00:00+01:00").first(0), when("2030-01-31T09:00:00Z").first(0));
}

#[test]
fn a_period_counts_from_the_firing_and_makes_up_for_nothing() {
    let every = when("every 5s");
    assert_eq!(every.first(7), Some(7 + 5 * SECOND));
    assert_eq!(every.next(1000 * SECOND), Some(1005 * SECOND));
    assert_eq!(when("every 1m 30s").next(0), Some(90 * SECOND));
    assert_eq!(when("every 50ms").next(0), Some(50_000));
}

#[test]
fn a_clock_that_is_set_back_does_not_silence_a_period() {
    let now = 1000 * SECOND;
    assert_eq!(when("every 5s").clamped(9000 * SECOND, now), now + 5 * SECOND);
    assert_eq!(when("every 5s").clamped(now + 1, now), now + 1);
    assert_eq!(when("every 5s").clamped(1, now), 1);
    assert_eq!(when("cron * * * * * UTC").clamped(9000 * SECOND, now), 9000 * SECOND);
}

#[test]
fn a_pattern_follows_the_clocks_of_its_zone() {
    let berlin = times("cron 0 9 * * * Europe/Berlin", "2030-03-29T12:00:00Z", 3);
    // The clocks go forward in the night to the 31st.
    assert_eq!(berlin, ["2030-03-30T08:00:00Z", "2030-03-31T07:00:00Z", "2030-04-01T07:00:00Z"]);
    assert_eq!(times("cron 0 9 * * *", "2030-03-30T12:00:00Z", 1), ["2030-03-31T09:00:00Z"]);
    assert_eq!(times("cron 30 0 9 * * * UTC", "2030-01-01T00:00:00Z", 1), ["2030-01-01T09:00:30Z"]);
    assert_eq!(times("cron 0 9 * * MON UTC", "2030-01-01T00:00:00Z", 1), ["2030-01-07T09:00:00Z"]);
    assert_eq!(times("cron 0 0 9 * * MON", "2030-01-01T00:00:00Z", 1), ["2030-01-07T09:00:00Z"]);
}

#[test]
fn a_time_of_day_that_the_clocks_skip_is_at_the_end_of_the_gap() {
    let skipped = times("cron 30 2 * * * Europe/Berlin", "2030-03-30T12:00:00Z", 2);
    assert_eq!(skipped, ["2030-03-31T01:00:00Z", "2030-04-01T00:30:00Z"]);
}

#[test]
fn a_time_of_day_that_the_clocks_show_twice_counts_once() {
    // They go back in the night to the 27th of October: 02:30 is at 00:30 and at 01:30 UTC.
    let doubled = times("cron 30 2 * * * Europe/Berlin", "2030-10-26T12:00:00Z", 2);
    assert_eq!(doubled, ["2030-10-27T00:30:00Z", "2030-10-28T01:30:00Z"]);
    let each_half_hour = times("cron */30 * * * * Europe/Berlin", "2030-10-26T23:45:00Z", 6);
    let expected = [
        "2030-10-27T00:00:00Z",
        "2030-10-27T00:30:00Z",
        "2030-10-27T01:00:00Z",
        "2030-10-27T01:30:00Z",
        "2030-10-27T02:00:00Z",
        "2030-10-27T02:30:00Z",
    ];
    assert_eq!(each_half_hour, expected);
}

#[test]
fn what_says_not_when_is_refused_with_the_forms_that_do() {
    let long = "x".repeat(256);
    for text in [
        "",
        "soon",
        "every",
        "every ",
        "every -5s",
        "every 1ms",
        "every 11years",
        "cron",
        "cron ",
        "cron * * *",
        "cron 61 * * * * UTC",
        "cron 0 9 * * * Europe/Nowhere",
        "cron 0 9 * * * * Mars",
        "2030-01-31",
        &long,
    ] {
        let error = text.parse::<When>().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{text}");
        assert!(error.message().contains("every 5s"), "{error}");
    }
}

#[test]
fn a_pattern_that_fits_no_day_never_fires() {
    assert_eq!(when("cron 0 0 31 2 * UTC").first(0), None);
}

proptest! {
    #[test]
    fn the_next_time_is_later(
        minute in 0..60_u32, hour in 0..24_u32, at in 0..4_000_000_000_i64,
        zone in prop::sample::select(&["UTC", "Europe/Berlin", "America/New_York", "Asia/Kathmandu"][..]),
    ) {
        let (at, zone) = (at * SECOND, zone);
        for pattern in [format!("cron {minute} {hour} * * * {zone}"), format!("cron */{} * * * * {zone}", minute.max(1))] {
            let pattern = when(&pattern);
            let next = pattern.next(at).unwrap();
            prop_assert!(next > at);
            prop_assert!(pattern.next(next).unwrap() > next);
            prop_assert!(next - at <= 3 * 24 * 3600 * SECOND);
        }
    }
}
