//! What a load came to, under the names that scripts read.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;
use serde::Serialize;

use super::Tally;

/// Calls that were answered well, the others by reason, and how long the good ones took.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    calls: u64,
    errors: BTreeMap<String, u64>,
    seconds: f64,
    calls_per_second: f64,
    latency_us: Latency,
}

#[derive(Debug, Serialize)]
struct Latency {
    p50: u64,
    p90: u64,
    p99: u64,
    p999: u64,
    max: u64,
}

impl Report {
    pub(crate) fn of(tally: &Tally) -> Self {
        let seconds = tally.elapsed.as_secs_f64();
        let calls = tally.latency.len();
        let per_second = if seconds > 0.0 { calls as f64 / seconds } else { 0.0 };
        Self {
            calls,
            errors: tally.errors.clone(),
            seconds: rounded(seconds, 1000.0),
            calls_per_second: rounded(per_second, 10.0),
            latency_us: Latency::of(&tally.latency),
        }
    }

    /// For people.
    pub(crate) fn text(&self) -> String {
        let Latency { p50, p90, p99, p999, max } = self.latency_us;
        let errors: u64 = self.errors.values().sum();
        let mut lines = vec![
            format!("calls      {} in {} s: {}/s", self.calls, self.seconds, self.calls_per_second),
            format!("latency    p50 {p50} us, p90 {p90}, p99 {p99}, p99.9 {p999}, max {max}"),
            format!("errors     {errors}"),
        ];
        lines.extend(self.errors.iter().map(|(code, count)| format!("  {code:20} {count}")));
        lines.join("\n")
    }
}

impl Latency {
    fn of(histogram: &Histogram<u64>) -> Self {
        let at = |quantile| histogram.value_at_quantile(quantile);
        Self { p50: at(0.5), p90: at(0.9), p99: at(0.99), p999: at(0.999), max: histogram.max() }
    }
}

fn rounded(number: f64, places: f64) -> f64 {
    (number * places).round() / places
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_report_has_the_names_that_scripts_read() {
        let mut latency = Histogram::new(3).unwrap();
        for micros in 1..=1000 {
            latency.record(micros).unwrap();
        }
        let errors = [("overloaded".to_owned(), 2)].into();
        let tally = Tally { latency, errors, elapsed: Duration::from_millis(500) };
        let json = serde_json::to_value(Report::of(&tally)).unwrap();
        assert_eq!(json["calls"], 1000);
        assert_eq!(json["errors"]["overloaded"], 2);
        assert_eq!(json["seconds"], 0.5);
        assert_eq!(json["calls_per_second"], 2000.0);
        for (name, micros) in
            [("p50", 500), ("p90", 900), ("p99", 990), ("p999", 999), ("max", 1000)]
        {
            assert_eq!(json["latency_us"][name], micros, "{name}");
        }
    }
}
