//! Lines that are typed or piped in, and lines that are printed meanwhile.

use std::{
    io::{BufRead as _, IsTerminal as _, Write as _},
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread::{self, JoinHandle},
};

use rustyline::{DefaultEditor, ExternalPrinter, error::ReadlineError};
use tokio::sync::mpsc;

use super::words::{Wish, wish};
use crate::failure::Result;

/// Lines that wait to be carried out.
const WAITING_MAX: usize = 64;
/// Lines that wait to be printed.
const PRINTING_MAX: usize = 1024;

/// Prints above the line that is being typed, on a thread of its own: the editor takes what is
/// printed only while it reads, and may wait just then for a line of its own to be carried out.
struct Printer {
    waiting: SyncSender<String>,
    thread: JoinHandle<()>,
}

/// The two directions of a terminal, or of two pipes.
pub(crate) struct Console {
    lines: mpsc::Receiver<String>,
    printer: Option<Printer>,
    ended: Arc<AtomicBool>,
}

impl Console {
    /// Begins to read. On a terminal lines can be edited, and those before come back by the arrows.
    pub(crate) fn open() -> Result<Self> {
        let (sender, lines) = mpsc::channel(WAITING_MAX);
        let ended = Arc::new(AtomicBool::new(false));
        let stop = Arc::clone(&ended);
        if !std::io::stdin().is_terminal() || !std::io::stdout().is_terminal() {
            thread::spawn(move || read_plain(&sender));
            return Ok(Self { lines, printer: None, ended });
        }
        let mut editor = DefaultEditor::new().map_err(anyhow::Error::from)?;
        let printer = editor.create_external_printer().map_err(anyhow::Error::from)?;
        thread::spawn(move || read_edited(editor, &sender, &stop));
        let (waiting, printing) = sync_channel(PRINTING_MAX);
        let thread = thread::spawn(move || print(printer, &printing));
        Ok(Self { lines, printer: Some(Printer { waiting, thread }), ended })
    }

    /// The next line; none: there are no more.
    pub(crate) async fn line(&mut self) -> Option<String> {
        self.lines.recv().await
    }

    /// Prints a line, above the one that is being typed.
    pub(crate) fn say(&mut self, line: &str) -> Result<()> {
        match &self.printer {
            Some(printer) => {
                let printed = printer.waiting.send(format!("{line}\n"));
                printed.map_err(|_| anyhow::anyhow!("the terminal takes nothing any more"))?;
            }
            None => writeln!(std::io::stdout().lock(), "{line}")?,
        }
        Ok(())
    }

    /// Waits until the terminal is as it was before: the editor gives it back after its line.
    pub(crate) async fn close(&mut self) {
        self.ended.store(true, Ordering::Release);
        if let Some(Printer { waiting, thread }) = self.printer.take() {
            while self.lines.recv().await.is_some() {}
            drop(waiting);
            // It prints what waits, and has nothing to panic of.
            drop(thread.join());
        }
    }

    /// Whether somebody edits lines, who has to end the last one.
    pub(crate) fn is_terminal(&self) -> bool {
        self.printer.is_some()
    }
}

fn print(mut printer: impl ExternalPrinter, printing: &Receiver<String>) {
    while let Ok(line) = printing.recv() {
        if printer.print(line).is_err() {
            return;
        }
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
