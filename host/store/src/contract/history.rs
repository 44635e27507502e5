//! Random histories, held against the model.

use wasmverse_core::{Epoch, ObjectId, RevisionNumber, ShardId};

use super::{
    Subject, Verdict, Violation,
    dice::Dice,
    ensure,
    model::{Model, Why},
    object, owner,
    revisions::{type_name, upload},
};
use crate::{Commit, Effect, Error, Raised, RevisionRecord, SendId, Store};

const TYPES: [&str; 3] = ["T", "T-1", "U"];
const IDS: [&str; 10] = ["a", "a%", "a_", "ab", "aX", "b", "'", "é", "😀", "\u{10ffff}"];
const PREFIXES: [&str; 7] = ["", "a", "a%", "a_", "b", "😀", "\u{10ffff}"];
pub(super) const KEYS: [&str; 7] = ["", "a", "a%", "a_", "ab", "é", "\u{10ffff}"];
const COMPONENTS: [&[u8]; 4] = [b"one", b"two", b"three", b"four"];
pub(super) const SHARDS: [ShardId; 2] = [ShardId(1), ShardId(2)];

/// Every so many steps all of the store is compared.
const AUDIT_INTERVAL: usize = 25;

/// Plays one history.
pub(super) async fn play(subject: &dyn Subject, seed: u64, steps: usize) -> Verdict {
    let told = |step, Violation(what)| Violation(format!("seed {seed}, step {step}: {what}"));
    let name = format!("history-{seed}");
    let mut store = subject.open(&name).await.map_err(|error| told(0, error.into()))?;
    let (dice, model) = (Dice(seed), Model::default());
    let mut history = History { dice, model, sure: subject.sure() };
    let all: Vec<_> = TYPES.iter().flat_map(|t| IDS.iter().map(|id| object(t, id))).collect();
    for step in 1..=steps {
        history.step(&*store).await.map_err(|violation| told(step, violation))?;
        if step % AUDIT_INTERVAL == 0 || step == steps {
            if subject.survives() {
                store.close().await.map_err(|error| told(step, error.into()))?;
                store = subject.open(&name).await.map_err(|error| told(step, error.into()))?;
            }
            let audit = history.model.audit(&*store, &all).await;
            audit.map_err(|violation| told(step, violation))?;
        }
    }
    store.close().await.map_err(|error| told(steps, error.into()))
}

pub(super) struct History {
    pub(super) dice: Dice,
    pub(super) model: Model,
    /// Whether what is answered is always known.
    sure: bool,
}

impl History {
    async fn step(&mut self, store: &dyn Store) -> Verdict {
        if self.model.epochs.len() < SHARDS.len() {
            return self.claim(store).await;
        }
        match self.dice.below(19) {
            0..=9 => self.commit(store).await,
            10 => self.list(store).await,
            11 => self.read_storage(store).await,
            12 => self.claim(store).await,
            13 => self.add_revision(store).await,
            14 => self.activate_revision(store).await,
            15 => self.forget(store).await,
            16 => self.raise(store).await,
            _ => self.read_beside(store).await,
        }
    }

    pub(super) fn object(&mut self) -> ObjectId {
        object(self.dice.pick(&TYPES), self.dice.pick(&IDS))
    }

