//! Routers and links together, over real sockets: what is asked is answered once, in order, or
//! the error says what is known.

mod callee;
mod proxy;
mod pushes;
mod running;
mod scenarios;
mod slow;
mod trouble;
