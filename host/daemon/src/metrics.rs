//! Metrics of this process, in the text form of Prometheus.

use std::{sync::OnceLock, time::Duration};

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

/// Reads the metrics of this process. Cheap to clone.
#[derive(Clone)]
pub struct Metrics(PrometheusHandle);

impl std::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Metrics")
    }
}

impl Metrics {
    /// All metrics as text.
    pub fn render(&self) -> String {
        self.0.render()
    }
}

/// Upper bounds of histograms of seconds: 10 us to 60 s.
const SECONDS: [f64; 20] = [
    0.000_01, 0.000_025, 0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025,
    0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0,
];
/// Upper bounds of all other histograms: sizes and counts.
const SIZES: [f64; 12] = [
    1.0,
    4.0,
    16.0,
    64.0,
    256.0,
    1024.0,
    4096.0,
    16_384.0,
    65_536.0,
    262_144.0,
    1_048_576.0,
    4_194_304.0,
];

/// Recorded samples are folded into their histograms this often, read or not.
const UPKEEP_INTERVAL: Duration = Duration::from_secs(5);

/// Starts recording, once per process however often it is asked.
pub fn install() -> Metrics {
    static INSTALLED: OnceLock<Metrics> = OnceLock::new();
    INSTALLED.get_or_init(start).clone()
}

fn start() -> Metrics {
    let recorder = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".into()), &SECONDS)
        .and_then(|builder| builder.set_buckets(&SIZES))
        .expect("the bounds are not empty")
        .build_recorder();
    let handle = recorder.handle();
    if ::metrics::set_global_recorder(recorder).is_err() {
        tracing::warn!("metrics are recorded elsewhere: /metrics stays empty");
    }
    let upkeep = handle.clone();
    let keep = move || loop {
        std::thread::sleep(UPKEEP_INTERVAL);
        upkeep.run_upkeep();
    };
    if let Err(error) = std::thread::Builder::new().name("metrics-upkeep".into()).spawn(keep) {
        tracing::warn!(%error, "metrics are folded only when they are read");
    }
    Metrics(handle)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_can_be_installed_twice_and_are_shared() {
        let (first, second) = (install(), install());
        ::metrics::counter!("wasmverse_test_total").increment(3);
        ::metrics::histogram!("wasmverse_test_seconds").record(0.002);
        for metrics in [first, second] {
            let text = metrics.render();
            assert!(text.contains("wasmverse_test_total 3"), "{text}");
            assert!(text.contains("wasmverse_test_seconds_bucket{le=\"0.0025\"} 1"), "{text}");
        }
    }
}
