//! The import `log`: lines of the object's log. Control characters stay: they are data. They have
//! a limit of their own, beyond which they are dropped, so they are no host calls.

use crate::{LogLevel, bindings::wasmverse::object::log, host::Host};

impl log::Host for Host {
    fn write(
        &mut self,
        level: String,
        message: String,
        fields: Vec<(String, String)>,
    ) -> wasmtime::Result<()> {
        self.journal.lock().write(LogLevel::from_name(&level), message, fields);
        Ok(())
    }
}
