//! Logs: to standard error, filtered, for people or for machines.

use std::io::IsTerminal as _;

use tracing_subscriber::{EnvFilter, fmt, util::SubscriberInitExt as _};

use crate::config::{LogConfig, LogFormat};

/// Sends what is traced to standard error. Of several calls in a process the first counts.
///
/// # Errors
/// If the filter is none.
pub fn install(config: &LogConfig) -> Result<(), String> {
    let filter = filter(&config.filter)?;
    let writer = std::io::stderr;
    let lines = fmt().with_env_filter(filter).with_writer(writer);
    let installed = match config.format {
        LogFormat::Text => lines.compact().with_ansi(writer().is_terminal()).finish().try_init(),
        LogFormat::Json => lines.json().flatten_event(true).with_ansi(false).finish().try_init(),
    };
    // Already installed: by an earlier process in this one, or by a test.
    drop(installed);
    Ok(())
}

pub(crate) fn filter(directives: &str) -> Result<EnvFilter, String> {
    EnvFilter::builder()
        .parse(directives)
        .map_err(|error| format!("`{directives}` filters no logs: {error}"))
}