    async fn commit(&mut self, store: &dyn Store) -> Verdict {
        let mut batch: Vec<Commit> = Vec::new();
        for _ in 0..=self.dice.below(6) {
            let row = self.row();
            // What became of two rows of one object, or send, cannot always be read from it.
            if self.sure || batch.iter().all(|other| is_apart(other, &row)) {
                batch.push(row);
            }
        }
        let answers = match store.commit(batch.clone()).await {
            Ok(answers) => answers,
            Err(Error::Unavailable(_)) if !self.sure => {
                return self.compare_all(store, &batch).await;
            }
            Err(Error::Unknown(_)) if !self.sure => {
                for row in &batch {
                    self.find_out(store, row).await?;
                }
                return self.compare_all(store, &batch).await;
            }
            Err(error) => return Err(error.into()),
        };
        ensure!(answers.len() == batch.len(), "{} rows, {} answers", batch.len(), answers.len());
        for (row, answer) in batch.iter().zip(answers) {
            match (self.model.apply(row), answer) {
                (Ok(wanted), Ok(found)) => {
                    ensure!(wanted == found, "{row:?} got {found:?}, not {wanted:?}");
                }
                (Err(why), Err(error)) => {
                    let right = why.iter().any(|why: &Why| why.says(&error));
                    ensure!(right, "{row:?} got {error:?}, not {why:?}");
                }
                (wanted, answer) => {
                    ensure!(false, "{row:?} got {answer:?}, not {wanted:?}");
                }
            }
        }
        self.compare_all(store, &batch).await
    }

    async fn compare_all(&mut self, store: &dyn Store, batch: &[Commit]) -> Verdict {
        self.model.beside.agrees(store).await?;
        for row in batch {
            self.model.compare(store, &row.object).await?;
        }
        Ok(())
    }

