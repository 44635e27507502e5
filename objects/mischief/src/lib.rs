//! Sample object.
