//! How far a deploy has come: each node counts the objects that it had live, and all of them
//! together are the deploy.

use futures_util::{
    Stream, StreamExt as _, TryStreamExt as _,
    stream::{self, BoxStream, SelectAll},
};
use tokio::time::Instant;
use tonic::{Request, Streaming};
use wasmverse_core::{CallError, ErrorKind, TypeName};
use wasmverse_proto::{
    admin::{RolloutProgress, RolloutRequest},
    convert::status_to_error,
};

use super::{Control, answers, until};

/// Those that stay are named up to here, as nodes do.
const REFUSED_SHOWN_MAX: usize = 100;

impl Control {
    /// How far the latest deploy of a type has come, until it has.
    pub(crate) async fn rollout(
        &self,
        request: RolloutRequest,
        deadline: Instant,
    ) -> Result<BoxStream<'static, Result<RolloutProgress, CallError>>, CallError> {
        let mut nodes = self.nodes()?;
        if let [(_, node)] = nodes.as_mut_slice() {
            let progress = until(deadline, node.rollout(Request::new(request))).await?;
            return Ok(progress.map_err(|status| status_to_error(&status)).boxed());
        }
        let active = TypeName::new(&request.r#type).ok().and_then(|type_name| {
            let views = self.router.view();
            let view = views.borrow();
            view.types.get(&type_name).map(|active| active.revision.0)
        });
        let asking = nodes.into_iter().map(|(_, mut node)| {
            let request = request.clone();
            async move {
                let steps = until(deadline, node.rollout(request)).await?;
                first(steps, deadline).await
            }
        });
        let begun: Vec<_> = answers(asking).await?.into_iter().flatten().collect();
        Ok(steps(begun, active).boxed())
    }
}

/// A node's deploy: how far it has come, and its further steps.
type Begun = (RolloutProgress, Streaming<RolloutProgress>);

/// None: the node knows of no deploy.
async fn first(
    mut steps: Streaming<RolloutProgress>,
    deadline: Instant,
) -> Result<Option<Begun>, CallError> {
    match tokio::time::timeout_at(deadline, steps.message()).await {
        Ok(Ok(first)) => Ok(first.map(|first| (first, steps))),
        Ok(Err(status)) => Err(status_to_error(&status)),
        Err(_) => Err(CallError::new(ErrorKind::Timeout, "the node did not answer in time")),
    }
}

/// The steps of all nodes together: a sum whenever one of them has come further.
fn steps<S>(
    begun: Vec<(RolloutProgress, S)>,
    active: Option<u32>,
) -> impl Stream<Item = Result<RolloutProgress, CallError>>
where
    S: Stream<Item = Result<RolloutProgress, tonic::Status>> + Send + 'static,
{
    let newest = begun.iter().map(|(first, _)| first.revision).max();
    // A node that has not heard of the latest deploy yet still tells of the one before.
    let revision = active.filter(|active| begun.iter().any(|(first, _)| first.revision == *active));
    let revision = revision.or(newest);
    let (mut latest, mut more) = (Vec::new(), SelectAll::new());
    for (first, steps) in begun.into_iter().filter(|(first, _)| Some(first.revision) == revision) {
        let place = latest.len();
        latest.push(first);
        // None: it has ended, with its last step or before.
        let steps = steps.map(Result::ok).chain(stream::once(async { None }));
        more.push(steps.map(move |step| (place, step)).boxed());
    }
    let begin = sum(&latest);
    let rest = stream::unfold((latest, more), async |(mut latest, mut more)| {
        loop {
            let (place, step) = more.next().await?;
            let part: &mut RolloutProgress = &mut latest[place];
            match step {
                // A later deploy took over there, and soon everywhere.
                Some(step) if step.revision != part.revision => {
                    return Some((step, (Vec::new(), SelectAll::new())));
                }
                Some(step) => *part = step,
                None if part.done => continue,
                None => gone(part),
            }
            if let Some(sum) = sum(&latest) {
                let more = if sum.done { SelectAll::new() } else { more };
                return Some((sum, (latest, more)));
            }
        }
    });
    let is_done = begin.as_ref().is_none_or(|begin| begin.done);
    let rest = if is_done { stream::empty().boxed() } else { rest.boxed() };
    stream::iter(begin).chain(rest).map(Ok)
}

