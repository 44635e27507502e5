//! What the tests set: a block of bytes in the component, which they overwrite with JSON.

use std::hint::black_box;

use serde::Deserialize;
use serde_json::Value;

const MARK: &[u8] = b"@@chameleon@@";
const LENGTH: usize = 8192;

/// The mark, the default settings, and spaces up to the end.
static BLOCK: [u8; LENGTH] = block(br#"{"describe":{"type":"Chameleon"}}"#);

/// How an instance behaves.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Settings {
    /// What it says of itself, but for the methods.
    pub(crate) describe: Value,
    /// What `activate` does: nothing, `refuse`, `trap` or `loop`.
    #[serde(default)]
    pub(crate) activate: String,
    /// What `snapshot` does: nothing, `refuse` or `trap`.
    #[serde(default)]
    pub(crate) snapshot: String,
    /// Only objects whose id begins so misbehave.
    #[serde(default)]
    pub(crate) victims: String,
    /// The schema that it writes; it reads older ones.
    #[serde(default)]
    pub(crate) schema: Option<u32>,
    /// From the state of an older schema it moves the value into its storage, under `moved`.
    #[serde(default)]
    pub(crate) moves: bool,
}

impl Settings {
    /// What the tests wrote.
    pub(crate) fn read() -> Self {
        let block: &[u8] = black_box(&BLOCK);
        serde_json::from_slice(&block[MARK.len()..]).expect("the tests write valid settings")
    }

    /// Whether this object is one of those that misbehave.
    pub(crate) fn concern(&self, id: &str) -> bool {
        id.starts_with(&self.victims)
    }
}

const fn block(settings: &[u8]) -> [u8; LENGTH] {
    let mut block = [b' '; LENGTH];
    let mut at = 0;
    while at < MARK.len() {
        block[at] = MARK[at];
        at += 1;
    }
    while at < MARK.len() + settings.len() {
        block[at] = settings[at - MARK.len()];
        at += 1;
    }
    block
}
