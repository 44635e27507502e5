//! What the objects of this node ask of the world: calls go back into the node, lines to its logs.

use std::sync::{Arc, OnceLock, Weak};

use futures_util::future::{self, BoxFuture};
use wasmverse_core::{Call, CallError, Reply};
use wasmverse_engine::{LogLine, Outbound};

use crate::{host::Host, letter, logs::LogHub, node::Node};

/// The world of a node's objects.
pub(crate) struct Outgoing {
    logs: Arc<LogHub>,
    /// Bound when the node is made. Weak: the node owns the instances that own this.
    node: OnceLock<Weak<Host>>,
}

impl Outgoing {
    pub(crate) fn new(logs: Arc<LogHub>) -> Self {
        Self { logs, node: OnceLock::new() }
    }

    /// Says whose objects these are. The first time counts.
    pub(crate) fn bind(&self, host: &Arc<Host>) {
        self.node.get_or_init(|| Arc::downgrade(host));
    }

    /// The node, which answers their calls; none: it is gone.
    pub(crate) fn node(&self) -> Option<Node> {
        self.node.get()?.upgrade().map(Node)
    }
}

impl Outbound for Outgoing {
    fn call(&self, call: Call) -> BoxFuture<'static, Result<Reply, CallError>> {
        match self.node() {
            Some(node) => node.0.call_untimed(call),
            None => Box::pin(future::ready(Err(letter::stopping()))),
        }
    }

    fn log(&self, line: LogLine) {
        self.logs.write(line);
    }
}
