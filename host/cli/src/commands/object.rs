//! `wasmverse create`, `delete` and `get`: an object as a whole.

use clap::Args;
use serde_json::json;
use wasmverse_core::ObjectId;

use crate::{client::Client, failure::Result, output::Output};

const EXAMPLES: &str = "\
Examples:
  wasmverse create Counter/visits     fails if it exists
  wasmverse get Counter/visits        fails if it does not
  wasmverse delete Counter/visits     succeeds either way";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ObjectArgs {
    /// The object
    #[arg(value_name = "TYPE/ID")]
    object: ObjectId,
}

impl ObjectArgs {
    fn json(&self, what: &str) -> serde_json::Value {
        json!({ "type": self.object.type_name().as_str(), "id": self.object.id(), what: true })
    }
}

pub(crate) async fn create(args: &ObjectArgs, client: &mut Client, output: Output) -> Result<()> {
    client.create(&args.object).await?;
    output.result(&args.json("created"), || format!("created {}", args.object))
}

pub(crate) async fn delete(args: &ObjectArgs, client: &mut Client, output: Output) -> Result<()> {
    client.delete(&args.object).await?;
    output.result(&args.json("deleted"), || format!("deleted {}", args.object))
}

pub(crate) async fn get(args: &ObjectArgs, client: &mut Client, output: Output) -> Result<()> {
    let info = client.get(&args.object).await?;
    output.result(&info, || {
        let mut lines = vec![
            format!("object    {}", args.object),
            format!("state     {}", info.state),
            format!("revision  {}", info.revision),
        ];
        lines.extend(info.node.iter().map(|node| format!("node      {node}")));
        lines.extend(info.updated_at.iter().map(|at| format!("saved     {at}")));
        lines.join("\n")
    })
}
