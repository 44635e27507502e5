//! A trial: a fleet under load, what is done to it meanwhile, and what is claimed of the calls.

use std::{
    collections::{BTreeSet, HashMap},
    fs::OpenOptions,
    io::Write as _,
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
    time::Duration,
};

use serde_json::{Value, json};
use wasmverse_core::{ObjectId, Placement, ShardCount};
use wasmverse_tests::{
    fleet::{Fleet, Setup},
    guests::{BANK_ACCOUNT, CALLEE, CALLER, CHAT_LOBBY, CHAT_ROOM, COUNTER, chameleon},
    programs::target_folder,
};

use super::{
    calls::Call,
    figures::Figures,
    load::{Known, Load},
    objects::{Kind, wrong},
};

/// Before something is done, and after all is well again.
const CALM: Duration = Duration::from_millis(1000);
/// A planned change is hardly felt; what is slower than this waits for something that it should not.
const PLANNED_WITHIN: Duration = Duration::from_secs(if cfg!(debug_assertions) { 20 } else { 5 });
/// What a debug build on a busy machine adds to what is claimed.
const SLACK: Duration = Duration::from_secs(if cfg!(debug_assertions) { 12 } else { 0 });

/// How long a call of a test itself may take.
pub(crate) const PATIENT: Duration = Duration::from_secs(30);

/// What is claimed of the calls of a trial, beside that all of them are of one history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Claim {
    /// None fails, with a key or without, and what is volatile is kept.
    Planned,
    /// None fails that has a key; all others are answered within lease TTL + 1 s, and this time more,
    /// in which something was away.
    Crash { away: Duration },
}

/// Whether the long form is asked for.
fn is_torture() -> bool {
    std::env::var_os("WASMVERSE_TORTURE").is_some()
}

/// How often each fault is made.
pub(crate) fn rounds() -> usize {
    if is_torture() { 10 } else { 1 }
}

/// So many nodes and gates, with an etcd of one member; short times, but for the long form.
pub(crate) fn setup(nodes: usize, gates: usize) -> Setup {
    let (lease_ttl, stability) = match is_torture() {
        true => (Duration::from_secs(5), Duration::from_secs(10)),
        false => (Duration::from_secs(2), Duration::from_millis(200)),
    };
    Setup { nodes, gates, etcd: 1, cuttable: false, lease_ttl, stability }
}

