//! Random histories, held against a model that is too simple to be wrong.

use std::collections::BTreeMap;

use bytes::Bytes;
use wasmverse_core::{Encoding, ObjectId, RevisionNumber, State, Version};

use super::{
    Subject, Verdict, Violation, ensure, object,
    revisions::{type_name, upload},
    same, save,
};
use crate::{Error, RevisionRecord, Save, Store};

const TYPES: [&str; 3] = ["T", "T-1", "U"];
const IDS: [&str; 10] = ["a", "a%", "a_", "ab", "aX", "b", "'", "é", "😀", "\u{10ffff}"];
const PREFIXES: [&str; 7] = ["", "a", "a%", "a_", "b", "😀", "\u{10ffff}"];
const COMPONENTS: [&[u8]; 4] = [b"one", b"two", b"three", b"four"];

/// Every so many steps all of the store is compared.
const AUDIT_INTERVAL: usize = 25;

/// Plays one history.
pub(super) async fn play(subject: &dyn Subject, seed: u64, steps: usize) -> Verdict {
    let told = |step, Violation(what)| Violation(format!("seed {seed}, step {step}: {what}"));
    let name = format!("history-{seed}");
    let mut store = subject.open(&name).await.map_err(|error| told(0, error.into()))?;
    let mut history = History { dice: Dice(seed), model: Model::default() };
    for step in 1..=steps {
        history.step(&*store).await.map_err(|violation| told(step, violation))?;
        if step % AUDIT_INTERVAL == 0 || step == steps {
            if subject.survives() {
                store.close().await.map_err(|error| told(step, error.into()))?;
                store = subject.open(&name).await.map_err(|error| told(step, error.into()))?;
            }
            history.model.audit(&*store).await.map_err(|violation| told(step, violation))?;
        }
    }
    store.close().await.map_err(|error| told(steps, error.into()))
}

/// A generator of numbers: the same seed, the same history (SplitMix64).
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let bound = u64::try_from(bound).expect("small");
        usize::try_from((z ^ (z >> 31)) % bound).expect("below a usize")
    }

    fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }

    fn object(&mut self) -> ObjectId {
        object(self.pick(&TYPES), self.pick(&IDS))
    }
}

#[derive(Default)]
struct Model {
    objects: BTreeMap<ObjectId, Row>,
    types: BTreeMap<&'static str, Vec<RevisionRecord>>,
}

/// An object that was there at some time.
struct Row {
    /// The highest version that it ever had.
    version: Version,
    living: Option<Living>,
}

struct Living {
    state: Option<State>,
    encoding: Encoding,
    revision: RevisionNumber,
    created_at_micros: Option<i64>,
}

impl Model {
    fn living(&self, object: &ObjectId) -> Option<(&Row, &Living)> {
        let row = self.objects.get(object)?;
        Some((row, row.living.as_ref()?))
    }

    async fn compare(&mut self, store: &dyn Store, object: &ObjectId) -> Verdict {
        let found = store.load(object).await?;
        let Some(row) = self.objects.get_mut(object) else {
            ensure!(found.is_none(), "{object} was never saved, and is there: {found:?}");
            return Ok(());
        };
        let (Some(living), Some(found)) = (&mut row.living, &found) else {
            ensure!(row.living.is_none() && found.is_none(), "{object} is there: {found:?}");
            return Ok(());
        };
        let state = living.state.as_ref();
        let right = same(living.encoding, state, found.state.as_ref())
            && found.version == row.version
            && found.revision == living.revision
            && found.updated_at_micros >= found.created_at_micros
            && living.created_at_micros.is_none_or(|at| at == found.created_at_micros);
        ensure!(right, "{object}: {found:?}, not {state:?} of {:?}", row.version);
        living.created_at_micros = Some(found.created_at_micros);
        Ok(())
    }

    /// All that there is, and no more.
    async fn audit(&mut self, store: &dyn Store) -> Verdict {
        for type_name in TYPES {
            for id in IDS {
                self.compare(store, &object(type_name, id)).await?;
            }
        }
        let page = store.list(None, "", None, 1000).await?;
        let living = self.objects.iter().filter(|(_, row)| row.living.is_some());
        let found = page.objects.iter().map(|summary| &summary.object);
        ensure!(found.eq(living.map(|(object, _)| object)) && !page.more, "it lists {page:?}");
        let active = self.types.values().flatten().filter(|record| record.active);
        let found = store.active_revisions().await?;
        ensure!(found.iter().eq(active), "active are {found:?}");
        for (name, records) in &self.types {
            for record in records {
                let found = store.revision(&type_name(name), record.number).await?;
                ensure!(found.as_ref() == Some(record), "{record:?} became {found:?}");
                let component = store.component(record.digest).await?;
                ensure!(component.is_some(), "the component of {record:?} is gone");
            }
        }
        Ok(())
    }
}