    async fn claim(&mut self, store: &dyn Store) -> Verdict {
        let mut wanted = self.model.clone();
        let shards: Vec<_> = SHARDS
            .iter()
            .filter(|_| self.dice.below(3) > 0)
            .map(|shard| (*shard, wanted.epochs.get(shard).map_or(0, |epoch| epoch.0)))
            .collect();
        let floor = |epoch: u64, roll: u64| Epoch((epoch + roll).saturating_sub(2));
        let shards: Vec<_> = shards
            .into_iter()
            .map(|(shard, epoch)| (shard, floor(epoch, u64::from(self.dice.number(4)))))
            .collect();
        let right: Vec<_> =
            shards.iter().map(|(shard, floor)| (*shard, wanted.claim(*shard, *floor))).collect();
        match store.claim(owner("history"), shards.clone()).await {
            Ok(found) => {
                ensure!(found == right, "{shards:?} got {found:?}, not {right:?}");
                self.model = wanted;
            }
            Err(Error::Unknown(_)) if !self.sure => self.learn_epochs(store, wanted).await?,
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    async fn raise(&mut self, store: &dyn Store) -> Verdict {
        let mut wanted = self.model.clone();
        let (mut shards, mut right) = (Vec::new(), Vec::new());
        for shard in SHARDS {
            let has = wanted.epochs.get(&shard).copied().unwrap_or_default();
            // The one that it has, or one beside it.
            let expected = match self.dice.below(4) {
                0 => Epoch(has.0.saturating_sub(1)),
                1 => Epoch(has.0 + 1),
                _ => has,
            };
            shards.push((shard, expected));
            right.push(match expected == has {
                true => Raised::To(wanted.claim(shard, has)),
                false => Raised::Has(has),
            });
        }
        match store.raise(owner("history"), shards.clone()).await {
            Ok(found) => {
                ensure!(found == right, "{shards:?} got {found:?}, not {right:?}");
                self.model = wanted;
            }
            Err(Error::Unknown(_)) if !self.sure => self.learn_epochs(store, wanted).await?,
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    /// All of a claim was done, or none of it.
    async fn learn_epochs(&mut self, store: &dyn Store, wanted: Model) -> Verdict {
        let found = store.epochs().await?;
        let found = found.into_iter().map(|claimed| (claimed.shard, claimed.epoch));
        if found.eq(wanted.epochs.clone()) {
            self.model = wanted;
        }
        Ok(())
    }

    async fn read_storage(&mut self, store: &dyn Store) -> Verdict {
        let (object, key, prefix) =
            (self.object(), self.dice.pick(&KEYS), self.dice.pick(&PREFIXES));
        let after = (self.dice.below(2) > 0).then(|| self.dice.pick(&KEYS));
        let limit = self.dice.below(5);
        let nothing = std::collections::BTreeMap::new();
        let keys = self.model.living(&object).map_or(&nothing, |living| &living.storage);
        let found = store.storage_get(&object, key).await?;
        ensure!(found.as_ref() == keys.get(key), "`{key}` of {object} is {found:?}");
        let asked = u32::try_from(limit).expect("small");
        let page = store.storage_scan(&object, prefix, after, asked).await?;
        let mut wanted = keys.iter().filter(|(key, _)| {
            key.starts_with(prefix) && after.is_none_or(|after| key.as_str() > after)
        });
        let listed: Vec<_> = wanted.by_ref().take(limit).collect();
        let right = page.rows.iter().map(|(key, value)| (key, value)).eq(listed.iter().copied());
        let more = wanted.next().is_some();
        ensure!(
            right && page.more == more,
            "{object} `{prefix}` after {after:?} by {limit}: {page:?}, not {listed:?}, {more}"
        );
        Ok(())
    }

    async fn list(&mut self, store: &dyn Store) -> Verdict {
        let of_type = (self.dice.below(2) > 0).then(|| type_name(self.dice.pick(&TYPES)));
        let prefix = self.dice.pick(&PREFIXES);
        let after = (self.dice.below(2) > 0).then(|| self.object());
        let limit = self.dice.below(12);
        let asked = u32::try_from(limit).expect("small");
        let page = store.list(of_type.as_ref(), prefix, after.as_ref(), asked).await?;
        let mut wanted = self.model.objects.iter().filter(|(object, row)| {
            row.living.is_some()
                && of_type.as_ref().is_none_or(|name| object.type_name() == name)
                && object.id().starts_with(prefix)
                && after.as_ref().is_none_or(|after| *object > after)
        });
        let listed: Vec<_> = wanted.by_ref().take(limit).map(|(object, _)| object).collect();
        let more = wanted.next().is_some();
        let right = page.objects.iter().map(|summary| &summary.object).eq(listed.iter().copied());
        ensure!(
            right && page.more == more,
            "{of_type:?} `{prefix}` after {after:?} by {limit}: {page:?}, not {listed:?}, {more}"
        );
        Ok(())
    }

    async fn add_revision(&mut self, store: &dyn Store) -> Verdict {
        let name = self.dice.pick(&TYPES);
        let new = upload(name, self.dice.pick(&COMPONENTS), self.dice.pick(&["me", "you"]));
        let made = store.add_revision(new.clone()).await?;
        let records = self.model.types.entry(name).or_default();
        if let Some(record) = records.iter().find(|record| record.digest == new.digest) {
            ensure!(made == *record, "uploaded again, {record:?} became {made:?}");
            return Ok(());
        }
        let number = u32::try_from(records.len() + 1).expect("small");
        let right = made.number.0 == number
            && !made.active
            && made.digest == new.digest
            && made.author == new.author
            && made.description == new.description;
        ensure!(right, "{new:?} became {made:?}");
        records.push(made);
        Ok(())
    }

    async fn activate_revision(&mut self, store: &dyn Store) -> Verdict {
        let name = self.dice.pick(&TYPES);
        let number = RevisionNumber(self.dice.number(6));
        let answer = store.activate_revision(&type_name(name), number).await;
        let records = self.model.types.entry(name).or_default();
        if records.iter().all(|record: &RevisionRecord| record.number != number) {
            ensure!(matches!(answer, Err(Error::NotFound(_))), "{name} {number}: {answer:?}");
            return Ok(());
        }
        for record in records.iter_mut() {
            record.active = record.number == number;
        }
        let made = answer?;
        ensure!(records.contains(&made), "{name} {number}: {made:?}");
        Ok(())
    }
}

/// Whether two rows have nothing in common.
fn is_apart(left: &Commit, right: &Commit) -> bool {
    let sends = |row: &Commit| -> Vec<SendId> {
        let settled = row.effects.iter().filter_map(|effect| match effect {
            Effect::Arrived(send) | Effect::Dead { send, .. } => Some(send.clone()),
            _ => None,
        });
        settled.collect()
    };
    let theirs = sends(right);
    left.object != right.object && sends(left).iter().all(|send| !theirs.contains(send))
}
