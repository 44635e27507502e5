//! The engine from outside: components made by hand go in, and whatever they do ends within
//! their limits.

#![expect(clippy::unwrap_used, reason = "what fails here is to fail the test")]

mod guest;
mod lanes;
mod limits;
mod loading;
mod steps;
mod world;
