//! Durations in a configuration, as people write them: `10s`, `250ms`, `1h 30m`.
//! For fields: `#[serde(with = "wasmverse_daemon::config::span")]`.

use std::time::Duration;

use serde::{Deserialize, Deserializer, Serializer, de::Error as _};

/// Writes a duration.
///
/// # Errors
/// Those of the serializer.
pub fn serialize<S: Serializer>(span: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&humantime::format_duration(*span))
}

/// Reads a duration.
///
/// # Errors
/// If it is none.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer).map_err(|error| {
        D::Error::custom(format!("{error}: write it like \"10s\" or \"250ms\""))
    })?;
    humantime::parse_duration(text.trim())
        .map_err(|_| D::Error::custom(format!("`{text}` is no duration: write `10s` or `250ms`")))
}

/// Reads a duration that is not zero.
///
/// # Errors
/// If it is none, or zero.
pub fn positive<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    match deserialize(deserializer)? {
        Duration::ZERO => Err(D::Error::custom("it must be longer than nothing")),
        span => Ok(span),
    }
}
