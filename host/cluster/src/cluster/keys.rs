//! The keys of a cluster and what they hold: a format that processes of several versions share.

use bytes::Bytes;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use wasmverse_core::{NodeId, ShardId, TypeName};

use crate::Error;

/// A key, by what it is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Key {
    Cluster,
    Leader,
    Node(NodeId),
    Gate(NodeId),
    Target(ShardId),
    Owner(ShardId),
    Pin(ShardId),
    Wish(ShardId),
    Drain(NodeId),
    Load(NodeId),
    Type(TypeName),
}

impl Key {
    /// None: it is of no kind that we know.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (kind, rest) = match text {
            "cluster" => return Some(Self::Cluster),
            "leader" => return Some(Self::Leader),
            _ => text.split_once('/')?,
        };
        let shard = || {
            let number: u16 = rest.parse().ok()?;
            // One shard has one key.
            (number.to_string() == rest).then_some(ShardId(number))
        };
        match kind {
            "nodes" => Some(Self::Node(NodeId::new(rest))),
            "gates" => Some(Self::Gate(NodeId::new(rest))),
            "targets" => shard().map(Self::Target),
            "owners" => shard().map(Self::Owner),
            "pins" => shard().map(Self::Pin),
            "wishes" => shard().map(Self::Wish),
            "drains" => Some(Self::Drain(NodeId::new(rest))),
            "loads" => Some(Self::Load(NodeId::new(rest))),
            "types" => TypeName::new(rest).ok().map(Self::Type),
            _ => None,
        }
    }

    pub(crate) fn text(&self) -> String {
        match self {
            Self::Cluster => "cluster".to_owned(),
            Self::Leader => "leader".to_owned(),
            Self::Node(id) => format!("nodes/{id}"),
            Self::Gate(id) => format!("gates/{id}"),
            Self::Target(shard) => format!("targets/{shard}"),
            Self::Owner(shard) => format!("owners/{shard}"),
            Self::Pin(shard) => format!("pins/{shard}"),
            Self::Wish(shard) => format!("wishes/{shard}"),
            Self::Drain(id) => format!("drains/{id}"),
            Self::Load(id) => format!("loads/{id}"),
            Self::Type(name) => format!("types/{name}"),
        }
    }
}

/// `cluster`: what all must have in common.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ClusterValue {
    pub(crate) id: String,
    pub(crate) shards: u16,
    pub(crate) protocol: u32,
}

/// `nodes/…`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct NodeValue {
    pub(crate) incarnation: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) process: String,
    pub(crate) addresses: Vec<String>,
    pub(crate) weight: u32,
    #[serde(default)]
    pub(crate) leaving: bool,
    pub(crate) version: String,
    pub(crate) protocol: u32,
}

/// `gates/…`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct GateValue {
    pub(crate) incarnation: String,
    pub(crate) address: String,
    #[serde(default)]
    pub(crate) leaving: bool,
    pub(crate) version: String,
    pub(crate) protocol: u32,
}

/// Whoever is registered, in what both kinds have.
#[derive(Deserialize)]
pub(crate) struct IncarnationValue {
    pub(crate) incarnation: String,
    #[serde(default)]
    pub(crate) leaving: bool,
}

/// `leader`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LeaderValue {
    pub(crate) node: String,
    pub(crate) incarnation: String,
}

/// `targets/…`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TargetValue {
    pub(crate) node: String,
    pub(crate) why: String,
}

/// `owners/…`; released: node and incarnation are empty.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct OwnerValue {
    pub(crate) node: String,
    pub(crate) incarnation: String,
    pub(crate) epoch: u64,
}

/// `pins/…` and `wishes/…`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PlaceValue {
    pub(crate) node: String,
}

/// `drains/…`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DrainValue {
    pub(crate) incarnation: String,
}

/// `loads/…`: what the shards of a node had to do lately. Of each, at the same place: its number, its
/// calls, its bytes; those with the most calls first. What there is no room for is one sum.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LoadValue {
    pub(crate) shards: Vec<u16>,
    pub(crate) calls: Vec<u64>,
    pub(crate) bytes: Vec<u64>,
    #[serde(default)]
    pub(crate) rest_calls: u64,
    #[serde(default)]
    pub(crate) rest_bytes: u64,
}

/// `types/…`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TypeValue {
    pub(crate) revision: u32,
    pub(crate) digest: String,
    pub(crate) version: u64,
}

pub(crate) fn encode(value: &impl Serialize) -> Bytes {
    serde_json::to_vec(value).expect("the values of keys are plain").into()
}

/// A key that nobody understands, and that there is no going on without.
pub(crate) fn senseless(key: &str, why: &str) -> Error {
    Error::Refused(format!("the key `{key}` makes no sense: {why}"))
}

pub(crate) fn decode<T: DeserializeOwned>(value: &[u8]) -> Result<T, String> {
    serde_json::from_slice(value).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_as_they_are_written() {
        for text in [
            "cluster",
            "leader",
            "nodes/a/b",
            "gates/x:1",
            "targets/0",
            "owners/65535",
            "pins/7",
            "wishes/8",
            "drains/n",
            "loads/n",
            "types/Counter",
        ] {
            assert_eq!(Key::parse(text).unwrap().text(), text);
        }
        for text in ["", "nodes", "targets/x", "targets/01", "owners/65536", "types/9", "other/1"] {
            assert_eq!(Key::parse(text), None, "{text}");
        }
    }

    /// A format that others read: if this fails, the code is wrong, not the test.
    #[test]
    fn values_are_golden() {
        let node = r#"{"incarnation":"i","addresses":["a:1"],"weight":1,"leaving":false,"version":"0.1.0","protocol":1}"#;
        assert_eq!(encode(&decode::<NodeValue>(node.as_bytes()).unwrap()), node);
        let gate =
            r#"{"incarnation":"i","address":"g:1","leaving":false,"version":"0.1.0","protocol":1}"#;
        assert_eq!(encode(&decode::<GateValue>(gate.as_bytes()).unwrap()), gate);
        let owner = r#"{"node":"","incarnation":"","epoch":7}"#;
        assert_eq!(encode(&decode::<OwnerValue>(owner.as_bytes()).unwrap()), owner);
        let target = r#"{"node":"a","why":"orphan"}"#;
        assert_eq!(encode(&decode::<TargetValue>(target.as_bytes()).unwrap()), target);
        let active = r#"{"revision":3,"digest":"00ff","version":9}"#;
        assert_eq!(encode(&decode::<TypeValue>(active.as_bytes()).unwrap()), active);
        let cluster = r#"{"id":"c","shards":8192,"protocol":1}"#;
        assert_eq!(encode(&decode::<ClusterValue>(cluster.as_bytes()).unwrap()), cluster);
        let later = r#"{"node":"a","incarnation":"i","new":true}"#;
        assert!(decode::<LeaderValue>(later.as_bytes()).is_ok(), "later versions may say more");
    }
}