/// What random choices begin with; it is printed, and can be given.
pub(crate) fn seed() -> u64 {
    let given = std::env::var("WASMVERSE_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = given.unwrap_or_else(rand::random);
    println!("WASMVERSE_SEED={seed}");
    seed
}

/// A fleet with all that is called.
pub(crate) async fn fleet(setup: Setup) -> Fleet {
    let fleet = Fleet::start(setup).await;
    for guest in [COUNTER, BANK_ACCOUNT, CHAT_ROOM, CHAT_LOBBY, CALLER, CALLEE] {
        fleet.deploy(guest.bytes()).await;
    }
    let durable = json!({ "type": "Chameleon", "durability": "durable", "revision": "1" });
    fleet.deploy(chameleon(&json!({ "describe": durable }))).await;
    fleet
}

/// Does something to a fleet under load, waits until all of it serves again, and holds the calls
/// against the claim.
pub(crate) async fn trial(
    fleet: &mut Fleet,
    name: &str,
    claim: Claim,
    disturb: impl AsyncFnOnce(&mut Fleet),
) {
    trial_on(fleet, name, claim, &[], disturb).await;
}

/// The same, and in each of these shards an object is called all the time.
pub(crate) async fn trial_on(
    fleet: &mut Fleet,
    name: &str,
    claim: Claim,
    shards: &[u16],
    disturb: impl AsyncFnOnce(&mut Fleet),
) {
    static NUMBER: AtomicUsize = AtomicUsize::new(0);
    let (id, seed) = (format!("t{}", NUMBER.fetch_add(1, Relaxed)), seed());
    let load = Load::begin(&fleet.doors, &id, shards, seed).await;
    tokio::time::sleep(CALM).await;
    let gates: Vec<_> = fleet.gates.iter().map(|gate| gate.starts).collect();
    let from = load.began.elapsed();
    disturb(fleet).await;
    fleet.settled().await;
    let window = from..load.began.elapsed();
    tokio::time::sleep(CALM).await;
    let known = load.end().await;
    let gates_stayed = fleet.gates.iter().map(|gate| gate.starts).eq(gates);
    let figures = Figures::of(&known.calls, &window);
    let mut found = held_against(claim, &figures, fleet.setup.lease_ttl);
    found.extend(histories(claim, &known));
    found.extend(known.wrong.iter().cloned());
    if claim == Claim::Planned {
        found.extend(known.holes.iter().cloned());
        if gates_stayed && known.heard.1 > 0 {
            found.push(format!("{} gaps in sessions", known.heard.1));
        }
    }
    found.extend(served_by_all(fleet, &known).await);
    found.extend(epochs(fleet).await);
    let ((pushes, gaps), firings) = (known.heard, known.firings);
    let line = format!(
        "{name}: {figures}; {pushes} pushes with {gaps} gaps, {firings} firings; violations: {}; \
         seed {seed}",
        found.len()
    );
    println!("{line}");
    keep(&line);
    found.truncate(20);
    assert!(found.is_empty(), "{line}\n{}", found.join("\n"));
}

/// Where `tests/run.sh` finds it.
fn keep(line: &str) {
    let folder = target_folder().join("campaigns");
    std::fs::create_dir_all(&folder).unwrap();
    let file = OpenOptions::new().create(true).append(true).open(folder.join("cluster.txt"));
    file.unwrap().write_all(format!("{line}\n").as_bytes()).unwrap();
}

fn held_against(claim: Claim, figures: &Figures, lease_ttl: Duration) -> Vec<String> {
    let mut found: Vec<_> = figures.keyed_failed.iter().map(|it| format!("keyed: {it}")).collect();
    let within = match claim {
        Claim::Planned => {
            found.extend(figures.failed.iter().cloned());
            PLANNED_WITHIN
        }
        Claim::Crash { away } => {
            let strange = figures.strange().into_iter();
            found.extend(strange.map(|code| format!("{code} is no word for a crash")));
            away + lease_ttl + Duration::from_secs(1) + SLACK
        }
    };
    if figures.slowest > within {
        found.push(format!("answered after {:?}, not within {within:?}", figures.slowest));
    }
    if figures.gap.0 > within {
        found.push(format!("{} was away for {:?}, not {within:?}", figures.gap.1, figures.gap.0));
    }
    if figures.calls == 0 || figures.keyed == 0 {
        found.push("nobody called".to_owned());
    }
    found
}

/// The calls of each object are of one history.
fn histories(claim: Claim, known: &Known) -> Vec<String> {
    let mut calls = HashMap::<&str, Vec<&Call>>::new();
    for call in &known.calls {
        calls.entry(&call.object).or_default().push(call);
    }
    let is_kept = |kind: Kind| kind != Kind::Sum || claim == Claim::Planned;
    let objects = known.last.iter().filter(|(kind, ..)| is_kept(*kind));
    let none = Vec::new();
    let found = objects.filter_map(|(kind, object, last): &(_, _, Value)| {
        wrong(*kind, object, calls.get(&**object).unwrap_or(&none), last)
    });
    found.collect()
}

/// After all is well each node that runs serves objects that have just answered.
async fn served_by_all(fleet: &mut Fleet, known: &Known) -> Option<String> {
    let Some(shards) = fleet.shards().await else { return Some("no list of shards".to_owned()) };
    let owners: HashMap<_, _> = shards.shards.into_iter().map(|it| (it.shard, it.owner)).collect();
    let objects = known.last.iter().map(|(_, object, _)| shard_of(object));
    let at_work: BTreeSet<_> = objects.filter_map(|shard| owners.get(&shard).cloned()).collect();
    let mut running = BTreeSet::new();
    for node in &mut fleet.nodes {
        if node.runs() && !node.is_drained {
            running.insert(node.id.clone());
        }
    }
    (at_work != running).then(|| format!("{running:?} run, but {at_work:?} serve"))
}

/// The shard of an object.
pub(crate) fn shard_of(object: &str) -> u16 {
    let object: ObjectId = object.parse().unwrap();
    match ShardCount::default().place(&object).unwrap() {
        Placement::Shard(shard) => shard.0,
        Placement::Node(_) => panic!("{object} has no shard"),
    }
}

/// Whoever owns a shard holds its epoch in the store, too: otherwise it could write nothing.
async fn epochs(fleet: &Fleet) -> Option<String> {
    let Some(shards) = fleet.shards().await else { return Some("no list of shards".to_owned()) };
    let rows = fleet.query("SELECT shard, epoch, node FROM shards");
    let rows: BTreeSet<_> = rows.lines().map(str::trim).filter(|row| !row.is_empty()).collect();
    let owned = shards.shards.iter().map(|it| format!("{}|{}|{}", it.shard, it.epoch, it.owner));
    let missing: Vec<_> = owned.filter(|row| !rows.contains(&**row)).take(5).collect();
    (!missing.is_empty()).then(|| format!("the store does not know of {missing:?}"))
}
