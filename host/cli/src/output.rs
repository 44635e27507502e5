//! Results go to standard output, for people or as JSON; everything else to standard error.

use std::{
    fmt::Display,
    io::{IsTerminal as _, Write as _},
    time::{Duration, SystemTime},
};

use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use crate::failure::{Failure, Result};

/// Where and how results are printed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Output {
    json: bool,
}

impl Output {
    pub(crate) fn new(json: bool) -> Self {
        Self { json }
    }

    /// Whether machines read along.
    pub(crate) fn is_json(self) -> bool {
        self.json
    }

    /// Prints a line of the result.
    pub(crate) fn line(self, line: impl Display) -> Result<()> {
        writeln!(std::io::stdout().lock(), "{line}")?;
        Ok(())
    }

    /// Prints bytes of the result as they are.
    pub(crate) fn bytes(self, bytes: &[u8]) -> Result<()> {
        let mut out = std::io::stdout().lock();
        out.write_all(bytes)?;
        out.flush()?;
        Ok(())
    }

    /// Prints the result: as JSON, or as the lines that people read.
    pub(crate) fn result(self, json: &impl Serialize, text: impl FnOnce() -> String) -> Result<()> {
        if self.json {
            return self.line(serde_json::to_string(json).map_err(anyhow::Error::from)?);
        }
        let text = text();
        if text.is_empty() { Ok(()) } else { self.line(text.trim_end_matches('\n')) }
    }

    /// Tells people what goes on.
    pub(crate) fn note(self, note: impl Display) {
        eprintln!("{note}");
    }

    /// Tells why the command failed.
    pub(crate) fn failure(self, failure: &Failure) {
        if self.json
            && !matches!(failure, Failure::Found(_))
            && let Ok(body) = serde_json::to_string(&failure.body())
        {
            // Nothing is left to be done if nobody reads it.
            drop(self.line(body));
        }
        eprintln!("error: {failure}");
        if let Some(hint) = failure.hint() {
            eprintln!("  {hint}");
        }
    }

    /// A bar on a terminal; elsewhere nothing: whoever works prints lines.
    pub(crate) fn progress(self, length: u64, what: &str) -> ProgressBar {
        let template = "{spinner} {msg} {wide_bar} {pos}/{len} {elapsed}";
        self.bar(template, ProgressBar::new(length), what)
    }

    /// The same for bytes.
    pub(crate) fn progress_of_bytes(self, length: u64, what: &str) -> ProgressBar {
        let template = "{spinner} {msg} {wide_bar} {bytes}/{total_bytes} {elapsed}";
        self.bar(template, ProgressBar::new(length), what)
    }

    /// The same for what nobody can measure: it only shows that something goes on.
    pub(crate) fn spinner(self, what: &str) -> ProgressBar {
        self.bar("{spinner} {msg} {elapsed}", ProgressBar::no_length(), what)
    }

    fn bar(self, template: &str, bar: ProgressBar, what: &str) -> ProgressBar {
        if self.json || !std::io::stderr().is_terminal() {
            return ProgressBar::hidden();
        }
        let style = ProgressStyle::with_template(template).expect("the template is right");
        let bar = bar.with_style(style).with_message(what.to_owned());
        bar.enable_steady_tick(Duration::from_millis(100));
        bar
    }
}

/// How this program was called, for commands to be typed next: it may not be on the path.
pub(crate) fn program() -> String {
    let called = std::env::args().next().unwrap_or_default();
    if called.contains('/') { called } else { "wasmverse".to_owned() }
}

/// How many letters a line has on the terminal that results go to; none: they go somewhere else.
pub(crate) fn terminal_width() -> Option<usize> {
    let out = std::io::stdout();
    let width = || terminal_size::terminal_size_of(&out).map_or(80, |(width, _)| width.0.into());
    out.is_terminal().then(width)
}

/// Whether there is somebody to be asked.
pub(crate) fn can_ask() -> bool {
    std::io::stdin().is_terminal() && std::io::stderr().is_terminal()
}

/// Asks whoever sits there; nothing typed is no.
pub(crate) fn confirm(question: &str) -> Result<bool> {
    eprint!("{question} [y/N] ");
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer)?;
    Ok(["y", "yes"].contains(&answer.trim().to_lowercase().as_str()))
}

/// Rows below their headings, columns aligned.
pub(crate) fn table<const N: usize>(headings: [&str; N], rows: &[[String; N]]) -> String {
    let mut widths = headings.map(str::len);
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let line = |cells: [&str; N]| {
        let cells = cells.iter().zip(widths);
        let padded: Vec<_> = cells.map(|(cell, width)| format!("{cell:width$}")).collect();
        padded.join("  ").trim_end().to_owned()
    };
    let mut lines = vec![line(headings)];
    lines.extend(rows.iter().map(|row| line(row.each_ref().map(String::as_str))));
    lines.join("\n")
}

/// `1 object`, `3 objects`.
pub(crate) fn plural(count: u64, what: &str) -> String {
    let s = if count == 1 { "" } else { "s" };
    format!("{count} {what}{s}")
}

/// How long ago that was, about.
pub(crate) fn age(at: &str, now: SystemTime) -> String {
    let Ok(at) = humantime::parse_rfc3339(at) else { return "?".to_owned() };
    // Clocks differ.
    let seconds = now.duration_since(at).unwrap_or(Duration::ZERO).as_secs();
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m", seconds / 60),
        3600..172_800 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [["Counter/visits".into(), "live".into()], ["Echo/ü".into(), "stored".into()]];
        let expected = "\
OBJECT          STATE
Counter/visits  live
Echo/ü          stored";
        assert_eq!(table(["OBJECT", "STATE"], &rows), expected);
    }

    #[test]
    fn one_is_not_many() {
        assert_eq!([plural(0, "object"), plural(1, "object")], ["0 objects", "1 object"]);
    }

    #[test]
    fn an_age_is_one_number() {
        let now = humantime::parse_rfc3339("2017-07-14T12:00:00Z").unwrap();
        for (at, expected) in [
            ("2017-07-14T11:59:59.5Z", "0s"),
            ("2017-07-14T13:00:00Z", "0s"),
            ("2017-07-14T11:00:01Z", "59m"),
            ("2017-07-13T12:00:00Z", "24h"),
            ("2017-07-12T12:00:00Z", "2d"),
            ("soon", "?"),
        ] {
            assert_eq!(age(at, now), expected, "{at}");
        }
    }
}
