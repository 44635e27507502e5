//! Who is in the cluster and who owns what, as all processes agree on it through etcd.
//!
//! [`Cluster`] is one process's part in it: it keeps a [`View`](wasmverse_core::cluster::View) up
//! to date, keeps the process registered, leads if it is elected, and writes what the process
//! decides. The rules are in `wasmverse_core::cluster`; here they are only carried out.
//!
//! Two nodes, on a coordination service in memory:
//!
//! ```
//! use std::{sync::Arc, time::Duration};
//!
//! use tokio_util::{sync::CancellationToken, task::TaskTracker};
//! use wasmverse_cluster::{Cluster, Memory, Settings, Who};
//! use wasmverse_core::{NodeId, ShardCount, cluster::View};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), wasmverse_cluster::Error> {
//! let (tasks, end) = (TaskTracker::new(), CancellationToken::new());
//! let coordination = Memory::new();
//! let settings = |id: &str| Settings {
//!     who: Who::Node {
//!         id: NodeId::new(id),
//!         process: String::new(),
//!         addresses: vec![format!("{id}:47000")],
//!         weight: 1,
//!     },
//!     cluster: None,
//!     shards: ShardCount::default(),
//!     protocol: 1,
//!     version: "0.1.0".to_owned(),
//!     lease_ttl: Duration::from_secs(5),
//!     stability: Duration::from_secs(10),
//!     min_nodes: 2,
//!     moves_max: 64,
//!     by_load: false,
//! };
//! // It is seen by others only once it is registered: when it is ready.
//! let a = Cluster::join(Arc::new(coordination.clone()), settings("a"), &tasks, end.clone()).await?;
//! let b = Cluster::join(Arc::new(coordination.clone()), settings("b"), &tasks, end.clone()).await?;
//! a.register().await;
//! b.register().await;
//! assert!(a.lease().is_held());
//!
//! // Views follow by themselves.
//! let mut view = a.view();
//! let are_both = |view: &Arc<View>| view.nodes.len() == 2 && view.leader.is_some();
//! assert!(view.wait_for(are_both).await.is_ok());
//!
//! // Whoever leaves is gone at once.
//! b.leave().await;
//! assert!(view.wait_for(|view| view.nodes.len() == 1).await.is_ok());
//! # end.cancel();
//! # tasks.close();
//! # tasks.wait().await;
//! # Ok(())
//! # }
//! ```
//!
//! With etcd, [`Etcd::connect`] takes the place of [`Memory::new`].

mod clock;
mod cluster;
pub mod contract;
mod coordination;
mod etcd;
mod memory;
mod metrics;
#[cfg(test)]
mod tests;

pub use clock::{Clock, LeaseClock};
pub use cluster::{Cluster, KeyClaim, KeyRelease, Registration, Settings, Who};
pub use coordination::{
    Batch, Change, Coordination, Error, Guard, LeaseId, Op, Row, Snapshot, TRANSACTION_MAX,
};
pub use etcd::{Etcd, EtcdConfig};
pub use memory::{Faulty, Memory};
