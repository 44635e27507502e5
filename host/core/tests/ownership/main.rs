//! The ownership of shards, model-checked: the real state machine of owners and the real plan, on
//! three nodes with two shards, over a model of etcd (guarded commits, leases, watches that come as
//! late as they like), of the store (epochs) and of chains of calls.
//!
//! To learn the protocol, read `world.rs`: `Step` is all that can happen, `World::take` what happens
//! then, `driver.rs` what a node does about it, `check.rs` what must hold, and `World::is_at_rest` how
//! it must end from every state once nothing fails any more. The checker proves itself on planted bugs.
//!
//! A node that is paused, or cut off, is one whose steps do not come, but for those of the clocks:
//! `Lapse` by its own, then `Expire` by etcd's. An answer that is late is a `Hear` that comes late.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::tests_outside_test_module, reason = "this is a test")]
#![expect(clippy::cast_possible_truncation, reason = "small numbers")]

mod chain;
mod check;
mod driver;
mod etcd;
mod explore;
mod node;
mod steps;
mod world;

use chain::Chain;
use explore::{Found, explore, settle};
use world::{Budget, Bug, World};

/// Three nodes; the shards are where they should be.
fn settled(bug: Bug, budget: Budget, chains: &[usize]) -> World {
    let mut world = World::new(bug, etcd::NODES);
    settle(&mut world);
    world.budget = budget;
    world.chains = chains.iter().map(|first| Chain::new(*first)).collect();
    world
}

/// Explores, and prints how much was seen.
fn look_at(what: &str, world: &World, states_max: usize) -> Found {
    let found = explore(world, states_max);
    let rest = if found.is_all { "all of them" } else { "there are more" };
    let late = (0..etcd::NODES).filter(|node| world.lags[*node]).collect::<Vec<_>>();
    let Found { states, depth, .. } = found;
    println!("{what}, {late:?} reading late: {states} states ({rest}), {depth} steps deep");
    found
}

fn is_torture() -> bool {
    std::env::var_os("WASMVERSE_TORTURE").is_some()
}

/// Nothing is wrong in any state, whichever node reads late; with WASMVERSE_TORTURE, if all do.
fn holds(what: &str, budget: Budget, chains: &[usize]) {
    let all = [true; etcd::NODES];
    let one = |late: usize| std::array::from_fn(|node| node == late);
    let lags = (0..etcd::NODES).map(one).chain(is_torture().then_some(all));
    for lags in lags {
        let mut world = settled(Bug::None, budget, chains);
        world.lags = lags;
        let found = look_at(what, &world, if is_torture() { STATES_MAX * 50 } else { STATES_MAX });
        assert!(found.violation.is_none(), "{}", trace(&world, &found));
    }
}

/// So many at most, without WASMVERSE_TORTURE.
const STATES_MAX: usize = 7_000;

fn is_found(bug: Bug, budget: Budget, late: &[usize], chains: &[usize]) -> String {
    let mut world = settled(bug, budget, chains);
    world.lags = std::array::from_fn(|node| late.contains(&node));
    let found = look_at(&format!("{bug:?}"), &world, STATES_MAX * 10);
    assert!(found.violation.is_some(), "{bug:?} is not found");
    let trace = trace(&world, &found);
    println!("{trace}");
    trace
}

/// What happened, step by step.
fn trace(world: &World, found: &Found) -> String {
    let Some((violation, steps)) = &found.violation else { return String::new() };
    let mut world = world.clone();
    let mut lines = vec![format!("{violation}, after:")];
    for step in steps {
        lines.push(format!("  {step:?}"));
        let _ = world.take(*step);
    }
    lines.push(format!("{world:#?}"));
    lines.join("\n")
}

const NOTHING: Budget = Budget { crashes: 0, lapses: 0, moves: 0, leaves: 0, turns: 0 };

#[test]
fn a_cluster_begins() {
    let mut world = World::new(Bug::None, 2);
    world.lags = [false, true, false];
    let found = look_at("beginning", &world, STATES_MAX * 3);
    assert!(found.violation.is_none(), "{}", trace(&world, &found));
}

