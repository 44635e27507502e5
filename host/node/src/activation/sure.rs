//! What is known of the row, after a write of which nobody knows whether it was done.

use wasmverse_store as store;

use super::Activation;
use crate::entry::Row;

impl Activation {
    /// If nobody knows what the row is: waits until it changes no more by what was under way, and
    /// reads it.
    ///
    /// # Errors
    /// As the store: then nobody knows still.
    pub(super) async fn make_sure(&mut self) -> Result<(), store::Error> {
        if !self.entry.lock().row.unsure {
            return Ok(());
        }
        self.host.store.settle().await?;
        let stored = self.host.store.load(self.object()).await?;
        let is_live = self.awake.is_some();
        let mut inner = self.entry.lock();
        if !is_live {
            inner.exists = stored.is_some() || inner.nap.is_some() && inner.exists;
            inner.looked = true;
        }
        inner.row = Row::of(stored.as_ref());
        Ok(())
    }
}
