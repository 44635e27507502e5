//! One store for several users in this process: the last of them closes it.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
};

use futures_util::FutureExt as _;

use crate::{Answer, Store};

/// A share in a store.
struct Share {
    store: Arc<dyn Store>,
    /// Shares that are not closed, over all.
    open: Arc<AtomicUsize>,
    is_closed: AtomicBool,
}

/// So many shares in a store, for nodes of one process: each is the store, but to close one only says
/// that it is not used any more, as often as it is done. The store is closed with the last of them.
pub fn shares(store: &Arc<dyn Store>, count: usize) -> Vec<Arc<dyn Store>> {
    let open = Arc::new(AtomicUsize::new(count));
    let share = |_| -> Arc<dyn Store> {
        let (store, open) = (Arc::clone(store), Arc::clone(&open));
        Arc::new(Share { store, open, is_closed: AtomicBool::new(false) })
    };
    (0..count).map(share).collect()
}

impl Store for Share {
    crate::pass_on! {
        store: cluster_id, add_revision, activate_revision, active_revisions, revision, component, load, commit,
        settle, claim, raise, epochs, storage_get, storage_keys, storage_scan, result, result_keys,
        forget_results, sends, reminders, due, dead_letters, dead_letter, status, dump, restore, list
    }

    fn close(&self) -> Answer<'_, ()> {
        let is_last = !self.is_closed.swap(true, SeqCst) && self.open.fetch_sub(1, SeqCst) == 1;
        if is_last { self.store.close() } else { std::future::ready(Ok(())).boxed() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_last_one_closes_the_store() {
        let url = Some("sqlite::memory:".to_owned());
        let config = crate::Config { url, ..crate::Config::default() };
        let store = crate::open(&config).await.unwrap();
        let shares = shares(&store, 2);
        for _ in 0..2 {
            shares[0].close().await.unwrap();
            assert!(shares[1].active_revisions().await.is_ok(), "one is open still");
        }
        shares[1].close().await.unwrap();
        assert!(store.active_revisions().await.is_err());
    }
}
