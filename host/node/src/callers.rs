//! Which clients have called which objects through this node: a gate that dies takes along what it
//! knew of that, and its clients are gone.

use std::sync::Arc;

use fnv::{FnvHashMap, FnvHashSet};
use parking_lot::Mutex;
use wasmverse_core::ObjectId;

/// So many pairs of a client and an object are kept; whoever comes beyond is not told.
const PAIRS_MAX: usize = 1 << 20;

/// The objects that want to hear when a client is gone, by client, by the address of its gate.
#[derive(Default)]
pub(crate) struct Callers(Mutex<Known>);

#[derive(Default)]
struct Known {
    gates: FnvHashMap<Arc<str>, FnvHashMap<Arc<str>, FnvHashSet<ObjectId>>>,
    pairs: usize,
}

impl Callers {
    /// A client has called an object that wants to hear when it is gone.
    pub(crate) fn note(&self, client: &Arc<str>, object: &ObjectId) {
        let Some((gate, _)) = client.rsplit_once('/') else { return };
        let mut known = self.0.lock();
        let Known { gates, pairs } = &mut *known;
        if *pairs >= PAIRS_MAX {
            return;
        }
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
    pub(crate) fn forget(&self, client: &str, object: &ObjectId) {
        let Some((gate, _)) = client.rsplit_once('/') else { return };
        let mut known = self.0.lock();
        let Known { gates, pairs } = &mut *known;
        let Some(clients) = gates.get_mut(gate) else { return };
        let Some(objects) = clients.get_mut(client) else { return };
        *pairs -= usize::from(objects.remove(object));
        if objects.is_empty() {
            clients.remove(client);
        }
        if clients.is_empty() {
            gates.remove(gate);
        }
    }

    /// A gate is gone: the objects that its clients have called, each with those clients.
    pub(crate) fn take(&self, gate: &str) -> Vec<(ObjectId, Vec<Arc<str>>)> {
        let mut known = self.0.lock();
        let clients = known.gates.remove(gate).unwrap_or_default();
        let mut by_object: FnvHashMap<ObjectId, Vec<Arc<str>>> = FnvHashMap::default();
        for (client, objects) in clients {
            known.pairs -= objects.len();
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
    fn a_gate_that_is_gone_tells_of_its_clients_only() {
        let callers = Callers::default();
        let [a, b]: [ObjectId; 2] = ["T/a", "T/b"].map(|it| it.parse().unwrap());
        let [one, two, other]: [Arc<str>; 3] = ["g:1/1", "g:1/2", "h:1/1"].map(Into::into);
        for (client, object) in [(&one, &a), (&one, &a), (&one, &b), (&two, &a), (&other, &a)] {
            callers.note(client, object);
        }
        callers.forget(&two, &a);
        let mut told = callers.take("g:1");
        told.sort();
        assert_eq!(told, [(a.clone(), vec![one.clone()]), (b, vec![one])]);
        assert!(callers.take("g:1").is_empty());
        assert_eq!(callers.take("h:1"), [(a, vec![other])]);
        assert_eq!(callers.0.lock().pairs, 0);
    }
}
