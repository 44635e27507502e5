//! `wasmverse deploy`: components to the cluster, each followed until its live objects have moved.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use bytes::Bytes;
use clap::Args;
use futures_util::StreamExt as _;
use serde::Serialize;

use crate::{
    answers::{Rollout, Uploaded},
    builder::{self, Source},
    client::Client,
    command_line::Global,
    failure::{Failure, Result},
    output::{Output, plural},
};

const EXAMPLES: &str = "\
Examples:
  wasmverse deploy hello                           a crate: built first
  wasmverse deploy target/wasmverse/hello.wasm
  wasmverse deploy echo.wasm counter.wasm --json   a JSON object a line

Live objects move to the new revision between two calls and keep their state. One whose state the
new revision refuses stays on the old one, serves on, and is named.";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct DeployArgs {
    /// Components (.wasm) or folders of crates
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
}

/// What a deploy of one component led to.
#[derive(Debug, Serialize)]
struct Deployed {
    #[serde(flatten)]
    uploaded: Uploaded,
    rollout: Option<Rollout>,
}

pub(crate) async fn run(args: &DeployArgs, global: &Global, output: Output) -> Result<()> {
    let components = components(&builder::locate(&args.files)?)?;
    let mut client = super::connect(global).await?;
    for path in components {
        let uploaded = client.upload(read(&path)?).await?;
        let rollout = follow(&mut client, &uploaded, output).await?;
        let deployed = Deployed { uploaded, rollout };
        output.result(&deployed, || text(&deployed))?;
    }
    Ok(())
}

/// Where the components lie, crates being built first; in the order of the sources.
pub(crate) fn components(sources: &[Source]) -> Result<Vec<PathBuf>> {
    let crates = sources.iter().filter_map(|source| match source {
        Source::Crate(package) => Some(package.clone()),
        Source::Component(_) => None,
    });
    let mut built = builder::build(&crates.collect::<Vec<_>>())?.into_iter();
    let paths = sources.iter().filter_map(|source| match source {
        Source::Crate(_) => built.next().map(|built| built.component),
        Source::Component(path) => Some(path.clone()),
    });
    Ok(paths.collect())
}

pub(crate) fn read(path: &Path) -> Result<Bytes> {
    let bytes =
        std::fs::read(path).with_context(|| format!("failed to read {}", path.display()))?;
    if !bytes.starts_with(b"\0asm") {
        return Err(Failure::usage(format!("{} is no WebAssembly", path.display())));
    }
    Ok(bytes.into())
}

/// Waits until every live object has moved or refused to. A later deploy ends it early.
async fn follow(
    client: &mut Client,
    uploaded: &Uploaded,
    output: Output,
) -> Result<Option<Rollout>> {
    let mut steps = client.rollout(&uploaded.type_name).await?;
    let mut latest: Option<Rollout> = None;
    let bar = output.progress(0, &format!("{} revision {}", uploaded.type_name, uploaded.revision));
    while let Some(step) = steps.next().await {
        let step = step?;
        if step.revision != uploaded.revision {
            output.note(format_args!("revision {} is being deployed since", step.revision));
            break;
        }
        bar.set_length(u64::from(step.live));
        bar.set_position(u64::from(step.moved + step.gone) + step.staying());
        let done = step.done;
        latest = Some(step);
        if done {
            break;
        }
    }
    bar.finish_and_clear();
    Ok(latest)
}

fn text(deployed: &Deployed) -> String {
    let Uploaded { type_name, revision, digest, .. } = &deployed.uploaded;
    let digest: String = digest.chars().take(12).collect();
    let mut lines = vec![format!("{type_name} revision {revision} ({digest}) is active")];
    if let Some(rollout) = deployed.rollout.as_ref().filter(|rollout| rollout.live > 0) {
        lines.push(moved(rollout));
        for refusal in &rollout.refused {
            lines.push(format!("  {type_name}/{} stays: {}", refusal.id, refusal.reason));
        }
    }
    lines.join("\n")
}

/// How many live objects run the new revision.
pub(crate) fn moved(rollout: &Rollout) -> String {
    let mut text =
        format!("{} of {} moved", rollout.moved, plural(u64::from(rollout.live), "live object"));
    if rollout.gone > 0 {
        text += &format!(", {} wake on it later", rollout.gone);
    }
    if rollout.staying() > 0 {
        text += &format!(", {} stay on the old revision", rollout.staying());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::answers::Refusal;

    fn deployed() -> Deployed {
        Deployed {
            uploaded: Uploaded {
                type_name: "Counter".into(),
                revision: 3,
                digest: "0123456789abcdef".into(),
                active: true,
            },
            rollout: Some(Rollout {
                type_name: "Counter".into(),
                revision: 3,
                live: 12,
                moved: 10,
                gone: 1,
                refused: vec![Refusal { id: "odd".into(), reason: "no such field".into() }],
                refused_total: 1,
                done: true,
            }),
        }
    }

    #[test]
    fn a_deploy_tells_what_moved_and_what_stays() {
        let expected = "\
Counter revision 3 (0123456789ab) is active
10 of 12 live objects moved, 1 wake on it later, 1 stay on the old revision
  Counter/odd stays: no such field";
        assert_eq!(text(&deployed()), expected);
    }

    #[test]
    fn for_machines_it_is_the_answer_of_the_upload_and_the_rollout() {
        let json = serde_json::to_value(deployed()).unwrap();
        assert_eq!(json["type"], "Counter");
        assert_eq!(json["active"], true);
        assert_eq!(json["rollout"]["refused"][0]["id"], "odd");
    }

    #[test]
    fn what_is_no_wasm_is_not_sent() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "#!/bin/sh").unwrap();
        assert!(matches!(read(file.path()), Err(Failure::Usage(_))));
    }
}
