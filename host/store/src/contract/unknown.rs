//! What became of commits of which nobody knows: each was written whole, or not at all.

use super::{
    Verdict, Violation,
    effects::{EVERYWHERE, all_sends},
    history::History,
    model::Model,
};
use crate::{Commit, SendId, Store, StoredReminder};

impl History {
    /// Finds out whether a row was written.
    pub(super) async fn find_out(&mut self, store: &dyn Store, row: &Commit) -> Verdict {
        let mut written = self.model.clone();
        if written.apply(row).is_err() {
            return Ok(());
        }
        let found = store.load(&row.object).await?;
        let before = self.model.objects.get(&row.object).map(|row| row.version);
        let after = written.objects.get(&row.object).map(|row| row.version);
        // A tombstone shows no version.
        let changed = match &found {
            _ if before == after => self.happened(store, &written, row).await?,
            Some(found) => Some(Some(found.version) != before),
            None if self.model.living(&row.object).is_some() => Some(true),
            None if written.living(&row.object).is_some() => Some(false),
            None => self.happened(store, &written, row).await?,
        };
        match changed {
            Some(true) => {
                written.agrees(&row.object, found.as_ref())?;
                self.model = written;
            }
            Some(false) => {}
            None => self.model.beside.apply_perhaps(&written.beside),
        }
        Ok(())
    }

    /// Whether a store has what goes with a row, as it shows in the first thing that differs; none:
    /// nothing shows.
    async fn happened(
        &self,
        store: &dyn Store,
        written: &Model,
        row: &Commit,
    ) -> Result<Option<bool>, Violation> {
        let (before, after) = (&self.model.beside, &written.beside);
        if let Some(of) = after.results.keys().find(|of| !before.results.contains_key(*of)) {
            return Ok(Some(store.result(&of.0, &of.1).await?.is_some()));
        }
        let sends = all_sends(store, EVERYWHERE, 1000).await?;
        let is_there = |id: &SendId| sends.iter().any(|send| send.id == *id);
        if let Some(id) = after.outbox.keys().find(|id| !before.outbox.contains_key(*id)) {
            return Ok(Some(is_there(id)));
        }
        if let Some(id) = before.outbox.keys().find(|id| !after.outbox.contains_key(*id)) {
            return Ok(Some(!is_there(id)));
        }
        for letter in before.letters.iter().filter(|letter| !after.letters.contains(*letter)) {
            if let Some(number) = letter.number {
                return Ok(Some(store.dead_letter(number).await?.is_none()));
            }
        }
        if before.reminders != after.reminders {
            let found = store.reminders(&row.object).await?;
            let wanted = after.reminders.values().filter(|set| set.object == row.object);
            let wanted: Vec<&StoredReminder> = wanted.collect();
            return Ok(Some(found.iter().eq(wanted)));
        }
        Ok(None)
    }
}
