//! `wasmverse dead-letters show`: all of one, with what it carries.

use clap::Args;
use serde_json::{Value, value::RawValue};

use crate::{
    answers::DeadLetter, client::Client, failure::Result, output::Output, printable::printable,
};

const EXAMPLES: &str = "\
Examples:
  wasmverse dead-letters show 17
  wasmverse dead-letters show 17 --json | jq .payload";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct ShowArgs {
    /// Its number, as the list has it
    number: u64,
}

pub(super) async fn run(args: &ShowArgs, client: &mut Client, output: Output) -> Result<()> {
    let letter = client.dead_letter(args.number).await?;
    output.result(&letter, || text(&letter))
}

fn text(letter: &DeadLetter) -> String {
    let (kind, sent) = match (&letter.send, &letter.reminder) {
        (_, Some(reminder)) => (format!("firing of {reminder}"), "due"),
        (Some(number), None) => (format!("send {number}"), "sent"),
        (None, None) => (letter.kind.clone(), "sent"),
    };
    let number = letter.number.to_string();
    let lines = [
        ("number", &number),
        ("kind", &kind),
        ("from", &letter.from),
        ("to", &letter.to),
        ("method", &letter.method),
        (sent, &letter.sent_at),
        ("died", &letter.died_at),
        ("reason", &letter.reason),
    ];
    let lines = lines.map(|(name, value)| format!("{name:10}{}", printable(value)));
    format!("{}\n{}", lines.join("\n"), carried(letter))
}

/// The argument: on the same line, or on those below if it has many.
fn carried(letter: &DeadLetter) -> String {
    let payload = match (&letter.payload, &letter.payload_base64) {
        (Some(json), _) => pretty(json),
        (None, Some(base64)) => format!("{base64} (Base64)"),
        (None, None) => "none".to_owned(),
    };
    let lines: Vec<_> = payload.lines().map(printable).collect();
    match lines.as_slice() {
        [one] => format!("payload   {one}"),
        many => format!("payload\n  {}", many.join("\n  ")),
    }
}

fn pretty(json: &RawValue) -> String {
    let value = serde_json::from_str::<Value>(json.get());
    let pretty = value.and_then(|value| serde_json::to_string_pretty(&value));
    pretty.unwrap_or_else(|_| json.get().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letter(payload: &str) -> DeadLetter {
        DeadLetter {
            number: 17,
            kind: "send".into(),
            from: "BankAccount/ann".into(),
            to: "BankAccount/bob".into(),
            method: "deposit".into(),
            payload: Some(RawValue::from_string(payload.into()).unwrap()),
            reason: "application (overflow): \u{1b}[2Jit would not fit".into(),
            send: Some("12.0".into()),
            sent_at: "2017-07-14T02:40:00.000000Z".into(),
            died_at: "2017-07-14T02:40:01.000000Z".into(),
            ..DeadLetter::default()
        }
    }

    #[test]
    fn all_of_a_send_is_shown() {
        let expected = "\
number    17
kind      send 12.0
from      BankAccount/ann
to        BankAccount/bob
method    deposit
sent      2017-07-14T02:40:00.000000Z
died      2017-07-14T02:40:01.000000Z
reason    application (overflow): \\u{1b}[2Jit would not fit
payload   30";
        assert_eq!(text(&letter("30")), expected);
    }

    #[test]
    fn a_payload_of_many_lines_stands_below() {
        let shown = text(&letter(r#"{"to":"a\u009bb","amount":1}"#));
        let expected = "\npayload\n  {\n    \"amount\": 1,\n    \"to\": \"a\\u{9b}b\"\n  }";
        assert!(shown.ends_with(expected), "{shown}");
        let binary =
            DeadLetter { payload: None, payload_base64: Some("//4=".into()), ..letter("0") };
        assert!(text(&binary).ends_with("\npayload   //4= (Base64)"));
    }

    #[test]
    fn a_firing_names_its_reminder_and_when_it_was_due() {
        let reminder = Some("close".into());
        let shown = text(&DeadLetter { send: None, reminder, payload: None, ..letter("0") });
        assert!(shown.contains("\nkind      firing of close\n"), "{shown}");
        assert!(shown.contains("\ndue       2017-07-14T02:40:00"), "{shown}");
        assert!(shown.ends_with("\npayload   none"), "{shown}");
    }
}
