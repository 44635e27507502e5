//! Whatever moves when: calls that were made in order arrive in order, and each once.

use std::collections::VecDeque;

use rand::{Rng as _, SeedableRng as _, rngs::StdRng};

use super::*;

const NODES: [(&str, &str); 3] = [("a", "1"), ("b", "1"), ("c", "1")];
const CALLS: u64 = 40;

/// A node as its link sees it: what has come to it, and what it has said.
struct Node {
    link: FakeLink,
    inbox: VecDeque<Kind>,
    outbox: VecDeque<Kind>,
}

/// Who really serves the shard, whatever views say.
struct Truth {
    owner: Option<usize>,
    epoch: u64,
    arrived: Vec<u64>,
}

impl Node {
    fn write(&mut self) {
        self.inbox.extend(self.link.written());
    }

    fn work(&mut self, place: usize, truth: &mut Truth) {
        let answer = match self.inbox.pop_front() {
            // One that was on its way while the shard was away and came back is refused, as it would
            // have been meanwhile.
            Some(Kind::Call(frame)) if truth.owner == Some(place) && frame.epoch == truth.epoch => {
                truth.arrived.push(frame.object.unwrap().id.parse().unwrap());
                done(frame.id)
            }
            Some(Kind::Call(frame)) => refusal(frame.id, truth.epoch),
            Some(Kind::Fence(fence)) => done(fence.id),
            _ => return,
        };
        self.outbox.push_back(answer);
    }

    fn answer(&mut self, count: usize) {
        let count = count.min(self.outbox.len());
        self.link.read(self.outbox.drain(..count));
    }
}

async fn run(seed: u64) {
    println!("seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let mut world = World::new(None);
    world.show(&NODES, None).await;
    let mut nodes = NODES.map(|(id, _)| Node {
        link: world.link(id),
        inbox: VecDeque::new(),
        outbox: VecDeque::new(),
    });
    let mut truth = Truth { owner: None, epoch: 1, arrived: Vec::new() };
    let (mut made, mut calls) = (0, Vec::new());
    let mut rounds = 0;
    while truth.arrived.len() < usize::try_from(CALLS).unwrap() {
        rounds += 1;
        assert!(rounds < 20_000, "seed {seed}: some never arrive: {:?}", truth.arrived);
        let place = random.random_range(0..NODES.len());
        match random.random_range(0..20) {
            0..4 if made < CALLS => {
                calls.push(world.call(&made.to_string()));
                made += 1;
            }
            4..8 => nodes[place].write(),
            8..12 => nodes[place].work(place, &mut truth),
            12..16 => nodes[place].answer(random.random_range(0..4)),
            // At last it stays where it is.
            16 if rounds < 3000 => truth.owner = None,
            17 if truth.owner.is_none() => {
                (truth.owner, truth.epoch) = (Some(place), truth.epoch + 1);
            }
            18.. => {
                let owner = truth.owner.map(|place| (NODES[place].0, "1", truth.epoch));
                world.show(&NODES, owner).await;
            }
            _ => {}
        }
    }
    let expected: Vec<_> = (0..CALLS).collect();
    assert_eq!(truth.arrived, expected, "seed {seed}");
}

#[tokio::test]
async fn calls_arrive_in_order_and_once_whatever_moves_meanwhile() {
    let first = rand::random::<u64>();
    for seed in 0..40 {
        run(first.wrapping_add(seed)).await;
    }
}
