//! Random commits: some are right, some are wrong in one way or another.

use bytes::Bytes;
use wasmverse_core::{Durability, Encoding, Epoch, RevisionNumber, State, Version};

use super::{
    history::{History, KEYS, SHARDS},
    put,
};
use crate::{Change, Commit, Effect, Expected, STORAGE_KEY_BYTES_MAX};

impl History {
    /// A row that may or may not expect what is there.
    pub(super) fn row(&mut self) -> Commit {
        let object = self.object_with_effects();
        let highest = self.model.objects.get(&object).map_or(0, |row| row.version.0);
        let living = self.model.living(&object).is_some();
        let expected = match self.dice.below(10) {
            0 => Expected::Absent,
            1 => Expected::Version(Version(highest.saturating_sub(1))),
            2 => Expected::Version(Version(highest + 1)),
            3 => Expected::Any,
            _ if living => Expected::Version(Version(highest)),
            _ => Expected::Absent,
        };
        let shard = SHARDS[object.id().len() % SHARDS.len()];
        let epoch = self.model.epochs.get(&shard).copied().unwrap_or_default();
        let epoch = match self.dice.below(12) {
            0 => Epoch(epoch.0.saturating_sub(1)),
            1 => Epoch(epoch.0 + 1),
            _ => epoch,
        };
        let change = match self.dice.below(9) {
            0 => Change::Delete,
            1 | 2 => Change::Touch,
            3 | 4 => Change::Nothing,
            _ => self.put(),
        };
        // With a row that does not change they are refused; seldom is enough.
        let alone = change == Change::Nothing && self.dice.below(8) > 0;
        let storage = if alone { Vec::new() } else { self.storage() };
        let mut effects = self.effects(&object);
        effects.retain(|effect| !alone || !matches!(effect, Effect::Send(_)));
        Commit { shard, epoch, expected, change, storage, effects, ..put(&object, None, "") }
    }

    fn put(&mut self) -> Change {
        let data: [&'static [u8]; 10] = [
            b"",
            b"1",
            b"{\"a\": [1, 2]}",
            b"{",
            b"\xff",
            b"\"\0\"",
            b"\"\\u0000\"",
            b"[\"\\ud800\"]",
            b"1e999",
            b"-0.0",
        ];
        let state = (self.dice.below(6) > 0).then(|| State {
            schema: self.dice.number(3),
            data: Bytes::from_static(self.dice.pick(&data)),
        });
        Change::Put {
            state,
            encoding: self.dice.pick(&[Encoding::Json, Encoding::Protobuf, Encoding::Bytes]),
            durability: Durability::Durable,
            revision: RevisionNumber(self.dice.number(5)),
        }
    }

    fn storage(&mut self) -> Vec<(String, Option<Bytes>)> {
        let mut storage: Vec<(String, Option<Bytes>)> = Vec::new();
        for _ in 0..self.dice.below(4) {
            let key = match self.dice.below(40) {
                0 => "\0".to_owned(),
                1 => "k".repeat(STORAGE_KEY_BYTES_MAX + 1),
                _ => self.dice.pick(&KEYS).to_owned(),
            };
            let value = (self.dice.below(3) > 0).then(|| {
                Bytes::from_static(self.dice.pick(&[b"" as &[u8], b"1", b"\0\xff", b"{}"]))
            });
            // Twice the same key is refused; seldom is enough.
            if storage.iter().all(|(other, _)| *other != key) || self.dice.below(8) == 0 {
                storage.push((key, value));
            }
        }
        storage
    }
}
