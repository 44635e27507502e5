//! The buffer of one client, held against a model.
