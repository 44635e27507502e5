//! `wasmverse reminders`: what an object has set for later.

use clap::Args;
use wasmverse_core::ObjectId;

use crate::{
    answers::Reminder,
    client::Client,
    failure::Result,
    output::{Output, table},
    printable::printable,
};

const EXAMPLES: &str = "\
Examples:
  wasmverse reminders Auction/clock
  wasmverse reminders Auction/clock --json | jq -r '.reminders[].due_at'

A reminder that is set once is gone when it has fired. A firing that could not be done is a dead
letter: see `wasmverse dead-letters`.";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct RemindersArgs {
    /// Whose
    #[arg(value_name = "TYPE/ID")]
    object: ObjectId,
}

pub(crate) async fn run(args: &RemindersArgs, client: &mut Client, output: Output) -> Result<()> {
    let found = client.reminders(&args.object).await?;
    if found.reminders.is_empty() {
        output.note(format_args!("{} has no reminders", args.object));
    }
    output.result(&found, || text(&found.reminders))
}

fn text(reminders: &[Reminder]) -> String {
    if reminders.is_empty() {
        return String::new();
    }
    let rows: Vec<_> = reminders
        .iter()
        .map(|reminder| {
            [&reminder.name, &reminder.when, &reminder.method, &reminder.due_at]
                .map(|cell| printable(cell))
        })
        .collect();
    table(["NAME", "WHEN", "METHOD", "DUE"], &rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reminder_is_one_line() {
        let reminder = Reminder {
            name: "po\u{1b}ll".into(),
            when: "every 5s".into(),
            method: "look".into(),
            due_at: "2017-07-14T02:40:05.000000Z".into(),
            ..Reminder::default()
        };
        let expected = "\
NAME        WHEN      METHOD  DUE
po\\u{1b}ll  every 5s  look    2017-07-14T02:40:05.000000Z";
        assert_eq!(text(&[reminder]), expected);
        assert_eq!(text(&[]), "");
    }
}
