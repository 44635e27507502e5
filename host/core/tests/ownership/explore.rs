//! Visits every state that can be reached, breadth first, so that the first violation found has the
//! shortest way there; and goes on from each as a fair schedule would, to see that it ends well.

#![expect(clippy::disallowed_types, reason = "millions of states; their order is not looked at")]

use std::{
    collections::{HashMap, HashSet, VecDeque},
    hash::{DefaultHasher, Hash, Hasher},
};

use crate::world::{Step, Violation, World};

/// What was found.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) states: usize,
    pub(crate) depth: usize,
    /// All that can be reached has been.
    pub(crate) is_all: bool,
    pub(crate) violation: Option<(Violation, Vec<Step>)>,
}

/// Longer than any way to rest.
const FAIR_STEPS_MAX: usize = 400;

struct Explorer {
    /// How each state was reached first.
    ways: HashMap<u64, Option<(u64, Step)>>,
    /// States from which all ends well.
    good: HashSet<u64>,
    depth: usize,
}

fn name(world: &World) -> u64 {
    let mut hasher = DefaultHasher::new();
    world.hash(&mut hasher);
    hasher.finish()
}

/// Visits no more than so many states.
pub(crate) fn explore(start: &World, states_max: usize) -> Found {
    let mut explorer = Explorer { ways: HashMap::new(), good: HashSet::new(), depth: 0 };
    let (violation, is_all) = match explorer.run(start, states_max) {
        Ok(is_all) => (None, is_all),
        Err(violation) => (Some(violation), false),
    };
    Found { states: explorer.ways.len(), depth: explorer.depth, is_all, violation }
}

impl Explorer {
    fn run(&mut self, start: &World, states_max: usize) -> Result<bool, (Violation, Vec<Step>)> {
        let mut next = VecDeque::from([(start.clone(), name(start), 0)]);
        self.ways.insert(name(start), None);
        while let Some((world, from, depth)) = next.pop_front() {
            self.depth = depth;
            if self.ways.len() > states_max {
                return Ok(false);
            }
            self.end_fairly(&world, from)?;
            for step in world.steps() {
                let mut after = world.clone();
                if let Err(violation) = after.take(step) {
                    let mut way = self.way_to(from);
                    way.push(step);
                    return Err((violation, way));
                }
                let place = name(&after);
                if let std::collections::hash_map::Entry::Vacant(entry) = self.ways.entry(place) {
                    entry.insert(Some((from, step)));
                    next.push_back((after, place, depth + 1));
                }
            }
        }
        Ok(true)
    }

    fn end_fairly(&mut self, world: &World, from: u64) -> Result<(), (Violation, Vec<Step>)> {
        let (mut world, mut here) = (world.clone(), from);
        let (mut passed, mut steps) = (Vec::new(), Vec::new());
        let wrong = |violation, steps: &[Step], explorer: &Self| {
            let mut way = explorer.way_to(from);
            way.extend(steps);
            Err((violation, way))
        };
        while !self.good.contains(&here) {
            passed.push(here);
            let Some(step) = world.fair_step() else {
                if let Err(violation) = world.is_at_rest() {
                    return wrong(violation, &steps, self);
                }
                break;
            };
            steps.push(step);
            if let Err(violation) = world.take(step) {
                return wrong(violation, &steps, self);
            }
            if steps.len() > FAIR_STEPS_MAX {
                return wrong("it does not come to rest".to_owned(), &steps, self);
            }
            here = name(&world);
        }
        self.good.extend(passed);
        Ok(())
    }

    fn way_to(&self, place: u64) -> Vec<Step> {
        let mut way = Vec::new();
        let mut place = place;
        while let Some(Some((before, step))) = self.ways.get(&place) {
            way.push(*step);
            place = *before;
        }
        way.reverse();
        way
    }
}

/// Goes on as a fair schedule would until all has come to rest.
pub(crate) fn settle(world: &mut World) {
    for _ in 0..FAIR_STEPS_MAX {
        let Some(step) = world.fair_step() else { break };
        world.take(step).unwrap();
    }
    world.is_at_rest().unwrap();
}
