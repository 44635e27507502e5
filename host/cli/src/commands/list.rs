//! `wasmverse list`: all objects, page by page.

use clap::Args;

use crate::{
    answers::{ObjectInfo, Page},
    client::{Client, ListRequest, PAGE_LIMIT},
    failure::Result,
    output::{Output, table},
};

const EXAMPLES: &str = "\
Examples:
  wasmverse list
  wasmverse list Counter --prefix user- --limit 20
  wasmverse list --json | jq -r '.objects[].id'";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ListArgs {
    /// Only objects of this type
    #[arg(value_name = "TYPE")]
    type_name: Option<String>,
    /// Only ids that begin so
    #[arg(long)]
    prefix: Option<String>,
    /// Stop after so many
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
}

pub(crate) async fn run(args: &ListArgs, client: &mut Client, output: Output) -> Result<()> {
    let mut objects: Vec<ObjectInfo> = Vec::new();
    let mut page = None;
    let wanted = args.limit.unwrap_or(usize::MAX);
    while objects.len() < wanted {
        let left = u32::try_from(wanted - objects.len()).unwrap_or(u32::MAX);
        let request = ListRequest {
            type_name: args.type_name.clone(),
            prefix: args.prefix.clone(),
            limit: left.min(PAGE_LIMIT),
            page: page.take(),
        };
        let answer = client.list(&request).await?;
        objects.extend(answer.objects);
        page = answer.next_page;
        if page.is_none() {
            break;
        }
    }
    objects.truncate(wanted);
    let all = Page { objects, next_page: page };
    output.result(&all, || text(&all.objects))
}

fn text(objects: &[ObjectInfo]) -> String {
    if objects.is_empty() {
        return "no objects".to_owned();
    }
    let rows: Vec<_> = objects
        .iter()
        .map(|object| {
            [
                format!("{}/{}", object.type_name, object.id),
                object.state.clone(),
                object.revision.to_string(),
                object.node.clone().unwrap_or_default(),
                object.updated_at.clone().unwrap_or_default(),
            ]
        })
        .collect();
    table(["OBJECT", "STATE", "REVISION", "NODE", "SAVED"], &rows)
}
