//! The cluster as this gate sees it, and what operators may change about it.
//!
//! Questions are answered from the router's view. Wishes go to the coordination service; the leader
//! makes targets of them, and the owners do the rest.

mod history;
mod status;

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::time::Instant;
use wasmverse_cluster::Cluster;
use wasmverse_core::{
    CallError, Epoch, ErrorKind, NodeId, ShardId,
    cluster::{Route, View},
};
use wasmverse_daemon::Shutdown;
use wasmverse_proto::admin::{ClusterStatusResponse, ListShardsResponse};
use wasmverse_router::Router;

use history::History;

/// What operators see and change of the cluster. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Operations {
    router: Router,
    /// None: a cluster of one.
    cluster: Option<Cluster>,
    history: Arc<Mutex<History>>,
}

impl Operations {
    /// Follows the views of the router until the process ends.
    pub(crate) fn follow(router: Router, cluster: Option<Cluster>, shutdown: &Shutdown) -> Self {
        let history = Arc::new(Mutex::new(History::default()));
        let (seeing, mut views, requested) =
            (Arc::clone(&history), router.view(), shutdown.token());
        shutdown.spawn(requested.run_until_cancelled_owned(async move {
            loop {
                let view = Arc::clone(&views.borrow_and_update());
                seeing.lock().see(&view, now_micros());
                if views.changed().await.is_err() {
                    return;
                }
            }
        }));
        Self { router, cluster, history }
    }

