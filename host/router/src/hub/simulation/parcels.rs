//! What is done at a node when a shard changes hands: it is packed, or taken up.

use std::mem;

use wasmverse_core::{
    Epoch,
    cluster::owner::{Done, State},
};

use super::{
    calls::Letter,
    node::Door,
    world::{Bug, Event, MS, Time, Who, World, shard_id},
};

/// What volatile objects have in memory.
pub(super) type Pieces = Vec<(usize, Vec<usize>)>;

/// What goes along with a shard.
#[derive(Debug)]
pub(super) struct Parcel {
    /// Which one it is: copies have the same.
    pub(super) id: u64,
    pub(super) ends: u64,
    pub(super) pieces: Pieces,
    pub(super) calls: Vec<Letter>,
    pub(super) packed: Time,
}

/// A shard that is being packed.
#[derive(Debug)]
pub(super) struct Packing {
    pub(super) shard: usize,
    pub(super) tag: u64,
    /// Turns have so long.
    pub(super) until: Time,
    /// The registration is lost.
    pub(super) is_fence: bool,
    /// What had been packed before.
    pub(super) left: Option<Pieces>,
}

impl World {
    /// A shard is ours: what was left for this epoch comes first, then all who wait.
    pub(super) fn serve(&mut self, process: usize, shard: usize, epoch: Epoch) {
        let place = self.place(process, shard);
        place.epoch = epoch.0;
        let follows = mem::take(&mut place.follows);
        if let Some(parcel) = place.keepsake.take() {
            if parcel.ends == follows && !parcel.pieces.is_empty() {
                self.check_parcel(shard, &parcel, epoch.0);
                for (object, memory) in parcel.pieces {
                    self.processes[process].node.entries[object].memory.get_or_insert(memory);
                }
            }
            self.let_all_in(process, shard, parcel.calls);
        }
        loop {
            let place = self.place(process, shard);
            let waiting: Vec<_> = mem::take(&mut place.parked).into();
            if waiting.is_empty() {
                place.door = Door::Open;
                return;
            }
            self.let_all_in(process, shard, waiting);
        }
    }

    fn let_all_in(&mut self, process: usize, shard: usize, mut letters: Vec<Letter>) {
        if self.bug == Bug::ParkedCallsGoBackwards {
            letters.reverse();
        }
        letters.into_iter().for_each(|letter| self.let_in(process, shard, letter));
    }

    /// A shard is another's, or nobody's.
    pub(super) fn turn_away(&mut self, process: usize, shard: usize) {
        let place = self.place(process, shard);
        place.door = Door::Shut;
        let waiting = mem::take(&mut place.parked);
        self.send_on(process, shard, waiting);
    }

    /// It is another's: what was packed stays only if that is ourselves.
    pub(super) fn forget(&mut self, process: usize, shard: usize) {
        let it = &mut self.processes[process];
        let target = it.view.slot(shard_id(shard)).target.as_ref();
        let is_ours = target.is_some_and(|target| target.node == it.id);
        let place = &mut it.node.places[shard];
        match place.outgoing.take() {
            Some(parcel) if is_ours => place.keepsake = Some(parcel),
            Some(parcel) => self.send_on(process, shard, parcel.calls),
            None => {}
        }
        self.turn_away(process, shard);
    }

    /// Turns end, or are cancelled; then what is in memory is taken out.
    pub(super) fn pack(&mut self, who: Who, packing: Packing) {
        let (process, shard) = (who.process, packing.shard);
        if self.place(process, shard).passes > 0 {
            if self.now < packing.until {
                return self.after(5 * MS, Event::Pack(who, packing));
            }
            self.cut_shard(process, shard);
        }
        let mut pieces = Pieces::new();
        for object in 0..self.objects.len() {
            let entry = &mut self.processes[process].node.entries[object];
            if self.objects[object].shard == shard
                && let Some(memory) = entry.memory.take()
            {
                pieces.push((object, memory));
            }
        }
        self.within(MS / 10, 5 * MS, Event::Packed(who, packing, pieces));
    }

    pub(super) fn packed(&mut self, process: usize, packing: &Packing, mut pieces: Pieces) {
        let Packing { shard, tag, is_fence, .. } = *packing;
        let (id, packed) = (self.number(), self.now);
        let place = self.place(process, shard);
        let ends = place.epoch;
        if is_fence {
            pieces.extend(packing.left.iter().flatten().cloned());
            if !pieces.is_empty() {
                let parcel = Parcel { id, ends, pieces, calls: Vec::new(), packed };
                let before = place.keepsake.replace(parcel);
                self.send_on(process, shard, before.into_iter().flat_map(|it| it.calls));
            }
            return self.answered(process, vec![(shard, tag, Done::Fenced)]);
        }
        let calls: Vec<_> = mem::take(&mut place.parked).into();
        let is_full = !pieces.is_empty() || !calls.is_empty();
        place.outgoing = Some(Parcel { id, ends, pieces, calls, packed });
        self.answered(process, vec![(shard, tag, Done::Packed(is_full))]);
    }

    /// Drops what was kept for an epoch that another node has by now.
    pub(super) fn drop_useless_parcels(&mut self, process: usize) {
        for shard in 0..self.shards {
            let it = &mut self.processes[process];
            let place = &mut it.node.places[shard];
            let Some(parcel) = &mut place.keepsake else { continue };
            if !matches!(place.state, State::Away(_)) {
                continue;
            }
            let slot = it.view.slot(shard_id(shard));
            let is_over = slot.owner.as_ref().is_some_and(|owner| owner.epoch.0 > parcel.ends);
            let is_ours = slot.target.as_ref().is_some_and(|target| target.node == it.id);
            if is_over || !is_ours {
                let calls = mem::take(&mut parcel.calls);
                if is_over {
                    place.keepsake = None;
                }
                self.send_on(process, shard, calls);
            }
        }
    }
}
