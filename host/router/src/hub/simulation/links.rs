//! The network: links between routers and nodes, on which frames arrive late and in order, or not at all.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    task::{Context, Poll},
};

use wasmverse_core::{CallError, Elsewhere, Epoch, ErrorKind};
use wasmverse_proto::{
    convert::{elsewhere_to_frame, reply_to_frame},
    node::{CallFrame, Frame, NoMoreCalls, frame::Frame as Kind},
};

use crate::{letter::Settled, link, peer::Peer};

use super::{
    calls::{Letter, index},
    node::Leaving,
    process::name_of,
    turns::{Outcome, ReplyTo},
    world::{Event, MS, Who, World, shard_id},
};

/// What a router knows of the nodes, by their places.
pub(super) type Peers = BTreeMap<usize, Known>;

/// A peer, and its link.
pub(super) struct Known {
    peer: Arc<Peer>,
    link: Option<u64>,
}

/// What comes back on a link.
enum Back {
    Frame(Box<Kind>),
    /// The node ends it.
    End,
}

/// From a router to a node.
pub(super) struct Link {
    pub(super) from: usize,
    pub(super) to: usize,
    peer: Arc<Peer>,
    number: u64,
    there: VecDeque<Kind>,
    back: VecDeque<Back>,
    writes: bool,
    /// Calls that the node has not answered.
    running: usize,
    /// The node has asked for no more calls.
    is_asked: bool,
    /// The router has said that none come.
    is_over: bool,
    ends: bool,
}

impl World {
    /// Looks which peers the router has, and dials those that are new.
    pub(super) fn know_peers(&mut self, process: usize) {
        let routes = self.processes[process].hub.routes.load_full();
        let who = self.processes[process].who();
        for node in 0..self.nodes {
            let Some(peer) = routes.peers.get(&self.processes[node].id) else {
                self.processes[process].peers.remove(&node);
                continue;
            };
            let known = self.processes[process].peers.get(&node);
            if known.is_some_and(|known| Arc::ptr_eq(&known.peer, peer)) {
                continue;
            }
            let known = Known { peer: Arc::clone(peer), link: None };
            self.processes[process].peers.insert(node, known);
            self.within(MS / 5, 10 * MS, Event::Dial(who, node));
        }
    }

    pub(super) fn dial(&mut self, who: Who, node: usize) {
        let Some(known) = self.processes[who.process].peers.get(&node) else { return };
        if known.link.is_some_and(|link| self.links.contains_key(&link)) {
            return;
        }
        let peer = Arc::clone(&known.peer);
        // What waits for a link is looked after meanwhile.
        peer.outbox.sweep(self.instant(self.now));
        let there = &self.processes[node];
        let takes = there.is_up
            && there.paused_until <= self.now
            && matches!(there.node.leaving, Leaving::Stays | Leaving::Moves)
            && *peer.member.process == name_of(there.life);
        if !takes || self.cut(who.process, node).is_some() {
            return self.within(20 * MS, 200 * MS, Event::Dial(who, node));
        }
        let id = self.number();
        let number = peer.outbox.begin();
        peer.outbox.open(number);
        if let Some(known) = self.processes[who.process].peers.get_mut(&node) {
            known.link = Some(id);
        }
        let link = Link {
            from: who.process,
            to: node,
            peer,
            number,
            there: VecDeque::new(),
            back: VecDeque::new(),
            writes: false,
            running: 0,
            is_asked: false,
            is_over: false,
            ends: false,
        };
        self.links.insert(id, link);
        self.write_soon(id);
    }

    pub(super) fn write_soon(&mut self, id: u64) {
        if let Some(link) = self.links.get_mut(&id)
            && !std::mem::replace(&mut link.writes, true)
        {
            self.within(0, MS, Event::Write(id));
        }
    }

    /// The writer takes what has gathered.
    pub(super) fn write(&mut self, id: u64) {
        let waker = self.bells.waker(true, id);
        let Some(link) = self.links.get_mut(&id) else { return };
        let paused = self.processes[link.from].paused_until;
        if paused > self.now {
            return self.at(paused, Event::Write(id));
        }
        link.writes = false;
        let mut cx = Context::from_waker(&waker);
        match link.peer.outbox.poll_take(link.number, &mut cx) {
            Poll::Ready(Some(batch)) => {
                let frames = batch.frames.into_iter().filter_map(|frame| frame.frame);
                let before = link.there.len();
                link.there.extend(frames);
                let count = link.there.len() - before;
                for _ in 0..count {
                    self.within(MS / 5, 4 * MS, Event::There(id));
                }
                self.write_soon(id);
            }
            Poll::Ready(None) => self.within(0, MS, Event::Break(id)),
            Poll::Pending => {}
        }
    }

    /// When something on a link may arrive, if not now.
    fn held_up(&self, from: usize, to: usize, at: usize) -> Option<u64> {
        let paused = self.processes[at].paused_until;
        self.cut(from, to).or((paused > self.now).then_some(paused))
    }

