//! The engine from outside: components made by hand go in, and whatever they do ends within
//! their limits.

mod guest;
mod lanes;
mod limits;
mod loading;
mod steps;
mod world;
