//! `wasmverse dead-letters retry` and `drop`: one after another, whatever becomes of those before.

use std::io::IsTerminal as _;

use clap::{ArgGroup, Args};
use serde::Serialize;
use serde_json::json;
use wasmverse_core::ObjectId;

use super::{NONE, Pages};
use crate::{
    client::Client,
    command_line::Global,
    failure::{CallFailure, Failure, Result},
    output::{Output, can_ask, confirm, plural},
};

const RETRY_EXAMPLES: &str = "\
Examples:
  wasmverse dead-letters retry 17
  wasmverse dead-letters retry 17 18 21
  wasmverse dead-letters retry --all --from BankAccount/ann

Mend what was wrong before: deploy the type, make room in the account. It is sent as a new send,
behind all that was sent since; if it fails again, it is a dead letter again, of another number.";

const DROP_EXAMPLES: &str = "\
Examples:
  wasmverse dead-letters drop 17
  wasmverse dead-letters drop --all            asks first
  wasmverse dead-letters drop --all --yes      in a script

What they carry is gone with them: look with `wasmverse dead-letters show 17`.";

/// More than this are shown as a bar.
const LINES_MAX: usize = 10;

#[derive(Debug, Args)]
#[command(after_help = RETRY_EXAMPLES)]
pub(super) struct RetryArgs {
    #[command(flatten)]
    which: Which,
}

#[derive(Debug, Args)]
#[command(after_help = DROP_EXAMPLES)]
pub(super) struct DropArgs {
    #[command(flatten)]
    which: Which,
    /// With --all: do not ask
    #[arg(long)]
    yes: bool,
}

#[derive(Debug, Args)]
#[command(group(ArgGroup::new("which").required(true)))]
struct Which {
    /// Their numbers, as the list has them
    #[arg(value_name = "NUMBER", group = "which", value_parser = clap::value_parser!(u64).range(1..))]
    numbers: Vec<u64>,
    /// All that there are now
    #[arg(long, group = "which")]
    all: bool,
    /// With --all: only what this object sent
    #[arg(long, value_name = "TYPE/ID", requires = "all", conflicts_with = "numbers")]
    from: Option<ObjectId>,
}

/// What is done with them.
#[derive(Clone, Copy, Debug)]
enum Verb {
    Retry,
    Drop,
}

impl Verb {
    fn past(self) -> &'static str {
        match self {
            Self::Retry => "retried",
            Self::Drop => "dropped",
        }
    }

    fn present(self) -> &'static str {
        match self {
            Self::Retry => "retrying",
            Self::Drop => "dropping",
        }
    }

    async fn act(self, client: &mut Client, number: u64) -> Result<()> {
        match self {
            Self::Retry => client.retry_dead_letter(number).await,
            Self::Drop => client.drop_dead_letter(number).await,
        }
    }
}

/// What became of them.
#[derive(Debug, Default)]
struct Settled {
    done: Vec<u64>,
    failed: Vec<Failed>,
}

#[derive(Debug, Serialize)]
struct Failed {
    number: u64,
    error: CallFailure,
}

pub(super) async fn retry(args: &RetryArgs, global: &Global, output: Output) -> Result<()> {
    let mut client = crate::commands::connect(global).await?;
    let numbers = args.which.numbers(&mut client).await?;
    settle(Verb::Retry, &numbers, &mut client, output).await
}

pub(super) async fn forget(args: &DropArgs, global: &Global, output: Output) -> Result<()> {
    let asks = args.which.all && !args.yes;
    if asks && !can_ask() {
        let message =
            "--all drops all dead letters, and nobody is there to be asked: say --yes, too";
        return Err(Failure::usage(message));
    }
    let mut client = crate::commands::connect(global).await?;
    let numbers = args.which.numbers(&mut client).await?;
    if asks && !numbers.is_empty() {
        let count = plural(numbers.len() as u64, "dead letter");
        if !confirm(&format!("drop {count} for good?"))? {
            return Err(anyhow::anyhow!("nothing was dropped").into());
        }
    }
    settle(Verb::Drop, &numbers, &mut client, output).await
}

impl Which {
    /// Which ones are meant. What is sent again and dies again meanwhile is not.
    async fn numbers(&self, client: &mut Client) -> Result<Vec<u64>> {
        if !self.all {
            return Ok(self.numbers.clone());
        }
        let mut pages = Pages::new(self.from.as_ref(), None);
        let mut numbers = Vec::new();
        while let Some(page) = pages.next(client).await? {
            numbers.extend(page.iter().map(|letter| letter.number));
        }
        Ok(numbers)
    }
}

async fn settle(verb: Verb, numbers: &[u64], client: &mut Client, output: Output) -> Result<()> {
    if numbers.is_empty() {
        output.note(NONE);
    }
    let bar = match numbers.len() {
        0..=LINES_MAX => indicatif::ProgressBar::hidden(),
        many => output.progress(many as u64, &format!("{} dead letters", verb.present())),
    };
    // Where the bar tells people how it goes, a line each would push it away.
    let in_lines = bar.is_hidden() || !std::io::stdout().is_terminal();
    let mut settled = Settled::default();
    for number in numbers {
        match verb.act(client, *number).await {
            Ok(()) => {
                settled.done.push(*number);
                if in_lines && !output.is_json() {
                    bar.suspend(|| output.line(format_args!("{} {number}", verb.past())))?;
                }
            }
            Err(failure @ Failure::Call(_)) => {
                bar.suspend(|| output.note(format_args!("{number}: {failure}")));
                settled.failed.push(Failed { number: *number, error: failure.body().error });
            }
            // Nobody is there any more: the rest would wait in vain.
            Err(failure) => {
                bar.finish_and_clear();
                let (done, all) = (settled.done.len(), numbers.len());
                output.note(format_args!("{} {done} of {all} before this", verb.past()));
                return Err(failure);
            }
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    let count = plural(settled.done.len() as u64, "dead letter");
    output.result(&settled.json(verb), || match in_lines {
        true => String::new(),
        false => format!("{} {count}", verb.past()),
    })?;
    match settled.failed.len() {
        0 => Ok(()),
        failed => {
            let all = plural(numbers.len() as u64, "dead letter");
            Err(Failure::Found(format!("{failed} of {all} could not be {}", verb.past())))
        }
    }
}

impl Settled {
    fn json(&self, verb: Verb) -> serde_json::Value {
        json!({ verb.past(): self.done, "failed": self.failed })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn for_machines_it_is_what_was_done_and_what_was_not() {
        let error = CallFailure {
            code: "not-found".into(),
            message: "there is no dead letter 5".into(),
            ..CallFailure::default()
        };
        let settled = Settled { done: vec![3], failed: vec![Failed { number: 5, error }] };
        let expected = json!({"retried": [3], "failed": [{"number": 5, "error": {
            "code": "not-found", "message": "there is no dead letter 5", "maybe_executed": false,
        }}]});
        assert_eq!(settled.json(Verb::Retry), expected);
        assert_eq!(Settled::default().json(Verb::Drop), json!({"dropped": [], "failed": []}));
    }
}