    /// The next frame arrives at the node.
    pub(super) fn arrive_there(&mut self, id: u64) {
        let Some(link) = self.links.get(&id) else { return };
        let (from, to) = (link.from, link.to);
        if let Some(until) = self.held_up(from, to, to) {
            return self.at(until, Event::There(id));
        }
        let Some(link) = self.links.get_mut(&id) else { return };
        match link.there.pop_front() {
            Some(Kind::Call(frame)) => {
                link.running += 1;
                self.take_call(id, to, &frame);
            }
            Some(Kind::Fence(fence)) => {
                self.answer_frame(
                    id,
                    Kind::Reply(reply_to_frame(fence.id, self.answer(Outcome::Done))),
                );
            }
            Some(Kind::NoMoreCalls(_)) => {
                link.is_over = true;
                self.end_link_if_done(id);
            }
            Some(_) | None => {}
        }
    }

    fn take_call(&mut self, link: u64, node: usize, frame: &CallFrame) {
        let (call, shard) = (index(&frame.payload), usize::try_from(frame.shard).unwrap());
        let reply = ReplyTo::Link(link, frame.id);
        let epoch = self.place(node, shard).epoch;
        let is_over = self.links.get(&link).is_some_and(|link| link.is_over);
        if epoch > frame.epoch || is_over {
            let epoch = if is_over { frame.epoch } else { epoch };
            return self.reply(node, reply, Outcome::Elsewhere(shard, epoch));
        }
        self.note(|| format!("  call {call} comes to node {node}"));
        let deadline = self.infos[call].deadline;
        self.meet(node, Letter { call, began: frame.began, deadline, reply });
    }

    pub(super) fn answer_on_link(&mut self, id: u64, frame: u64, outcome: Outcome) {
        let answer = match outcome {
            Outcome::Elsewhere(shard, epoch) => {
                let elsewhere = Elsewhere { shard: shard_id(shard), epoch: Epoch(epoch) };
                Kind::NotOwner(elsewhere_to_frame(frame, elsewhere))
            }
            outcome => Kind::Reply(reply_to_frame(frame, self.answer(outcome))),
        };
        self.answer_frame(id, answer);
        if let Some(link) = self.links.get_mut(&id) {
            link.running -= 1;
            self.end_link_if_done(id);
        }
    }

    fn answer_frame(&mut self, id: u64, frame: Kind) {
        self.send_back(id, Back::Frame(Box::new(frame)));
    }

    fn send_back(&mut self, id: u64, back: Back) {
        if let Some(link) = self.links.get_mut(&id) {
            link.back.push_back(back);
            self.within(MS / 5, 4 * MS, Event::Back(id));
        }
    }

    /// The next frame arrives at the router.
    pub(super) fn arrive_back(&mut self, id: u64) {
        let Some(link) = self.links.get(&id) else { return };
        let (from, to) = (link.from, link.to);
        if let Some(until) = self.held_up(from, to, from) {
            return self.at(until, Event::Back(id));
        }
        let Some(link) = self.links.get_mut(&id) else { return };
        match link.back.pop_front() {
            Some(Back::Frame(frame)) => {
                let (hub, peer) = (Arc::clone(&self.processes[from].hub), Arc::clone(&link.peer));
                link::take_in(&hub, &peer, link.number, vec![Frame { frame: Some(*frame) }]);
            }
            Some(Back::End) => self.break_link(id),
            None => {}
        }
    }

    /// A link is lost: what was on its way is, too. It is dialled again.
    pub(super) fn break_link(&mut self, id: u64) {
        let Some(link) = self.links.remove(&id) else { return };
        let error = CallError::new(ErrorKind::Unavailable, "the link is lost");
        let fences = link.peer.outbox.lose(link.number, &error);
        let process = &self.processes[link.from];
        let (who, to) = (process.who(), link.to);
        process.hub.came_back(Settled { fences, ..Settled::default() });
        self.within(20 * MS, 80 * MS, Event::Dial(who, to));
        self.go_on_leaving(to);
    }

    /// A node that is about to end asks for no more calls.
    pub(super) fn ask_for_no_more(&mut self, node: usize) {
        let links: Vec<_> =
            self.links.iter().filter(|(_, link)| link.to == node).map(|(id, _)| *id).collect();
        for id in links {
            if let Some(link) = self.links.get_mut(&id)
                && !std::mem::replace(&mut link.is_asked, true)
            {
                self.send_back(id, Back::Frame(Box::new(Kind::NoMoreCalls(NoMoreCalls {}))));
            }
        }
    }

    fn end_link_if_done(&mut self, id: u64) {
        if let Some(link) = self.links.get_mut(&id)
            && link.is_over
            && link.running == 0
            && !std::mem::replace(&mut link.ends, true)
        {
            self.send_back(id, Back::End);
        }
    }

    pub(super) fn has_links_to(&self, node: usize) -> bool {
        self.links.values().any(|link| link.to == node)
    }
}
