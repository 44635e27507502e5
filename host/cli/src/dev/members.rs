//! How each of several nodes and gates in one process is configured: the first as it was said, the
//! others on ports of their own.

use super::Settings;

/// Any free port that others on this machine can reach.
const ANY_PORT: &str = "127.0.0.1:0";
/// What one process may map (see `vm.max_map_count`) has room for so many live objects, of all its
/// nodes together.
const LIVE_MAX: usize = 9_000;
const LIVE_MIN: usize = 64;

/// How many nodes and gates there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Size {
    pub(crate) nodes: u16,
    pub(crate) gates: u16,
}

impl Size {
    /// One of each need no cluster to find each other.
    pub(crate) fn is_one(self) -> bool {
        self == Self { nodes: 1, gates: 1 }
    }
}

/// The configuration of each node, the first one's first.
pub(super) fn nodes(settings: &Settings, size: Size) -> Vec<wasmverse_node::Config> {
    if size.is_one() {
        return vec![settings.node.clone()];
    }
    let mut first = settings.node.clone();
    let is_in_memory = first.cluster.etcd.is_empty();
    if is_in_memory && !settings.is_explicit("cluster.min_nodes") {
        // Shards are placed once, when all are there.
        first.cluster.min_nodes = size.nodes.into();
    }
    let live_max = LIVE_MAX / usize::from(size.nodes);
    first.node.live_max = first.node.live_max.or(Some(live_max.max(LIVE_MIN)));
    let configured = first.node.id.clone();
    let id = |number| id(configured.as_deref(), is_in_memory.then_some("node"), number);
    first.node.id = id(1);
    let others = (2..=size.nodes).map(|number| {
        let mut other = first.clone();
        other.node.id = id(number);
        other.node.listen = ANY_PORT.to_owned();
        other.node.advertise = None;
        other
    });
    std::iter::once(first.clone()).chain(others).collect()
}

/// The configuration of each gate, the first one's first.
pub(super) fn gates(settings: &Settings, size: Size) -> Vec<wasmverse_gate::Config> {
    if size.is_one() {
        return vec![settings.gate.clone()];
    }
    let mut first = settings.gate.clone();
    let is_in_memory = first.cluster.etcd.is_empty();
    let configured = first.gate.id.clone();
    let id = |number| id(configured.as_deref(), is_in_memory.then_some("gate"), number);
    first.gate.id = id(1);
    let others = (2..=size.gates).map(|number| {
        let mut other = first.clone();
        other.gate.id = id(number);
        ANY_PORT.clone_into(&mut other.gate.http_listen);
        ANY_PORT.clone_into(&mut other.gate.grpc_listen);
        other.gate.advertise = None;
        other
    });
    std::iter::once(first.clone()).chain(others).collect()
}

/// The name of the first, second … one. None: its address, which nobody else on this network has.
fn id(configured: Option<&str>, kind: Option<&str>, number: u16) -> Option<String> {
    match (configured, kind, number) {
        (Some(name), _, 1) => Some(name.to_owned()),
        (Some(name), _, _) | (None, Some(name), _) => Some(format!("{name}-{number}")),
        (None, None, _) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(said: &[(&str, &str)]) -> Settings {
        Settings::said(said).unwrap()
    }

    fn ids(settings: &Settings, nodes: u16, gates: u16) -> Vec<Option<String>> {
        let size = Size { nodes, gates };
        let nodes = super::nodes(settings, size).into_iter().map(|it| it.node.id);
        nodes.chain(super::gates(settings, size).into_iter().map(|it| it.gate.id)).collect()
    }

    #[test]
    fn one_of_each_is_configured_as_it_was_said() {
        let settings = settings(&[("gate.http_listen", "127.0.0.1:1")]);
        let one = Size { nodes: 1, gates: 1 };
        let node = nodes(&settings, one).remove(0);
        assert_eq!((node.node.id, node.node.live_max, node.cluster.min_nodes), (None, None, 1));
        assert_eq!(gates(&settings, one)[0].gate.http_listen, "127.0.0.1:1");
    }

    #[test]
    fn several_have_names_of_their_own() {
        let some = |names: &[&str]| -> Vec<_> {
            names.iter().map(|name| Some((*name).to_owned())).collect()
        };
        assert_eq!(ids(&settings(&[]), 2, 1), some(&["node-1", "node-2", "gate-1"]));
        let named = settings(&[("node.id", "n"), ("gate.id", "g")]);
        assert_eq!(ids(&named, 2, 2), some(&["n", "n-2", "g", "g-2"]));
        let etcd = settings(&[("cluster.etcd", "127.0.0.1:2379")]);
        assert_eq!(ids(&etcd, 2, 1), [None, None, None]);
    }

    #[test]
    fn the_first_takes_the_ports_that_were_said_and_others_any() {
        let said = [("node.listen", "127.0.0.1:7"), ("gate.grpc_listen", "127.0.0.1:8")];
        let (settings, size) = (settings(&said), Size { nodes: 3, gates: 2 });
        let listen: Vec<_> = nodes(&settings, size).into_iter().map(|it| it.node.listen).collect();
        assert_eq!(listen, ["127.0.0.1:7", ANY_PORT, ANY_PORT]);
        let listen: Vec<_> =
            gates(&settings, size).into_iter().map(|it| it.gate.grpc_listen).collect();
        assert_eq!(listen, ["127.0.0.1:8", ANY_PORT]);
    }

    #[test]
    fn what_was_said_of_the_cluster_counts() {
        let size = Size { nodes: 3, gates: 1 };
        let nodes = |said: &[(&str, &str)]| nodes(&settings(said), size);
        assert_eq!(nodes(&[])[0].cluster.min_nodes, 3);
        assert_eq!(nodes(&[("cluster.min_nodes", "2")])[0].cluster.min_nodes, 2);
        assert_eq!(nodes(&[("cluster.etcd", "a:1")])[0].cluster.min_nodes, 1);
        assert_eq!(nodes(&[])[2].node.live_max, Some(3_000));
        assert_eq!(nodes(&[("node.live_max", "70")])[2].node.live_max, Some(70));
    }
}
