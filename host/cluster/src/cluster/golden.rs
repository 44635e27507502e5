//! What earlier versions wrote into keys is read as they meant it: recorded values under `golden/`.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use bytes::Bytes;
use wasmverse_core::{
    Epoch, NodeId, RevisionNumber, ShardCount, ShardId, TypeName,
    cluster::{ActiveType, Incarnation, OwnerKey, TargetKey, Why},
};

use super::{
    keys::{
        ClusterValue, DrainValue, GateValue, IncarnationValue, Key, LeaderValue, LoadValue,
        NodeValue, OwnerValue, PlaceValue, TargetValue, TypeValue, decode, encode,
    },
    sight::{Seen, Sight},
};
use crate::{Row, Snapshot};

/// A key that is recorded.
struct Sample {
    /// The file's name.
    name: &'static str,
    key: &'static str,
    /// As it is written by this version.
    write: fn() -> Bytes,
}

struct Recorded {
    version: &'static str,
    samples: &'static [Sample],
    /// Whether all of them together mean what they meant.
    check: fn(&Seen),
}

/// The latest last.
const VERSIONS: [Recorded; 1] =
    [Recorded { version: "0.1.0", samples: &v0_1_0::SAMPLES, check: v0_1_0::check }];

/// Every kind of key: [`kind`] is one of them.
const KINDS: [&str; 11] = [
    "cluster", "leader", "nodes", "gates", "targets", "owners", "pins", "wishes", "drains",
    "loads", "types",
];

fn kind(key: &Key) -> &'static str {
    match key {
        Key::Cluster => "cluster",
        Key::Leader => "leader",
        Key::Node(_) => "nodes",
        Key::Gate(_) => "gates",
        Key::Target(_) => "targets",
        Key::Owner(_) => "owners",
        Key::Pin(_) => "pins",
        Key::Wish(_) => "wishes",
        Key::Drain(_) => "drains",
        Key::Load(_) => "loads",
        Key::Type(_) => "types",
    }
}

mod v0_1_0 {
    //! The keys of version 0.1.0, and what they mean. Never changed once that is out.

    use super::*;

    pub(super) static SAMPLES: [Sample; 15] = [
        Sample { name: "cluster", key: "cluster", write: || encode(&cluster()) },
        Sample { name: "leader", key: "leader", write: || encode(&leader()) },
        Sample { name: "nodes", key: "nodes/node-1", write: || encode(&node(false)) },
        Sample { name: "nodes.leaving", key: "nodes/node-2", write: || encode(&node(true)) },
        Sample { name: "gates", key: "gates/gate-1", write: || encode(&gate(false)) },
        Sample { name: "gates.leaving", key: "gates/gate-2", write: || encode(&gate(true)) },
        Sample { name: "targets", key: "targets/17", write: || encode(&target("operator")) },
        Sample { name: "targets.load", key: "targets/18", write: || encode(&target("load")) },
        Sample { name: "owners", key: "owners/17", write: || encode(&owner("node-1", "0f1e")) },
        Sample { name: "owners.released", key: "owners/18", write: || encode(&owner("", "")) },
        Sample { name: "pins", key: "pins/17", write: || encode(&place()) },
        Sample { name: "wishes", key: "wishes/18", write: || encode(&place()) },
        Sample { name: "drains", key: "drains/node-2", write: || encode(&drain()) },
        Sample { name: "loads", key: "loads/node-1", write: || encode(&load()) },
        Sample { name: "types", key: "types/Room", write: || encode(&active()) },
    ];

    fn cluster() -> ClusterValue {
        ClusterValue { id: "5d0c4b1e97a3f268".to_owned(), shards: 8192, protocol: 1 }
    }

    fn leader() -> LeaderValue {
        LeaderValue { node: "node-1".to_owned(), incarnation: "0f1e".to_owned() }
    }

    fn node(leaving: bool) -> NodeValue {
        let (incarnation, version) = ("0f1e".to_owned(), "0.1.0".to_owned());
        let addresses = vec!["10.0.0.11:47000".to_owned(), "[::1]:47000".to_owned()];
        let process = String::new();
        NodeValue { incarnation, process, addresses, weight: 2, leaving, version, protocol: 1 }
    }

    fn gate(leaving: bool) -> GateValue {
        let (incarnation, version) = ("2d3c".to_owned(), "0.1.0".to_owned());
        let address = "10.0.0.11:49000".to_owned();
        GateValue { incarnation, address, leaving, version, protocol: 1 }
    }

    fn target(why: &str) -> TargetValue {
        TargetValue { node: "node-1".to_owned(), why: why.to_owned() }
    }

    fn owner(node: &str, incarnation: &str) -> OwnerValue {
        let (node, incarnation) = (node.to_owned(), incarnation.to_owned());
        OwnerValue { node, incarnation, epoch: 1 << 40 }
    }

    fn place() -> PlaceValue {
        PlaceValue { node: "node-1".to_owned() }
    }

    fn drain() -> DrainValue {
        DrainValue { incarnation: "0f1e".to_owned() }
    }

    fn load() -> LoadValue {
        let (calls, bytes) = (vec![1200, 7], vec![34_000, 0]);
        LoadValue { shards: vec![17, 0], calls, bytes, rest_calls: 9, rest_bytes: 90 }
    }

    fn active() -> TypeValue {
        TypeValue { revision: 3, digest: "0f".repeat(32), version: 9 }
    }