/// The node is away, and what it had live with it: it wakes elsewhere, on the new revision.
fn gone(part: &mut RolloutProgress) {
    let answered = part.moved.saturating_add(part.refused_total);
    part.gone = part.live.saturating_sub(answered);
    part.done = true;
}

fn sum(parts: &[RolloutProgress]) -> Option<RolloutProgress> {
    let (first, rest) = parts.split_first()?;
    let mut sum = first.clone();
    for part in rest {
        sum.live = sum.live.saturating_add(part.live);
        sum.moved = sum.moved.saturating_add(part.moved);
        sum.gone = sum.gone.saturating_add(part.gone);
        sum.refused_total = sum.refused_total.saturating_add(part.refused_total);
        sum.refused.extend_from_slice(&part.refused);
        sum.done &= part.done;
    }
    sum.refused.truncate(REFUSED_SHOWN_MAX);
    Some(sum)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tonic::Status;

    fn step(revision: u32, live: u32, moved: u32) -> RolloutProgress {
        let done = live == moved;
        RolloutProgress { revision, live, moved, done, ..RolloutProgress::default() }
    }

    async fn shown(
        begun: Vec<(RolloutProgress, Vec<Result<RolloutProgress, Status>>)>,
        active: Option<u32>,
    ) -> Vec<(u32, u32, u32, u32, bool)> {
        let begun = begun.into_iter().map(|(first, rest)| (first, stream::iter(rest))).collect();
        let steps: Vec<_> = steps(begun, active).try_collect().await.unwrap();
        steps.iter().map(|it| (it.revision, it.live, it.moved, it.gone, it.done)).collect()
    }

    #[tokio::test]
    async fn the_nodes_together_are_the_deploy() {
        let a = (step(2, 3, 0), vec![Ok(step(2, 3, 3))]);
        let b = (step(2, 1, 1), vec![]);
        let all = shown(vec![a, b], Some(2)).await;
        assert_eq!(all, [(2, 4, 1, 0, false), (2, 4, 4, 0, true)]);
        assert_eq!(shown(vec![(step(2, 0, 0), vec![])], None).await, [(2, 0, 0, 0, true)]);
        assert_eq!(shown(vec![], None).await, []);
    }

    #[tokio::test]
    async fn a_node_that_tells_of_an_earlier_deploy_does_not_count() {
        let (old, new) = ((step(7, 9, 9), vec![]), (step(2, 1, 1), vec![]));
        assert_eq!(shown(vec![old, new], Some(2)).await, [(2, 1, 1, 0, true)]);
        let (old, new) = ((step(1, 9, 9), vec![]), (step(2, 1, 1), vec![]));
        assert_eq!(shown(vec![old, new], None).await, [(2, 1, 1, 0, true)]);
    }

    #[tokio::test]
    async fn a_node_that_goes_takes_its_objects_along() {
        let dying = (step(2, 5, 2), vec![Err(Status::unavailable("gone"))]);
        let all = shown(vec![dying, (step(2, 1, 1), vec![])], Some(2)).await;
        assert_eq!(all, [(2, 6, 3, 0, false), (2, 6, 3, 3, true)]);
    }

    #[tokio::test]
    async fn a_later_deploy_ends_it() {
        let a = (step(2, 5, 2), vec![Ok(step(3, 5, 0)), Ok(step(3, 5, 5))]);
        let all = shown(vec![a], Some(2)).await;
        assert_eq!(all, [(2, 5, 2, 0, false), (3, 5, 0, 0, false)]);
    }
}
