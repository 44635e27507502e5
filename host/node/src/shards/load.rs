//! What shards have to do: counted as calls are let in, and told to the cluster now and then. Only
//! where shards are placed by it.

use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use tokio_util::sync::CancellationToken;
use wasmverse_cluster::Cluster;
use wasmverse_core::{Call, ShardId, cluster::plan::Loads};

use super::{Shards, Slot, acts::payload_bytes};
use crate::host::Host;

/// Between two times that it is told.
const PAUSE: Duration = Duration::from_secs(10);

impl Shards {
    /// From now on calls are counted.
    pub(crate) fn count_load(&self) {
        self.counts_load.store(true, Relaxed);
    }

    pub(crate) fn counts_load(&self) -> bool {
        self.counts_load.load(Relaxed)
    }

    /// A call was let in. Nothing rests on it, so it waits for nothing.
    pub(crate) fn count(&self, shard: ShardId, call: &Call) {
        if self.counts_load() {
            let slot = self.slot(shard);
            slot.calls.fetch_add(1, Relaxed);
            slot.bytes.fetch_add(payload_bytes(call) as u64, Relaxed);
        }
    }

    /// What shards had to do since this was asked last.
    fn take_load(&self) -> Loads {
        let take = |slot: &Slot| (slot.calls.swap(0, Relaxed), slot.bytes.swap(0, Relaxed));
        let (calls, bytes) = self.slots.iter().map(take).unzip();
        Loads { calls, bytes }
    }
}

/// Tells the cluster again and again what the shards of this node have to do.
pub(crate) async fn tell(host: Arc<Host>, cluster: Cluster, end: CancellationToken) {
    while end.run_until_cancelled(tokio::time::sleep(PAUSE)).await.is_some() {
        let since = host.owned.shards.take_load();
        if let Some(Err(error)) = end.run_until_cancelled(cluster.tell_load(&since)).await {
            tracing::debug!(%error, "failed to tell the load of shards");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use wasmverse_core::{Action, Caller, Chain, Invocation, ObjectId, ShardCount};

    use super::*;

    fn call(payload: &'static [u8]) -> Call {
        let (method, payload) = ("m".into(), bytes::Bytes::from_static(payload));
        Call {
            object: ObjectId::parse("T", "1").unwrap(),
            action: Action::Invoke(Invocation { method, payload, key: None, read_only: false }),
            caller: Caller::Platform,
            chain: Chain::default(),
            deadline: Instant::now(),
            traceparent: None,
        }
    }

    #[test]
    fn calls_and_bytes_are_counted_by_shard_and_told_once() {
        let shards = Shards::new(ShardCount::new(3).unwrap());
        shards.count(ShardId(1), &call(b"early"));
        shards.count_load();
        shards.count(ShardId(1), &call(b"four"));
        shards.count(ShardId(1), &call(b""));
        shards.count(ShardId(2), &call(b"seven b"));
        let counted = Loads { calls: vec![0, 2, 1], bytes: vec![0, 4, 7] };
        assert_eq!(shards.take_load(), counted, "from when it is wanted");
        assert_eq!(shards.take_load(), Loads { calls: vec![0; 3], bytes: vec![0; 3] });
    }
}