#[test]
fn it_holds_when_a_process_dies() {
    holds("a crash and a turn", Budget { crashes: 1, turns: 1, ..NOTHING }, &[]);
}

#[test]
fn it_holds_when_a_lease_lapses() {
    holds("a lapse and a turn", Budget { lapses: 1, turns: 1, ..NOTHING }, &[]);
}

#[test]
fn it_holds_when_targets_change_midway() {
    holds("two moves", Budget { moves: 2, ..NOTHING }, &[]);
}

#[test]
fn it_holds_when_a_process_dies_in_a_move() {
    holds("a crash and a move", Budget { crashes: 1, moves: 1, ..NOTHING }, &[]);
}

#[test]
fn it_holds_when_a_lease_lapses_in_a_move() {
    holds("a lapse and a move", Budget { lapses: 1, moves: 1, ..NOTHING }, &[]);
}

#[test]
fn it_holds_when_several_fail() {
    holds("two lapses", Budget { lapses: 2, ..NOTHING }, &[]);
    holds("a crash and a lapse", Budget { crashes: 1, lapses: 1, ..NOTHING }, &[]);
}

#[test]
fn no_planned_move_costs_a_chain_anything() {
    holds("a move and two chains", Budget { moves: 1, ..NOTHING }, &[0, 1]);
    holds("two moves and a chain", Budget { moves: 2, ..NOTHING }, &[0]);
}

#[test]
fn no_node_that_leaves_costs_a_chain_anything() {
    holds("leaving and a chain", Budget { leaves: 1, ..NOTHING }, &[0]);
}

#[test]
fn owner_keys_that_are_leased_are_found() {
    let trace = is_found(Bug::OwnerKeysAreLeased, Budget { lapses: 1, ..NOTHING }, &[], &[]);
    assert!(trace.contains("goes from"), "{trace}");
}

#[test]
fn commits_that_check_no_epoch_are_found() {
    let budget = Budget { lapses: 1, turns: 1, ..NOTHING };
    let trace = is_found(Bug::CommitsCheckNoEpoch, budget, &[], &[]);
    assert!(trace.contains("superseded"), "{trace}");
}

#[test]
fn a_drain_that_parks_every_call_is_found() {
    let trace = is_found(Bug::DrainsParkEveryCall, Budget { moves: 1, ..NOTHING }, &[0], &[0]);
    assert!(trace.contains("a chain is stuck"), "{trace}");
}

#[test]
fn a_drain_that_goes_by_the_target_alone_is_found() {
    let budget = Budget { moves: 1, ..NOTHING };
    let trace = is_found(Bug::DrainsGoByTheTarget, budget, &[0], &[0]);
    assert!(trace.contains("a chain is stuck"), "{trace}");
}

#[test]
fn a_drain_that_knows_only_its_own_chains_is_found() {
    let budget = Budget { moves: 2, ..NOTHING };
    let trace = is_found(Bug::DrainsKnowTheirOwnChains, budget, &[0, 1], &[0, 1]);
    assert!(trace.contains("a chain is stuck"), "{trace}");
}

#[test]
fn a_parcel_that_fits_every_epoch_is_found() {
    let budget = Budget { lapses: 1, moves: 1, ..NOTHING };
    let trace = is_found(Bug::ParcelsFitEveryEpoch, budget, &[], &[]);
    assert!(trace.contains("which follows"), "{trace}");
}

#[test]
fn a_claim_that_ignores_the_former_owner_is_found() {
    let budget = Budget { moves: 1, ..NOTHING };
    let trace = is_found(Bug::ClaimsIgnoreTheFormerOwner, budget, &[1], &[]);
    assert!(trace.contains("is served by"), "{trace}");
}

#[test]
fn a_store_that_raises_epochs_blindly_is_found() {
    let budget = Budget { moves: 2, ..NOTHING };
    let trace = is_found(Bug::RaisesAreBlind, budget, &[2], &[]);
    assert!(trace.contains("in vain"), "{trace}");
}
