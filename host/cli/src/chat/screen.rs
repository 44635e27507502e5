//! Where the chat is shown: above the line that is being typed, which stays as it is.

use std::io::Write as _;

use rustyline::ExternalPrinter;

use super::Message;
use crate::printable::printable;

/// The way to the terminal, or to whatever standard output is.
pub(crate) struct Screen(pub(super) Option<Box<dyn ExternalPrinter + Send>>);

impl Screen {
    /// Something that nobody said.
    pub(super) fn note(&mut self, text: &str) {
        for line in text.lines() {
            self.print(&format!("* {}", printable(line)));
        }
    }

    pub(super) fn message(&mut self, message: &Message) {
        for line in message.text.split('\n') {
            self.print(&format!("{}: {}", printable(&message.user), printable(line)));
        }
    }

    /// What cannot be shown any more is lost on nobody: the terminal is gone.
    fn print(&mut self, line: &str) {
        let line = format!("{line}\n");
        let printed = match &mut self.0 {
            Some(printer) => printer.print(line).map_err(drop),
            None => {
                let mut out = std::io::stdout().lock();
                out.write_all(line.as_bytes()).and_then(|()| out.flush()).map_err(drop)
            }
        };
        drop(printed);
    }
}