struct History {
    dice: Dice,
    model: Model,
}

impl History {
    async fn step(&mut self, store: &dyn Store) -> Verdict {
        match self.dice.below(12) {
            0..=5 => self.save(store).await,
            6 | 7 => self.delete(store).await,
            8 | 9 => self.list(store).await,
            10 => self.add_revision(store).await,
            _ => self.activate_revision(store).await,
        }
    }

    async fn save(&mut self, store: &dyn Store) -> Verdict {
        let mut batch: Vec<Save> = Vec::new();
        for _ in 0..=self.dice.below(6) {
            let row = self.row();
            if batch.iter().all(|other| other.object != row.object) {
                batch.push(row);
            }
        }
        let answers = store.save(batch.clone()).await?;
        ensure!(answers.len() == batch.len(), "{} rows, {} answers", batch.len(), answers.len());
        for (row, answer) in batch.into_iter().zip(answers) {
            self.saved(&row, answer)?;
            self.model.compare(store, &row.object).await?;
        }
        Ok(())
    }

    /// A row that may or may not expect what is there.
    fn row(&mut self) -> Save {
        let object = self.dice.object();
        let highest = self.model.objects.get(&object).map_or(0, |row| row.version.0);
        let living = self.model.living(&object).map(|(row, _)| row.version);
        let expected = match self.dice.below(8) {
            0 => None,
            1 => Some(Version(highest.saturating_sub(1))),
            2 => Some(Version(highest + 1)),
            _ => living,
        };
        let data: [&'static [u8]; 6] = [b"", b"1", b"{\"a\": [1, 2]}", b"{", b"\xff", b"\"\0\""];
        let state = (self.dice.below(6) > 0).then(|| State {
            schema: u32::try_from(self.dice.below(3)).expect("small"),
            data: Bytes::from_static(self.dice.pick(&data)),
        });
        Save {
            state,
            encoding: self.dice.pick(&[Encoding::Json, Encoding::Protobuf, Encoding::Bytes]),
            revision: RevisionNumber(u32::try_from(self.dice.below(5)).expect("small")),
            ..save(&object, expected, "")
        }
    }

    fn saved(&mut self, row: &Save, answer: Result<Version, Error>) -> Verdict {
        let object = &row.object;
        let living = self.model.living(object).map(|(row, _)| row.version);
        let version = match answer {
            Err(Error::Conflict(_)) => {
                ensure!(row.expected != living, "{object}: a conflict, and it is {living:?}");
                return Ok(());
            }
            Err(error) => return Err(error.into()),
            Ok(version) => version,
        };
        ensure!(row.expected == living, "{object}: {:?} over {living:?}", row.expected);
        let before = self.model.objects.remove(object);
        let highest = before.as_ref().map_or(Version(0), |row| row.version);
        ensure!(version > highest, "{object}: {version:?} after {highest:?}");
        let created_at_micros =
            before.and_then(|row| row.living).and_then(|living| living.created_at_micros);
        let living = Some(Living {
            state: row.state.clone(),
            encoding: row.encoding,
            revision: row.revision,
            created_at_micros,
        });
        self.model.objects.insert(object.clone(), Row { version, living });
        Ok(())
    }

    async fn delete(&mut self, store: &dyn Store) -> Verdict {
        let object = self.dice.object();
        let deleted = store.delete(&object).await?;
        let living = self.model.living(&object).is_some();
        ensure!(deleted == living, "{object}: deleted {deleted}, and it was there: {living}");
        if let Some(row) = self.model.objects.get_mut(&object) {
            row.living = None;
        }
        self.model.compare(store, &object).await
    }

    async fn list(&mut self, store: &dyn Store) -> Verdict {
        let of_type = (self.dice.below(2) > 0).then(|| type_name(self.dice.pick(&TYPES)));
        let prefix = self.dice.pick(&PREFIXES);
        let after = (self.dice.below(2) > 0).then(|| self.dice.object());
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
        let number = RevisionNumber(u32::try_from(self.dice.below(6)).expect("small"));
        let answer = store.activate_revision(&type_name(name), number).await;
        let records = self.model.types.entry(name).or_default();
        if records.iter().all(|record| record.number != number) {
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
