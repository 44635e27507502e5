//! The engine of sessions, held against a model.
