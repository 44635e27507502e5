//! Serves clients.
