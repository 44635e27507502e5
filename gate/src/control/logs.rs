//! Logs: the lines of all nodes as one stream, while nodes come and go.

use std::{collections::BTreeSet, time::Duration};

use futures_util::{
    StreamExt as _, TryStreamExt as _, future,
    stream::{self, BoxStream, SelectAll},
};
use tokio::time::{Instant, Interval, MissedTickBehavior};
use tonic::Request;
use wasmverse_core::{CallError, NodeId};
use wasmverse_proto::{
    admin::{LogLine, TailLogsRequest},
    convert::status_to_error,
};
use wasmverse_router::Router;

use super::{Control, Node, invalid, until};

/// How many recent lines a log begins with at most.
pub(crate) const RECENT_LINES_MAX: u32 = 1000;
/// How often is looked for nodes that have come.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// Recent lines come at once. When none has come for so long, they are taken to be complete…
const RECENT_QUIET: Duration = Duration::from_millis(50);
/// … and in any case after this time.
const RECENT_WITHIN: Duration = Duration::from_millis(500);

type Line = Result<LogLine, CallError>;

impl Control {
    /// What objects write to their log, as it comes.
    pub(crate) async fn logs(
        &self,
        request: TailLogsRequest,
        deadline: Instant,
    ) -> Result<BoxStream<'static, Line>, CallError> {
        if request.recent > RECENT_LINES_MAX {
            return Err(invalid(format!("`recent` is at most {RECENT_LINES_MAX}")));
        }
        if !self.is_clustered {
            let mut node = self.node()?;
            let lines = until(deadline, node.tail_logs(Request::new(request))).await?;
            return Ok(lines.map_err(|status| status_to_error(&status)).boxed());
        }
        let recent_max = usize::try_from(request.recent).unwrap_or(usize::MAX);
        let mut followed = Followed::new(self.router.clone(), request);
        followed.look();
        let recent = match recent_max {
            0 => Vec::new(),
            _ => latest(followed.recent().await, recent_max),
        };
        let recent = stream::iter(recent.into_iter().map(Ok));
        let lines = stream::unfold(followed, async |mut followed| {
            let line = followed.next().await;
            Some((Ok(line), followed))
        });
        Ok(recent.chain(lines).boxed())
    }
}

/// The logs of all nodes that are reached.
struct Followed {
    router: Router,
    request: TailLogsRequest,
    nodes: BTreeSet<NodeId>,
    /// A line of a node, or its end.
    lines: SelectAll<BoxStream<'static, (NodeId, Option<LogLine>)>>,
    looks: Interval,
}

impl Followed {
    fn new(router: Router, request: TailLogsRequest) -> Self {
        let mut looks = tokio::time::interval(LOOK_EVERY);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { router, request, nodes: BTreeSet::new(), lines: SelectAll::new(), looks }
    }

    /// Follows those nodes, too, that have come.
    fn look(&mut self) {
        for (id, node) in self.router.controls() {
            if self.nodes.insert(id.clone()) {
                self.lines.push(tail(id, node, self.request.clone()));
            }
        }
        // Who comes later, or again, has written to others before.
        self.request.recent = 0;
    }

    /// What the nodes have kept, in no order.
    async fn recent(&mut self) -> Vec<LogLine> {
        let mut recent = Vec::new();
        let gathering = async {
            while let Ok(Some((node, line))) =
                tokio::time::timeout(RECENT_QUIET, self.lines.next()).await
            {
                match line {
                    Some(line) => recent.push(line),
                    None => drop(self.nodes.remove(&node)),
                }
            }
        };
        // What there is by then is shown.
        let _ = tokio::time::timeout(RECENT_WITHIN, gathering).await;
        recent
    }

    async fn next(&mut self) -> LogLine {
        loop {
            tokio::select! {
                Some((node, line)) = self.lines.next(), if !self.lines.is_empty() => match line {
                    Some(line) => return line,
                    None => drop(self.nodes.remove(&node)),
                },
                _ = self.looks.tick() => self.look(),
            }
        }
    }
}

/// The log of one node, and word that it has ended.
fn tail(
    id: NodeId,
    mut node: Node,
    request: TailLogsRequest,
) -> BoxStream<'static, (NodeId, Option<LogLine>)> {
    let lines = stream::once(async move { node.tail_logs(request).await })
        .map_ok(tonic::Response::into_inner)
        .try_flatten();
    let told = id.clone();
    // Why it ended is of no interest: if the node is there, it is followed again.
    let lines = lines
        .take_while(|line| future::ready(line.is_ok()))
        .filter_map(move |line| future::ready(line.ok().map(|line| (told.clone(), Some(line)))));
    lines.chain(stream::once(future::ready((id, None)))).boxed()
}

/// The latest lines, the oldest first.
fn latest(mut lines: Vec<LogLine>, length: usize) -> Vec<LogLine> {
    // A node's own order stays, also where its clock did not move.
    lines.sort_by_key(|line| line.at_micros);
    lines.drain(..lines.len().saturating_sub(length));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_lines_of_all_nodes_are_shown_in_order() {
        let line = |at_micros, message: &str| LogLine {
            at_micros,
            message: message.into(),
            ..LogLine::default()
        };
        let lines = vec![line(3, "a1"), line(5, "a2"), line(5, "a3"), line(1, "b1"), line(4, "b2")];
        let shown = |length| -> Vec<_> {
            latest(lines.clone(), length).into_iter().map(|line| line.message).collect()
        };
        assert_eq!(shown(3), ["b2", "a2", "a3"]);
        assert_eq!(shown(9), ["b1", "a1", "b2", "a2", "a3"]);
    }
}
