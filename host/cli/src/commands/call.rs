//! `wasmverse call`: one call, its result printed as it came.

use std::{io::Read as _, time::Duration};

use bytes::Bytes;
use clap::Args;
use wasmverse_core::ObjectId;

use super::connect;
use crate::{
    client::CallRequest,
    command_line::Global,
    failure::{Failure, Result},
    output::Output,
};

const EXAMPLES: &str = "\
Examples:
  wasmverse call Counter/visits add 5
  wasmverse call Counter/visits value
  wasmverse call ChatRoom/general send_message '{\"user\":\"ann\",\"text\":\"hi\"}'
  wasmverse call Echo/a echo '\"text is quoted twice\"'
  cat big.json | wasmverse call Echo/a echo -
  wasmverse call BankAccount/ann deposit 100 --key payday-2026-11    safe to repeat";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct CallArgs {
    /// The object
    #[arg(value_name = "TYPE/ID")]
    object: ObjectId,
    /// The method
    method: String,
    /// Its argument as JSON; `-` reads it from standard input; left out: none
    #[arg(value_name = "JSON", allow_hyphen_values = true)]
    argument: Option<String>,
    /// Idempotency key: repeating the call with it has no further effect
    #[arg(long)]
    key: Option<String>,
    /// How long the call may take, such as 500ms or 2m
    #[arg(long, value_parser = humantime::parse_duration)]
    timeout: Option<Duration>,
    /// Send the argument as it is, for types whose encoding is not JSON
    #[arg(long)]
    raw: bool,
}

pub(crate) async fn run(args: &CallArgs, global: &Global, output: Output) -> Result<()> {
    let request = CallRequest {
        object: args.object.clone(),
        method: args.method.clone(),
        payload: payload(args.argument.as_deref(), args.raw)?,
        is_json: !args.raw,
        key: args.key.clone(),
        timeout: args.timeout,
        session: None,
    };
    let result = connect(global).await?.call(&request).await?;
    print(result.as_deref(), output)
}

/// The argument as it goes to the object.
fn payload(argument: Option<&str>, raw: bool) -> Result<Bytes> {
    let bytes = match argument {
        None => return Ok(Bytes::new()),
        Some("-") => {
            let mut bytes = Vec::new();
            std::io::stdin().lock().read_to_end(&mut bytes)?;
            bytes
        }
        Some(text) => text.as_bytes().to_vec(),
    };
    if !raw && !bytes.trim_ascii().is_empty() {
        check_json(&bytes)?;
    }
    Ok(if raw { bytes.into() } else { Bytes::copy_from_slice(bytes.trim_ascii()) })
}

pub(super) fn check_json(bytes: &[u8]) -> Result<()> {
    let Err(error) = serde_json::from_slice::<serde::de::IgnoredAny>(bytes) else { return Ok(()) };
    let text = String::from_utf8_lossy(bytes);
    let shown: String = text.chars().take(60).collect();
    let quoted = text.trim().chars().all(|c| c.is_alphanumeric() || " _-.".contains(c));
    let hint = match quoted {
        true => format!("; did you mean '\"{shown}\"'? Text is quoted, for JSON and for the shell"),
        false => String::new(),
    };
    Err(Failure::usage(format!("`{shown}` is no JSON: {error}{hint}")))
}

/// Prints a result: JSON and text as they are, other bytes raw. For machines, nothing is `null`,
/// and what is no JSON becomes a string of it.
fn print(result: Option<&[u8]>, output: Output) -> Result<()> {
    let Some(bytes) = result else {
        return if output.is_json() { output.line("null") } else { Ok(()) };
    };
    match std::str::from_utf8(bytes) {
        Ok(text) if output.is_json() => match check_json(bytes) {
            Ok(()) => output.line(text.trim()),
            Err(_) => output.line(serde_json::Value::from(text)),
        },
        Ok(text) => output.line(text.trim_end_matches('\n')),
        Err(_) => output.bytes(bytes),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::command_line::{Command, CommandLine};

    fn parse(words: &[&str]) -> CallArgs {
        let words = ["wasmverse", "call"].iter().chain(words);
        match CommandLine::try_parse_from(words).unwrap().command {
            Command::Call(args) => args,
            other => panic!("parsed as {other:?}"),
        }
    }

    #[test]
    fn a_call_names_object_method_and_argument() {
        let args = parse(&["Counter/a/b", "add", "-5", "--key", "k", "--timeout", "1500ms"]);
        assert_eq!(args.object.id(), "a/b");
        assert_eq!(args.argument.as_deref(), Some("-5"));
        assert_eq!(args.timeout, Some(Duration::from_millis(1500)));
        assert_eq!(args.key.as_deref(), Some("k"));
        assert_eq!(parse(&["Counter/a", "value", "--raw"]).argument, None);
    }

    #[test]
    fn an_argument_is_checked_before_it_travels() {
        assert_eq!(payload(Some(" {\"a\":1}\n"), false).unwrap(), "{\"a\":1}");
        assert_eq!(payload(None, false).unwrap(), "");
        let problem = payload(Some("hello there"), false).unwrap_err().to_string();
        assert!(problem.contains("'\"hello there\"'"), "{problem}");
        assert_eq!(payload(Some("hello"), true).unwrap(), "hello");
    }
}
