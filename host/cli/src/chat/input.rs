//! Lines that are typed or piped in, and lines that are printed meanwhile.

use std::{
    io::{BufRead as _, IsTerminal as _, Write as _},
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use rustyline::{DefaultEditor, ExternalPrinter, error::ReadlineError};
use tokio::sync::mpsc;

use super::words::{Wish, wish};
use crate::failure::Result;

/// Lines that wait to be carried out.
const WAITING_MAX: usize = 64;

/// The two directions of a terminal, or of two pipes.
pub(crate) struct Console {
    lines: mpsc::Receiver<String>,
    printer: Option<Box<dyn ExternalPrinter + Send>>,
    ended: Arc<AtomicBool>,
}

impl Console {
    /// Begins to read. On a terminal lines can be edited, and those before come back by the arrows.
    pub(crate) fn open() -> Result<Self> {
        let (sender, lines) = mpsc::channel(WAITING_MAX);
        let ended = Arc::new(AtomicBool::new(false));
        let stop = Arc::clone(&ended);
        if !std::io::stdin().is_terminal() || !std::io::stdout().is_terminal() {
            std::thread::spawn(move || read_plain(&sender));
            return Ok(Self { lines, printer: None, ended });
        }
        let mut editor = DefaultEditor::new().map_err(anyhow::Error::from)?;
        let printer = editor.create_external_printer().map_err(anyhow::Error::from)?;
        std::thread::spawn(move || read_edited(editor, &sender, &stop));
        Ok(Self { lines, printer: Some(Box::new(printer)), ended })
    }

    /// The next line; none: there are no more.
    pub(crate) async fn line(&mut self) -> Option<String> {
        self.lines.recv().await
    }

    /// Prints a line, above the one that is being typed.
    pub(crate) fn say(&mut self, line: &str) -> Result<()> {
        match &mut self.printer {
            Some(printer) => {
                printer.print(format!("{line}\n")).map_err(anyhow::Error::from)?;
            }
            None => writeln!(std::io::stdout().lock(), "{line}")?,
        }
        Ok(())
    }

    /// Waits until the terminal is as it was before: the editor gives it back after its line.
    pub(crate) async fn close(&mut self) {
        self.ended.store(true, Ordering::Release);
        if self.printer.is_some() {
            while self.lines.recv().await.is_some() {}
        }
    }

    /// Whether somebody edits lines, who has to end the last one.
    pub(crate) fn is_terminal(&self) -> bool {
        self.printer.is_some()
    }
}

fn read_plain(lines: &mpsc::Sender<String>) {
    for line in std::io::stdin().lock().lines() {
        let Ok(line) = line else { return };
        if lines.blocking_send(line).is_err() {
            return;
        }
    }
}

fn read_edited(mut editor: DefaultEditor, lines: &mpsc::Sender<String>, ended: &AtomicBool) {
    let history = history_file();
    if let Some(file) = &history {
        // The first time there is none.
        drop(editor.load_history(file));
    }
    while !ended.load(Ordering::Acquire) {
        let line = match editor.readline("> ") {
            Ok(line) => line,
            Err(ReadlineError::Signal(_)) => continue,
            Err(_) => break,
        };
        if !line.trim().is_empty() {
            drop(editor.add_history_entry(&line));
        }
        // The next line would take the terminal again.
        let quits = wish(&line) == Wish::Quit;
        if lines.blocking_send(line).is_err() || quits {
            break;
        }
    }
    if let Some(file) = &history {
        // A history that cannot be kept is no reason to complain.
        drop(editor.save_history(file));
    }
}

/// Under the folder for state of XDG; its folder is made.
fn history_file() -> Option<PathBuf> {
    let state = std::env::var_os("XDG_STATE_HOME").map(PathBuf::from).filter(|p| p.is_absolute());
    let home = || Some(PathBuf::from(std::env::var_os("HOME")?).join(".local/state"));
    let folder = state.or_else(home)?.join("wasmverse");
    std::fs::create_dir_all(&folder).ok()?;
    Some(folder.join("chat-history"))
}