    pub(super) fn check(seen: &Seen) {
        let (view, one, two) = (&seen.view, NodeId::new("node-1"), NodeId::new("node-2"));
        let (first, second) = (Incarnation::new("0f1e"), Incarnation::new("2d3c"));
        assert_eq!(&*view.cluster, "5d0c4b1e97a3f268");
        assert_eq!(view.leader.as_ref(), Some(&one));
        assert_eq!(seen.leader.as_ref().map(|it| &it.incarnation), Some(&first));
        for (id, is_leaving) in [(&one, false), (&two, true)] {
            let node = &view.nodes[id];
            assert_eq!((&node.id, &node.incarnation, node.weight), (id, &first, 2));
            assert_eq!(*node.addresses, ["10.0.0.11:47000", "[::1]:47000"]);
            assert_eq!((node.is_leaving, &*node.version), (is_leaving, "0.1.0"));
        }
        for id in ["gate-1", "gate-2"] {
            let gate = &view.gates[&NodeId::new(id)];
            assert_eq!((&gate.incarnation, &*gate.address), (&second, "10.0.0.11:49000"));
            assert_eq!(&*gate.version, "0.1.0");
        }
        let (whole, released) = (ShardId(17), ShardId(18));
        for (shard, why) in [(whole, Why::Operator), (released, Why::Load)] {
            let target = TargetKey { node: one.clone(), why, revision: 9 };
            assert_eq!(view.slot(shard).target, Some(target));
        }
        for (shard, holder) in [(whole, Some((one.clone(), first.clone()))), (released, None)] {
            let owner = OwnerKey { holder, epoch: Epoch(1 << 40), revision: 9 };
            assert_eq!(view.slot(shard).owner, Some(owner));
        }
        assert_eq!(view.pins[&whole], one);
        assert_eq!((&view.wishes[&released], seen.wishes[&released]), (&one, 9));
        assert_eq!(view.drains[&two], first);
        let room = ActiveType { revision: RevisionNumber(3), digest: [15; 32], version: 9 };
        assert_eq!(view.types[&TypeName::new("Room").unwrap()], room);
        assert_eq!(*seen.loads[&one], load());
    }
}

fn folder(version: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("golden").join(version)
}

/// What of the latest version is not recorded yet, if that was asked for.
fn record() {
    let Recorded { version, samples, .. } = &VERSIONS[VERSIONS.len() - 1];
    if std::env::var_os("WASMVERSE_RECORD").is_none() {
        return;
    }
    for sample in *samples {
        let file = folder(version).join(format!("{}.json", sample.name));
        if !file.exists() {
            fs::write(&file, (sample.write)()).unwrap();
        }
    }
}

fn rows(recorded: &Recorded, change: impl Fn(String) -> String) -> Vec<Row> {
    record();
    let row = |sample: &Sample| {
        let file = folder(recorded.version).join(format!("{}.json", sample.name));
        let text = fs::read_to_string(&file);
        let text = text.unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let (key, value) = (sample.key.to_owned(), change(text).into());
        Row { key, value, revision: 9, lease: None }
    };
    recorded.samples.iter().map(row).collect()
}

fn seen(rows: Vec<Row>) -> Seen {
    let mut sight = Sight::new(ShardCount::default());
    sight.read_all(&Snapshot { revision: 10, rows });
    sight.seen().clone()
}

#[test]
fn what_was_recorded_means_what_it_meant() {
    for recorded in &VERSIONS {
        let rows = rows(recorded, |text| text);
        for row in
            rows.iter().filter(|row| row.key.starts_with("nodes") || row.key.starts_with("gates"))
        {
            let found: IncarnationValue = decode(&row.value).unwrap();
            assert_eq!(found.leaving, row.key.ends_with('2'), "{}", row.key);
        }
        let agreed: ClusterValue = decode(&rows[0].value).unwrap();
        assert_eq!((agreed.shards, agreed.protocol), (8192, 1), "it is one that we can be in");
        (recorded.check)(&seen(rows));
    }
}

#[test]
fn what_only_later_versions_know_is_ignored() {
    for recorded in &VERSIONS {
        let more = |text: String| text.replacen('{', r#"{"later":{"of":[1,null]},"#, 1);
        let mut rows = rows(recorded, more);
        let value = Bytes::from_static(b"whatever");
        rows.push(Row { key: "later/17".to_owned(), value, revision: 9, lease: None });
        (recorded.check)(&seen(rows));
    }
}

#[test]
fn something_is_recorded_of_every_kind_of_key_and_all_of_it_is_read() {
    record();
    for recorded in &VERSIONS {
        let files = fs::read_dir(folder(recorded.version)).unwrap();
        let found: BTreeSet<_> =
            files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
        let known = recorded.samples.iter().map(|sample| format!("{}.json", sample.name));
        assert_eq!(found, known.collect(), "{}", recorded.version);
    }
    let latest = VERSIONS[VERSIONS.len() - 1].samples.iter();
    let kinds: BTreeSet<_> = latest.map(|it| kind(&Key::parse(it.key).unwrap())).collect();
    assert_eq!(kinds, KINDS.into(), "see golden/README.md");
    let all = fs::read_dir(folder("")).unwrap();
    assert_eq!(all.filter(|it| it.as_ref().unwrap().path().is_dir()).count(), VERSIONS.len());
}
