//! `wasmverse dead-letters list`: what was given up, and why.

use std::time::SystemTime;

use clap::Args;
use wasmverse_core::ObjectId;

use super::{NONE, Pages};
use crate::{
    answers::{DeadLetter, DeadLetters},
    client::Client,
    failure::Result,
    output::{Output, age, table, terminal_width},
    printable::printable,
};

const EXAMPLES: &str = "\
Examples:
  wasmverse dead-letters list
  wasmverse dead-letters list BankAccount/ann --limit 20     those of one sender
  wasmverse dead-letters list | cut -f 1,7                   numbers and reasons
  wasmverse dead-letters list --json | jq '.dead_letters[] | select(.method == \"deposit\")'

On a terminal a table, with reasons cut to fit. Elsewhere a line each, with tabs between number,
kind, sender, target, method, the time it was given up, and the whole reason.";

/// A reason has at least so much of a line, however long names are.
const REASON_LENGTH_MIN: usize = 20;

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct ListArgs {
    /// Who sent them; left out: everyone's
    #[arg(value_name = "TYPE/ID")]
    from: Option<ObjectId>,
    /// Stop after so many
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    limit: Option<u64>,
}

pub(super) async fn run(args: &ListArgs, client: &mut Client, output: Output) -> Result<()> {
    let mut pages = Pages::new(args.from.as_ref(), args.limit);
    let width = terminal_width();
    let mut all = DeadLetters::default();
    let mut found = false;
    while let Some(page) = pages.next(client).await? {
        found |= !page.is_empty();
        if output.is_json() || width.is_some() {
            let of_interest = |letter: DeadLetter| match output.is_json() {
                true => letter,
                // What all of them carry may be more than there is room for.
                false => DeadLetter { payload: None, payload_base64: None, ..letter },
            };
            all.dead_letters.extend(page.into_iter().map(of_interest));
        } else {
            page.iter().try_for_each(|letter| output.line(line(letter)))?;
        }
    }
    all.next_after = pages.after;
    if !found {
        output.note(NONE);
    }
    output.result(&all, || match width {
        Some(width) if found => text(&all.dead_letters, width, SystemTime::now()),
        Some(_) | None => String::new(),
    })
}

/// For programs: whole, and the same whenever it is printed.
fn line(letter: &DeadLetter) -> String {
    let DeadLetter { kind, from, to, method, died_at, reason, .. } = letter;
    let rest = [kind, from, to, method, died_at, reason].map(|cell| printable(cell));
    format!("{}\t{}", letter.number, rest.join("\t"))
}

/// For people.
fn text(letters: &[DeadLetter], width: usize, now: SystemTime) -> String {
    let headings = ["NUMBER", "KIND", "FROM", "TO", "METHOD", "AGE", "REASON"];
    let mut rows: Vec<_> = letters
        .iter()
        .map(|letter| {
            let DeadLetter { kind, from, to, method, died_at, reason, .. } = letter;
            let age = age(died_at, now);
            let [kind, from, to, method, reason] =
                [kind, from, to, method, reason].map(|cell| printable(cell));
            [letter.number.to_string(), kind, from, to, method, age, reason]
        })
        .collect();
    let before: usize = (0..6)
        .map(|column| {
            let cells = rows.iter().map(|row| row[column].chars().count());
            cells.max().unwrap_or_default().max(headings[column].len()) + 2
        })
        .sum();
    let room = width.saturating_sub(before).max(REASON_LENGTH_MIN);
    for row in &mut rows {
        row[6] = cut(&row[6], room);
    }
    table(headings, &rows)
}

fn cut(text: &str, length_max: usize) -> String {
    if text.chars().count() <= length_max {
        return text.to_owned();
    }
    let beginning: String = text.chars().take(length_max - 1).collect();
    beginning + "…"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letter() -> DeadLetter {
        DeadLetter {
            number: 17,
            kind: "send".into(),
            from: "BankAccount/ann".into(),
            to: "BankAccount/ü".into(),
            method: "deposit".into(),
            reason: "application (overflow): the\nbalance would not fit".into(),
            died_at: "2017-07-14T02:40:01.000000Z".into(),
            ..DeadLetter::default()
        }
    }

    #[test]
    fn a_table_fits_the_terminal_as_far_as_names_let_it() {
        let now = humantime::parse_rfc3339("2017-07-14T02:45:00Z").unwrap();
        let expected = "\
NUMBER  KIND  FROM             TO             METHOD   AGE  REASON
17      send  BankAccount/ann  BankAccount/ü  deposit  4m   application (overflow): t…";
        assert_eq!(text(&[letter()], 86, now), expected);
        let whole = text(&[letter()], 200, now);
        assert!(whole.ends_with(r"application (overflow): the\nbalance would not fit"), "{whole}");
        let narrow = text(&[letter()], 10, now);
        assert!(narrow.ends_with("  application (overfl…"), "{narrow}");
    }

    #[test]
    fn a_line_has_all_of_it_between_tabs() {
        let expected = "17\tsend\tBankAccount/ann\tBankAccount/ü\tdeposit\t\
            2017-07-14T02:40:01.000000Z\tapplication (overflow): the\\nbalance would not fit";
        assert_eq!(line(&letter()), expected);
    }
}
