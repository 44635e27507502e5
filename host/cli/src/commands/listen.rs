//! `wasmverse listen`: a session of one's own, and what it is pushed.

use clap::Args;
use serde_json::json;

use crate::{
    command_line::Global,
    failure::Result,
    output::Output,
    printable::printable,
    session::{Happening, Session},
};

const EXAMPLES: &str = "\
Objects push to clients by their ids: the first line says which one this is.

Examples:
  wasmverse listen
  wasmverse listen --event message --json";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ListenArgs {
    /// Print only events of this name (may be given more than once)
    #[arg(long = "event", value_name = "NAME")]
    events: Vec<String>,
}

pub(crate) async fn run(args: &ListenArgs, global: &Global, output: Output) -> Result<()> {
    let mut session = Session::open(&global.endpoint()?, global.token.as_deref()).await?;
    loop {
        let happening = tokio::select! {
            happening = session.next() => happening?,
            ended = tokio::signal::ctrl_c() => return Ok(ended?),
        };
        match happening {
            Happening::Connected { client_id, is_same } => {
                let json = json!({"op": "session", "client_id": client_id, "resumed": is_same});
                let again = if is_same { "back as" } else { "listening as" };
                output.result(&json, || format!("{again} {client_id}"))?;
            }
            Happening::Push { event, payload } => {
                if args.events.is_empty() || args.events.contains(&event) {
                    let json = json!({"op": "push", "event": event, "payload": payload});
                    output.result(&json, || printable(&format!("{event} {payload}")))?;
                }
            }
            Happening::Gap { missed } => {
                let json = json!({"op": "gap", "missed": missed});
                let how_many = missed.map_or("some".to_owned(), |missed| missed.to_string());
                output.result(&json, || format!("… {how_many} missed"))?;
            }
            Happening::Lost(why) => output.note(format!("connection lost ({why}); coming back")),
        }
    }
}
