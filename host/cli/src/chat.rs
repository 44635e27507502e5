//! The terminal client of the sample rooms: what is typed, and what of a room was shown.

pub(crate) mod input;
pub(crate) mod transcript;
pub(crate) mod words;
