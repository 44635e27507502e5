//! Random pages of what is kept beside objects, held against the model.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use wasmverse_core::ShardId;

use super::{Verdict, ensure, history::History};
use crate::Store;

impl History {
    /// Forgets what may be forgotten, more or less of it.
    pub(super) async fn forget(&mut self, store: &dyn Store) -> Verdict {
        for _ in 0..self.dice.below(14) {
            store.forget_results(Duration::ZERO).await?;
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let now = i64::try_from(now.as_micros()).unwrap_or(i64::MAX);
        self.model.beside.forgets(store, now).await
    }

    pub(super) async fn read_beside(&mut self, store: &dyn Store) -> Verdict {
        match self.dice.below(3) {
            0 => self.read_sends(store).await,
            1 => self.read_due(store).await,
            _ => self.read_letters(store).await,
        }
    }

    async fn read_sends(&mut self, store: &dyn Store) -> Verdict {
        let shards = ShardId(1)..=ShardId(self.dice.pick(&[1, 2, 7]));
        let all: Vec<_> = self.model.beside.outbox.keys().cloned().collect();
        let after = (!all.is_empty() && self.dice.below(2) > 0)
            .then(|| all[self.dice.below(all.len())].clone());
        let limit = self.dice.below(12);
        let asked = u32::try_from(limit).expect("small");
        let found = store.sends(shards.clone(), after.as_ref(), asked).await?;
        let wanted = all.iter().filter(|send| {
            shards.contains(&send.shard) && after.as_ref().is_none_or(|after| *send > after)
        });
        let right = found.iter().map(|send| &send.id).eq(wanted.take(limit));
        ensure!(right, "sends of {shards:?} after {after:?} by {limit}: {found:?}");
        Ok(())
    }

    async fn read_due(&mut self, store: &dyn Store) -> Verdict {
        let shards = ShardId(1)..=ShardId(self.dice.pick(&[1, 2, 7]));
        let mut all: Vec<_> = self.model.beside.reminders.values().cloned().collect();
        all.sort_by_key(|set| set.reminder.due_micros);
        let until = self.dice.pick(&[-2, 0, 1000, 1_600_000_000_000_000, i64::MAX]);
        let after = (!all.is_empty() && self.dice.below(2) > 0).then(|| self.dice.below(all.len()));
        let limit = self.dice.below(12);
        let asked = u32::try_from(limit).expect("small");
        let behind = after.map(|after| &all[after]);
        let found = store.due(shards.clone(), until, behind, asked).await?;
        let begin = after.map_or(0, |after| after + 1);
        let wanted = all[begin..]
            .iter()
            .filter(|set| shards.contains(&set.shard) && set.reminder.due_micros <= until);
        ensure!(
            found.iter().eq(wanted.take(limit)),
            "due of {shards:?} until {until} after {behind:?} by {limit}: {found:?}"
        );
        Ok(())
    }

    async fn read_letters(&mut self, store: &dyn Store) -> Verdict {
        let from = (self.dice.below(2) > 0).then(|| self.object_with_effects());
        let letters = self.model.beside.letters.iter();
        let of = letters.filter(|letter| from.as_ref().is_none_or(|from| letter.from == *from));
        let mut all: Vec<u64> = of.filter_map(|letter| letter.number).collect();
        all.sort_unstable();
        let after = if all.is_empty() { 0 } else { all[self.dice.below(all.len())] };
        let limit = self.dice.below(12);
        let asked = u32::try_from(limit).expect("small");
        let found = store.dead_letters(from.as_ref(), after, asked).await?;
        let wanted = all.into_iter().filter(|number| *number > after).take(limit);
        let right = found.iter().map(|letter| letter.number).eq(wanted);
        ensure!(right, "letters of {from:?} after {after} by {limit}: {found:?}");
        Ok(())
    }
}
