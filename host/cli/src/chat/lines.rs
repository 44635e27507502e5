//! The lines that are typed, with editing and history on a terminal; plain ones elsewhere.

use std::{
    io::{BufRead as _, IsTerminal as _},
    path::PathBuf,
    thread,
};

use rustyline::{DefaultEditor, error::ReadlineError};
use tokio::sync::mpsc;

use super::Screen;
use crate::failure::Result;

/// Lines that are typed in advance.
const AHEAD: usize = 16;

/// The lines, each read when it is asked for: in between nothing holds the terminal.
pub(crate) struct Lines {
    lines: mpsc::Receiver<String>,
    prompts: std::sync::mpsc::SyncSender<String>,
}

impl Lines {
    /// Takes over the terminal, if there is one.
    ///
    /// # Errors
    /// If it cannot be had.
    pub(crate) fn open(user: &str) -> Result<(Self, Screen)> {
        let (sender, lines) = mpsc::channel(AHEAD);
        let (prompts, asked) = std::sync::mpsc::sync_channel::<String>(1);
        let is_terminal = std::io::stdin().is_terminal() && std::io::stdout().is_terminal();
        let screen = if is_terminal {
            let mut editor = DefaultEditor::new().map_err(anyhow::Error::from)?;
            let history = history(user);
            if let Some(path) = &history {
                // There is none the first time.
                drop(editor.load_history(path));
            }
            let printer = editor.create_external_printer().map_err(anyhow::Error::from)?;
            thread::spawn(move || edit(&mut editor, history.as_ref(), &asked, &sender));
            Screen(Some(Box::new(printer)))
        } else {
            thread::spawn(move || read(&asked, &sender));
            Screen(None)
        };
        Ok((Self { lines, prompts }, screen))
    }

    /// Asks for the next line.
    pub(super) fn ask(&self, prompt: &str) {
        // Who reads is gone when there are no more lines.
        drop(self.prompts.send(prompt.to_owned()));
    }

    /// The next line; none: that was all.
    pub(super) async fn next(&mut self) -> Option<String> {
        self.lines.recv().await
    }
}

fn edit(
    editor: &mut DefaultEditor,
    history: Option<&PathBuf>,
    asked: &std::sync::mpsc::Receiver<String>,
    lines: &mpsc::Sender<String>,
) {
    while let Ok(prompt) = asked.recv() {
        let line = match editor.readline(&prompt) {
            Ok(line) => line,
            Err(ReadlineError::Signal(_)) => String::new(),
            Err(_) => return,
        };
        if !line.trim().is_empty() {
            drop(editor.add_history_entry(&line));
            if let Some(path) = history {
                drop(editor.save_history(path));
            }
        }
        if lines.blocking_send(line).is_err() {
            return;
        }
    }
}

fn read(asked: &std::sync::mpsc::Receiver<String>, lines: &mpsc::Sender<String>) {
    let mut typed = std::io::stdin().lock().lines();
    while asked.recv().is_ok() {
        let Some(Ok(line)) = typed.next() else { return };
        if lines.blocking_send(line).is_err() {
            return;
        }
    }
}

/// Where what was typed is kept; none: there is no such place.
fn history(user: &str) -> Option<PathBuf> {
    let state = std::env::var_os("XDG_STATE_HOME").map(PathBuf::from);
    let home = || Some(PathBuf::from(std::env::var_os("HOME")?).join(".local/state"));
    let folder = state.filter(|path| path.is_absolute()).or_else(home)?.join("wasmverse");
    std::fs::create_dir_all(&folder).ok()?;
    let safe: String = user.chars().filter(|c| c.is_alphanumeric()).collect();
    Some(folder.join(format!("chat_history_{safe}")))
}
