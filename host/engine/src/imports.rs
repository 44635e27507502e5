//! The imports of the world `object`, one file per interface, as functions of a [`crate::host::Host`].
//!
//! Each counts itself first; what fails for the guest is an answer, what exceeds a limit a trap.

mod clients;
mod log;
mod objects;
mod reminders;
mod storage;
pub(crate) mod system;
mod turn;

use wasmtime::component::{HasSelf, Linker};

use crate::{
    bindings::{self, Object},
    host::Host,
};

/// The shared records have no functions.
impl bindings::wasmverse::object::types::Host for Host {}

/// Everything that an object may import.
pub(crate) fn link(linker: &mut Linker<Host>) -> wasmtime::Result<()> {
    Object::add_to_linker::<Host, HasSelf<Host>>(linker, |host| host)?;
    wasmtime_wasi::p2::add_to_linker_async(linker)
}
