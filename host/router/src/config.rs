//! What a router is told at its start.

use std::{fmt, time::Duration};

use wasmverse_core::ShardCount;

/// What a router to other processes is told at its start.
#[derive(Clone)]
pub struct RouterConfig {
    /// What processes of the cluster show each other.
    pub secret: Option<String>,
    /// Who we are: the id of the gate, or of the node.
    pub id: String,
    /// Differs each time the process starts.
    pub incarnation: String,
    /// Of a gate: where it is found, and so what the ids of its clients begin with.
    pub address: String,
    /// How many shards the cluster has.
    pub shards: ShardCount,
    /// What the link to a peer may hold.
    pub bounds: LinkBounds,
}

impl fmt::Debug for RouterConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RouterConfig")
            .field("secret", &self.secret.as_ref().map(|_| "…"))
            .field("id", &self.id)
            .field("incarnation", &self.incarnation)
            .field("address", &self.address)
            .field("shards", &self.shards)
            .field("bounds", &self.bounds)
            .finish()
    }
}

/// What the link to a peer, and the router itself, may hold; beyond it calls are `overloaded`.
#[derive(Clone, Debug)]
pub struct LinkBounds {
    /// Calls that wait for their answers.
    pub calls_max: usize,
    /// Frames that wait to be written.
    pub queue_length_max: usize,
    /// What these frames carry, in bytes.
    pub queue_bytes_max: usize,
    /// An argument beyond this travels apart, so that it does not hold up the others.
    pub large_payload_bytes: usize,
    /// What travels apart at a time, in bytes.
    pub large_bytes_max: usize,
    /// Calls that wait for somebody to serve their shard.
    pub parked_length_max: usize,
    /// What these carry, in bytes.
    pub parked_bytes_max: usize,
    /// Without coordination: how long a call waits for a lost link to come back. In a cluster it
    /// waits until its deadline.
    pub patience: Duration,
    /// How long a peer may take to accept a connection, and then to say hello.
    pub connect_timeout: Duration,
}

impl Default for LinkBounds {
    fn default() -> Self {
        Self {
            calls_max: 16_384,
            queue_length_max: 8_192,
            queue_bytes_max: 64 << 20,
            large_payload_bytes: 256 << 10,
            large_bytes_max: 256 << 20,
            parked_length_max: 65_536,
            parked_bytes_max: 256 << 20,
            patience: Duration::from_secs(5),
            connect_timeout: Duration::from_secs(2),
        }
    }
}
