//! `wasmverse cluster shards`: who owns which.

use clap::Args;

use super::{ranges::range, status::why};
use crate::{
    answers::{ShardInfo, Shards},
    client::Client,
    failure::Result,
    output::{Output, table},
    printable::printable,
};

const EXAMPLES: &str = "\
Examples:
  wasmverse cluster shards                       those of one owner in a row as a range
  wasmverse cluster shards --all                 a line each, with why it is there
  wasmverse cluster shards --json | jq '.shards[] | select(.owner != .target)'

The epoch of a shard grows whenever it changes hands. An object is in the shard of its id (of what
is between braces, if there are any), or in shard N if its id begins with `shard#N/`.";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct ShardsArgs {
    /// A line for each shard
    #[arg(long)]
    all: bool,
}

pub(super) async fn run(args: &ShardsArgs, client: &mut Client, output: Output) -> Result<()> {
    let shards = client.shards().await?;
    output.result(&shards, || match args.all {
        true => each(&shards),
        false => by_owner(&shards),
    })
}

fn each(shards: &Shards) -> String {
    let rows: Vec<_> = shards
        .shards
        .iter()
        .map(|shard| {
            let why = if shard.why.is_empty() { name("") } else { why(&shard.why) };
            [
                shard.shard.to_string(),
                name(&shard.owner),
                shard.epoch.to_string(),
                name(&shard.target),
                name(&shard.pinned),
                why,
            ]
        })
        .collect();
    table(["SHARD", "OWNER", "EPOCH", "TARGET", "PINNED", "WHY"], &rows)
}

/// Those in a row that have the same owner, and of which the same is to be said.
fn by_owner(shards: &Shards) -> String {
    let alike = |a: &ShardInfo, b: &ShardInfo| (&a.owner, note(a)) == (&b.owner, note(b));
    let rows: Vec<_> = shards
        .shards
        .chunk_by(alike)
        .map(|row| {
            let epochs = || row.iter().map(|shard| shard.epoch);
            let (least, most) =
                (epochs().min().unwrap_or_default(), epochs().max().unwrap_or_default());
            let epoch = if least == most { least.to_string() } else { format!("{least}..{most}") };
            [
                range(row[0].shard, row[row.len() - 1].shard),
                if row[0].owner.is_empty() {
                    "nobody".to_owned()
                } else {
                    printable(&row[0].owner)
                },
                format!("epoch {epoch}"),
                note(&row[0]),
            ]
        })
        .collect();
    let text = table(["SHARDS", "OWNER", "", ""], &rows);
    if rows.is_empty() { "no shards".to_owned() } else { text }
}

fn note(shard: &ShardInfo) -> String {
    let moves = Some(&shard.target).filter(|target| !target.is_empty() && **target != shard.owner);
    let moves = moves.map(|target| format!("to be at {}", printable(target)));
    let pinned = Some(&shard.pinned).filter(|node| !node.is_empty());
    let pinned = pinned.map(|node| format!("pinned to {}", printable(node)));
    moves.into_iter().chain(pinned).collect::<Vec<_>>().join(", ")
}

fn name(name: &str) -> String {
    if name.is_empty() { "-".to_owned() } else { printable(name) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shard(number: u32, owner: &str, epoch: u64, target: &str) -> ShardInfo {
        ShardInfo {
            shard: number,
            owner: owner.to_owned(),
            epoch,
            target: target.to_owned(),
            why: "balance".to_owned(),
            pinned: String::new(),
        }
    }

    fn shards() -> Shards {
        let pinned = "b".to_owned();
        let shards = vec![
            shard(0, "a", 3, "a"),
            shard(1, "a", 7, "a"),
            shard(2, "a", 2, "b"),
            ShardInfo { pinned, ..shard(3, "b", 1, "b") },
            shard(4, "", 4, "b"),
        ];
        Shards { shards }
    }

    #[test]
    fn shards_of_one_owner_in_a_row_are_one_line() {
        let expected = "\
SHARDS  OWNER
0-1     a       epoch 3..7
2       a       epoch 2     to be at b
3       b       epoch 1     pinned to b
4       nobody  epoch 4     to be at b";
        assert_eq!(by_owner(&shards()), expected);
        assert_eq!(by_owner(&Shards::default()), "no shards");
    }

    #[test]
    fn each_shard_says_why_it_is_there() {
        let text = each(&shards());
        let last = "4      -      4      b       -       balance: to even out the nodes";
        assert_eq!((text.lines().count(), text.lines().last()), (6, Some(last)));
    }
}
