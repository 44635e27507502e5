//! What the objects of this node ask of the world: calls go back into the node, lines to its logs.

use std::{
    collections::BTreeMap,
    sync::{Arc, OnceLock, Weak},
};

use bytes::Bytes;
use futures_util::future::{self, BoxFuture};
use wasmverse_core::{Action, Call, CallError, ObjectId, Reminder, Reply};
use wasmverse_engine::{LogLine, Outbound};
use wasmverse_router::until_answered;
use wasmverse_store::{NewReminder, StoredReminder};

use crate::{deploy::unstored, host::Host, letter, logs::LogHub, node::Node};

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
        let Some(Node(host)) = self.node() else {
            return Box::pin(future::ready(Err(letter::stopping())));
        };
        match &call.action {
            Action::Invoke(invocation) if invocation.key.is_some() => {
                // A derived key says nothing of how its object takes it.
                let is_sure = host.is_durable(call.object.type_name());
                until_answered(call, is_sure, move |call| host.bring(call))
            }
            _ => host.bring(call),
        }
    }

    fn storage_get(
        &self,
        object: &ObjectId,
        key: &str,
    ) -> BoxFuture<'static, Result<Option<Bytes>, CallError>> {
        let Some(Node(host)) = self.node() else {
            return Box::pin(future::ready(Err(letter::stopping())));
        };
        let (object, key) = (object.clone(), key.to_owned());
        Box::pin(async move {
            let read = host.store.storage_get(&object, &key).await;
            read.map_err(|error| unstored(&error).about(&object))
        })
    }

    fn storage_keys(&self, object: &ObjectId) -> BoxFuture<'static, Result<u64, CallError>> {
        let Some(Node(host)) = self.node() else {
            return Box::pin(future::ready(Err(letter::stopping())));
        };
        let object = object.clone();
        Box::pin(async move {
            let read = host.store.storage_keys(&object).await;
            read.map_err(|error| unstored(&error).about(&object))
        })
    }

    fn storage_scan(
        &self,
        object: &ObjectId,
        prefix: &str,
        after: &str,
        limit: u32,
    ) -> BoxFuture<'static, Result<Vec<(String, Bytes)>, CallError>> {
        let Some(Node(host)) = self.node() else {
            return Box::pin(future::ready(Err(letter::stopping())));
        };
        let (object, prefix, after) = (object.clone(), prefix.to_owned(), after.to_owned());
        Box::pin(async move {
            let after = Some(after.as_str()).filter(|after| !after.is_empty());
            let page = host.store.storage_scan(&object, &prefix, after, limit).await;
            page.map(|page| page.rows).map_err(|error| unstored(&error).about(&object))
        })
    }

    fn reminders(
        &self,
        object: &ObjectId,
    ) -> BoxFuture<'static, Result<BTreeMap<Arc<str>, Reminder>, CallError>> {
        let Some(Node(host)) = self.node() else {
            return Box::pin(future::ready(Err(letter::stopping())));
        };
        let object = object.clone();
        Box::pin(async move {
            let stored = host.reminders_of(&object).await.map_err(|error| error.about(&object))?;
            let named = stored.into_iter().map(|StoredReminder { reminder, .. }| {
                let NewReminder { name, when, method, payload, due_micros } = reminder;
                (name, Reminder { when, method, payload, due_micros })
            });
            Ok(named.collect())
        })
    }

    fn log(&self, line: LogLine) {
        self.logs.write(line);
    }
}
