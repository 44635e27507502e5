//! The components that the tests run: samples, guests of the tests, golden ones.

use std::{fs, path::Path};

use bytes::Bytes;
use serde_json::Value;

/// The sample objects.
pub const ECHO: Guest = Guest(env!("GUEST_ECHO"));
/// See [`ECHO`].
pub const COUNTER: Guest = Guest(env!("GUEST_COUNTER"));
/// See [`ECHO`].
pub const BANK_ACCOUNT: Guest = Guest(env!("GUEST_BANK_ACCOUNT"));
/// See [`ECHO`].
pub const MISCHIEF: Guest = Guest(env!("GUEST_MISCHIEF"));
/// See [`ECHO`].
pub const CHAT_ROOM: Guest = Guest(env!("GUEST_CHAT_ROOM"));
/// See [`ECHO`].
pub const CHAT_LOBBY: Guest = Guest(env!("GUEST_CHAT_LOBBY"));
/// See [`ECHO`].
pub const AUCTION: Guest = Guest(env!("GUEST_AUCTION"));
/// Calls `Tally`; see [`CALLEE`].
pub const CALLER: Guest = Guest(env!("GUEST_CALLER"));
/// The type `Tally`, which `Caller` calls.
pub const CALLEE: Guest = Guest(env!("GUEST_CALLEE"));
/// Looks for a way out of its sandbox.
pub const PROBER: Guest = Guest(env!("GUEST_PROBER"));
/// Does what the tests tell it; see [`chameleon`].
pub const CHAMELEON: Guest = Guest(env!("GUEST_CHAMELEON"));

/// One object in three languages, as their compilers of long ago made them.
pub const GOLDEN: [(&str, Guest); 3] = [
    ("GoldenRust", Guest(concat!(env!("CARGO_MANIFEST_DIR"), "/golden/rust/golden.wasm"))),
    ("GoldenC", Guest(concat!(env!("CARGO_MANIFEST_DIR"), "/golden/c/golden.wasm"))),
    ("GoldenJs", Guest(concat!(env!("CARGO_MANIFEST_DIR"), "/golden/js/golden.wasm"))),
];

/// A component on disk.
#[derive(Clone, Copy, Debug)]
pub struct Guest(&'static str);

impl Guest {
    /// Where it is.
    pub fn path(self) -> &'static Path {
        Path::new(self.0)
    }

    /// Its bytes.
    ///
    /// # Panics
    /// If it cannot be read: the build made it.
    pub fn bytes(self) -> Bytes {
        let bytes = fs::read(self.0).unwrap_or_else(|e| panic!("failed to read {}: {e}", self.0));
        bytes.into()
    }

    /// The same code as another revision: a section that means nothing tells them apart.
    pub fn rebuilt(self, label: &str) -> Bytes {
        let section =
            wasm_encoder::CustomSection { name: "label".into(), data: label.as_bytes().into() };
        let mut bytes = self.bytes().to_vec();
        bytes.push(wasm_encoder::SectionId::Custom.into());
        wasm_encoder::Encode::encode(&section, &mut bytes);
        bytes.into()
    }
}

/// The chameleon with these settings: `{"describe": {…}, "activate": …, "snapshot": …,
/// "victims": …, "schema": …}`.
///
/// # Panics
/// If the settings are too long, or the component has no place for them.
pub fn chameleon(settings: &Value) -> Bytes {
    const MARK: &[u8] = b"@@chameleon@@";
    const LENGTH: usize = 8192;
    let mut bytes = CHAMELEON.bytes().to_vec();
    let settings = settings.to_string().into_bytes();
    assert!(settings.len() < LENGTH - MARK.len(), "the settings are too long");
    let holds_block = |at: &usize| bytes[*at..].starts_with(MARK) && bytes[at + MARK.len()] == b'{';
    let at = (0..bytes.len() - LENGTH).find(holds_block).expect("the component holds the mark");
    let block = &mut bytes[at + MARK.len()..at + LENGTH];
    block.fill(b' ');
    block[..settings.len()].copy_from_slice(&settings);
    bytes.into()
}
