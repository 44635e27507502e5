//! Keys of the calls that a keyed turn makes: the same for the same call of the same turn, so that a
//! turn that is run again repeats none of them.

use std::sync::Arc;

use sha2::{Digest as _, Sha256};
use wasmverse_core::{DERIVED, ObjectId};

use crate::host::Host;

impl Host {
    /// The key of the call that is being made, the latest of its turn; none: the turn has no key.
    pub(crate) fn derived_key(
        &self,
        target: &ObjectId,
        method: &str,
        payload: &[u8],
    ) -> Option<Arc<str>> {
        let turn = self.turn.as_ref()?;
        let key = turn.key.as_ref()?;
        let ordinal = self.calls.to_le_bytes();
        let origin = turn.caller.origin();
        let mut hash = Sha256::new();
        for part in [
            origin.as_bytes(),
            key.as_bytes(),
            &ordinal,
            target.type_name().as_str().as_bytes(),
            target.id().as_bytes(),
            method.as_bytes(),
            payload,
        ] {
            // With its length before it, no part runs into the next one.
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
        let hash = hash.finalize();
        Some(format!("{DERIVED}{}", hex::encode(&hash[..16])).into())
    }
}
