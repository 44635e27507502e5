//! What shards have to do: told by their nodes, added up by whoever leads.

use std::{cmp::Reverse, collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use wasmverse_core::{
    NodeId, ShardId,
    cluster::{Incarnation, View, plan::Loads},
};

use super::{
    Cluster, Who,
    keys::{Key, LoadValue, encode},
};
use crate::{Error, Guard, Op};

/// The largest value that is written. All processes of a cluster hear of it each time.
const VALUE_BYTES_MAX: usize = 64 << 10;
/// Of these, what is around the numbers, and the sums.
const FRAME_BYTES: usize = 256;

/// What this process has told, and what it told it of.
#[derive(Default)]
pub(super) struct Told {
    /// Of the past each time half is left. It goes on where shards have left as well: halves of what
    /// was done here and of what is done there add up to what was done lately.
    lately: Loads,
    last: Option<(Incarnation, Bytes)>,
}

impl Cluster {
    /// Tells others what the shards of this node had to do since this was called last, to be called
    /// every few seconds. They go by it if they are set to place shards by load.
    ///
    /// # Errors
    /// [`Error::Refused`] for a gate, and whatever else the coordination service says. It need not be
    /// told again: the next time makes up for it.
    pub async fn tell_load(&self, since: &Loads) -> Result<(), Error> {
        let shared = &self.shared;
        let Who::Node { id, .. } = &shared.settings.who else {
            return Err(Error::Refused("a gate has no shards".to_owned()));
        };
        let value = encode(&shared.told.lock().take_in(since));
        let Some(now) = shared.registered() else { return Ok(()) };
        let last = Some((now.incarnation, value.clone()));
        if shared.told.lock().last == last {
            return Ok(());
        }
        let guard = Guard::Revision(shared.own_key().text(), now.revision);
        let put = Op::Put { key: Key::Load(id.clone()).text(), value, lease: Some(now.lease) };
        if shared.commit(vec![guard], vec![put]).await?.is_some() {
            shared.told.lock().last = last;
            shared.metrics.loads_told.increment(1);
        }
        Ok(())
    }
}

impl Told {
    fn take_in(&mut self, since: &Loads) -> LoadValue {
        halve_and_add(&mut self.lately.calls, &since.calls);
        halve_and_add(&mut self.lately.bytes, &since.bytes);
        value(&self.lately)
    }
}

fn halve_and_add(lately: &mut Vec<u64>, since: &[u64]) {
    lately.resize(lately.len().max(since.len()), 0);
    for (place, lately) in lately.iter_mut().enumerate() {
        *lately = (*lately / 2).saturating_add(since.get(place).copied().unwrap_or(0));
    }
}

/// The busiest shards one by one, as far as there is room; the rest as one.
fn value(loads: &Loads) -> LoadValue {
    let of = |all: &[u64], shard: u16| all.get(usize::from(shard)).copied().unwrap_or(0);
    let count = u16::try_from(loads.calls.len().max(loads.bytes.len())).unwrap_or(u16::MAX);
    let all = (0..count).map(|shard| (of(&loads.calls, shard), of(&loads.bytes, shard), shard));
    let mut busy: Vec<_> = all.filter(|(calls, bytes, _)| calls + bytes > 0).collect();
    busy.sort_unstable_by_key(|(calls, bytes, shard)| (Reverse((*calls, *bytes)), *shard));
    let mut value = LoadValue::default();
    let mut room = VALUE_BYTES_MAX - FRAME_BYTES;
    for (calls, bytes, shard) in busy {
        let length = digits(calls) + digits(bytes) + digits(shard.into()) + 3;
        match room.checked_sub(length) {
            Some(left) => {
                room = left;
                value.shards.push(shard);
                value.calls.push(calls);
                value.bytes.push(bytes);
            }
            None => {
                // What is smaller might fit; it is not busier.
                room = 0;
                value.rest_calls = value.rest_calls.saturating_add(calls);
                value.rest_bytes = value.rest_bytes.saturating_add(bytes);
            }
        }
    }
    value
}

fn digits(number: u64) -> usize {
    number.checked_ilog10().map_or(1, |log| log as usize + 1)
}

/// What all nodes have told. What one did not tell shard by shard counts for those that it has and
/// did not name, alike.
pub(super) fn add_up(view: &View, told: &BTreeMap<NodeId, Arc<LoadValue>>) -> Loads {
    let count = usize::from(view.shard_count().get());
    let mut loads = Loads { calls: vec![0; count], bytes: vec![0; count] };
    for (node, value) in told {
        for ((shard, calls), bytes) in value.shards.iter().zip(&value.calls).zip(&value.bytes) {
            add(&mut loads, *shard, *calls, *bytes);
        }
        if value.rest_calls > 0 || value.rest_bytes > 0 {
            let others = unnamed(view, node, value);
            let part = |sum: u64| sum / others.len().max(1) as u64;
            let (calls, bytes) = (part(value.rest_calls), part(value.rest_bytes));
            others.iter().for_each(|shard| add(&mut loads, shard.0, calls, bytes));
        }
    }
    loads
}

fn add(loads: &mut Loads, shard: u16, calls: u64, bytes: u64) {
    let place = usize::from(shard);
    // A shard that there is not hides none of the others.
    if let (Some(all_calls), Some(all_bytes)) =
        (loads.calls.get_mut(place), loads.bytes.get_mut(place))
    {
        *all_calls = all_calls.saturating_add(calls);
        *all_bytes = all_bytes.saturating_add(bytes);
    }
}

fn unnamed(view: &View, node: &NodeId, value: &LoadValue) -> Vec<ShardId> {
    let mut is_named = vec![false; usize::from(view.shard_count().get())];
    for shard in &value.shards {
        if let Some(is_named) = is_named.get_mut(usize::from(*shard)) {
            *is_named = true;
        }
    }
    let is_its = |shard: &ShardId| {
        !is_named[usize::from(shard.0)]
            && view.owner(*shard).is_some_and(|(member, _)| member.id == *node)
    };
    view.shards().filter(is_its).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use wasmverse_core::{ShardCount, cluster::Member};

    fn loads(calls: &[u64]) -> Loads {
        Loads { calls: calls.to_vec(), bytes: calls.iter().map(|calls| calls * 10).collect() }
    }

    #[test]
    fn half_of_the_past_is_left_each_time() {
        let mut told = Told::default();
        let first = told.take_in(&loads(&[8, 0, 20]));
        assert_eq!(
            (first.shards, first.calls, first.bytes),
            (vec![2, 0], vec![20, 8], vec![200, 80])
        );
        let second = told.take_in(&loads(&[1, 0, 0]));
        assert_eq!((second.shards, second.calls), (vec![2, 0], vec![10, 5]));
        for _ in 0..8 {
            told.take_in(&Loads::default());
        }
        assert_eq!(told.take_in(&Loads::default()), LoadValue::default(), "and then nothing");
    }

    #[test]
    fn a_value_names_the_busiest_shards_and_is_never_too_large() {
        let calls: Vec<u64> = (0..20_000).map(|shard| u64::MAX / 30 - shard).collect();
        let all = Loads { bytes: vec![7; calls.len()], calls };
        let value = value(&all);
        let length = encode(&value).len();
        assert!(length <= VALUE_BYTES_MAX && length > VALUE_BYTES_MAX / 2, "{length}");
        let named = value.shards.len();
        assert!(value.shards.iter().copied().eq(0..u16::try_from(named).unwrap()));
        assert_eq!(value.rest_bytes, 7 * (20_000 - named as u64));
    }

    #[test]
    fn what_nodes_tell_adds_up_and_the_rest_is_shared_by_what_they_did_not_name() {
        let node = |id: &str| Member {
            id: NodeId::new(id),
            incarnation: Incarnation::new("1"),
            process: "".into(),
            addresses: [].into(),
            weight: 1,
            is_leaving: false,
            version: "".into(),
            revision: 1,
        };
        let view = View::of_one(ShardCount::new(4).unwrap(), node("a"));
        let a = LoadValue {
            shards: vec![1, 9],
            calls: vec![30, 5],
            bytes: vec![300, 5],
            rest_calls: 6,
            rest_bytes: 9,
        };
        // It had the shard before, and has none now: its rest is nobody's.
        let b = LoadValue { shards: vec![1], calls: vec![2], bytes: vec![1], ..a.clone() };
        let told = [("a", a), ("b", b)].map(|(id, value)| (NodeId::new(id), Arc::new(value)));
        let all = add_up(&view, &told.into_iter().collect());
        assert_eq!(all, Loads { calls: vec![2, 32, 2, 2], bytes: vec![3, 301, 3, 3] });
    }
}
