//! Where an object belongs: id → routing key → shard.
//!
//! Placement is a wire format: gates, nodes and stores of every version must agree on it, so the
//! golden test below must never change.

use std::fmt;

use crate::{IdError, NodeId, ObjectId};

/// A slice of the id space, below the cluster's [`ShardCount`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ShardId(pub u16);

impl fmt::Display for ShardId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// How often a shard has changed hands; only grows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Epoch(pub u64);

/// Where an object is to be found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Placement {
    /// On whichever node owns the shard.
    Shard(ShardId),
    /// On the node that advertises this address, and nowhere else (`node#HOST:PORT/…`).
    Node(NodeId),
}

/// How many shards a cluster has, fixed when it is made: 1 to 65,535.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShardCount(u16);

impl Default for ShardCount {
    fn default() -> Self {
        Self(8192)
    }
}

impl ShardCount {
    /// A count of shards; `None` for 0.
    pub fn new(count: u16) -> Option<Self> {
        (count > 0).then_some(Self(count))
    }

    /// The number itself.
    pub fn get(self) -> u16 {
        self.0
    }

    /// Where `object` belongs.
    ///
    /// # Errors
    /// [`IdError::Shard`] or [`IdError::Node`] if the id starts like a pin and is none.
    pub fn place(self, object: &ObjectId) -> Result<Placement, IdError> {
        let id = object.id();
        if let Some(rest) = id.strip_prefix("shard#") {
            return self.pinned(id, rest).map(Placement::Shard);
        }
        if let Some(rest) = id.strip_prefix("node#") {
            return pinned_node(id, rest).map(Placement::Node);
        }
        let hash = fnv1a32(routing_key(id).as_bytes());
        let shard = hash % u32::from(self.0);
        Ok(Placement::Shard(ShardId(u16::try_from(shard).expect("below the shard count"))))
    }

    fn pinned(self, id: &str, rest: &str) -> Result<ShardId, IdError> {
        let wrong = || IdError::Shard(id.chars().take(80).collect(), self.0);
        let (number, rest) = rest.split_once('/').ok_or_else(wrong)?;
        let plain = !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit());
        let shard: u16 = number.parse().map_err(|_| wrong())?;
        if plain && !rest.is_empty() && shard < self.0 { Ok(ShardId(shard)) } else { Err(wrong()) }
    }
}

fn pinned_node(id: &str, rest: &str) -> Result<NodeId, IdError> {
    let wrong = || IdError::Node(id.chars().take(80).collect());
    let (address, rest) = rest.split_once('/').ok_or_else(wrong)?;
    let (host, port) = address.rsplit_once(':').ok_or_else(wrong)?;
    let fits = !host.is_empty() && !rest.is_empty() && port.parse::<u16>().is_ok_and(|p| p > 0);
    if fits { Ok(NodeId::new(address)) } else { Err(wrong()) }
}

/// The tag between the first `{` and the next `}` if there is one and it is not empty; else the id.
fn routing_key(id: &str) -> &str {
    let tag = id.split_once('{').and_then(|(_, rest)| rest.split_once('}')).map(|(tag, _)| tag);
    match tag {
        Some(tag) if !tag.is_empty() => tag,
        _ => id,
    }
}

/// FNV-1a of 32 bits (the `fnv` crate has the one of 64).
fn fnv1a32(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn place(id: &str) -> Result<Placement, IdError> {
        ShardCount::default().place(&ObjectId::parse("T", id).unwrap())
    }

    /// A wire format: if this fails, the code is wrong, not the test.
    #[test]
    fn placement_is_golden() {
        assert_eq!(fnv1a32(b""), 0x811c_9dc5);
        assert_eq!(fnv1a32(b"a"), 0xe40c_292c);
        assert_eq!(fnv1a32(b"foobar"), 0xbf9c_f968);
        for (id, shard) in [("a", 0x92c), ("foobar", 0x1968), ("x{foobar}y", 0x1968)] {
            assert_eq!(place(id), Ok(Placement::Shard(ShardId(shard))), "{id}");
        }
    }

    #[test]
    fn an_empty_or_open_tag_is_no_tag() {
        for id in ["{}a", "a{b", "a}b{", "{}{a}"] {
            let hash = fnv1a32(id.as_bytes()) % 8192;
            assert_eq!(place(id), Ok(Placement::Shard(ShardId(hash as u16))), "{id}");
        }
    }

    #[test]
    fn pins_are_followed_or_refused() {
        assert_eq!(place("shard#7/abc"), Ok(Placement::Shard(ShardId(7))));
        assert_eq!(place("shard#8191/a"), Ok(Placement::Shard(ShardId(8191))));
        assert_eq!(place("node#h:47000/a"), Ok(Placement::Node(NodeId::new("h:47000"))));
        assert_eq!(place("node#[::1]:1/a"), Ok(Placement::Node(NodeId::new("[::1]:1"))));
        for bad in ["shard#8192/a", "shard#x/a", "shard#1", "shard#1/", "shard#/a", "shard#+1/a"] {
            assert!(matches!(place(bad), Err(IdError::Shard(..))), "{bad}");
        }
        for bad in ["node#/a", "node#h/a", "node#h:0/a", "node#h:1", "node#:1/a", "node#h:1/"] {
            assert!(matches!(place(bad), Err(IdError::Node(_))), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn every_plain_id_has_a_shard_below_the_count(id in "[a-z{}0-9]{1,40}", count in 1u16..) {
            let count = ShardCount::new(count).unwrap();
            let placed = count.place(&ObjectId::parse("T", &id).unwrap()).unwrap();
            prop_assert!(matches!(placed, Placement::Shard(shard) if shard.0 < count.get()));
        }

        #[test]
        fn objects_that_share_a_tag_share_a_shard(a in "[a-z]{0,9}", tag in "[^{}\\p{Cc}]{1,9}") {
            let (left, right) = (format!("{a}{{{tag}}}"), format!("{{{tag}}}{a}"));
            prop_assert_eq!(place(&left), place(&right));
        }
    }
}
