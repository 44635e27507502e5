//! The import `reminders`: they need the durable store, so for now it answers `denied`.

use crate::{
    bindings::{
        Failure,
        wasmverse::object::reminders::{self, Reminder},
    },
    host::{Host, denied},
};

type Answer<T> = wasmtime::Result<Result<T, Failure>>;

impl reminders::Host for Host {
    fn set(
        &mut self,
        _name: String,
        _when: String,
        _method: String,
        _payload: Vec<u8>,
    ) -> Answer<()> {
        self.no_reminders("reminders.set")
    }

    fn cancel(&mut self, _name: String) -> Answer<()> {
        self.no_reminders("reminders.cancel")
    }

    fn pending(&mut self) -> Answer<Vec<Reminder>> {
        self.no_reminders("reminders.pending")
    }
}

impl Host {
    fn no_reminders<T>(&mut self, function: &str) -> Answer<T> {
        self.count(1)?;
        let error = match self.turn(function) {
            Err(outside) => outside,
            Ok(_) => denied(format!(
                "`{function}` needs the durable store, which this version does not have yet"
            )),
        };
        Ok(self.answer(Err(error)))
    }
}
