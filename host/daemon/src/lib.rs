//! What every process does: configuration, logs, metrics, health, shutdown.