    /// Whether this gate is known to the others.
    ///
    /// # Errors
    /// While it is not.
    pub(crate) fn check_registered(&self) -> Result<(), String> {
        match &self.cluster {
            Some(cluster) if cluster.registration().borrow().is_none() => {
                Err("not registered in the cluster".to_owned())
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Who is there, what they own, and why shards moved last.
    pub(crate) fn status(&self) -> ClusterStatusResponse {
        let linked = self.router.linked_all();
        let mut status = status::status(&self.view(), |node| linked.contains(node));
        if self.cluster.is_none() {
            status::name_lone(&mut status, linked.first());
        }
        ClusterStatusResponse { moves: self.history.lock().latest(), ..status }
    }

    /// Every shard.
    pub(crate) fn shards(&self) -> ListShardsResponse {
        let mut shards = status::shards(&self.view());
        if self.cluster.is_none()
            && let Some(name) = self.router.linked()
        {
            // As in the status: by its name.
            shards.iter_mut().for_each(|shard| name.as_str().clone_into(&mut shard.owner));
        }
        ListShardsResponse { shards }
    }

    /// Moves a shard, and waits until it is served there.
    pub(crate) async fn move_shard(
        &self,
        shard: u32,
        node: &str,
        deadline: Instant,
    ) -> Result<Epoch, CallError> {
        let cluster = self.coordinated()?;
        let (shard, node) = {
            let view = self.view();
            let (shard, node) = (the_shard(&view, shard)?, the_node(&view, node)?);
            check_takes_shards(&view, &node)?;
            check_not_pinned_elsewhere(&view, shard, &node)?;
            if let Some(epoch) = arrived(&view, shard, &node) {
                return Ok(epoch);
            }
            (shard, node)
        };
        let mut views = self.router.view();
        until(deadline, cluster.wish(shard, &node)).await?;
        let arriving = async {
            loop {
                let view = Arc::clone(&views.borrow_and_update());
                if let Some(epoch) = arrived(&view, shard, &node) {
                    return Ok(epoch);
                }
                if !view.nodes.contains_key(&node) {
                    let place = place(&view, shard);
                    let gone = format!("{node} is gone: shard {} is {place}", shard.0);
                    return Err(CallError::new(ErrorKind::Unavailable, gone));
                }
                if views.changed().await.is_err() {
                    return Err(CallError::new(ErrorKind::Unavailable, "the gate is stopping"));
                }
            }
        };
        match tokio::time::timeout_at(deadline, arriving).await {
            Ok(arrived) => arrived.map_err(CallError::maybe_executed),
            Err(_) => {
                let place = place(&self.view(), shard);
                let late = format!(
                    "shard {} is not served by {node} yet: it is {place}, and moves on",
                    shard.0
                );
                Err(CallError::new(ErrorKind::Timeout, late).maybe_executed())
            }
        }
    }

    /// Keeps a shard on a node for as long as that lives.
    pub(crate) async fn pin(
        &self,
        shard: u32,
        node: &str,
        deadline: Instant,
    ) -> Result<(), CallError> {
        let cluster = self.coordinated()?;
        let (shard, node) = {
            let view = self.view();
            let node = the_node(&view, node)?;
            check_takes_shards(&view, &node)?;
            (the_shard(&view, shard)?, node)
        };
        until(deadline, cluster.pin(shard, &node)).await
    }

    /// Places a shard as any other again.
    pub(crate) async fn unpin(&self, shard: u32, deadline: Instant) -> Result<(), CallError> {
        let cluster = self.coordinated()?;
        let shard = the_shard(&self.view(), shard)?;
        until(deadline, cluster.unpin(shard)).await
    }

    /// Moves all shards off a node. One that is drained already is drained still.
    pub(crate) async fn drain(&self, node: &str, deadline: Instant) -> Result<(), CallError> {
        let cluster = self.coordinated()?;
        let node = the_node(&self.view(), node)?;
        until(deadline, cluster.drain(&node)).await
    }

    /// Lets a node have shards again.
    pub(crate) async fn undrain(&self, node: &str, deadline: Instant) -> Result<(), CallError> {
        let cluster = self.coordinated()?;
        let node = the_node(&self.view(), node)?;
        until(deadline, cluster.undrain(&node)).await
    }

    fn view(&self) -> Arc<View> {
        Arc::clone(&self.router.view().borrow())
    }

    fn coordinated(&self) -> Result<&Cluster, CallError> {
        self.cluster.as_ref().ok_or_else(|| invalid("this is a cluster of one: set cluster.etcd"))
    }
}

fn the_shard(view: &View, shard: u32) -> Result<ShardId, CallError> {
    let count = view.shard_count().get();
    let found = u16::try_from(shard).ok().filter(|shard| *shard < count);
    found.map(ShardId).ok_or_else(|| {
        invalid(format!("there is no shard {shard}: they are numbered from 0 to {}", count - 1))
    })
}

fn the_node(view: &View, node: &str) -> Result<NodeId, CallError> {
    let id = NodeId::new(node);
    if view.nodes.contains_key(&id) {
        return Ok(id);
    }
    let known: Vec<_> = view.nodes.keys().map(NodeId::as_str).collect();
    let known = match known.is_empty() {
        true => "none is there".to_owned(),
        false => format!("there are {}", known.join(", ")),
    };
    Err(CallError::new(ErrorKind::NotFound, format!("there is no node `{node}`: {known}")))
}

fn check_takes_shards(view: &View, node: &NodeId) -> Result<(), CallError> {
    if view.is_eligible(node) {
        return Ok(());
    }
    let why = match view.nodes.get(node) {
        Some(member) if member.is_leaving => "is leaving",
        Some(member) if member.weight == 0 => "has weight 0",
        Some(_) | None => "is drained",
    };
    Err(invalid(format!("{node} {why}, and takes no shards")))
}

fn check_not_pinned_elsewhere(view: &View, shard: ShardId, node: &NodeId) -> Result<(), CallError> {
    match view.pins.get(&shard) {
        Some(pin) if pin != node && view.is_eligible(pin) => {
            Err(invalid(format!("shard {} is pinned to {pin}: unpin it, or pin it anew", shard.0)))
        }
        Some(_) | None => Ok(()),
    }
}

/// The epoch in which a shard is served by a node that should have it.
fn arrived(view: &View, shard: ShardId, node: &NodeId) -> Option<Epoch> {
    let is_target = view.slot(shard).target.as_ref().is_some_and(|target| target.node == *node);
    let wished_away = view.wishes.get(&shard).is_some_and(|wish| wish != node);
    match view.route(shard) {
        Route::At(member, epoch) if member.id == *node && is_target && !wished_away => Some(epoch),
        Route::At(..) | Route::Nobody => None,
    }
}

fn place(view: &View, shard: ShardId) -> String {
    match view.route(shard) {
        Route::At(member, _) => format!("served by {}", member.id),
        Route::Nobody => "served by nobody now".to_owned(),
    }
}

/// What the coordination service says, or `timeout` when the deadline passes first.
async fn until(
    deadline: Instant,
    wishing: impl Future<Output = Result<(), wasmverse_cluster::Error>>,
) -> Result<(), CallError> {
    use wasmverse_cluster::Error;
    match tokio::time::timeout_at(deadline, wishing).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => {
            let told = error.to_string();
            Err(match error {
                Error::Refused(_) => invalid(told),
                Error::Unknown(_) => CallError::new(ErrorKind::Unavailable, told).maybe_executed(),
                Error::Unavailable(_) | Error::Compacted | Error::LeaseGone => {
                    CallError::new(ErrorKind::Unavailable, told)
                }
            })
        }
        Err(_) => {
            let late = "the coordination service did not answer in time";
            Err(CallError::new(ErrorKind::Timeout, late).maybe_executed())
        }
    }
}

fn now_micros() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    i64::try_from(since.unwrap_or_default().as_micros()).unwrap_or(i64::MAX)
}

fn invalid(message: impl Into<String>) -> CallError {
    CallError::new(ErrorKind::InvalidArgument, message.into())
}

#[cfg(test)]
mod tests;
