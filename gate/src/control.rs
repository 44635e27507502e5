//! What is asked of nodes rather than of an object: lists, types, uploads, deploys, logs, dead
//! letters, reminders.
//!
//! Every question has a deadline, and every answer that is none is a `CallError`, so that both
//! surfaces show the same. What each node knows for itself is asked of all, and the answers are
//! made into one.

mod dead_letters;
mod logs;
mod objects;
mod rollout;
mod upload;

use std::future::Future;

use futures_util::future::join_all;
use tokio::time::Instant;
use tonic::{Response, Status};
use wasmverse_core::{CallError, ErrorKind, NodeId, ObjectId};
use wasmverse_proto::convert::status_to_error;
use wasmverse_router::Router;

pub(crate) use upload::drain;

/// A client of one node.
type Node = wasmverse_router::Control;

/// How many objects, or dead letters, a page lists at most.
pub(crate) const PAGE_LENGTH_MAX: u32 = 1000;

/// Speaks to nodes. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Control {
    router: Router,
    /// Nodes come and go; else there is one, whichever answers.
    is_clustered: bool,
    upload_bytes_max: usize,
}

impl Control {
    pub(crate) fn new(router: Router, is_clustered: bool, upload_bytes_max: usize) -> Self {
        Self { router, is_clustered, upload_bytes_max }
    }

    /// The largest component.
    pub(crate) fn upload_bytes_max(&self) -> usize {
        self.upload_bytes_max
    }

    /// Any node.
    fn node(&self) -> Result<Node, CallError> {
        self.router.control().ok_or_else(no_node)
    }

    /// The node that has an object, if it is known and reached; else any.
    fn owner(&self, object: &ObjectId) -> Result<Node, CallError> {
        self.router.owner_control(object).or_else(|| self.router.control()).ok_or_else(no_node)
    }

    /// All nodes that are reached.
    fn nodes(&self) -> Result<Vec<(NodeId, Node)>, CallError> {
        let nodes = self.router.controls();
        if nodes.is_empty() { Err(no_node()) } else { Ok(nodes) }
    }
}

fn no_node() -> CallError {
    CallError::new(ErrorKind::Unavailable, "no node is reached")
}

/// What several nodes answer to the same question, but for those that have none, as long as one
/// has: a node that is about to go must not take the others' answers along.
///
/// # Errors
/// The first one, if no node has an answer.
async fn answers<T, A: Future<Output = Result<T, CallError>>>(
    asking: impl IntoIterator<Item = A>,
) -> Result<Vec<T>, CallError> {
    let (mut answers, mut error) = (Vec::new(), None);
    for answer in join_all(asking).await {
        match answer {
            Ok(answer) => answers.push(answer),
            Err(failed) => {
                tracing::debug!(error = %failed, "a node did not answer a question to all");
                error.get_or_insert(failed);
            }
        }
    }
    match error {
        Some(error) if answers.is_empty() => Err(error),
        Some(_) | None => Ok(answers),
    }
}

/// A node's answer, or `timeout` when the deadline passes first.
async fn until<T>(
    deadline: Instant,
    answer: impl Future<Output = Result<Response<T>, Status>>,
) -> Result<T, CallError> {
    match tokio::time::timeout_at(deadline, answer).await {
        Ok(Ok(response)) => Ok(response.into_inner()),
        Ok(Err(status)) => Err(status_to_error(&status)),
        Err(_) => {
            Err(CallError::new(ErrorKind::Timeout, "the node did not answer in time")
                .maybe_executed())
        }
    }
}

fn check_page_length(limit: u32) -> Result<(), CallError> {
    match limit {
        0..=PAGE_LENGTH_MAX => Ok(()),
        _ => Err(invalid(format!("`limit` is at most {PAGE_LENGTH_MAX}"))),
    }
}

fn invalid(message: String) -> CallError {
    CallError::new(ErrorKind::InvalidArgument, message)
}
