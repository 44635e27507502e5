//! Which clients have called which objects through this node: a gate that dies takes along what it
//! knew of that, and its clients are gone.

use std::sync::Arc;

use fnv::{FnvHashMap, FnvHashSet};
use parking_lot::Mutex;
use wasmverse_core::{ObjectId, ShardId};

/// So many pairs of a client and an object are kept; whoever comes beyond is not told.
const PAIRS_MAX: usize = 1 << 20;

/// The objects that want to hear when a client is gone, by client, by the address of its gate, by
/// shard: what is known of a shard moves with it.
#[derive(Default)]
pub(crate) struct Callers(Mutex<Known>);

type Clients = FnvHashMap<Arc<str>, FnvHashSet<ObjectId>>;

#[derive(Default)]
struct Known {
    /// By shard; none: of the objects that belong to this node whatever happens.
    shards: FnvHashMap<Option<ShardId>, FnvHashMap<Arc<str>, Clients>>,
    pairs: usize,
}

impl Callers {
    /// A client has called an object of a shard that wants to hear when it is gone.
    pub(crate) fn note(&self, client: &Arc<str>, object: &ObjectId, shard: Option<ShardId>) {
        let Some((gate, _)) = client.rsplit_once('/') else { return };
        let mut known = self.0.lock();
        let Known { shards, pairs } = &mut *known;
        if *pairs >= PAIRS_MAX {
            return;
        }
        let gates = shards.entry(shard).or_default();
        if !gates.contains_key(gate) {
            gates.insert(gate.into(), FnvHashMap::default());
        }
        let clients = gates.get_mut(gate).expect("it was put in");
        if !clients.contains_key(client) {
            clients.insert(Arc::clone(client), FnvHashSet::default());
        }
        let objects = clients.get_mut(client).expect("it was put in");
        if !objects.contains(object) {
            objects.insert(object.clone());
            *pairs += 1;
        }
    }

    /// An object has heard of a client.
    pub(crate) fn forget(&self, client: &str, object: &ObjectId, shard: Option<ShardId>) {
        let Some((gate, _)) = client.rsplit_once('/') else { return };
        let mut known = self.0.lock();
        let Known { shards, pairs } = &mut *known;
        let Some(gates) = shards.get_mut(&shard) else { return };
        let Some(clients) = gates.get_mut(gate) else { return };
        let Some(objects) = clients.get_mut(client) else { return };
        *pairs -= usize::from(objects.remove(object));
        if objects.is_empty() {
            clients.remove(client);
        }
        if clients.is_empty() {
            gates.remove(gate);
        }
        if gates.is_empty() {
            shards.remove(&shard);
        }
    }

    /// A gate is gone: the objects that its clients have called, each with those clients.
    pub(crate) fn take(&self, gate: &str) -> Vec<Called> {
        let mut known = self.0.lock();
        let of_gate = known.shards.values_mut().filter_map(|gates| gates.remove(gate)).collect();
        known.shards.retain(|_, gates| !gates.is_empty());
        known.by_object(of_gate)
    }

    /// A shard is another node's: the same of its objects.
    pub(crate) fn take_shard(&self, shard: ShardId) -> Vec<Called> {
        let mut known = self.0.lock();
        let gates = known.shards.remove(&Some(shard)).unwrap_or_default();
        known.by_object(gates.into_values().collect())
    }
}

/// An object, and clients that have called it.
pub(crate) type Called = (ObjectId, Vec<Arc<str>>);

impl Known {
    fn by_object(&mut self, taken: Vec<Clients>) -> Vec<Called> {
        let mut by_object: FnvHashMap<ObjectId, Vec<Arc<str>>> = FnvHashMap::default();
        for (client, objects) in taken.into_iter().flatten() {
            self.pairs -= objects.len();
            for object in objects {
                by_object.entry(object).or_default().push(Arc::clone(&client));
            }
        }
        by_object.into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gate_that_is_gone_tells_of_its_clients_only_and_a_shard_takes_its_own_along() {
        let callers = Callers::default();
        let [a, b]: [ObjectId; 2] = ["T/a", "T/b"].map(|it| it.parse().unwrap());
        let [one, two, other]: [Arc<str>; 3] = ["g:1/1", "g:1/2", "h:1/1"].map(Into::into);
        let [here, there] = [Some(ShardId(1)), None];
        for (client, object, shard) in [
            (&one, &a, here),
            (&one, &a, here),
            (&one, &b, there),
            (&two, &a, here),
            (&other, &a, here),
        ] {
            callers.note(client, object, shard);
        }
        callers.forget(&two, &a, here);
        let mut told = callers.take("g:1");
        told.sort();
        assert_eq!(told, [(a.clone(), vec![one.clone()]), (b, vec![one])]);
        assert!(callers.take("g:1").is_empty());
        assert_eq!(callers.take_shard(ShardId(1)), [(a, vec![other])]);
        assert!(callers.take("h:1").is_empty());
        let known = callers.0.lock();
        assert!(known.pairs == 0 && known.shards.is_empty());
    }
}
