//! `wasmverse dead-letters`: sends and firings of reminders that were given up. Each is looked at,
//! and then sent again or forgotten.

mod list;
mod settle;
mod show;

use clap::{Args, Subcommand};
use wasmverse_core::ObjectId;

use crate::{
    answers::DeadLetter,
    client::{Client, PAGE_LIMIT},
    command_line::Global,
    failure::Result,
    output::Output,
};

/// What is said of an empty list.
const NONE: &str = "no dead letters";

const EXAMPLES: &str = "\
Examples:
  wasmverse dead-letters list                    what there is, and why
  wasmverse dead-letters show 17                 all of it, with what it carries
  wasmverse dead-letters retry 17                once mended what was wrong
  wasmverse dead-letters drop 17                 what it carries is gone

A send becomes one if its target answers an error of its own, or could not run it for long; so does
a reminder that could not run. Its sender is not told.";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES, arg_required_else_help = true)]
pub(crate) struct DeadLettersArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List them by number, the oldest first
    List(list::ListArgs),
    /// Show all of one
    Show(show::ShowArgs),
    /// Send them again, as new sends
    Retry(settle::RetryArgs),
    /// Forget them, and what they carry
    Drop(settle::DropArgs),
}

pub(crate) async fn run(args: &DeadLettersArgs, global: &Global, output: Output) -> Result<()> {
    match &args.command {
        Command::List(args) => list::run(args, &mut super::connect(global).await?, output).await,
        Command::Show(args) => show::run(args, &mut super::connect(global).await?, output).await,
        Command::Retry(args) => settle::retry(args, global, output).await,
        Command::Drop(args) => settle::forget(args, global, output).await,
    }
}

/// Dead letters, page by page.
struct Pages<'a> {
    from: Option<&'a ObjectId>,
    /// The number of the last one that was read; none: there are no more.
    after: Option<u64>,
    /// How many are wanted still.
    wanted: u64,
}

impl<'a> Pages<'a> {
    fn new(from: Option<&'a ObjectId>, limit: Option<u64>) -> Self {
        Self { from, after: Some(0), wanted: limit.unwrap_or(u64::MAX) }
    }

    /// The next page; none: that was all, or all that is wanted.
    async fn next(&mut self, client: &mut Client) -> Result<Option<Vec<DeadLetter>>> {
        let Some(after) = self.after.filter(|_| self.wanted > 0) else { return Ok(None) };
        let limit = u32::try_from(self.wanted).unwrap_or(u32::MAX).min(PAGE_LIMIT);
        let page = client.dead_letters(self.from, after, limit).await?;
        self.wanted = self.wanted.saturating_sub(page.dead_letters.len() as u64);
        // One that would not go on would go on for ever.
        self.after = page.next_after.filter(|next| *next > after);
        Ok(Some(page.dead_letters))
    }
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory as _, Parser as _};

    use crate::command_line::CommandLine;

    #[test]
    fn every_command_teaches_by_examples() {
        let line = CommandLine::command();
        let letters = line.find_subcommand("dead-letters").unwrap();
        let names: Vec<_> = letters.get_subcommands().map(clap::Command::get_name).collect();
        assert_eq!(names, ["list", "show", "retry", "drop"]);
        for command in letters.get_subcommands() {
            let help = command.get_after_help().unwrap().to_string();
            assert!(help.contains("  wasmverse dead-letters "), "{}", command.get_name());
        }
    }

    #[test]
    fn a_wrong_command_line_exits_with_two() {
        for words in [
            "",
            "list 17",
            "list --limit 0",
            "show",
            "show x",
            "retry",
            "retry 0",
            "retry 3 --all",
            "retry 3 --from Counter/a",
            "retry --all --yes",
            "drop",
            "drop -1",
            "drop 3 --all",
        ] {
            let line = ["wasmverse", "dead-letters"].into_iter().chain(words.split_whitespace());
            assert_eq!(CommandLine::try_parse_from(line).unwrap_err().exit_code(), 2, "{words}");
        }
        for words in
            ["list A/b --limit 9", "retry 3 5", "retry --all --from A/b", "drop --all --yes"]
        {
            let line = ["wasmverse", "dead-letters"].into_iter().chain(words.split_whitespace());
            CommandLine::try_parse_from(line).unwrap();
        }
    }
}
