//! `wasmverse logs`: what objects write to their log, as it comes.

use std::{fmt::Write as _, time::Duration};

use clap::{ArgAction, Args};
use futures_util::StreamExt as _;

use crate::{
    answers::LogLine,
    client::LogsRequest,
    command_line::Global,
    endpoint::Endpoint,
    failure::{Away, Failure, Result},
    output::Output,
};

/// Without following: the recent lines have come when nothing came for so long.
const QUIET: Duration = Duration::from_millis(500);

const EXAMPLES: &str = "\
Examples:
  wasmverse logs Counter/visits
  wasmverse logs Counter --recent 100              all counters
  wasmverse logs Counter/visits --follow=false     what there is, then end";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct LogsArgs {
    /// Whose: an object, or all of a type; left out: everyone's
    #[arg(value_name = "TYPE/ID", default_value = "")]
    object: String,
    /// Wait for what comes
    #[arg(
        short, long, action = ArgAction::Set, default_value_t = true,
        default_missing_value = "true", num_args = 0..=1, require_equals = true,
        value_name = "BOOL"
    )]
    follow: bool,
    /// Begin with so many of the latest lines
    #[arg(long, default_value_t = 20, value_name = "N", value_parser = clap::value_parser!(u32).range(0..=1000))]
    recent: u32,
}

pub(crate) async fn run(args: &LogsArgs, global: &Global, output: Output) -> Result<()> {
    let (type_name, id) = args.object.split_once('/').unwrap_or((&args.object, ""));
    let request =
        LogsRequest { type_name: type_name.to_owned(), id: id.to_owned(), recent: args.recent };
    let endpoint = global.endpoint()?;
    let mut lines = super::connect(global).await?.logs(&request).await?;
    loop {
        let next = match args.follow {
            true => lines.next().await,
            false => tokio::time::timeout(QUIET, lines.next()).await.unwrap_or(None),
        };
        let line = match next {
            Some(Ok(line)) => line,
            Some(Err(Failure::Call(failure))) if failure.code == "unavailable" => {
                return Err(gone(&endpoint, &failure.message));
            }
            Some(Err(failure)) => return Err(failure),
            None if args.follow => return Err(gone(&endpoint, "the connection was closed")),
            None => return Ok(()),
        };
        output.result(&line, || text(&line))?;
    }
}

/// Who follows wants to know that nothing more will come.
fn gone(endpoint: &Endpoint, cause: &str) -> Failure {
    Failure::Away(Box::new(Away {
        code: "unavailable",
        message: format!("the log ended because {endpoint} went away: {cause}"),
        hint: None,
        maybe_executed: false,
    }))
}

fn text(line: &LogLine) -> String {
    let mut text = String::new();
    if line.missed > 0 {
        text = format!("… {} lines lost: reading was too slow\n", line.missed);
    }
    let (at, level) = (&line.at, line.level.to_uppercase());
    let object = match line.id.as_str() {
        "" => line.type_name.clone(),
        id => format!("{}/{id}", line.type_name),
    };
    // Writing to a string does not fail.
    let _ = write!(text, "{at} {level:5} {object} {}", line.message);
    for (name, value) in &line.fields {
        let _ = write!(text, " {name}={value}");
    }
    text
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::command_line::{Command, CommandLine};

    fn follows(words: &[&str]) -> bool {
        let words = ["wasmverse", "logs"].iter().chain(words);
        match CommandLine::try_parse_from(words).unwrap().command {
            Command::Logs(args) => args.follow,
            other => panic!("parsed as {other:?}"),
        }
    }

    #[test]
    fn it_follows_unless_told_otherwise() {
        assert!(follows(&["Counter/a"]) && follows(&["-f", "Counter/a"]) && follows(&["--follow"]));
        assert!(!follows(&["--follow=false", "Counter/a"]));
    }

    #[test]
    fn a_line_says_when_how_grave_who_and_what() {
        let line = LogLine {
            at: "2023-11-14T22:13:20.000001Z".into(),
            type_name: "Counter".into(),
            id: "visits".into(),
            level: "warn".into(),
            message: "odd".into(),
            fields: [("by".to_owned(), "5".to_owned())].into(),
            ..LogLine::default()
        };
        assert_eq!(text(&line), "2023-11-14T22:13:20.000001Z WARN  Counter/visits odd by=5");
        let line = LogLine { missed: 3, ..line };
        assert!(text(&line).starts_with("… 3 lines lost"));
    }
}
