//! Claims about SQLite alone.
